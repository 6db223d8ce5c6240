package engine

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/ppp"
)

// family is a kind of users' packets.
type family int

const (
	ipv4 family = iota
	ipv6
	families
)

// network is a gopptp.Network in the form that packets need. It is immutable.
type network struct {
	ip        [families]networkPart
	room      [1]addressRange // for sources of IPv4, mostly all that there are
	mtu       int
	encrypted pppHeader // of an encrypted packet

	gopptp.Network
	destinations []destination

	// IPv6 only.
	local6, peer6 address // link-local
	own6          addressRange
}

// networkPart is what of a network each family has.
type networkPart struct {
	sources []addressRange // from which the peer may send; sorted and disjoint
	there   bool
	header  pppHeader // of a packet in clear
	mss     uint16
}

// pppHeader is a PPP header.
type pppHeader struct {
	octets [4]byte
	len    uint8
}

func newPPPHeader(p ppp.Protocol, options ppp.HeaderCompression) (h pppHeader) {
	h.len = uint8(copy(h.octets[:], ppp.AppendHeader(nil, p, options)))
	return h
}

// prepend puts the header before b[at:], and returns where it begins.
func (h *pppHeader) prepend(b []byte, at int) int {
	at -= int(h.len)
	copy(b[at:], h.octets[:h.len])
	return at
}

// destination is a prefix that leads to the peer. Where it leads to several, the
// local address decides.
type destination struct {
	prefix netip.Prefix
	local  string
}

type addressRange struct{ first, last address }

func (r addressRange) contains(a address) bool { return !a.less(r.first) && !r.last.less(a) }

// newNetwork checks n, of which it keeps nothing that could change.
func newNetwork(n gopptp.Network) (*network, error) {
	if n.MTU < minMTU {
		return nil, fmt.Errorf("engine: MTU %d is below %d", n.MTU, minMTU)
	}
	n.MTU = min(n.MTU, maxMTU)
	n.Local, n.Peer = n.Local.Unmap(), n.Peer.Unmap()
	n.Routes = slices.Clone(n.Routes)
	w := &network{
		mtu:       n.MTU,
		encrypted: newPPPHeader(ppp.ProtocolCompressed, n.Header),
	}
	if n.IPv6 == nil || n.Local.IsValid() || n.Peer.IsValid() {
		if err := w.add4(n); err != nil {
			return nil, err
		}
	}
	if n.IPv6 != nil {
		six := *n.IPv6
		n.IPv6 = &six
		six.Routes, six.DNS = slices.Clone(six.Routes), slices.Clone(six.DNS)
		if err := w.add6(n, &six); err != nil {
			return nil, err
		}
	}
	w.Network = n
	return w, nil
}

func (w *network) add4(n gopptp.Network) error {
	if !n.Local.Is4() || !n.Peer.Is4() {
		return fmt.Errorf("engine: network %v to %v is not IPv4", n.Local, n.Peer)
	}
	prefixes := []netip.Prefix{netip.PrefixFrom(n.Peer, 32)}
	for _, p := range n.Routes {
		if !p.IsValid() || !p.Addr().Is4() {
			return fmt.Errorf("engine: route %v is not IPv4", p)
		}
		prefixes = append(prefixes, p.Masked())
	}
	w.lead(prefixes, n.Local)
	w.ip[ipv4] = networkPart{
		there:   true,
		sources: rangesOf(w.room[:0], prefixes),
		mss:     uint16(n.MTU - ipv4HeaderLen - tcpHeaderLen),
		header:  newPPPHeader(ppp.ProtocolIPv4, n.Header),
	}
	return nil
}

func (w *network) add6(n gopptp.Network, six *gopptp.IPv6Network) error {
	if n.MTU < minMTU6 {
		return fmt.Errorf("engine: MTU %d is below %d, which IPv6 needs", n.MTU, minMTU6)
	}
	for _, a := range []netip.Addr{six.Local, six.Peer} {
		if !a.Is6() || !a.IsLinkLocalUnicast() || a.Zone() != "" {
			return fmt.Errorf("engine: %v is no IPv6 link-local address", a)
		}
	}
	if six.Local == six.Peer {
		return fmt.Errorf("engine: both ends are %v", six.Local)
	}
	var prefixes []netip.Prefix
	local := six.Local
	if six.Prefix.IsValid() {
		if !isGlobal6(six.Prefix) || six.Prefix.Bits() != 64 {
			return fmt.Errorf("engine: %v is not an IPv6 prefix of 64 bits to have addresses in", six.Prefix)
		}
		six.Prefix = six.Prefix.Masked()
		if six.Router {
			prefixes = append(prefixes, six.Prefix)
			w.own6 = addressRange{addressOf(six.Prefix.Addr()), lastOf(six.Prefix)}
		} else {
			local = six.Address()
		}
	}
	for i, p := range six.Routes {
		if !p.IsValid() || !p.Addr().Is6() || p.Addr().Is4In6() {
			return fmt.Errorf("engine: route %v is not IPv6", p)
		}
		six.Routes[i] = p.Masked()
		prefixes = append(prefixes, six.Routes[i])
	}
	for _, a := range six.DNS {
		if !a.Is6() || a.Is4In6() {
			return fmt.Errorf("engine: name server %v is not IPv6", a)
		}
	}
	if len(six.DNS) > maxAdvertDNS {
		return fmt.Errorf("engine: %d IPv6 name servers, at most %d", len(six.DNS), maxAdvertDNS)
	}
	w.lead(prefixes, local)
	if !six.Router {
		// A host may talk to its router by the address on the link. A router
		// has no host behind it that knows which of its links that is.
		w.lead([]netip.Prefix{netip.PrefixFrom(six.Peer, 128)}, six.Local)
	}
	w.ip[ipv6] = networkPart{
		there:   true,
		sources: rangesOf(nil, prefixes),
		mss:     uint16(n.MTU - ipv6HeaderLen - tcpHeaderLen),
		header:  newPPPHeader(ppp.ProtocolIPv6, n.Header),
	}
	w.local6, w.peer6 = addressOf(six.Local), addressOf(six.Peer)
	return nil
}

