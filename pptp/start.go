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
	m.ProtocolVersion = be16(b[12:])
	m.FramingCapabilities = Framing(be32(b[16:]))
	m.BearerCapabilities = Bearer(be32(b[20:]))
	m.MaximumChannels = be16(b[24:])
	m.FirmwareRevision = be16(b[26:])
	m.HostName = text(b[28 : 28+textLen])
	m.VendorString = text(b[92 : 92+textLen])
	return len(b), nil
}

// Append implements Message.
func (m *StartControlConnectionRequest) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeStartControlConnectionRequest, startLen)
	dst = append16(dst, m.ProtocolVersion)
	dst = append16(dst, 0)
	dst = append32(dst, uint32(m.FramingCapabilities))
	dst = append32(dst, uint32(m.BearerCapabilities))
	dst = append16(dst, m.MaximumChannels)
	dst = append16(dst, m.FirmwareRevision)
	dst = appendText(dst, m.HostName, textLen)
	return appendText(dst, m.VendorString, textLen)
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
	m.ProtocolVersion = be16(b[12:])
	m.ResultCode = StartResult(b[14])
	m.ErrorCode = ErrorCode(b[15])
	m.FramingCapabilities = Framing(be32(b[16:]))
	m.BearerCapabilities = Bearer(be32(b[20:]))
	m.MaximumChannels = be16(b[24:])
	m.FirmwareRevision = be16(b[26:])
	m.HostName = text(b[28 : 28+textLen])
	m.VendorString = text(b[92 : 92+textLen])
	return len(b), nil
}

// Append implements Message.
func (m *StartControlConnectionReply) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeStartControlConnectionReply, startLen)
	dst = append16(dst, m.ProtocolVersion)
	dst = append(dst, byte(m.ResultCode), byte(m.ErrorCode))
	dst = append32(dst, uint32(m.FramingCapabilities))
	dst = append32(dst, uint32(m.BearerCapabilities))
	dst = append16(dst, m.MaximumChannels)
	dst = append16(dst, m.FirmwareRevision)
	dst = appendText(dst, m.HostName, textLen)
	return appendText(dst, m.VendorString, textLen)
}
