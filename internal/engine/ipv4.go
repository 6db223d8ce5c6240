package engine

import "encoding/binary"

// Of the IPv4 header (RFC 791 section 3.1) and what may follow it.
const (
	ipv4HeaderLen = 20
	minMTU        = 68               // which every host must be able to forward
	maxMTU        = 1<<16 - Headroom // more does not fit GRE's payload length

	flagDF     = 0x4000
	maskOffset = 0x1fff

	protocolICMP = 1
	protocolTCP  = 6

	tcpHeaderLen = 20
	tcpSYN       = 0x02
)

// trimIPv4 returns the IPv4 packet that b begins with, without what may follow
// it, or nil if it is none. Options and the header's checksum are the receiving
// host's to judge.
func trimIPv4(b []byte) []byte {
	if len(b) < ipv4HeaderLen || b[0]>>4 != 4 {
		return nil
	}
	header, total := ipv4Header(b), int(binary.BigEndian.Uint16(b[2:]))
	if header < ipv4HeaderLen || total < header || total > len(b) {
		return nil
	}
	return b[:total]
}

func ipv4Header(p []byte) int         { return int(p[0]&0x0f) * 4 }
func ipv4Source(p []byte) uint32      { return binary.BigEndian.Uint32(p[12:]) }
func ipv4Destination(p []byte) uint32 { return binary.BigEndian.Uint32(p[16:]) }
func ipv4Fragment(p []byte) uint16    { return binary.BigEndian.Uint16(p[6:]) }

// clampMSS lowers the maximum segment size that a TCP SYN in p, a packet by
// trimIPv4, announces to limit (RFC 9293 section 3.7.1). Hosts rely on the ICMP
// messages that tell them of a smaller MTU, and many never get them.
func clampMSS(p []byte, limit uint16) {
	if p[9] != protocolTCP || ipv4Fragment(p)&maskOffset != 0 {
		return
	}
	clampTCP(p[ipv4Header(p):], limit)
}

// clampTCP does it to what begins with a TCP header.
func clampTCP(tcp []byte, limit uint16) {
	if len(tcp) < tcpHeaderLen || tcp[13]&tcpSYN == 0 {
		return
	}
	options := int(tcp[12]>>4) * 4
	if options > len(tcp) {
		return
	}
	const (
		end = 0
		nop = 1
		mss = 2
	)
	for i := tcpHeaderLen; i < options; {
		if tcp[i] == end {
			return
		}
		if tcp[i] == nop {
			i++
			continue
		}
		if i+1 >= options || tcp[i+1] < 2 || i+int(tcp[i+1]) > options {
			return
		}
		if tcp[i] != mss {
			i += int(tcp[i+1])
			continue
		}
		if tcp[i+1] != 4 {
			return
		}
		if old := binary.BigEndian.Uint16(tcp[i+2:]); old > limit {
			binary.BigEndian.PutUint16(tcp[i+2:], limit)
			updateChecksum(tcp[16:], i%2 != 0, old, limit)
		}
		return
	}
}

// updateChecksum changes the checksum at the beginning of b for a number that
// has changed (RFC 1624 section 3). odd tells that it began at an odd offset,
// so that its octets are in two different words of the sum.
func updateChecksum(b []byte, odd bool, was, is uint16) {
	if odd {
		was, is = was<<8|was>>8, is<<8|is>>8
	}
	sum := uint32(^binary.BigEndian.Uint16(b)) + uint32(^was) + uint32(is)
	binary.BigEndian.PutUint16(b, foldChecksum(sum))
}

// checksum is the Internet checksum of b (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) > 0 {
		sum += uint32(b[0]) << 8
	}
	return foldChecksum(sum)
}

func foldChecksum(sum uint32) uint16 {
	sum = sum>>16 + sum&0xffff
	sum += sum >> 16
	return ^uint16(sum)
}

// tooBig makes the ICMP message that tells the sender of p, a packet by
// trimIPv4, the MTU of a tunnel (RFC 792; RFC 1191 section 4), or nil where
// there must be none (RFC 1812 section 4.3.2.7).
//
// It comes from the other end of the tunnel. A host takes no packet from a
// device whose source is an address of its own.
func tooBig(p []byte, from uint32, mtu int) []byte {
	src := ipv4Source(p)
	if ipv4Fragment(p)&maskOffset != 0 || src == 0 || src>>28 >= 0xe || ipv4Destination(p)>>28 >= 0xe {
		return nil
	}
	header := ipv4Header(p)
	if p[9] == protocolICMP && len(p) > header && isICMPError(p[header]) {
		return nil
	}
	const icmpLen = 8
	quote := p[:min(len(p), header+8)]
	m := make([]byte, ipv4HeaderLen+icmpLen+len(quote))
	m[0] = 0x45
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)))
	m[8] = 64
	m[9] = protocolICMP
	binary.BigEndian.PutUint32(m[12:], from)
	binary.BigEndian.PutUint32(m[16:], src)
	binary.BigEndian.PutUint16(m[10:], checksum(m[:ipv4HeaderLen]))

	icmp := m[ipv4HeaderLen:]
	icmp[0], icmp[1] = 3, 4 // destination unreachable, fragmentation needed
	binary.BigEndian.PutUint16(icmp[6:], uint16(mtu))
	copy(icmp[icmpLen:], quote)
	binary.BigEndian.PutUint16(icmp[2:], checksum(icmp))
	return m
}

func isICMPError(kind byte) bool {
	switch kind {
	case 3, 4, 5, 11, 12: // unreachable, quench, redirect, time exceeded, parameter
		return true
	}
	return false
}
