package engine

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
)

// ICMPv6 (RFC 4443), and of Neighbor Discovery (RFC 4861) what a link between
// two ends has use for.
const (
	icmpv6TooBig        = 2
	icmpv6Informational = 128 // what is less is an error
	icmpv6EchoRequest   = 128
	icmpv6EchoReply     = 129

	icmpv6RouterSolicitation    = 133
	icmpv6RouterAdvertisement   = 134
	icmpv6NeighborSolicitation  = 135
	icmpv6NeighborAdvertisement = 136
	icmpv6Redirect              = 137

	icmpv6HeaderLen = 4

	// ndHopLimit shows that a packet was not forwarded (RFC 4861 section 3.1).
	ndHopLimit = 255

	optionPrefix = 3  // RFC 4861 section 4.6.2
	optionMTU    = 5  // section 4.6.4
	optionRDNSS  = 25 // RFC 8106 section 5.1

	prefixOnLink     = 0x80
	prefixAutonomous = 0x40

	neighborRouter    = 0x80 // flags of a Neighbor Advertisement
	neighborSolicited = 0x40
	neighborOverride  = 0x20
)

var (
	allNodes   = address{high: 0xff02 << 48, low: 1}
	allRouters = address{high: 0xff02 << 48, low: 2}
)

// newICMPv6 begins a message, with room for headers in front: finishICMPv6 ends
// it.
func newICMPv6(src, dst address, hopLimit, kind byte) []byte {
	b := make([]byte, Headroom+6, Headroom+256)
	b[Headroom] = 0x60
	b = append(b, protocolICMPv6, hopLimit)
	b = dst.append(src.append(b))
	return append(b, kind, 0, 0, 0)
}

// finishICMPv6 fills in what depends on the whole message.
func finishICMPv6(b []byte) []byte {
	p := b[Headroom:]
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ipv6HeaderLen))
	binary.BigEndian.PutUint16(p[ipv6HeaderLen+2:], checksumICMPv6(p))
	return b
}

// checksumICMPv6 is that of a message and its pseudo-header (RFC 8200 section
// 8.1). Over one that has its checksum in it, it is zero.
func checksumICMPv6(p []byte) uint16 {
	sum := uint32(len(p)-ipv6HeaderLen) + protocolICMPv6
	for b := p[8:]; len(b) > 0; b = b[min(2, len(b)):] {
		sum += uint32(b[0]) << 8
		if len(b) > 1 {
			sum += uint32(b[1])
		}
	}
	return foldChecksum(sum)
}

// icmpv6 returns the ICMPv6 message in p, a packet by trimIPv6, or nil if there
// is no whole one with a right checksum right behind the header. Extension
// headers in front of one are not looked through: no message that matters here
// comes with any (RFC 6980 has it so for fragments).
func icmpv6(p []byte) []byte {
	if p[6] != protocolICMPv6 || len(p) < ipv6HeaderLen+icmpv6HeaderLen || checksumICMPv6(p) != 0 {
		return nil
	}
	return p[ipv6HeaderLen:]
}

// isDiscovery reports whether a message of Neighbor Discovery, which p holds, is
// valid as far as they have it in common (RFC 4861 sections 6.1, 7.1 and 8.1): it
// was not forwarded, its code is zero, and its options, which begin at an offset,
// have lengths.
func isDiscovery(p, message []byte, options int) bool {
	if p[7] != ndHopLimit || message[1] != 0 || len(message) < options {
		return false
	}
	for b := message[options:]; len(b) > 0; {
		if len(b) < 2 || b[1] == 0 || int(b[1])*8 > len(b) {
			return false
		}
		b = b[int(b[1])*8:]
	}
	return true
}

// Where the options of a message begin.
const (
	solicitationOptions  = 8  // of a Router Solicitation
	advertisementOptions = 16 // of a Router Advertisement
	neighborOptions      = 24 // of Neighbor Solicitation and Advertisement
)

// routerSolicitation has no source link-layer address option, as there is no
// such address.
func routerSolicitation(src address) []byte {
	return finishICMPv6(append(newICMPv6(src, allRouters, ndHopLimit, icmpv6RouterSolicitation), 0, 0, 0, 0))
}

// The figures of a Router Advertisement. The interval is RFC 4861's default, and
// the router lifetime three times that (section 6.2.1). A prefix is the peer's
// for as long as the session lasts and not longer, and the session's end takes
// the peer's interface down; its lifetimes only have to outlast a few
// advertisements that get lost.
const (
	maxAdvertInterval = 600 * time.Second
	minAdvertInterval = 200 * time.Second
	routerLifetime    = 3 * maxAdvertInterval
	prefixValid       = 2 * time.Hour
	prefixPreferred   = time.Hour
)

