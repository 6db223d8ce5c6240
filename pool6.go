package gopptp

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync"
)

// PrefixPool gives out the IPv6 prefixes of peers, each a /64. It is safe for
// concurrent use; Acquire may block, under the session's context.
type PrefixPool interface {
	// Acquire returns a free prefix, or an error such as ErrPoolExhausted.
	Acquire(ctx context.Context, req PoolRequest) (netip.Prefix, error)
	// Release gives it back. It does not block.
	Release(p netip.Prefix)
}

// IPv6Pool is a PrefixPool of what a shorter prefix holds, a bit a /64. It goes
// round and round as Pool does, so that a released prefix rests as long as
// possible: what was on its way to its last owner is not to reach the next.
type IPv6Pool struct {
	prefix   netip.Prefix
	first    uint64         // the upper half of the first address
	reserved []netip.Prefix // those that meet prefix

	mu  sync.Mutex
	all bitmap
}

var _ PrefixPool = (*IPv6Pool)(nil)

// NewIPv6Pool returns a pool of the /64s in prefix, of 40 to 64 bits. Those that
// meet one of reserved are never given out, such as the one with addresses of the
// gateway itself.
func NewIPv6Pool(prefix netip.Prefix, reserved ...netip.Prefix) (*IPv6Pool, error) {
	a := prefix.Addr()
	switch {
	case !prefix.IsValid() || !a.Is6() || a.Is4In6() || !prefix.Masked().Addr().IsGlobalUnicast():
		return nil, &ConfigError{Field: "IPv6Pool", Reason: fmt.Sprintf("%v is not an IPv6 prefix to have addresses in", prefix)}
	case prefix != prefix.Masked():
		return nil, &ConfigError{Field: "IPv6Pool", Reason: fmt.Sprintf("%v has bits set behind its length", prefix)}
	case prefix.Bits() < 40 || prefix.Bits() > 64:
		return nil, &ConfigError{Field: "IPv6Pool", Reason: fmt.Sprintf("%v is not of 40 to 64 bits", prefix)}
	}
	size := 1 << (64 - prefix.Bits())
	p := &IPv6Pool{
		prefix: prefix,
		first:  upper(a),
		all:    newBitmap(size),
	}
	for _, r := range reserved {
		if !r.IsValid() || !r.Overlaps(prefix) {
			continue
		}
		p.reserved = append(p.reserved, r)
		first, n := 0, size
		if r.Bits() > prefix.Bits() {
			first = int(upper(r.Masked().Addr()) - p.first)
			n = 1 << max(64-r.Bits(), 0)
		}
		for i := first; i < first+n; i++ {
			p.all.take(i)
		}
	}
	return p, nil
}

// Prefix is the one that the pool was made of.
func (p *IPv6Pool) Prefix() netip.Prefix { return p.prefix }

// Acquire implements PrefixPool.
func (p *IPv6Pool) Acquire(context.Context, PoolRequest) (netip.Prefix, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, ok := p.all.acquire()
	if !ok {
		return netip.Prefix{}, ErrPoolExhausted
	}
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], p.first+uint64(n))
	return netip.PrefixFrom(netip.AddrFrom16(a), 64), nil
}

// Release implements PrefixPool. A prefix that is not taken, meets a reserved one, or is not
// of this pool, is ignored.
func (p *IPv6Pool) Release(prefix netip.Prefix) {
	if prefix.Bits() != 64 || !p.prefix.Contains(prefix.Addr()) || slices.ContainsFunc(p.reserved, prefix.Overlaps) {
		return
	}
	n := upper(prefix.Addr()) - p.first
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all.release(int(n))
}

// Free returns how many prefixes are left.
func (p *IPv6Pool) Free() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.free
}

// upper returns the upper half of an IPv6 address.
func upper(a netip.Addr) uint64 {
	b := a.As16()
	return binary.BigEndian.Uint64(b[:])
}
