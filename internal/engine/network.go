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

// network is a gopptp.Network in the form that packets need. It is immutable.
type network struct {
	gopptp.Network
	prefixes []netip.Prefix // of Peer and Routes
	sources  []addressRange // the same, sorted and disjoint
	local    uint32
	peer     uint32
	mss      uint16

	// The PPP headers of a packet in clear and of an encrypted one.
	clear, encrypted []byte
}

type addressRange struct{ first, last uint32 }

// newNetwork checks n, of which it keeps nothing that could change.
func newNetwork(n gopptp.Network) (*network, error) {
	n.Local, n.Peer = n.Local.Unmap(), n.Peer.Unmap()
	if !n.Local.Is4() || !n.Peer.Is4() {
		return nil, fmt.Errorf("engine: network %v to %v is not IPv4", n.Local, n.Peer)
	}
	if n.MTU < minMTU {
		return nil, fmt.Errorf("engine: MTU %d is below %d", n.MTU, minMTU)
	}
	n.MTU = min(n.MTU, maxMTU)
	n.Routes = slices.Clone(n.Routes)
	w := &network{
		Network:   n,
		local:     be32(n.Local),
		peer:      be32(n.Peer),
		mss:       uint16(n.MTU - ipv4HeaderLen - tcpHeaderLen),
		clear:     ppp.AppendHeader(nil, ppp.ProtocolIPv4, n.Header),
		encrypted: ppp.AppendHeader(nil, ppp.ProtocolCompressed, n.Header),
	}
	w.prefixes = append(w.prefixes, netip.PrefixFrom(n.Peer, 32))
	for _, p := range n.Routes {
		if !p.IsValid() || !p.Addr().Is4() {
			return nil, fmt.Errorf("engine: route %v is not IPv4", p)
		}
		w.prefixes = append(w.prefixes, p.Masked())
	}
	for _, p := range w.prefixes {
		first := be32(p.Addr())
		w.sources = append(w.sources, addressRange{first, first | uint32(uint64(1)<<(32-p.Bits())-1)})
	}
	w.sources = mergeRanges(w.sources)
	return w, nil
}

// mergeRanges sorts ranges and joins those that overlap.
func mergeRanges(ranges []addressRange) []addressRange {
	slices.SortFunc(ranges, func(a, b addressRange) int { return cmp.Compare(a.first, b.first) })
	merged := ranges[:1]
	for _, r := range ranges[1:] {
		if end := &merged[len(merged)-1].last; r.first <= *end {
			*end = max(*end, r.last)
		} else {
			merged = append(merged, r)
		}
	}
	return merged
}

// allows reports whether the peer may send from addr.
func (n *network) allows(addr uint32) bool {
	low, high := 0, len(n.sources)
	for low < high {
		mid := int(uint(low+high) / 2)
		switch r := n.sources[mid]; {
		case addr < r.first:
			high = mid
		case addr > r.last:
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
