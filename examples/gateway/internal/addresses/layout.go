package addresses

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gopptp/gopptp"
)

// Config says which pools there are.
type Config struct {
	// Pools: the first one is for those for whom none is named.
	Pools []Pool
	// Own is the gateway's address in the tunnels; Fixed are those of users that are
	// known beforehand. No pool gives them to others.
	Own   netip.Addr
	Fixed []netip.Addr
	// File keeps over a restart who had which address; empty: nothing does. Reload takes
	// no other.
	File string
}

// Pool is one of them.
type Pool struct {
	Name   string
	Ranges []gopptp.PoolRange
	// Next is the pool to go on with where this one has nothing left; empty: none.
	Next string
	// Sticky is for how long an address is kept for the user who had it, as long as
	// there are others for others. Quarantine is for how long it is given to nobody else
	// unless nothing else is left.
	Sticky, Quarantine time.Duration
}

// layout is what a configuration makes.
type layout struct {
	pools    []*pool
	byName   map[string]*pool
	own      netip.Addr
	reserved map[netip.Addr]bool
}

func newLayout(cfg Config) (layout, error) {
	l := layout{byName: make(map[string]*pool), own: cfg.Own, reserved: make(map[netip.Addr]bool)}
	reserved := append(slices.Clone(cfg.Fixed), cfg.Own)
	for _, a := range reserved {
		l.reserved[a] = true
	}
	var all []gopptp.PoolRange
	for _, c := range cfg.Pools {
		if l.byName[c.Name] != nil {
			return layout{}, fmt.Errorf("there are two address pools %q", c.Name)
		}
		free, err := gopptp.NewPool(c.Ranges, reserved...)
		if err != nil {
			return layout{}, fmt.Errorf("address pool %q: %w", c.Name, err)
		}
		q := &pool{Pool: c, free: free, rest: newMemory(), most: maxResting}
		l.pools, l.byName[c.Name] = append(l.pools, q), q
		all = append(all, c.Ranges...)
	}
	slices.SortFunc(all, func(a, b gopptp.PoolRange) int { return a.First.Compare(b.First) })
	for i := range all[:max(len(all)-1, 0)] {
		if !all[i].Last.Less(all[i+1].First) {
			return layout{}, fmt.Errorf("two address pools have %v", all[i+1].First)
		}
	}
	for _, q := range l.pools {
		if err := l.link(q); err != nil {
			return layout{}, err
		}
	}
	return l, nil
}

// link follows the chain of a pool.
func (l *layout) link(first *pool) error {
	for q := first; ; {
		if slices.Contains(first.chain, q) {
			return fmt.Errorf("address pool %q comes after itself", q.Name)
		}
		first.chain, q.heads = append(first.chain, q), append(q.heads, first)
		if q.Next == "" {
			return nil
		}
		next := l.byName[q.Next]
		if next == nil {
			return fmt.Errorf("address pool %q: there is no pool %q to go on with", q.Name, q.Next)
		}
		q = next
	}
}

// home returns the pool that an address goes back to; nil if it is of none, or
// reserved.
func (l *layout) home(addr netip.Addr) *pool {
	if l.reserved[addr] {
		return nil
	}
	for _, q := range l.pools {
		if q.free.Contains(addr) {
			return q
		}
	}
	return nil
}

// Reload changes the pools. Nobody loses an address: one that is in no pool any more goes
// back to nowhere, and one that is in another now goes back to that. Those who return
// find what they had, if it is still there. After an error nothing has changed.
func (p *Pools) Reload(cfg Config) error {
	l, err := newLayout(cfg)
	if err != nil {
		return err
	}
	p.tell(p.reload(l, time.Now()))
	p.file.Changed()
	return nil
}

func (p *Pools) reload(l layout, now time.Time) (notices []notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var resting []*record
	for _, q := range p.pools {
		for _, r := range q.rest.byAddr {
			if !q.over(r, now) {
				resting = append(resting, r)
			}
		}
		if same := l.byName[q.Name]; same != nil {
			same.refused, same.filled = q.refused, q.filled
		}
	}
	p.layout = l
	for addr, lease := range p.held {
		if lease.home = l.home(addr); lease.home != nil {
			lease.home.take(addr)
			lease.home.used++
		}
		p.held[addr] = lease
	}
	slices.SortFunc(resting, inOrder)
	for _, r := range resting {
		if home := l.home(r.addr); home != nil {
			home.take(r.addr)
			home.rest.add(r.addr, r.user, r.since, r.order)
		}
	}
	for _, q := range p.pools {
		notices = append(notices, q.judge()...)
	}
	return notices
}
