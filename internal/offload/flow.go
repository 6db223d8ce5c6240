package offload

import (
	"encoding/binary"
	"math/bits"
)

// Offsets and values in headers of IPv4 and IPv6 (RFC 791 §3.1, RFC 8200 §3).
const (
	headerLen4 = 20 // without options
	headerLen6 = 40

	tos4         = 1
	totalLength4 = 2
	id4          = 4
	fragment4    = 6 // flags and offset
	ttl4         = 8
	protocol4    = 9
	checksum4    = 10
	addresses4   = 12

	dontFragment = 0x4000

	payloadLength6 = 4
	nextHeader6    = 6
	hopLimit6      = 7
	addresses6     = 8

	protocolTCP = 6
	protocolUDP = 17

	// What may be between the header of IP and that of TCP or UDP.
	protocolHopByHop       = 0
	protocolRouting        = 43
	protocolFragment       = 44
	protocolAuthentication = 51
	protocolDestination    = 60
)

// Offsets and values in headers of TCP and UDP (RFC 9293 §3.1, RFC 768), from
// their beginning.
const (
	headerLenTCP = 20 // without options
	seqTCP       = 4
	ackTCP       = 8
	dataOffset   = 12 // the upper four bits, in words of 32
	flagsTCP     = 13
	checksumTCP  = 16
	urgentTCP    = 18

	flagFIN = 0x01
	flagPSH = 0x08
	flagACK = 0x10
	flagECE = 0x40
	flagCWR = 0x80

	headerLenUDP = 8
	lengthUDP    = 4
	checksumUDP  = 6
)

// flow is what packets of one flow have in common. Both addresses of IPv4 are in
// the first word, and rest has ports, protocol and version.
type flow struct {
	addresses [4]uint64
	rest      uint64
}

// hash spreads flows over a table. Nothing but speed depends on it.
func (f *flow) hash() uint32 {
	const odd = 0x9E3779B97F4A7C15
	a := &f.addresses
	h := f.rest*odd ^ a[0] ^ bits.RotateLeft64(a[1], 17) ^ bits.RotateLeft64(a[2], 31) ^ bits.RotateLeft64(a[3], 47)
	return uint32(h * odd >> 32)
}

// class is what may happen to a packet.
type class uint8

const (
	// lone packets are of no flow that is joined.
	lone class = iota
	// part is a packet that may belong to any flow of its addresses, such as a
	// fragment.
	part
	// single packets are of a flow, but never joined.
	single
	// joinable packets are of a flow, and have a payload.
	joinable
)

// segment is what a Coalescer knows of a packet.
type segment struct {
	packet    []byte
	flow      flow
	transport int // where the header of TCP or UDP begins
	payload   int // where it ends
	protocol  byte
	ipv6      bool
}

// parse looks at a packet. What comes back of class lone has no flow, of part only
// its addresses.
func (s *segment) parse(packet []byte) class {
	*s = segment{packet: packet}
	if len(packet) == 0 {
		return lone
	}
	switch packet[0] >> 4 {
	case 4:
		return s.parse4(packet)
	case 6:
		return s.parse6(packet)
	default:
		return lone
	}
}

func (s *segment) parse4(p []byte) class {
	if len(p) < headerLen4 {
		return lone
	}
	s.flow = flow{addresses: [4]uint64{binary.BigEndian.Uint64(p[addresses4:])}, rest: 4}
	s.protocol, s.transport = p[protocol4], headerLen4
	if p[0] != 4<<4|headerLen4/4 || binary.BigEndian.Uint16(p[fragment4:])&^dontFragment != 0 ||
		int(binary.BigEndian.Uint16(p[totalLength4:])) != len(p) {
		return part
	}
	return s.parseTransport(p[headerLen4:])
}

