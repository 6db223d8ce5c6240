package config

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/gopptp/gopptp"
)

// Range is a range of addresses, written as a network ("10.8.0.0/24") or as its ends
// ("10.8.0.10-10.8.0.99", or "10.8.0.10-99").
type Range struct {
	Range gopptp.PoolRange

	network netip.Prefix // as written; invalid for a range
}

func rangeOf(network netip.Prefix) Range {
	return Range{Range: gopptp.RangeOf(network), network: network}
}

func parseRange(text string) (Range, error) {
	if strings.Contains(text, "/") {
		network, err := parseNetwork(text)
		if err != nil {
			return Range{}, err
		}
		return rangeOf(network), nil
	}
	bad := fmt.Errorf("%q is neither a network like 10.8.0.0/24 nor a range like 10.8.0.10-10.8.0.99", text)
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		return Range{}, bad
	}
	from, to = strings.TrimSpace(from), strings.TrimSpace(to)
	if !strings.Contains(to, ".") {
		to = from[:strings.LastIndexByte(from, '.')+1] + to
	}
	first, err1 := parseAddr(from)
	last, err2 := parseAddr(to)
	switch {
	case err1 != nil || err2 != nil:
		return Range{}, bad
	case last.Less(first):
		return Range{}, fmt.Errorf("%q ends before it begins", text)
	}
	return Range{Range: gopptp.PoolRange{First: first, Last: last}}, nil
}

// String is the range as it may be written.
func (r Range) String() string {
	if r.network.IsValid() {
		return r.network.String()
	}
	return r.Range.First.String() + "-" + r.Range.Last.String()
}

// Size is the number of addresses.
func (r Range) Size() int { return int(v4(r.Range.Last)-v4(r.Range.First)) + 1 }

// Contains reports whether addr is in the range.
func (r Range) Contains(addr netip.Addr) bool {
	return addr.Is4() && !addr.Less(r.Range.First) && !r.Range.Last.Less(addr)
}

func (r Range) overlaps(q Range) bool {
	return !r.Range.Last.Less(q.Range.First) && !q.Range.Last.Less(r.Range.First)
}

// Prefixes returns the fewest networks that hold exactly the range's addresses,
// or the network as which it is written.
func (r Range) Prefixes() []netip.Prefix {
	if r.network.IsValid() {
		return []netip.Prefix{r.network}
	}
	var list []netip.Prefix
	first, last := uint64(v4(r.Range.First)), uint64(v4(r.Range.Last))
	for first <= last {
		// The largest block that begins here and does not go beyond.
		host := min(bits.TrailingZeros64(first|1<<32), bits.Len64(last-first+1)-1)
		list = append(list, netip.PrefixFrom(fromV4(uint32(first)), 32-host))
		first += 1 << host
	}
	return list
}

func v4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func fromV4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}
