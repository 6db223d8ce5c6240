package gopptp_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/pptp"
)

func TestManyClients(t *testing.T) {
	for name, addr := range map[string]func(i int) netip.Addr{
		"from one address":     func(int) netip.Addr { return clientAddr },
		"from their addresses": func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(100 + i)}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				server := w.serve(nil)
				const n = 20
				var wg sync.WaitGroup
				sessions := make([]*gopptp.Session, n)
				for i := range n {
					wg.Go(func() {
						var err error
						sessions[i], err = w.tryDialFrom(addr(i), nil)
						if err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				require.False(t, t.Failed())
				require.Len(t, server.Sessions(), n)
				given := map[netip.Addr]bool{}
				for i, s := range sessions {
					require.False(t, given[s.Local()])
					given[s.Local()] = true
					w.exchangeFrom(addr(i), s, 2)
				}
				require.Equal(t, w.poolSize-n, w.pool.Free())
			})
		})
	}
}

func TestShutdownTellsEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		a, b := w.dial(nil), w.dial(nil)
		theirs := server.Sessions()
		began := time.Now()
		require.NoError(t, server.Shutdown(context.Background()))
		require.Less(t, time.Since(began), time.Second)
		require.ErrorIs(t, <-w.served, gopptp.ErrServerClosed)
		for _, s := range theirs {
			requireCause(t, s.Err(), gopptp.CauseShutdown, gopptp.StateUp)
		}
		for _, s := range []*gopptp.Session{a, b} {
			<-s.Done()
			requireCause(t, s.Err(), gopptp.CausePeer, gopptp.StateUp)
		}
		_, err := w.tryDial(nil)
		requireCause(t, err, gopptp.CauseConnect, gopptp.StateConnect)
		require.NoError(t, server.Shutdown(context.Background()), "once more is harmless")
	})
}

// Peers that do not answer cannot hold a shutdown up beyond its context.
func TestShutdownForced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		w.dial(nil)
		w.cut()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, server.Shutdown(ctx), context.DeadlineExceeded)
		require.Empty(t, server.Sessions())
		require.Equal(t, w.poolSize, w.pool.Free())
	})
}

func TestServeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		s := w.dial(nil)
		w.stop()
		require.ErrorIs(t, <-w.served, gopptp.ErrServerClosed)
		<-s.Done()
		requireCause(t, s.Err(), gopptp.CauseLostCarrier, gopptp.StateUp)
		synctest.Wait()
		require.Empty(t, server.Sessions())
	})
}

// failingListener fails once. As a value with a func in it, it is of a type that
// is no key of a map.
type failingListener struct {
	net.Listener
	fail func() error
}

func (l failingListener) Accept() (net.Conn, error) {
	if err := l.fail(); err != nil {
		return nil, err
	}
	return l.Listener.Accept()
}

func TestShutdownAfterAFailureToAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		failed := false
		w.listen = func(l net.Listener) net.Listener {
			return failingListener{l, func() error {
				if !failed {
					failed = true
					return errors.New("too many open files")
				}
				return nil
			}}
		}
		server := w.serve(nil)
		w.exchange(w.dial(nil), 1)
		require.True(t, failed)
		require.NoError(t, server.Shutdown(context.Background()))
		require.ErrorIs(t, <-w.served, gopptp.ErrServerClosed)
	})
}

func TestMaxSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) { c.Limits.MaxSessions = 1 })
		first := w.dial(nil)
		_, err := w.tryDial(nil)
		requireCause(t, err, gopptp.CauseCall, gopptp.StateCall)
		require.EqualValues(t, 1, server.Stats().RefusedSessions)
		w.exchange(first, 1)
		first.Close()
		<-first.Done()
		synctest.Wait()
		w.exchange(w.dial(nil), 1)
	})
}

func TestMaxPerSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) { c.Limits.MaxPerSource = 2 })
		first := w.dial(nil)
		w.dial(nil)
		_, err := w.tryDial(nil)
		require.Error(t, err)
		require.EqualValues(t, 1, server.Stats().RefusedPerSource)
		other := netip.MustParseAddr("198.51.100.77")
		_, err = w.tryDialFrom(other, nil)
		require.NoError(t, err, "another source is not concerned")
		first.Close()
		<-first.Done()
		synctest.Wait()
		w.exchange(w.dial(nil), 1)
	})
}

// Connections that say nothing take places for HandshakeTimeout, and no longer.
func TestMaxHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Limits.MaxHalfOpen = 3
			c.Limits.HandshakeTimeout = 20 * time.Second
		})
		up := w.dial(nil)
		for range 3 {
			nc := w.connect()
			defer nc.Close()
		}
		synctest.Wait()
		require.Equal(t, 3, server.Stats().HalfOpen)
		began := time.Now()
		_, err := w.tryDial(nil)
		require.Error(t, err)
		require.Equal(t, 5*time.Second, time.Since(began).Round(time.Second))
		_, err = w.tryDial(nil)
		require.Error(t, err)
		require.Equal(t, 5*time.Second, time.Since(began).Round(time.Second), "at once, while nothing moves")
		require.EqualValues(t, 2, server.Stats().RefusedHalfOpen)
		w.exchange(up, 1)
		time.Sleep(14 * time.Second)
		require.Equal(t, 3, server.Stats().HalfOpen)
		time.Sleep(2 * time.Second)
		require.Zero(t, server.Stats().HalfOpen)
		w.exchange(w.dial(nil), 1)
	})
}