func (s *segment) parse6(p []byte) class {
	if len(p) < headerLen6 {
		return lone
	}
	s.flow = flow{addresses: [4]uint64{
		binary.BigEndian.Uint64(p[addresses6:]), binary.BigEndian.Uint64(p[addresses6+8:]),
		binary.BigEndian.Uint64(p[addresses6+16:]), binary.BigEndian.Uint64(p[addresses6+24:]),
	}, rest: 6}
	s.protocol, s.transport, s.ipv6 = p[nextHeader6], headerLen6, true
	if int(binary.BigEndian.Uint16(p[payloadLength6:])) != len(p)-headerLen6 {
		return part
	}
	return s.parseTransport(p[headerLen6:])
}

func (s *segment) parseTransport(h []byte) class {
	switch s.protocol {
	case protocolTCP, protocolUDP:
		if len(h) < headerLenUDP {
			return part
		}
		s.flow.rest |= uint64(binary.BigEndian.Uint32(h))<<16 | uint64(s.protocol)<<8
		if s.protocol == protocolUDP {
			return s.parseUDP(h)
		}
		return s.parseTCP(h)
	case protocolHopByHop, protocolRouting, protocolFragment, protocolDestination, protocolAuthentication:
		return part
	default:
		return lone
	}
}

func (s *segment) parseTCP(h []byte) class {
	if len(h) < headerLenTCP {
		return single
	}
	length := int(h[dataOffset]>>4) * 4
	// ECE is on all segments for a time. CWR is a signal of one segment, and which
	// of them have it counts where both ends know RFC 9768.
	if length < headerLenTCP || length >= len(h) || h[flagsTCP]&^(flagPSH|flagECE) != flagACK {
		return single
	}
	s.payload = s.transport + length
	return joinable
}

func (s *segment) parseUDP(h []byte) class {
	// A zero checksum says that there is none.
	if len(h) == headerLenUDP || int(binary.BigEndian.Uint16(h[lengthUDP:])) != len(h) ||
		h[checksumUDP]|h[checksumUDP+1] == 0 {
		return single
	}
	s.payload = s.transport + headerLenUDP
	return joinable
}

// size returns the length of the payload.
func (s *segment) size() int { return len(s.packet) - s.payload }

// valid reports whether the checksums are right.
func (s *segment) valid() bool {
	p := s.packet
	if !s.ipv6 && SumIPv4(p) != 0xFFFF {
		return false
	}
	return Sum(p[s.transport:], s.pseudoHeader(len(p))) == 0xFFFF
}

// pseudoHeader returns the sum of the one of a packet of the flow with n octets
// (RFC 9293 §3.1, RFC 8200 §8.1).
func (s *segment) pseudoHeader(n int) uint16 {
	sum := uint64(n-s.transport) + uint64(s.protocol)
	for _, a := range s.flow.addresses {
		sum += a>>32 + a&0xFFFFFFFF
	}
	return fold(sum)
}

// alike reports whether the headers of two packets of a flow differ only where
// those of packets that a host has split do.
func (s *segment) alike(t *segment) bool {
	a, b := s.packet, t.packet
	if s.payload != t.payload {
		return false
	}
	if s.ipv6 {
		// Version, traffic class and flow label.
		if [4]byte(a) != [4]byte(b) || a[hopLimit6] != b[hopLimit6] {
			return false
		}
	} else if a[tos4] != b[tos4] || a[ttl4] != b[ttl4] || a[fragment4] != b[fragment4] {
		return false
	}
	if s.protocol == protocolUDP {
		return true
	}
	// From the acknowledgement to the window, then urgent pointer and options.
	a, b = a[s.transport:s.payload], b[s.transport:s.payload]
	const psh = uint64(flagPSH) << (8 * (checksumTCP - 1 - flagsTCP))
	return (binary.BigEndian.Uint64(a[ackTCP:])^binary.BigEndian.Uint64(b[ackTCP:]))&^psh == 0 &&
		string(a[urgentTCP:]) == string(b[urgentTCP:])
}
