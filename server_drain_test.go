package gopptp_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/pptp"
)

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		up := w.dial(nil)
		require.False(t, server.Draining())

		server.Drain()
		server.Drain()
		require.True(t, server.Draining())
		for range 3 {
			began := time.Now()
			_, err := w.tryDial(nil)
			requireCause(t, err, gopptp.CauseControl, gopptp.StateControl)
			var refusal *pptp.ProtocolError
			require.ErrorAs(t, err, &refusal)
			require.EqualValues(t, pptp.StartGeneralError, refusal.Result)
			require.Equal(t, pptp.ErrorNoResource, refusal.ErrorCode)
			require.Less(t, time.Since(began), time.Second, "it is told, and does not time out")
		}
		synctest.Wait()
		stats := server.Stats()
		require.EqualValues(t, 3, stats.RefusedDraining)
		require.Equal(t, 1, stats.Connections, "nothing is left of those who were refused")
		require.Zero(t, stats.HalfOpen)
		time.Sleep(time.Hour)
		w.exchange(up, 3)

		server.Undrain()
		require.False(t, server.Draining())
		w.exchange(w.dial(nil), 3)
		require.EqualValues(t, 3, server.Stats().RefusedDraining)
	})
}

// Drain does not disturb a session that is being set up.
func TestDrainWhileSettingUp(t *testing.T) {
	for state := gopptp.StateCall; state < gopptp.StateUp; state++ {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var server *gopptp.Server
			server = w.serve(func(c *gopptp.ServerConfig) {
				c.Observer = gopptp.ObserverFunc(func(e gopptp.SessionEvent) {
					if e.State == state {
						server.Drain()
					}
				})
			})
			w.exchange(w.dial(nil), 1)
			require.True(t, server.Draining())
		})
	}
}

// A control connection that is there has its calls refused, those it has stay.
func TestDrainRefusesCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		p := &callPlacer{n: 2, interval: time.Second, results: map[pptp.OutgoingCallResult]int{}}
		conn := pptp.NewConn(w.connect(), pptp.ConnConfig{Config: pptp.Config{Role: pptp.RolePNS, Originator: true}}, p)
		conn.Start()
		time.Sleep(500 * time.Millisecond)
		server.Drain()
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, server.Sessions(), 1)
		require.EqualValues(t, 1, server.Stats().RefusedDraining)
		<-conn.Done()
		require.Equal(t, 1, p.established)
		require.Equal(t, 1, p.results[pptp.OutgoingBusy])
	})
}

// A connection that was made while the server was draining may be in time after all.
func TestUndrainBeforeTheFirstMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		server.Drain()
		nc := w.connect()
		synctest.Wait()
		server.Undrain()
		var r callRecorder
		c := pptp.NewConn(nc, pptp.ConnConfig{Config: pptp.Config{Role: pptp.RolePNS, Originator: true}}, &r)
		c.Start()
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, server.Sessions(), 3)
		<-c.Done()
	})
}

func TestShutdownAfterDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		s := w.dial(nil)
		server.Drain()
		require.NoError(t, server.Shutdown(context.Background()))
		require.ErrorIs(t, <-w.served, gopptp.ErrServerClosed)
		<-s.Done()
		requireCause(t, s.Err(), gopptp.CausePeer, gopptp.StateUp)
		server.Undrain()
		require.True(t, server.Draining(), "what is closed stays closed")
		_, err := w.tryDial(nil)
		requireCause(t, err, gopptp.CauseConnect, gopptp.StateConnect)
	})
}
