package gopptp

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
)

// AddressPool gives out the addresses of peers in the tunnel. It is safe for
// concurrent use; Acquire may block, under the session's context.
type AddressPool interface {
	// Acquire returns a free address, or an error such as ErrPoolExhausted.
	Acquire(ctx context.Context, req PoolRequest) (netip.Addr, error)
	// Release gives it back. It does not block.
	Release(addr netip.Addr)
}

// PoolRequest says for whom an address is wanted.
type PoolRequest struct {
	Session    SessionID
	User       string
	Remote     netip.AddrPort // the peer's end of the control connection
	Attributes any            // those of AuthResult
}

// PoolRange is a range of addresses, both ends included.
type PoolRange struct {
	First, Last netip.Addr
}

// RangeOf returns the range of the host addresses in an IPv4 prefix: without
// the network's first and last address, unless it is a /31 or /32.
func RangeOf(p netip.Prefix) PoolRange {
	p = p.Masked()
	first := v4(p.Addr())
	last := first | uint32(uint64(1)<<(32-p.Bits())-1)
	if p.Bits() < 31 {
		first, last = first+1, last-1
	}
	return PoolRange{First: fromV4(first), Last: fromV4(last)}
}

// Pool is an AddressPool over ranges of IPv4 addresses, a bit an address. It
// goes through a range round and round, so that a released address rests as
// long as possible.
type Pool struct {
	mu     sync.Mutex
	ranges []poolRange // in the order in which they are used up
	sorted []int       // of ranges, by address
	free   int
	size   int

	reserved map[netip.Addr]struct{} // in the ranges
}

type poolRange struct {
	first uint32
	bitmap
}

var _ AddressPool = (*Pool)(nil)

// maxPoolRange bounds a range: a /8, which takes 2 MiB.
const maxPoolRange = 1 << 24

// NewPool returns a pool of the given ranges, which must be IPv4, must not
// overlap and have at most 16,777,216 addresses each. Addresses in reserved are
// never given out: the gateway's own, and those that are fixed to users.
func NewPool(ranges []PoolRange, reserved ...netip.Addr) (*Pool, error) {
	p := &Pool{reserved: make(map[netip.Addr]struct{})}
	for i, r := range ranges {
		if !r.First.Is4() || !r.Last.Is4() || r.Last.Less(r.First) {
			return nil, &ConfigError{Field: "Pool", Reason: fmt.Sprintf("%v-%v is not an IPv4 range", r.First, r.Last)}
		}
		for _, other := range ranges[:i] {
			if !r.Last.Less(other.First) && !other.Last.Less(r.First) {
				return nil, &ConfigError{Field: "Pool", Reason: fmt.Sprintf("%v-%v and %v-%v overlap", other.First, other.Last, r.First, r.Last)}
			}
		}
		if v4(r.Last)-v4(r.First) >= maxPoolRange {
			return nil, &ConfigError{Field: "Pool", Reason: fmt.Sprintf("%v-%v has more than %d addresses", r.First, r.Last, maxPoolRange)}
		}
		p.ranges = append(p.ranges, poolRange{v4(r.First), newBitmap(int(v4(r.Last)-v4(r.First)) + 1)})
		p.sorted = append(p.sorted, i)
		p.free += p.ranges[i].size
	}
	slices.SortFunc(p.sorted, func(i, j int) int { return cmp.Compare(p.ranges[i].first, p.ranges[j].first) })
	for _, a := range reserved {
		if p.Take(a) {
			p.reserved[a] = struct{}{}
		}
	}
	p.size = p.free
	return p, nil
}

// Acquire implements AddressPool.
func (p *Pool) Acquire(_ context.Context, _ PoolRequest) (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.ranges {
		if n, ok := p.ranges[i].acquire(); ok {
			p.free--
			return fromV4(p.ranges[i].first + uint32(n)), nil
		}
	}
	return netip.Addr{}, ErrPoolExhausted
}

// Take takes one address, which goes back by Release. It reports false if that is
// taken already, or not of this pool.
func (p *Pool) Take(addr netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, n := p.find(addr)
	if r == nil || !r.take(n) {
		return false
	}
	p.free--
	return true
}

// Release implements AddressPool. An address that is not taken, is reserved, or is not of
// this pool, is ignored.
func (p *Pool) Release(addr netip.Addr) {
	if _, never := p.reserved[addr]; never {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if r, n := p.find(addr); r != nil && r.release(n) {
		p.free++
	}
}

// Contains reports whether the address is of one of the pool's ranges.
func (p *Pool) Contains(addr netip.Addr) bool {
	r, _ := p.find(addr) // the ranges never change
	return r != nil
}

// Free returns how many addresses are left.
func (p *Pool) Free() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.free
}

// Size returns how many addresses there are to give out: those that are reserved do not
// count.
func (p *Pool) Size() int { return p.size }

func (p *Pool) find(addr netip.Addr) (r *poolRange, n int) {
	if !addr.Is4() {
		return nil, 0
	}
	a := v4(addr)
	after, _ := slices.BinarySearchFunc(p.sorted, a, func(i int, a uint32) int {
		if p.ranges[i].first <= a {
			return -1
		}
		return 1
	})
	if after == 0 {
		return nil, 0
	}
	r = &p.ranges[p.sorted[after-1]]
	if a-r.first >= uint32(r.size) {
		return nil, 0
	}
	return r, int(a - r.first)
}

func v4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func fromV4(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n)))
}
