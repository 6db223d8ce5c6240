package pptp

const stopLen = 16

// StopControlConnectionRequest says that the control connection is to be
// closed, and all its calls with it (RFC 2637 section 2.3).
type StopControlConnectionRequest struct {
	Reason StopReason
}

// Type implements Message.
func (m *StopControlConnectionRequest) Type() MessageType { return TypeStopControlConnectionRequest }

// Decode implements Message.
func (m *StopControlConnectionRequest) Decode(b []byte) (int, error) {
	*m = StopControlConnectionRequest{}
	b, err := cutMessageType(b, TypeStopControlConnectionRequest, stopLen)
	if err != nil {
		return 0, err
	}
	m.Reason = StopReason(b[12])
	return len(b), nil
}

// Append implements Message.
func (m *StopControlConnectionRequest) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeStopControlConnectionRequest, stopLen)
	return append(dst, byte(m.Reason), 0, 0, 0)
}

// StopControlConnectionReply answers a StopControlConnectionRequest
// (RFC 2637 section 2.4).
type StopControlConnectionReply struct {
	ResultCode StopResult
	ErrorCode  ErrorCode
}

// Type implements Message.
func (m *StopControlConnectionReply) Type() MessageType { return TypeStopControlConnectionReply }

// Decode implements Message.
func (m *StopControlConnectionReply) Decode(b []byte) (int, error) {
	*m = StopControlConnectionReply{}
	b, err := cutMessageType(b, TypeStopControlConnectionReply, stopLen)
	if err != nil {
		return 0, err
	}
	m.ResultCode = StopResult(b[12])
	m.ErrorCode = ErrorCode(b[13])
	return len(b), nil
}

// Append implements Message.
func (m *StopControlConnectionReply) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeStopControlConnectionReply, stopLen)
	return append(dst, byte(m.ResultCode), byte(m.ErrorCode), 0, 0)
}
