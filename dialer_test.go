package gopptp_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// Many sessions of one process, from several addresses, cost no goroutine but the one
// that reads each control connection.
func TestDialerOfManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const addresses, each = 10, 20
		server := w.serve(nil)
		hosts := make([]netip.Addr, addresses)
		for i := range hosts {
			hosts[i] = netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + i)})
			w.host(hosts[i])
		}
		before := runtime.NumGoroutine()
		d := gopptp.NewDialer(gopptp.DialerConfig{Loops: 2})
		defer d.Close()
		var wg sync.WaitGroup
		sessions := make([]*gopptp.Session, addresses*each)
		for i := range sessions {
			wg.Go(func() {
				var err error
				sessions[i], err = d.Dial(t.Context(), serverAddr.String(), w.configFor(w.host(hosts[i%addresses])))
				require.NoError(t, err)
			})
		}
		wg.Wait()
		synctest.Wait()
		require.Equal(t, len(sessions), d.Sessions())
		require.Equal(t, len(sessions), server.Stats().Up)
		const few = 10 // loops, and what the runtime may have
		require.LessOrEqual(t, runtime.NumGoroutine()-before, 2*len(sessions)+few, "a reader at each end")

		locals := make(map[netip.Addr]bool)
		for i, s := range sessions {
			locals[s.Local()] = true
			w.exchangeFrom(hosts[i%addresses], s, 1)
		}
		require.Len(t, locals, len(sessions))

		require.NoError(t, d.Close())
		for _, s := range sessions {
			<-s.Done()
			require.NoError(t, s.Err(), "it was asked for")
		}
		synctest.Wait()
		require.Zero(t, d.Sessions())
		require.Zero(t, server.Stats().Connections)
		require.NoError(t, d.Close(), "once more")
	})
}

// Start does not wait, and an Observer hears all there is to know. The events of all
// sessions come from one goroutine.
func TestDialerStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(nil)
		d := gopptp.NewDialer(gopptp.DialerConfig{})
		defer d.Close()
		states := make(map[*gopptp.Session][]gopptp.State)
		observer := gopptp.ObserverFunc(func(e gopptp.SessionEvent) { // unsynchronized, under the race detector
			states[e.Session] = append(states[e.Session], e.State)
		})
		var sessions []*gopptp.Session
		for range 8 {
			cfg := w.clientConfig()
			cfg.Observer = observer
			s, err := d.Start(w.connect(), cfg)
			require.NoError(t, err)
			require.Less(t, s.State(), gopptp.StateUp)
			sessions = append(sessions, s)
		}
		time.Sleep(time.Second)
		d.Close()
		for _, s := range sessions {
			require.Equal(t, []gopptp.State{
				gopptp.StateControl, gopptp.StateCall, gopptp.StateEstablish, gopptp.StateAuthenticate,
				gopptp.StateNetwork, gopptp.StateUp, gopptp.StateTerminate, gopptp.StateClosed,
			}, states[s])
		}
	})
}

// A session that fails, or is given up, leaves the others on its loop alone.
func TestDialerSessionsFailAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(nil)
		d := gopptp.NewDialer(gopptp.DialerConfig{Loops: 1})
		defer d.Close()
		good, err := d.Dial(t.Context(), serverAddr.String(), w.clientConfig())
		require.NoError(t, err)

		wrong := w.clientConfig()
		wrong.Password = "guess"
		_, err = d.Dial(t.Context(), serverAddr.String(), wrong)
		requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)

		w.dropGRE(func(int) bool { return true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = d.Dial(ctx, serverAddr.String(), w.clientConfig())
		requireCause(t, err, gopptp.CauseGREBlocked, gopptp.StateEstablish)
		w.dropGRE(nil)

		require.Equal(t, 1, d.Sessions())
		w.exchange(good, 3)
		_, err = d.Dial(t.Context(), serverAddr.String(), gopptp.ClientConfig{})
		var bad *gopptp.ConfigError
		require.ErrorAs(t, err, &bad)
	})
}

func TestDialerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(nil)
		d := gopptp.NewDialer(gopptp.DialerConfig{})
		errs := make(chan error, 2)
		// One has a TCP connection that does not come about, one a session that does not.
		stuck := w.clientConfig()
		stuck.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		w.dropGRE(func(int) bool { return true })
		for _, cfg := range []gopptp.ClientConfig{stuck, w.clientConfig()} {
			go func() {
				_, err := d.Dial(t.Context(), serverAddr.String(), cfg)
				errs <- err
			}()
		}
		time.Sleep(time.Second)
		require.NoError(t, d.Close())
		for range cap(errs) {
			err := <-errs
			require.ErrorIs(t, err, gopptp.ErrDialerClosed)
			require.ErrorIs(t, err, net.ErrClosed)
		}

		_, err := d.Dial(t.Context(), serverAddr.String(), w.clientConfig())
		require.ErrorIs(t, err, gopptp.ErrDialerClosed)
		nc := w.connect()
		_, err = d.Start(nc, w.clientConfig())
		require.ErrorIs(t, err, gopptp.ErrDialerClosed)
		_, err = nc.Write([]byte{0})
		require.True(t, errors.Is(err, net.ErrClosed), "the connection was Start's to close: %v", err)
	})
}
