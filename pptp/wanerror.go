package pptp

const wanErrorNotifyLen = 40

// WANErrorNotify is sent by a PAC to report errors on the line, at most once
// in 60 seconds. The counters are cumulative for the call
// (RFC 2637 section 2.14).
type WANErrorNotify struct {
	PeerCallID       uint16 // assigned by the PNS
	CRCErrors        uint32
	FramingErrors    uint32
	HardwareOverruns uint32
	BufferOverruns   uint32
	TimeOutErrors    uint32
	AlignmentErrors  uint32
}

// Type implements Message.
func (m *WANErrorNotify) Type() MessageType { return TypeWANErrorNotify }

// Decode implements Message.
func (m *WANErrorNotify) Decode(b []byte) (int, error) {
	*m = WANErrorNotify{}
	b, err := cutMessageType(b, TypeWANErrorNotify, wanErrorNotifyLen)
	if err != nil {
		return 0, err
	}
	m.PeerCallID = be16(b[12:])
	m.CRCErrors = be32(b[16:])
	m.FramingErrors = be32(b[20:])
	m.HardwareOverruns = be32(b[24:])
	m.BufferOverruns = be32(b[28:])
	m.TimeOutErrors = be32(b[32:])
	m.AlignmentErrors = be32(b[36:])
	return len(b), nil
}

// Append implements Message.
func (m *WANErrorNotify) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeWANErrorNotify, wanErrorNotifyLen)
	dst = append16(dst, m.PeerCallID)
	dst = append16(dst, 0)
	dst = append32(dst, m.CRCErrors)
	dst = append32(dst, m.FramingErrors)
	dst = append32(dst, m.HardwareOverruns)
	dst = append32(dst, m.BufferOverruns)
	dst = append32(dst, m.TimeOutErrors)
	return append32(dst, m.AlignmentErrors)
}
