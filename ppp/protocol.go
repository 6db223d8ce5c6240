package ppp

import "fmt"

// Protocol is a PPP protocol number (RFC 1661 §2).
type Protocol uint16

// The protocol numbers that a PPTP peer meets.
const (
	ProtocolIPv4       Protocol = 0x0021
	ProtocolVJComp     Protocol = 0x002d // Van Jacobson compressed TCP/IP, never negotiated here
	ProtocolVJUncomp   Protocol = 0x002f
	ProtocolMultilink  Protocol = 0x003d
	ProtocolIPv6       Protocol = 0x0057
	ProtocolCompressed Protocol = 0x00fd // a compressed datagram; with MPPE an encrypted one
	ProtocolIPCP       Protocol = 0x8021
	ProtocolIPV6CP     Protocol = 0x8057
	ProtocolCCP        Protocol = 0x80fd
	ProtocolLCP        Protocol = 0xc021
	ProtocolPAP        Protocol = 0xc023
	ProtocolLQR        Protocol = 0xc025
	ProtocolCHAP       Protocol = 0xc223
	ProtocolEAP        Protocol = 0xc227
)

// IsData reports whether p carries network-layer datagrams: the range 0x0001
// to 0x3fff, which flows only in the Network phase.
func (p Protocol) IsData() bool { return p < 0x4000 }

// IsNCP reports whether p is in the range of the Network Control Protocols,
// 0x8001 to 0xbfff.
func (p Protocol) IsNCP() bool { return p >= 0x8000 && p < 0xc000 }

func (p Protocol) String() string {
	switch p {
	case ProtocolIPv4:
		return "IPv4"
	case ProtocolVJComp:
		return "VJ compressed TCP/IP"
	case ProtocolVJUncomp:
		return "VJ uncompressed TCP/IP"
	case ProtocolMultilink:
		return "Multilink"
	case ProtocolIPv6:
		return "IPv6"
	case ProtocolCompressed:
		return "compressed datagram"
	case ProtocolIPCP:
		return "IPCP"
	case ProtocolIPV6CP:
		return "IPV6CP"
	case ProtocolCCP:
		return "CCP"
	case ProtocolLCP:
		return "LCP"
	case ProtocolPAP:
		return "PAP"
	case ProtocolLQR:
		return "LQR"
	case ProtocolCHAP:
		return "CHAP"
	case ProtocolEAP:
		return "EAP"
	}
	return fmt.Sprintf("protocol 0x%04x", uint16(p))
}
