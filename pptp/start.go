package pptp

// ProtocolVersion is the version of the protocol, version 1 revision 0.
const ProtocolVersion = 0x0100

const (
	startLen = 156
	textLen  = 64 // of most text fields
)

// StartControlConnectionRequest opens a control connection
// (RFC 2637 section 2.1).
type StartControlConnectionRequest struct {
	ProtocolVersion     uint16
	FramingCapabilities Framing
	BearerCapabilities  Bearer
	MaximumChannels     uint16 // of a PAC; a PNS says 0
	FirmwareRevision    uint16
	HostName            string // at most 64 octets
	VendorString        string // at most 64 octets
}

// Type implements Message.
func (m *StartControlConnectionRequest) Type() MessageType { return TypeStartControlConnectionRequest }

// Decode implements Message.
func (m *StartControlConnectionRequest) Decode(b []byte) (int, error) {
	*m = StartControlConnectionRequest{}
	b, err := cutMessageType(b, TypeStartControlConnectionRequest, startLen)
	if err != nil {
		return 0, err
	}
	*m = StartControlConnectionRequest(decodeStart(b))
	return len(b), nil
}

// Append implements Message.
func (m *StartControlConnectionRequest) Append(dst []byte) []byte {
	return appendStart(dst, m.Type(), 0, 0, PeerInfo(*m))
}

// StartControlConnectionReply answers a StartControlConnectionRequest
// (RFC 2637 section 2.2).
type StartControlConnectionReply struct {
	ProtocolVersion     uint16
	ResultCode          StartResult
	ErrorCode           ErrorCode
	FramingCapabilities Framing
	BearerCapabilities  Bearer
	MaximumChannels     uint16 // of a PAC; a PNS says 0
	FirmwareRevision    uint16
	HostName            string // at most 64 octets
	VendorString        string // at most 64 octets
}

// Type implements Message.
func (m *StartControlConnectionReply) Type() MessageType { return TypeStartControlConnectionReply }

// Decode implements Message.
func (m *StartControlConnectionReply) Decode(b []byte) (int, error) {
	*m = StartControlConnectionReply{}
	b, err := cutMessageType(b, TypeStartControlConnectionReply, startLen)
	if err != nil {
		return 0, err
	}
	*m = startReply(StartResult(b[14]), ErrorCode(b[15]), decodeStart(b))
	return len(b), nil
}

// Append implements Message.
func (m *StartControlConnectionReply) Append(dst []byte) []byte {
	return appendStart(dst, m.Type(), m.ResultCode, m.ErrorCode, m.peer())
}

// startReply is the reply in which p speaks of itself.
func startReply(result StartResult, code ErrorCode, p PeerInfo) StartControlConnectionReply {
	return StartControlConnectionReply{
		ProtocolVersion:     p.ProtocolVersion,
		ResultCode:          result,
		ErrorCode:           code,
		FramingCapabilities: p.FramingCapabilities,
		BearerCapabilities:  p.BearerCapabilities,
		MaximumChannels:     p.MaximumChannels,
		FirmwareRevision:    p.FirmwareRevision,
		HostName:            p.HostName,
		VendorString:        p.VendorString,
	}
}

// peer is what the reply says of its sender.
func (m *StartControlConnectionReply) peer() PeerInfo {
	return PeerInfo{
		ProtocolVersion:     m.ProtocolVersion,
		FramingCapabilities: m.FramingCapabilities,
		BearerCapabilities:  m.BearerCapabilities,
		MaximumChannels:     m.MaximumChannels,
		FirmwareRevision:    m.FirmwareRevision,
		HostName:            m.HostName,
		VendorString:        m.VendorString,
	}
}

// decodeStart reads what the two messages have in common. They differ in octets
// 14 and 15: result and error code of the reply, reserved in the request.
func decodeStart(b []byte) PeerInfo {
	return PeerInfo{
		ProtocolVersion:     be16(b[12:]),
		FramingCapabilities: Framing(be32(b[16:])),
		BearerCapabilities:  Bearer(be32(b[20:])),
		MaximumChannels:     be16(b[24:]),
		FirmwareRevision:    be16(b[26:]),
		HostName:            text(b[28 : 28+textLen]),
		VendorString:        text(b[92 : 92+textLen]),
	}
}

func appendStart(dst []byte, t MessageType, result StartResult, code ErrorCode, p PeerInfo) []byte {
	dst = appendHeader(dst, t, startLen)
	dst = append16(dst, p.ProtocolVersion)
	dst = append(dst, byte(result), byte(code))
	dst = append32(dst, uint32(p.FramingCapabilities))
	dst = append32(dst, uint32(p.BearerCapabilities))
	dst = append16(dst, p.MaximumChannels)
	dst = append16(dst, p.FirmwareRevision)
	dst = appendText(dst, p.HostName, textLen)
	return appendText(dst, p.VendorString, textLen)
}
