package pptp

const (
	incomingCallRequestLen   = 220
	incomingCallReplyLen     = 24
	incomingCallConnectedLen = 28
)

// IncomingCallRequest is sent by a PAC that has a call for the PNS
// (RFC 2637 section 2.9).
type IncomingCallRequest struct {
	CallID            uint16 // assigned by the PAC
	CallSerialNumber  uint16 // for logs, the same on both sides
	CallBearerType    Bearer
	PhysicalChannelID uint32
	DialedNumber      string // at most 64 octets
	DialingNumber     string // at most 64 octets
	Subaddress        string // at most 64 octets
}

// Type implements Message.
func (m *IncomingCallRequest) Type() MessageType { return TypeIncomingCallRequest }

// Decode implements Message.
func (m *IncomingCallRequest) Decode(b []byte) (int, error) {
	*m = IncomingCallRequest{}
	b, err := cutMessageType(b, TypeIncomingCallRequest, incomingCallRequestLen)
	if err != nil {
		return 0, err
	}
	m.CallID = be16(b[12:])
	m.CallSerialNumber = be16(b[14:])
	m.CallBearerType = Bearer(be32(b[16:]))
	m.PhysicalChannelID = be32(b[20:])
	m.DialedNumber = number(b[28:28+textLen], be16(b[24:]))
	m.DialingNumber = number(b[92:92+textLen], be16(b[26:]))
	m.Subaddress = text(b[156 : 156+textLen])
	return len(b), nil
}

// Append implements Message.
func (m *IncomingCallRequest) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeIncomingCallRequest, incomingCallRequestLen)
	dst = append16(dst, m.CallID)
	dst = append16(dst, m.CallSerialNumber)
	dst = append32(dst, uint32(m.CallBearerType))
	dst = append32(dst, m.PhysicalChannelID)
	dst = append16(dst, uint16(len(cutText(m.DialedNumber, textLen))))
	dst = append16(dst, uint16(len(cutText(m.DialingNumber, textLen))))
	dst = appendText(dst, m.DialedNumber, textLen)
	dst = appendText(dst, m.DialingNumber, textLen)
	return appendText(dst, m.Subaddress, textLen)
}

// IncomingCallReply answers an IncomingCallRequest (RFC 2637 section 2.10).
type IncomingCallReply struct {
	CallID               uint16 // assigned by the PNS
	PeerCallID           uint16 // that of the request
	ResultCode           IncomingCallResult
	ErrorCode            ErrorCode
	PacketRecvWindowSize uint16 // packets
	PacketTransmitDelay  uint16 // in tenths of a second
}

// Type implements Message.
func (m *IncomingCallReply) Type() MessageType { return TypeIncomingCallReply }

// Decode implements Message.
func (m *IncomingCallReply) Decode(b []byte) (int, error) {
	*m = IncomingCallReply{}
	b, err := cutMessageType(b, TypeIncomingCallReply, incomingCallReplyLen)
	if err != nil {
		return 0, err
	}
	m.CallID = be16(b[12:])
	m.PeerCallID = be16(b[14:])
	m.ResultCode = IncomingCallResult(b[16])
	m.ErrorCode = ErrorCode(b[17])
	m.PacketRecvWindowSize = be16(b[18:])
	m.PacketTransmitDelay = be16(b[20:])
	return len(b), nil
}

// Append implements Message.
func (m *IncomingCallReply) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeIncomingCallReply, incomingCallReplyLen)
	dst = append16(dst, m.CallID)
	dst = append16(dst, m.PeerCallID)
	dst = append(dst, byte(m.ResultCode), byte(m.ErrorCode))
	dst = append16(dst, m.PacketRecvWindowSize)
	dst = append16(dst, m.PacketTransmitDelay)
	return append16(dst, 0)
}

// IncomingCallConnected tells the PNS that the call it accepted is connected
// (RFC 2637 section 2.11).
type IncomingCallConnected struct {
	PeerCallID           uint16 // assigned by the PNS
	ConnectSpeed         uint32 // bits a second
	PacketRecvWindowSize uint16 // packets
	PacketTransmitDelay  uint16 // in tenths of a second
	FramingType          Framing
}

// Type implements Message.
func (m *IncomingCallConnected) Type() MessageType { return TypeIncomingCallConnected }

// Decode implements Message.
func (m *IncomingCallConnected) Decode(b []byte) (int, error) {
	*m = IncomingCallConnected{}
	b, err := cutMessageType(b, TypeIncomingCallConnected, incomingCallConnectedLen)
	if err != nil {
		return 0, err
	}
	m.PeerCallID = be16(b[12:])
	m.ConnectSpeed = be32(b[16:])
	m.PacketRecvWindowSize = be16(b[20:])
	m.PacketTransmitDelay = be16(b[22:])
	m.FramingType = Framing(be32(b[24:]))
	return len(b), nil
}

// Append implements Message.
func (m *IncomingCallConnected) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeIncomingCallConnected, incomingCallConnectedLen)
	dst = append16(dst, m.PeerCallID)
	dst = append16(dst, 0)
	dst = append32(dst, m.ConnectSpeed)
	dst = append16(dst, m.PacketRecvWindowSize)
	dst = append16(dst, m.PacketTransmitDelay)
	return append32(dst, uint32(m.FramingType))
}