// A slow authenticator stalls those who wait for it, and nobody else.
func TestSlowAuthenticator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		slow := make(chan struct{})
		var running atomic.Int32
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Loops = 1
			c.Limits.MaxAuthentications = 2
			local := c.Authenticator
			c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				if req.Name == "slow" {
					running.Add(1)
					<-slow
					running.Add(-1)
				}
				return local.Authenticate(ctx, req)
			})
		})
		up := w.dial(nil)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := w.tryDial(func(c *gopptp.ClientConfig) { c.User = "slow" }); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(4 * time.Second)
		require.EqualValues(t, 2, running.Load(), "MaxAuthentications")
		began := time.Now()
		w.exchange(up, 10)
		require.Less(t, time.Since(began), time.Second)
		close(slow)
		wg.Wait()
		synctest.Wait()
		require.Equal(t, 5, server.Stats().Up)
	})
}

func TestAuthenticatorFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var last error
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Authenticator = gopptp.AuthenticatorFunc(func(context.Context, *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				return nil, errors.New("back end is down")
			})
			c.Observer = gopptp.ObserverFunc(func(e gopptp.SessionEvent) { last = e.Err })
		})
		_, err := w.tryDial(nil)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "back end", "what fails within is not the peer's business")
		require.NoError(t, server.Shutdown(context.Background()))
		requireCause(t, last, gopptp.CauseAuthBackend, gopptp.StateAuthenticate)
	})
}

func TestObserverSeesEveryState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var server, client []gopptp.State
		w.serve(func(c *gopptp.ServerConfig) {
			c.Observer = gopptp.ObserverFunc(func(e gopptp.SessionEvent) { server = append(server, e.State) })
		})
		s := w.dial(func(c *gopptp.ClientConfig) {
			c.Observer = gopptp.ObserverFunc(func(e gopptp.SessionEvent) { client = append(client, e.State) })
		})
		s.Close()
		<-s.Done()
		time.Sleep(time.Second)
		synctest.Wait()
		want := []gopptp.State{
			gopptp.StateCall, gopptp.StateEstablish, gopptp.StateAuthenticate, gopptp.StateNetwork,
			gopptp.StateUp, gopptp.StateTerminate, gopptp.StateClosed,
		}
		require.Equal(t, want, server)
		require.Equal(t, append([]gopptp.State{gopptp.StateControl}, want...), client)
	})
}

func TestTraceSeesControlTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		type seen struct {
			kind gopptp.TraceKind
			sent bool
		}
		counts := map[seen]int{}
		w.serve(func(c *gopptp.ServerConfig) {
			c.Loops = 1
			c.Trace = func(e gopptp.TraceEvent) {
				counts[seen{e.Kind, e.Sent}]++
				require.Equal(t, clientAddr, e.Remote.Addr())
				require.NotEmpty(t, e.Data)
			}
		})
		s := w.dial(nil)
		s.Close()
		<-s.Done()
		time.Sleep(time.Second)
		synctest.Wait()
		// SCCRQ, OCRQ, Call-Clear-Request, StopCCRQ against SCCRP, OCRP,
		// Call-Disconnect-Notify, StopCCRP.
		require.Equal(t, 4, counts[seen{gopptp.TraceControl, false}])
		require.Equal(t, 4, counts[seen{gopptp.TraceControl, true}])
		require.Greater(t, counts[seen{gopptp.TracePPP, false}], 5)
		require.Greater(t, counts[seen{gopptp.TracePPP, true}], 5)
	})
}

// callRecorder is a bare PPTP client.
type callRecorder struct {
	events []pptp.Event
	closed bool
}

func (r *callRecorder) HandleEvent(c *pptp.Conn, ev pptp.Event) {
	r.events = append(r.events, ev)
	if _, ok := ev.(pptp.Started); ok {
		for id := range uint16(3) {
			c.PlaceCall(pptp.OutgoingCallRequest{CallID: 100 + id})
		}
	}
}

func (r *callRecorder) HandleClose(*pptp.Conn, error) { r.closed = true }

// seen returns the events so far of a connection that is still there.
func (r *callRecorder) seen(c *pptp.Conn) []pptp.Event {
	events := make(chan []pptp.Event)
	c.Do(func() { events <- slices.Clone(r.events) })
	return <-events
}

// Several calls on one control connection are several sessions.
func TestSeveralCallsOnOneControlConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		var r callRecorder
		c := pptp.NewConn(w.connect(), pptp.ConnConfig{Config: pptp.Config{Role: pptp.RolePNS, Originator: true}}, &r)
		c.Start()
		time.Sleep(time.Second)
		synctest.Wait()
		established := map[uint16]bool{}
		for _, ev := range r.seen(c) {
			if e, ok := ev.(pptp.CallEstablished); ok {
				established[e.PeerCallID] = true
			}
		}
		require.Len(t, established, 3)
		require.Len(t, server.Sessions(), 3)

		// No GRE will come: all three end, then the idle control connection.
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, server.Sessions())
		cleared := 0
		for _, ev := range r.events {
			if _, ok := ev.(pptp.CallCleared); ok {
				cleared++
			}
		}
		require.Equal(t, 3, cleared)
		require.True(t, r.closed)
		<-c.Done()
	})
}

// Octets that are no PPTP at all end their own connection only.
func TestGarbageOnTheControlConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		up := w.dial(nil)
		nc := w.connect()
		_, err := nc.Write([]byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"))
		require.NoError(t, err)
		_, err = nc.Read(make([]byte, 1))
		require.Error(t, err)
		require.NotErrorIs(t, err, net.ErrClosed)
		nc.Close()
		synctest.Wait()
		require.Equal(t, 1, server.Stats().Connections)
		w.exchange(up, 1)
	})
}
