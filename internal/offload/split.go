package offload

import (
	"encoding/binary"
	"errors"
)

var (
	errChecksumRange = errors.New("offload: checksum outside of the packet")
	errGSOType       = errors.New("offload: unknown type of segmentation")
	errGSOSize       = errors.New("offload: segment size is zero")
	errMismatch      = errors.New("offload: virtio header does not fit the packet")
	errHeaders       = errors.New("offload: malformed headers of a packet to be split")
	// ErrTooLarge is that the host sends packets which do not fit the buffers, as
	// nobody has told it a smaller MTU.
	ErrTooLarge = errors.New("offload: segment exceeds the limit")
)

// FinishChecksum writes the checksum of packet where h says that it is missing. It
// is all that a packet with GSONone needs.
func FinishChecksum(h Header, packet []byte) error {
	if h.Flags&FlagNeedsChecksum == 0 {
		return nil
	}
	start, at := int(h.ChecksumStart), int(h.ChecksumStart)+int(h.ChecksumOffset)
	if at+2 > len(packet) {
		return errChecksumRange
	}
	putChecksum(packet[at:], Sum(packet[start:], 0))
	return nil
}

// putChecksum writes the complement of sum. In UDP a zero would mean that there is
// no checksum (RFC 768); elsewhere the two forms of zero are the same.
func putChecksum(b []byte, sum uint16) {
	if sum == 0xFFFF {
		sum = 0
	}
	binary.BigEndian.PutUint16(b, ^sum)
}

// Splitter makes packets of wire size of what the host sends. The zero value is
// ready for Reset.
type Splitter struct {
	packet    []byte // nil when all has been taken
	transport int    // where the header of TCP or UDP begins
	payload   int    // where it ends
	size      int    // of the payload of each packet but the last
	done      int    // octets of packet up to the next payload
	gso       bool
	udp       bool
	ipv6      bool

	// Those of the next packet.
	id  uint16
	seq uint32

	flags [2]byte // those of TCP, with the octet before

	// Sums of the headers without what differs from packet to packet.
	networkSum   uint32
	transportSum uint32
}

// Reset begins with another packet, that came from the host with h in front. None
// of the packets made of it will exceed limit. The packet must not change until
// all have been taken; Reset itself finishes the checksum of one with GSONone in
// place. After an error there is nothing to take.
func (s *Splitter) Reset(h Header, packet []byte, limit int) error {
	*s = Splitter{}
	if h.GSOType == GSONone {
		if len(packet) > limit {
			return ErrTooLarge
		}
		if len(packet) == 0 {
			return errHeaders
		}
		if err := FinishChecksum(h, packet); err != nil {
			return err
		}
		s.packet = packet
		return nil
	}
	next := Splitter{gso: true, size: int(h.GSOSize), transport: int(h.ChecksumStart)}
	if err := next.parse(h, packet); err != nil {
		return err
	}
	if min(next.payload+next.size, len(packet)) > limit {
		return ErrTooLarge
	}
	next.prepare(packet)
	*s = next
	return nil
}

// parse holds the virtio header against the packet. HdrLen is not looked at, and
// where IPv6 has extension headers, ChecksumStart says how long they are.
func (s *Splitter) parse(h Header, packet []byte) error {
	checksum, minHeader, protocol := checksumTCP, headerLenTCP, byte(protocolTCP)
	version := byte(4)
	switch h.GSOType {
	case GSOTCPv4, GSOTCPv4 | GSOECN:
	case GSOTCPv6, GSOTCPv6 | GSOECN:
		version = 6
	case GSOUDP:
		s.udp, checksum, minHeader, protocol = true, checksumUDP, headerLenUDP, protocolUDP
		if len(packet) > 0 {
			version = packet[0] >> 4
		}
	default:
		return errGSOType
	}
	if s.size == 0 {
		return errGSOSize
	}
	// Without it the sum of the pseudo-header is not there. The kernel always sets
	// it on a packet to be split.
	if h.Flags&FlagNeedsChecksum == 0 || int(h.ChecksumOffset) != checksum {
		return errMismatch
	}
	if len(packet) < s.transport+minHeader || len(packet) > 0xFFFF+headerLen6 {
		return errHeaders
	}
	switch ip := packet[:s.transport]; version {
	case 4:
		if len(ip) < headerLen4 || ip[0]>>4 != 4 || int(ip[0]&0xF)*4 != len(ip) || ip[protocol4] != protocol ||
			int(binary.BigEndian.Uint16(ip[totalLength4:])) != len(packet) {
			return errMismatch
		}
	case 6:
		if len(ip) < headerLen6 || ip[0]>>4 != 6 || len(ip) == headerLen6 && ip[nextHeader6] != protocol ||
			int(binary.BigEndian.Uint16(ip[payloadLength6:])) != len(packet)-headerLen6 {
			return errMismatch
		}
		s.ipv6 = true
	default:
		return errMismatch
	}
	s.payload = s.transport + headerLenUDP
	if !s.udp {
		length := int(packet[s.transport+dataOffset]>>4) * 4
		if s.payload = s.transport + length; length < headerLenTCP {
			return errHeaders
		}
	}
	if len(packet) <= s.payload {
		return errHeaders
	}
	return nil
}

