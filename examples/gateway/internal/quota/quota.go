// Package quota ends sessions that have carried as many octets as they were granted.
package quota

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/agenda"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// A session is looked at again when it may have used up its quota: at twice the speed that
// it has had, and at minSpeed at least, as it may stir at any moment.
const (
	minSpeed = 125e6 // octets a second: 1 Gbit/s
	minWait  = time.Second
	maxWait  = time.Minute
)

// Guard looks at the counters of sessions that have a quota. A session is over its quota
// by what it carries within about minWait, or more if it stirs at more than minSpeed.
type Guard struct {
	log  *slog.Logger
	wake chan struct{}

	mu     sync.Mutex
	live   map[gopptp.SessionID]*account
	agenda agenda.Agenda[gopptp.SessionID]
}

// account is what is known of a session.
type account struct {
	session *gopptp.Session
	quota   uint64
	used    uint64    // when it was last looked at
	at      time.Time // when that was
}

// New returns a Guard, which does nothing until Run.
func New(log *slog.Logger) *Guard {
	return &Guard{log: log, wake: make(chan struct{}, 1), live: make(map[gopptp.SessionID]*account)}
}

// Observe follows the sessions of a sessions.Registry. It does not wait.
func (g *Guard) Observe(e sessions.Event) {
	switch e.Kind {
	case sessions.Up:
		if quota := grant.Of(e.Session).Quota; quota > 0 {
			g.begin(e.Session, quota)
		}
	case sessions.Down:
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.live, e.Session.ID())
		g.agenda.Remove(e.Session.ID())
	}
}

func (g *Guard) begin(s *gopptp.Session, quota uint64) {
	now := time.Now()
	a := &account{session: s, quota: quota, at: now}
	g.mu.Lock()
	g.live[s.ID()] = a
	g.agenda.Set(s.ID(), now.Add(a.wait(0)))
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// wait is how long the rest of the quota suffices at least, at a speed in octets a second.
func (a *account) wait(speed float64) time.Duration {
	seconds := float64(a.quota-a.used) / max(minSpeed, 2*speed)
	return time.Duration(min(max(seconds, minWait.Seconds()), maxWait.Seconds()) * float64(time.Second))
}

// Run looks at sessions until ctx ends.
func (g *Guard) Run(ctx context.Context) {
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-due.C:
		}
		for g.look(time.Now()) {
		}
		g.mu.Lock()
		if next, ok := g.agenda.Next(); ok {
			due.Reset(time.Until(next))
		}
		g.mu.Unlock()
	}
}

// look looks at one session, if one is due.
func (g *Guard) look(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	id, ok := g.agenda.Due(now)
	if !ok {
		return false
	}
	a := g.live[id]
	c := a.session.Counters()
	used := c.ReceivedOctets + c.SentOctets
	if used >= a.quota {
		g.log.Info("quota used up", "session", id, "user", a.session.User(), "quota", a.quota, "used", used)
		a.session.End(gopptp.CauseQuota, nil)
		return true
	}
	speed := float64(used-a.used) / max(now.Sub(a.at).Seconds(), minWait.Seconds()/2)
	a.used, a.at = used, now
	g.agenda.Set(id, now.Add(a.wait(speed)))
	return true
}
