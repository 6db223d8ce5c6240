package gopptp_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// Limits change while a session lives, and count from where they counted before.
func TestSetTimeouts(t *testing.T) {
	type limits struct{ session, idle time.Duration }
	for name, c := range map[string]struct {
		granted limits
		after   time.Duration // that the session is up, and
		set     limits
		want    time.Duration // from up to the end; zero: it stays
		cause   gopptp.Cause
	}{
		"none before":           {limits{}, 10 * time.Minute, limits{session: time.Hour}, time.Hour, gopptp.CauseSessionTimeout},
		"longer":                {limits{session: time.Hour}, 59 * time.Minute, limits{session: 2 * time.Hour}, 2 * time.Hour, gopptp.CauseSessionTimeout},
		"shorter":               {limits{session: time.Hour}, 10 * time.Minute, limits{session: 20 * time.Minute}, 20 * time.Minute, gopptp.CauseSessionTimeout},
		"over already":          {limits{}, time.Hour, limits{session: time.Minute}, time.Hour, gopptp.CauseSessionTimeout},
		"none any more":         {limits{time.Hour, time.Hour}, time.Minute, limits{}, 0, 0},
		"idle":                  {limits{}, 10 * time.Minute, limits{idle: time.Hour}, time.Hour, gopptp.CauseIdleTimeout},
		"idle for too long":     {limits{idle: time.Hour}, 30 * time.Minute, limits{idle: 20 * time.Minute}, 30 * time.Minute, gopptp.CauseIdleTimeout},
		"the sooner of the two": {limits{}, time.Minute, limits{2 * time.Hour, time.Hour}, time.Hour, gopptp.CauseIdleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.users["alice"].Result.SessionTimeout = c.granted.session
				w.users["alice"].Result.IdleTimeout = c.granted.idle
				server := w.serve(func(cfg *gopptp.ServerConfig) {
					p := &idlePlane{Dataplane: cfg.Dataplane}
					up := time.Now()
					p.idle = func() (time.Duration, error) { return time.Since(up), nil }
					cfg.Dataplane = p
				})
				w.dial(nil)
				theirs := w.session(server)
				time.Sleep(c.after)
				session, idle := theirs.Timeouts()
				require.Equal(t, c.granted, limits{session, idle})
				theirs.SetTimeouts(c.set.session, c.set.idle)
				session, idle = theirs.Timeouts()
				require.Equal(t, c.set, limits{session, idle})
				if c.want == 0 {
					time.Sleep(24 * time.Hour)
					require.Equal(t, gopptp.StateUp, theirs.State())
					return
				}
				<-theirs.Done()
				requireCause(t, theirs.Err(), c.cause, gopptp.StateUp)
				require.InDelta(t, c.want, time.Since(theirs.UpAt()), float64(time.Second))
			})
		})
	}
}

// A data plane that has only counters cannot tell since when a session is idle, and it
// has the benefit of the doubt.
func TestSetTimeoutsByCounters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		s := w.dial(nil)
		w.exchange(s, 5)
		theirs := w.session(server)
		time.Sleep(time.Hour)
		theirs.SetTimeouts(0, time.Minute)
		time.Sleep(50 * time.Second)
		w.exchange(s, 1)
		time.Sleep(50 * time.Second)
		require.Equal(t, gopptp.StateUp, theirs.State())
		<-theirs.Done()
		requireCause(t, theirs.Err(), gopptp.CauseIdleTimeout, gopptp.StateUp)
	})
}

// A client may limit its own session; one that is not up yet is limited from then on.
func TestSetTimeoutsOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(nil)
		s := w.dial(func(c *gopptp.ClientConfig) {
			c.Observer = gopptp.ObserverFunc(func(e gopptp.SessionEvent) {
				if e.State == gopptp.StateCall {
					e.Session.SetTimeouts(time.Hour, 0)
				}
			})
		})
		<-s.Done()
		requireCause(t, s.Err(), gopptp.CauseSessionTimeout, gopptp.StateUp)
		require.InDelta(t, time.Hour, time.Since(s.UpAt()), float64(time.Second))
		s.SetTimeouts(time.Hour, time.Hour) // of no use, and no harm
	})
}
