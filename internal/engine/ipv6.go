package engine

import (
	"encoding/binary"
	"net/netip"
)

// Of the IPv6 header (RFC 8200 section 3) and what may follow it.
const (
	ipv6HeaderLen = 40
	// minMTU6 is what every link has to carry (RFC 8200 section 5).
	minMTU6 = 1280

	protocolHopByHop    = 0
	protocolRouting     = 43
	protocolFragment    = 44
	protocolICMPv6      = 58
	protocolDestination = 60
)

// address is an IPv6 address, or an IPv4 one in its last bits, in a form that can
// be compared quickly.
type address struct{ high, low uint64 }

func (a address) less(b address) bool {
	return a.high < b.high || a.high == b.high && a.low < b.low
}

func address4(n uint32) address { return address{low: uint64(n)} }

func address6(b []byte) address {
	return address{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func addressOf(a netip.Addr) address {
	if a.Is4() {
		return address4(be32(a))
	}
	b := a.As16()
	return address6(b[:])
}

func (a address) isUnspecified() bool { return a == address{} }
func (a address) isLoopback() bool    { return a == address{low: 1} }
func (a address) isMulticast() bool   { return a.high>>56 == 0xff }
func (a address) isLinkLocal() bool   { return a.high>>54 == 0xfe80>>6 }

// isOnLink reports whether packets to a stay on their link.
func isOnLink(a address) bool { return a.isMulticast() || a.isLinkLocal() }

func (a address) append(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, a.high), a.low)
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) address {
	a := addressOf(p.Addr())
	host := p.Addr().BitLen() - p.Bits()
	a.low |= 1<<min(host, 64) - 1
	if host > 64 {
		a.high |= 1<<(host-64) - 1
	}
	return a
}

// trimIPv6 is trimIPv4 for IPv6. Jumbograms (RFC 2675) do not fit a tunnel.
func trimIPv6(b []byte) []byte {
	if len(b) < ipv6HeaderLen || b[0]>>4 != 6 {
		return nil
	}
	total := ipv6HeaderLen + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return nil
	}
	return b[:total]
}

func ipv6Source(p []byte) address      { return address6(p[8:]) }
func ipv6Destination(p []byte) address { return address6(p[24:]) }

// clampMSS6 is clampMSS for a packet by trimIPv6.
func clampMSS6(p []byte, limit uint16) {
	next, b := p[6], p[ipv6HeaderLen:]
	// TCP comes right behind the header, but for packets that are built to be
	// odd, and each extension header has eight octets or more: this ends.
	for next != protocolTCP {
		if len(b) < 8 {
			return
		}
		size := 8
		switch next {
		case protocolHopByHop, protocolRouting, protocolDestination:
			size += int(b[1]) * 8
		case protocolFragment:
			if binary.BigEndian.Uint16(b[2:])&^7 != 0 {
				return // not the first
			}
		default:
			return
		}
		if size > len(b) {
			return
		}
		next, b = b[0], b[size:]
	}
	clampTCP(b, limit)
}

// tooBig6 makes the ICMPv6 message that tells the sender of p, a packet by
// trimIPv6, the MTU of a tunnel (RFC 4443 section 3.2), or nil where there must
// be none (section 2.4). It has headroom in front.
//
// It comes from where p went. The link-local addresses of the tunnel would not
// be forwarded to a sender that is not this host, and the peer has no other that
// we know.
func tooBig6(p []byte, mtu int) []byte {
	src := ipv6Source(p)
	if src.isUnspecified() || src.isMulticast() || src.isLoopback() {
		return nil
	}
	if p[6] == protocolICMPv6 && len(p) > ipv6HeaderLen && p[ipv6HeaderLen] < icmpv6Informational {
		return nil
	}
	quote := p[:min(len(p), minMTU6-ipv6HeaderLen-8)]
	m := newICMPv6(ipv6Destination(p), src, 64, icmpv6TooBig)
	m = binary.BigEndian.AppendUint32(m, uint32(mtu))
	return finishICMPv6(append(m, quote...))
}
