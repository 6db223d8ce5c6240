package pptp

const (
	callClearRequestLen     = 16
	callDisconnectNotifyLen = 148
	statisticsLen           = 128
)

// CallClearRequest is sent by a PNS that wants a call cleared
// (RFC 2637 section 2.12).
type CallClearRequest struct {
	CallID uint16 // the sender's, that is the one assigned by the PNS
}

// Type implements Message.
func (m *CallClearRequest) Type() MessageType { return TypeCallClearRequest }

// Decode implements Message.
func (m *CallClearRequest) Decode(b []byte) (int, error) {
	*m = CallClearRequest{}
	b, err := cutMessageType(b, TypeCallClearRequest, callClearRequestLen)
	if err != nil {
		return 0, err
	}
	m.CallID = be16(b[12:])
	return len(b), nil
}

// Append implements Message.
func (m *CallClearRequest) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeCallClearRequest, callClearRequestLen)
	dst = append16(dst, m.CallID)
	return append16(dst, 0)
}

// CallDisconnectNotify is sent by a PAC when a call has ended, on request or
// not (RFC 2637 section 2.13).
type CallDisconnectNotify struct {
	CallID         uint16 // the sender's, that is the one assigned by the PAC
	ResultCode     DisconnectResult
	ErrorCode      ErrorCode
	CauseCode      uint16
	CallStatistics string // for logs; at most 128 octets
}

// Type implements Message.
func (m *CallDisconnectNotify) Type() MessageType { return TypeCallDisconnectNotify }

// Decode implements Message.
func (m *CallDisconnectNotify) Decode(b []byte) (int, error) {
	*m = CallDisconnectNotify{}
	b, err := cutMessageType(b, TypeCallDisconnectNotify, callDisconnectNotifyLen)
	if err != nil {
		return 0, err
	}
	m.CallID = be16(b[12:])
	m.ResultCode = DisconnectResult(b[14])
	m.ErrorCode = ErrorCode(b[15])
	m.CauseCode = be16(b[16:])
	m.CallStatistics = text(b[20 : 20+statisticsLen])
	return len(b), nil
}

// Append implements Message.
func (m *CallDisconnectNotify) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeCallDisconnectNotify, callDisconnectNotifyLen)
	dst = append16(dst, m.CallID)
	dst = append(dst, byte(m.ResultCode), byte(m.ErrorCode))
	dst = append16(dst, m.CauseCode)
	dst = append16(dst, 0)
	return appendText(dst, m.CallStatistics, statisticsLen)
}
