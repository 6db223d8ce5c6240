package config

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/gopptp/gopptp"
)

// Pool is a range of addresses that sessions get, written as a network
// ("10.8.0.0/24") or as its ends ("10.8.0.10-10.8.0.99", or "10.8.0.10-99").
type Pool struct {
	Range gopptp.PoolRange

	network netip.Prefix // as written; invalid for a range
}

func poolOf(network netip.Prefix) Pool {
	return Pool{Range: gopptp.RangeOf(network), network: network}
}

func parsePool(text string) (Pool, error) {
	if strings.Contains(text, "/") {
		network, err := parseNetwork(text)
		if err != nil {
			return Pool{}, err
		}
		return poolOf(network), nil
	}
	bad := fmt.Errorf("%q is neither a network like 10.8.0.0/24 nor a range like 10.8.0.10-10.8.0.99", text)
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		return Pool{}, bad
	}
	from, to = strings.TrimSpace(from), strings.TrimSpace(to)
	if !strings.Contains(to, ".") {
		to = from[:strings.LastIndexByte(from, '.')+1] + to
	}
	first, err1 := parseAddr(from)
	last, err2 := parseAddr(to)
	switch {
	case err1 != nil || err2 != nil:
		return Pool{}, bad
	case last.Less(first):
		return Pool{}, fmt.Errorf("%q ends before it begins", text)
	}
	return Pool{Range: gopptp.PoolRange{First: first, Last: last}}, nil
}

// String is the pool as it may be written.
func (p Pool) String() string {
	if p.network.IsValid() {
		return p.network.String()
	}
	return p.Range.First.String() + "-" + p.Range.Last.String()
}

// Size is the number of addresses.
func (p Pool) Size() int { return int(v4(p.Range.Last)-v4(p.Range.First)) + 1 }

// Contains reports whether addr is one of the pool's.
func (p Pool) Contains(addr netip.Addr) bool {
	return addr.Is4() && !addr.Less(p.Range.First) && !p.Range.Last.Less(addr)
}

func (p Pool) overlaps(q Pool) bool {
	return !p.Range.Last.Less(q.Range.First) && !q.Range.Last.Less(p.Range.First)
}

// Prefixes returns the fewest networks that hold exactly the pool's addresses,
// or the network as which it is written.
func (p Pool) Prefixes() []netip.Prefix {
	if p.network.IsValid() {
		return []netip.Prefix{p.network}
	}
	var list []netip.Prefix
	first, last := uint64(v4(p.Range.First)), uint64(v4(p.Range.Last))
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

// Networks returns the networks of all pools, each address once, and that of IPv6.
func (c *Config) Networks() (list []netip.Prefix) {
	for _, p := range c.Pools {
		list = append(list, p.Prefixes()...)
	}
	if c.IPv6.Enabled() {
		list = append(list, c.IPv6.Prefix.Prefix)
	}
	return list
}

// Addresses are the gateway's own in the tunnels.
func (c *Config) Addresses() []netip.Addr {
	list := []netip.Addr{c.LocalAddress}
	if c.IPv6.Enabled() {
		list = append(list, c.IPv6.Address())
	}
	return list
}

// DeviceMTU is the MTU of the TUN device: what the sessions will have most
// likely, as each that differs costs a route.
func (c *Config) DeviceMTU() int {
	switch {
	case c.MTU != 0:
		return c.MTU
	case c.Encryption == gopptp.EncryptionDeny:
		return 1460
	}
	return 1456
}
