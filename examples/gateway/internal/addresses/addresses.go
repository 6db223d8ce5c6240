// Package addresses gives out the addresses of users in the tunnels: from named pools,
// the next of a chain where one is used up, to those who return the one they had, and to
// others none that has just been given back. It says in the log that a pool fills up
// before it is empty.
//
// Addresses that a back end has fixed to a user are claimed here too, so that nobody else
// has them at the time.
package addresses

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/statefile"
)

// Pools is the gopptp.AddressPool of the gateway. Its methods are safe for concurrent
// use, and take a time that does not grow with the pools.
type Pools struct {
	log  *slog.Logger
	file *statefile.File // of the memory; nil: there is none

	mu sync.Mutex
	layout
	held     map[netip.Addr]lease
	returned uint64 // addresses that were given back
}

// lease is an address that a session has.
type lease struct {
	user    string
	session gopptp.SessionID
	claimed bool  // by the session itself, rather than chosen here
	home    *pool // nil: of none, so that it goes back to nowhere
}

var _ gopptp.AddressPool = (*Pools)(nil)

// New returns the pools of a configuration, which are to be closed.
func New(cfg Config, log *slog.Logger) (*Pools, error) {
	l, err := newLayout(cfg)
	if err != nil {
		return nil, err
	}
	p := &Pools{log: log, layout: l, held: make(map[netip.Addr]lease)}
	if cfg.File != "" {
		p.remember(cfg.File)
	}
	return p, nil
}

// UnknownPoolError is the failure of a user for whom a back end names a pool that is not
// configured. No other pool is taken in its place, as an address may be what rights are
// tied to.
type UnknownPoolError struct{ Pool string }

func (e *UnknownPoolError) Error() string {
	return fmt.Sprintf("there is no address pool %q", e.Pool)
}

// Is makes it a kind of gopptp.ErrPoolExhausted: there is no address to give.
func (e *UnknownPoolError) Is(target error) bool { return target == gopptp.ErrPoolExhausted }

// Acquire implements gopptp.AddressPool. The pool is that of the grant, or the first one.
//
// What the user had before is given first, if nobody has it now. Then, pool by pool in
// the chain, what nobody is remembered for, and what has rested for longest; and what is
// in quarantine only when there is nothing else in the whole chain.
func (p *Pools) Acquire(_ context.Context, req gopptp.PoolRequest) (netip.Addr, error) {
	name := grant.From(req.Attributes).Pool
	addr, notices, err := p.acquire(name, req, time.Now())
	p.tell(notices)
	return addr, err
}

func (p *Pools) acquire(name string, req gopptp.PoolRequest, now time.Time) (netip.Addr, []notice, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.choose(name)
	switch {
	case first == nil && name != "":
		return netip.Addr{}, nil, &UnknownPoolError{name}
	case first == nil:
		return netip.Addr{}, nil, gopptp.ErrPoolExhausted
	}
	for _, q := range first.chain {
		q.forget(now)
	}
	for _, take := range []func(*pool) (netip.Addr, bool){
		func(q *pool) (netip.Addr, bool) { return q.again(req.User) },
		func(q *pool) (netip.Addr, bool) { return q.fresh(now) },
		(*pool).any,
	} {
		for _, q := range first.chain {
			if addr, ok := take(q); ok {
				q.used++
				p.held[addr] = lease{user: req.User, session: req.Session, home: q}
				p.file.Changed()
				return addr, q.changed(), nil
			}
		}
	}
	first.refused++
	return netip.Addr{}, first.exhausted(), fmt.Errorf("%w: %s", gopptp.ErrPoolExhausted, first.Name)
}

// choose returns the pool of a name, the first one for none; nil if there is none such.
func (p *Pools) choose(name string) *pool {
	if name == "" && len(p.pools) > 0 {
		return p.pools[0]
	}
	return p.byName[name]
}

// Release implements gopptp.AddressPool. What was not acquired is ignored.
func (p *Pools) Release(addr netip.Addr) {
	p.tell(p.release(addr, func(l lease) bool { return !l.claimed }, time.Now()))
}

func (p *Pools) release(addr netip.Addr, which func(lease) bool, now time.Time) []notice {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.held[addr]
	if !ok || !which(l) {
		return nil
	}
	delete(p.held, addr)
	if l.home == nil {
		return nil
	}
	l.home.forget(now)
	p.file.Changed()
	p.returned++
	l.home.giveBack(addr, l.user, now, p.returned)
	return l.home.changed()
}

// TakenError is the failure to claim an address: another session has it, or the gateway
// itself.
type TakenError struct {
	Address netip.Addr
	User    string // empty: the gateway
	Session gopptp.SessionID
}

func (e *TakenError) Error() string {
	if e.User == "" {
		return fmt.Sprintf("%v is the gateway's own address", e.Address)
	}
	return fmt.Sprintf("%v is the address of %q now, in session %v", e.Address, e.User, e.Session)
}

// Claim takes the address that a back end has fixed to a user, in a pool or not, for a
// session. The same session may claim it again. The error is a *TakenError.
func (p *Pools) Claim(addr netip.Addr, user string, session gopptp.SessionID) error {
	notices, err := p.claim(addr, user, session)
	p.tell(notices)
	return err
}

func (p *Pools) claim(addr netip.Addr, user string, session gopptp.SessionID) ([]notice, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if addr == p.own {
		return nil, &TakenError{Address: addr}
	}
	if l, ok := p.held[addr]; ok {
		if l.session == session && l.claimed {
			return nil, nil
		}
		return nil, &TakenError{addr, l.user, l.session}
	}
	home := p.home(addr)
	p.held[addr] = lease{user: user, session: session, claimed: true, home: home}
	if home == nil {
		return nil, nil
	}
	home.take(addr)
	home.used++
	p.file.Changed()
	return home.changed(), nil
}

// Unclaim gives back what a session has claimed. All else is ignored.
func (p *Pools) Unclaim(addr netip.Addr, session gopptp.SessionID) {
	p.tell(p.release(addr, func(l lease) bool { return l.claimed && l.session == session }, time.Now()))
}
