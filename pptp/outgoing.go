package pptp

const (
	outgoingCallRequestLen = 168
	outgoingCallReplyLen   = 32
)

// OutgoingCallRequest is sent by a PNS that wants a call
// (RFC 2637 section 2.7).
type OutgoingCallRequest struct {
	CallID                  uint16 // assigned by the PNS
	CallSerialNumber        uint16 // for logs, the same on both sides
	MinimumBPS              uint32 // bits a second
	MaximumBPS              uint32 // bits a second
	BearerType              Bearer
	FramingType             Framing
	PacketRecvWindowSize    uint16 // packets the PNS will buffer
	PacketProcessingDelay   uint16 // of the PNS, in tenths of a second
	PhoneNumber, Subaddress string // at most 64 octets each
}

// Type implements Message.
func (m *OutgoingCallRequest) Type() MessageType { return TypeOutgoingCallRequest }

// Decode implements Message.
func (m *OutgoingCallRequest) Decode(b []byte) (int, error) {
	*m = OutgoingCallRequest{}
	b, err := cutMessageType(b, TypeOutgoingCallRequest, outgoingCallRequestLen)
	if err != nil {
		return 0, err
	}
	m.CallID = be16(b[12:])
	m.CallSerialNumber = be16(b[14:])
	m.MinimumBPS = be32(b[16:])
	m.MaximumBPS = be32(b[20:])
	m.BearerType = Bearer(be32(b[24:]))
	m.FramingType = Framing(be32(b[28:]))
	m.PacketRecvWindowSize = be16(b[32:])
	m.PacketProcessingDelay = be16(b[34:])
	m.PhoneNumber = number(b[40:40+textLen], be16(b[36:]))
	m.Subaddress = text(b[104 : 104+textLen])
	return len(b), nil
}

// Append implements Message.
func (m *OutgoingCallRequest) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeOutgoingCallRequest, outgoingCallRequestLen)
	dst = append16(dst, m.CallID)
	dst = append16(dst, m.CallSerialNumber)
	dst = append32(dst, m.MinimumBPS)
	dst = append32(dst, m.MaximumBPS)
	dst = append32(dst, uint32(m.BearerType))
	dst = append32(dst, uint32(m.FramingType))
	dst = append16(dst, m.PacketRecvWindowSize)
	dst = append16(dst, m.PacketProcessingDelay)
	dst = append16(dst, uint16(len(cutText(m.PhoneNumber, textLen))))
	dst = append16(dst, 0)
	dst = appendText(dst, m.PhoneNumber, textLen)
	return appendText(dst, m.Subaddress, textLen)
}

// OutgoingCallReply answers an OutgoingCallRequest (RFC 2637 section 2.8).
type OutgoingCallReply struct {
	CallID                uint16 // assigned by the PAC
	PeerCallID            uint16 // that of the request
	ResultCode            OutgoingCallResult
	ErrorCode             ErrorCode
	CauseCode             uint16
	ConnectSpeed          uint32 // bits a second
	PacketRecvWindowSize  uint16 // packets the PAC will buffer
	PacketProcessingDelay uint16 // of the PAC, in tenths of a second
	PhysicalChannelID     uint32 // for logs
}

// Type implements Message.
func (m *OutgoingCallReply) Type() MessageType { return TypeOutgoingCallReply }

// Decode implements Message.
func (m *OutgoingCallReply) Decode(b []byte) (int, error) {
	*m = OutgoingCallReply{}
	b, err := cutMessageType(b, TypeOutgoingCallReply, outgoingCallReplyLen)
	if err != nil {
		return 0, err
	}
	m.CallID = be16(b[12:])
	m.PeerCallID = be16(b[14:])
	m.ResultCode = OutgoingCallResult(b[16])
	m.ErrorCode = ErrorCode(b[17])
	m.CauseCode = be16(b[18:])
	m.ConnectSpeed = be32(b[20:])
	m.PacketRecvWindowSize = be16(b[24:])
	m.PacketProcessingDelay = be16(b[26:])
	m.PhysicalChannelID = be32(b[28:])
	return len(b), nil
}

// Append implements Message.
func (m *OutgoingCallReply) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeOutgoingCallReply, outgoingCallReplyLen)
	dst = append16(dst, m.CallID)
	dst = append16(dst, m.PeerCallID)
	dst = append(dst, byte(m.ResultCode), byte(m.ErrorCode))
	dst = append16(dst, m.CauseCode)
	dst = append32(dst, m.ConnectSpeed)
	dst = append16(dst, m.PacketRecvWindowSize)
	dst = append16(dst, m.PacketProcessingDelay)
	return append32(dst, m.PhysicalChannelID)
}