// isGlobal6 reports whether hosts can have addresses in p that are not for one
// link only.
func isGlobal6(p netip.Prefix) bool {
	a := p.Masked().Addr()
	return a.Is6() && !a.Is4In6() && a.IsGlobalUnicast()
}

func (w *network) lead(prefixes []netip.Prefix, local netip.Addr) {
	for _, p := range prefixes {
		w.destinations = append(w.destinations, destination{p, string(local.AsSlice())})
	}
}

// part returns the part of w's Network that the host has to know of a family, or
// nil if there is none.
func (w *network) part(f family) *gopptp.Network {
	switch {
	case w == nil || !w.ip[f].there:
		return nil
	case w.IPv6 == nil:
		return &w.Network // which is all of IPv4
	case f == ipv4:
		return &gopptp.Network{Local: w.Local, Peer: w.Peer, Routes: w.Routes, MTU: w.MTU, Header: w.Header, Rates: w.Rates}
	}
	return &gopptp.Network{IPv6: w.IPv6, MTU: w.MTU, Header: w.Header, Rates: w.Rates}
}

// samePart reports whether two results of part, which may be nil, are the same to
// a host. Limits are the engine's.
func samePart(a, b *gopptp.Network) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Local != b.Local || a.Peer != b.Peer || a.MTU != b.MTU || !slices.Equal(a.Routes, b.Routes) {
		return false
	}
	return a.IPv6 == nil || b.IPv6 == nil || sameIPv6(a.IPv6, b.IPv6)
}

func sameIPv6(a, b *gopptp.IPv6Network) bool {
	return a.Local == b.Local && a.Peer == b.Peer && a.Router == b.Router && a.Prefix == b.Prefix &&
		slices.Equal(a.Routes, b.Routes) && slices.Equal(a.DNS, b.DNS)
}

// only returns w with no families but those that are set, or nil if none is left.
func (w *network) only(keep [families]bool) *network {
	c := *w
	any, all := false, true
	for f := range c.ip {
		c.ip[f].there = c.ip[f].there && keep[f]
		any = any || c.ip[f].there
		all = all && c.ip[f].there == w.ip[f].there
	}
	switch {
	case !any:
		return nil
	case all:
		return w
	}
	return &c
}

// rangesOf appends the addresses in prefixes to ranges, which is empty.
func rangesOf(ranges []addressRange, prefixes []netip.Prefix) []addressRange {
	for _, p := range prefixes {
		ranges = append(ranges, addressRange{addressOf(p.Addr()), lastOf(p)})
	}
	return mergeRanges(ranges)
}

// mergeRanges sorts ranges and joins those that overlap.
func mergeRanges(ranges []addressRange) []addressRange {
	if len(ranges) == 0 {
		return nil
	}
	slices.SortFunc(ranges, func(a, b addressRange) int {
		return cmp.Or(cmp.Compare(a.first.high, b.first.high), cmp.Compare(a.first.low, b.first.low))
	})
	merged := ranges[:1]
	for _, r := range ranges[1:] {
		if end := &merged[len(merged)-1].last; end.less(r.first) {
			merged = append(merged, r)
		} else if end.less(r.last) {
			*end = r.last
		}
	}
	return merged
}

// allows reports whether the peer may send from addr.
func (n *networkPart) allows(addr address) bool {
	low, high := 0, len(n.sources)
	for low < high {
		mid := int(uint(low+high) / 2)
		switch r := n.sources[mid]; {
		case addr.less(r.first):
			high = mid
		case r.last.less(addr):
			low = mid + 1
		default:
			return true
		}
	}
	return false
}

func be32(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}
