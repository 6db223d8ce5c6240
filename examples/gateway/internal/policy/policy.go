// Package policy says whether a user may come in whose password was right, and adds to
// what it is granted the rules of its group and of the gateway: from where, at which hours,
// how many sessions at a time, for how long and at which rate.
package policy

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/addresses"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// Claims are the addresses that are fixed to users: each is of one session at a time.
type Claims interface {
	Claim(addr netip.Addr, user string, session gopptp.SessionID) error
	Unclaim(addr netip.Addr, session gopptp.SessionID)
}

// Policy is safe for concurrent use.
type Policy struct {
	claims Claims
	log    *slog.Logger
	rules  atomic.Pointer[rules]
	// find finds a session that may not be up yet.
	find func(gopptp.SessionID) *gopptp.Session
	// waiting bounds how many newcomers wait for those they replace.
	waiting chan struct{}
	refused [reasons]atomic.Uint64

	mu     sync.Mutex
	places places
}

// New returns the policy of a configuration. It follows the sessions of live, so it must
// be made before the server serves, and be told of the server by Attach.
func New(cfg *config.Config, live *sessions.Registry, claims Claims, log *slog.Logger) *Policy {
	p := &Policy{
		claims:  claims,
		log:     log,
		waiting: make(chan struct{}, maxWaiting),
		places:  newPlaces(),
	}
	p.Reload(cfg)
	live.Watch(func(e sessions.Event) {
		if e.Kind == sessions.Down || e.Kind == sessions.Failed {
			p.leave(e.Session.ID())
		}
	})
	return p
}

// Attach tells the policy how to find a session of the server: Server.Session.
func (p *Policy) Attach(find func(gopptp.SessionID) *gopptp.Session) { p.find = find }

// Reload replaces the rules, for those who come from then on.
func (p *Policy) Reload(cfg *config.Config) { p.rules.Store(newRules(cfg)) }

// Those who are replaced mostly are gone within a round trip, or will not be for long, as
// nobody answers there. So a newcomer waits for that briefly, and does not wait where many
// do: each takes one of the places for authentications. But an address that is fixed to it
// can be had only when its last owner is gone.
const (
	patience        = 2 * time.Second
	addressPatience = 15 * time.Second
	maxWaiting      = 64
)

// Admit decides about an authenticated user, and writes into result what the rules grant
// where nothing else was said. The error is an *gopptp.AuthError if the user is refused.
// Otherwise the user has a place, until the session ends.
func (p *Policy) Admit(ctx context.Context, req *gopptp.AuthRequest, result *gopptp.AuthResult) error {
	r, now := p.rules.Load(), time.Now()
	g := r.complete(result)
	source := req.Remote.Addr().Unmap()
	if !r.allows(g, source) {
		return p.refuse(BadSource)
	}
	if !r.open(g, result, now) {
		return p.refuse(BadHours)
	}
	user := result.User
	if user == "" {
		user = req.Name
	}
	newcomer := &place{session: req.Session, user: nameOf(user, g), source: source, address: result.Address}
	victims, why := p.reserve(newcomer, r.limits(g))
	if why != none {
		return p.refuse(why)
	}
	// A session that ended before it had a place is told of no more. One that does later is.
	err := ctx.Err()
	if err == nil {
		err = p.replace(ctx, newcomer, victims)
	}
	if err == nil && newcomer.address.IsValid() {
		err = p.claim(newcomer, user)
	}
	if err != nil {
		p.leave(req.Session)
	}
	return err
}

// nameOf is the name under which sessions of a user are counted. RADIUS servers mostly
// take names in any case.
func nameOf(user string, g *grant.Grant) string {
	if g.Backend == "radius" {
		return strings.ToLower(user)
	}
	return user
}

// replace ends the victims' sessions, and waits for that.
func (p *Policy) replace(ctx context.Context, newcomer *place, victims []*place) error {
	if len(victims) == 0 {
		return nil
	}
	for _, v := range victims {
		if s := p.find(v.session); s != nil {
			p.log.Info("session is replaced", "session", v.session, "user", v.user, "remote", s.RemoteAddr(), "by", newcomer.session, "source", newcomer.source)
			s.End(gopptp.CauseReplaced, nil)
		}
	}
	limit := addressPatience
	if !newcomer.address.IsValid() {
		limit = patience
		select {
		case p.waiting <- struct{}{}:
			defer func() { <-p.waiting }()
		default:
			return nil
		}
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for _, v := range victims {
		select {
		case <-v.gone:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// claim takes the address that is fixed to a user.
func (p *Policy) claim(newcomer *place, user string) error {
	if err := p.claims.Claim(newcomer.address, user, newcomer.session); err != nil {
		var taken *addresses.TakenError
		if !errors.As(err, &taken) {
			return err
		}
		p.log.Warn("a user's fixed address is taken", "user", user, "session", newcomer.session, "address", newcomer.address, "error", err)
		return p.refuse(AddressTaken)
	}
	p.mu.Lock()
	here := p.places.bySession[newcomer.session] == newcomer
	newcomer.claimed = here
	p.mu.Unlock()
	if !here { // has ended meanwhile
		p.claims.Unclaim(newcomer.address, newcomer.session)
		return context.Canceled
	}
	return nil
}

// reserve gives a newcomer a place, or says why there is none. The victims must go for it.
func (p *Policy) reserve(newcomer *place, l limits) (victims []*place, why Reason) {
	p.leave(newcomer.session) // has a place if the link was negotiated anew
	p.mu.Lock()
	defer p.mu.Unlock()
	victims, why = p.places.take(newcomer, l)
	for _, v := range victims {
		if v.gone == nil {
			v.gone = make(chan struct{})
		}
	}
	return victims, why
}

// leave ends a session's place, if it has one.
func (p *Policy) leave(session gopptp.SessionID) {
	p.mu.Lock()
	pl := p.places.bySession[session]
	if pl == nil {
		p.mu.Unlock()
		return
	}
	p.places.remove(pl)
	claimed, gone := pl.claimed, pl.gone
	p.mu.Unlock()
	if claimed {
		p.claims.Unclaim(pl.address, pl.session)
	}
	if gone != nil {
		close(gone) // who waits for that wants the address
	}
}
