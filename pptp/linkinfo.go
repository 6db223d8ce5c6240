package pptp

const setLinkInfoLen = 24

// SetLinkInfo is sent by a PNS to tell the PAC what PPP has negotiated
// (RFC 2637 section 2.15). It matters to a PAC with a serial line only.
type SetLinkInfo struct {
	PeerCallID  uint16 // assigned by the PAC
	SendACCM    uint32
	ReceiveACCM uint32
}

// Type implements Message.
func (m *SetLinkInfo) Type() MessageType { return TypeSetLinkInfo }

// Decode implements Message.
func (m *SetLinkInfo) Decode(b []byte) (int, error) {
	*m = SetLinkInfo{}
	b, err := cutMessageType(b, TypeSetLinkInfo, setLinkInfoLen)
	if err != nil {
		return 0, err
	}
	m.PeerCallID = be16(b[12:])
	m.SendACCM = be32(b[16:])
	m.ReceiveACCM = be32(b[20:])
	return len(b), nil
}

// Append implements Message.
func (m *SetLinkInfo) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeSetLinkInfo, setLinkInfoLen)
	dst = append16(dst, m.PeerCallID)
	dst = append16(dst, 0)
	dst = append32(dst, m.SendACCM)
	return append32(dst, m.ReceiveACCM)
}