// prepare takes what the packets have in common. To take a word out of a sum, its
// complement is added.
func (s *Splitter) prepare(packet []byte) {
	s.packet, s.done = packet, s.payload
	ip, header := packet[:s.transport], packet[s.transport:s.payload]
	if !s.ipv6 {
		s.id = binary.BigEndian.Uint16(ip[id4:])
		s.networkSum = uint32(Sum(ip[:totalLength4], Sum(ip[fragment4:checksum4], Sum(ip[addresses4:], 0))))
	}
	// The checksum field has the sum of the pseudo-header.
	length := uint16(len(packet) - s.transport)
	s.transportSum = uint32(Sum(header, ^length))
	if s.udp {
		s.transportSum += uint32(^binary.BigEndian.Uint16(header[lengthUDP:]))
		return
	}
	s.seq = binary.BigEndian.Uint32(header[seqTCP:])
	s.flags = [2]byte(header[dataOffset:])
	s.transportSum += uint32(^uint16(s.seq>>16)) + uint32(^uint16(s.seq)) + uint32(^binary.BigEndian.Uint16(s.flags[:]))
}

// Next writes the next packet to the front of dst, which has room for limit octets,
// and returns its length: 0 when there is none left.
func (s *Splitter) Next(dst []byte) int {
	if s.packet == nil {
		return 0
	}
	if !s.gso {
		n := copy(dst, s.packet)
		s.packet = nil
		return n
	}
	first := s.done == s.payload
	payload := s.packet[s.done:]
	last := len(payload) <= s.size
	if !last {
		payload = payload[:s.size]
	}
	dst = dst[:s.payload+len(payload)]
	copy(dst, s.packet[:s.payload])
	copy(dst[s.payload:], payload)
	payloadSum := Sum(payload, 0)

	if s.ipv6 {
		binary.BigEndian.PutUint16(dst[payloadLength6:], uint16(len(dst)-headerLen6))
	} else {
		binary.BigEndian.PutUint16(dst[totalLength4:], uint16(len(dst)))
		binary.BigEndian.PutUint16(dst[id4:], s.id)
		sum := s.networkSum + uint32(len(dst)) + uint32(s.id)
		binary.BigEndian.PutUint16(dst[checksum4:], ^fold(uint64(sum)))
		s.id++
	}

	header := dst[s.transport:]
	length := uint16(len(header))
	sum := uint64(s.transportSum) + uint64(payloadSum) + uint64(length)
	if s.udp {
		binary.BigEndian.PutUint16(header[lengthUDP:], length)
		putChecksum(header[checksumUDP:], fold(sum+uint64(length)))
	} else {
		flags := s.flags
		if !last {
			flags[1] &^= flagFIN | flagPSH
		}
		if !first {
			flags[1] &^= flagCWR // RFC 3168 §6.1.2: once
		}
		binary.BigEndian.PutUint32(header[seqTCP:], s.seq)
		copy(header[dataOffset:], flags[:])
		sum += uint64(s.seq>>16) + uint64(s.seq&0xFFFF) + uint64(binary.BigEndian.Uint16(flags[:]))
		binary.BigEndian.PutUint16(header[checksumTCP:], ^fold(sum))
		s.seq += uint32(len(payload))
	}

	s.done += len(payload)
	if last {
		s.packet = nil
	}
	return len(dst)
}