// routerAdvertisement tells the peer its prefix.
//
// The prefix is for autonomous configuration, but not on the link: no other node
// is on it, all of the prefix belongs to the peer, and one that took it to be on
// the link would send us packets to its own addresses that it does not use, which
// we would send back. Networks that hand out a prefix for each point-to-point
// link, such as mobile ones, do the same (RFC 6459 section 5.2).
func routerAdvertisement(src, dst address, n *gopptp.IPv6Network, mtu int) []byte {
	b := newICMPv6(src, dst, ndHopLimit, icmpv6RouterAdvertisement)
	b = append(b, 64, 0) // hop limit; no DHCPv6
	b = binary.BigEndian.AppendUint16(b, uint16(routerLifetime/time.Second))
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // times of reachability: no opinion
	b = append(b, optionMTU, 1, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(mtu))
	if n.Prefix.IsValid() {
		b = append(b, optionPrefix, 4, byte(n.Prefix.Bits()), prefixAutonomous)
		b = binary.BigEndian.AppendUint32(b, uint32(prefixValid/time.Second))
		b = binary.BigEndian.AppendUint32(b, uint32(prefixPreferred/time.Second))
		b = append(b, 0, 0, 0, 0)
		b = addressOf(n.Prefix.Addr()).append(b)
	}
	if len(n.DNS) > 0 {
		b = append(b, optionRDNSS, byte(1+2*len(n.DNS)), 0, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(routerLifetime/time.Second))
		for _, a := range n.DNS {
			b = addressOf(a).append(b)
		}
	}
	return finishICMPv6(b)
}

// maxAdvertDNS bounds the name servers that are taken from an advertisement.
const maxAdvertDNS = 8

// decodeRouterAdvertisement returns what a client needs of a message by
// isDiscovery: the first prefix of 64 bits that it may make addresses of (RFC
// 4862 section 5.5.3), and the name servers.
func decodeRouterAdvertisement(message []byte) (a gopptp.RouterAdvertisement) {
	a.RouterLifetime = seconds(uint32(binary.BigEndian.Uint16(message[6:])))
	for b := message[advertisementOptions:]; len(b) > 0; {
		size := int(b[1]) * 8
		o := b[:size]
		b = b[size:]
		switch {
		case o[0] == optionPrefix && size == 32 && !a.Prefix.IsValid():
			valid, preferred := binary.BigEndian.Uint32(o[4:]), binary.BigEndian.Uint32(o[8:])
			prefix := address6(o[16:])
			if o[2] != 64 || o[3]&prefixAutonomous == 0 || preferred > valid ||
				prefix.isLinkLocal() || prefix.isMulticast() || prefix.high == 0 {
				continue
			}
			addr := netip.AddrFrom16([16]byte(o[16:]))
			a.Prefix = netip.PrefixFrom(addr, 64).Masked()
			a.PrefixLifetime = seconds(valid)
		case o[0] == optionRDNSS && size >= 24 && size%16 == 8:
			if binary.BigEndian.Uint32(o[4:]) == 0 {
				continue // no longer to be used
			}
			for o = o[8:]; len(o) > 0 && len(a.DNS) < maxAdvertDNS; o = o[16:] {
				a.DNS = append(a.DNS, netip.AddrFrom16([16]byte(o)))
			}
		}
	}
	return a
}

// seconds is a lifetime on the wire; all bits set is for ever.
func seconds(n uint32) time.Duration {
	if n == 1<<32-1 {
		return gopptp.InfiniteLifetime
	}
	return time.Duration(n) * time.Second
}

// neighborAdvertisement answers a Neighbor Solicitation for our address. There is
// no link-layer address to tell, and it would be left out anyway (RFC 5072
// section 5).
func neighborAdvertisement(target, dst address, flags byte) []byte {
	b := newICMPv6(target, dst, ndHopLimit, icmpv6NeighborAdvertisement)
	return finishICMPv6(target.append(append(b, flags, 0, 0, 0)))
}

// echoReply answers an Echo Request, whose identifier, sequence number and data
// come back (RFC 4443 section 4.2).
func echoReply(src, dst address, request []byte) []byte {
	b := newICMPv6(src, dst, 64, icmpv6EchoReply)
	return finishICMPv6(append(b, request[icmpv6HeaderLen:]...))
}
