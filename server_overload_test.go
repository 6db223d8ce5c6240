package gopptp_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/pptp"
)

// logged keeps what a server reports.
type logged struct {
	slog.Handler
	mu    sync.Mutex
	lines []map[string]any
}

func newLogged() *logged { return &logged{Handler: slog.DiscardHandler} }

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	line := map[string]any{"msg": r.Message}
	r.Attrs(func(a slog.Attr) bool {
		line[a.Key] = a.Value.Any()
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

func (l *logged) with(msg string) (lines []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if line["msg"] == msg {
			lines = append(lines, line)
		}
	}
	return lines
}

// A client that finds the server full waits, and comes in when there is room.
func TestHalfOpenPlaceBecomesFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Limits.MaxHalfOpen = 2
			c.Limits.HandshakeTimeout = 3 * time.Second
		})
		for range 2 {
			defer w.connect().Close()
		}
		synctest.Wait()
		began := time.Now()
		w.exchange(w.dial(nil), 1)
		require.Equal(t, 3*time.Second, time.Since(began).Round(time.Second))
		require.EqualValues(t, 1, server.Stats().Delayed)
		require.Zero(t, server.Stats().RefusedHalfOpen)
	})
}

// A shutdown does not wait for who waits.
func TestShutdownWhileFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) { c.Limits.MaxHalfOpen = 1 })
		defer w.connect().Close()
		synctest.Wait()
		began := time.Now()
		go server.Shutdown(context.Background())
		_, err := w.tryDial(nil)
		require.Error(t, err)
		require.ErrorIs(t, <-w.served, gopptp.ErrServerClosed)
		require.Less(t, time.Since(began), time.Second)
	})
}

// Connections that come faster than they are taken in wait for their turn.
func TestConnectionRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Limits.Connections = gopptp.Rate{PerSecond: 10, Burst: 5}
		})
		began := time.Now()
		var wg sync.WaitGroup
		for range 25 {
			wg.Go(func() {
				if _, err := w.tryDial(nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.InDelta(t, 2*time.Second, time.Since(began), float64(500*time.Millisecond))
		require.EqualValues(t, 20, server.Stats().Delayed)
		require.EqualValues(t, 25, server.Stats().Accepted)
	})
}

func TestSourceRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		log := newLogged()
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Limits.SourceConnections = gopptp.Rate{PerSecond: 1, Burst: 10}
			c.Logger = slog.New(log)
		})
		up := w.dial(nil)
		const flood = 1000
		for range flood {
			w.connect().Close()
			synctest.Wait()
		}
		stats := server.Stats()
		require.EqualValues(t, flood-9, stats.RefusedSourceRate)
		require.EqualValues(t, 10, stats.Accepted)
		_, err := w.tryDialFrom(netip.MustParseAddr("198.51.100.77"), nil)
		require.NoError(t, err, "another source is not concerned")
		w.exchange(up, 1)

		// It is told of, and not a thousand times.
		time.Sleep(20 * time.Second)
		lines := log.with("control connection refused")
		require.Len(t, lines, 6)
		require.Equal(t, clientAddr, lines[0]["remote"].(netip.AddrPort).Addr())
		require.EqualValues(t, flood-9-5, lines[5]["more"])
		w.exchange(w.dial(nil), 1)
	})
}

// While too many wait for the authenticator, calls are refused before PPP begins.
// Those who are in stay, even if their turn to prove themselves anew has come.
func TestAuthenticatorOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var stuck atomic.Bool
		free := make(chan struct{})
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Limits.MaxAuthentications, c.Limits.MaxAuthWaiting = 1, 2 // beside the one who is in
			c.Limits.AuthWait = 15 * time.Second
			c.Limits.GRETimeout = time.Minute
			c.Reauthenticate = 10 * time.Second
			local := c.Authenticator
			c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				if stuck.Load() {
					<-free
				}
				return local.Authenticate(ctx, req)
			})
		})
		up := w.dial(nil)
		theirs := w.session(server)
		stuck.Store(true)
		var wg sync.WaitGroup
		var failed atomic.Int32
		for range 3 {
			wg.Go(func() {
				_, err := w.tryDial(nil)
				if err == nil {
					return
				}
				failed.Add(1)
				if failure := (*gopptp.SessionError)(nil); !errors.As(err, &failure) || failure.Stage != gopptp.StateAuthenticate {
					t.Error(err)
				}
			})
		}
		time.Sleep(11 * time.Second) // and the one who is in is asked, too
		stats := server.Stats()
		require.Equal(t, 1, stats.Authentications)
		require.Equal(t, 3, stats.AuthenticationsWaiting)
		_, err := w.tryDial(nil)
		requireCause(t, err, gopptp.CauseCall, gopptp.StateCall)
		require.ErrorContains(t, err, "busy")
		require.EqualValues(t, 1, server.Stats().RefusedAuthWaiting)

		time.Sleep(10 * time.Second)
		require.EqualValues(t, 2, failed.Load())
		require.EqualValues(t, 2, server.Stats().FailedAuthWait)
		require.Equal(t, 1, server.Stats().AuthenticationsWaiting, "the one who is in")
		w.exchange(up, 2)
		stuck.Store(false)
		close(free)
		wg.Wait()
		synctest.Wait()
		require.EqualValues(t, 2, failed.Load())
		require.Equal(t, gopptp.StateUp, theirs.State())
		require.Equal(t, 2, server.Stats().Up)
		w.exchange(up, 2)
	})
}

// An authenticator that has failed for a while costs nobody who is in the session.
func TestReauthenticationUndecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var asked atomic.Int32
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Reauthenticate = time.Minute
			local := c.Authenticator
			c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				if n := asked.Add(1); n >= 2 && n < 5 {
					return nil, errors.New("no route to the back end")
				}
				return local.Authenticate(ctx, req)
			})
		})
		s := w.dial(nil)
		theirs := w.session(server)
		time.Sleep(61 * time.Second)
		require.EqualValues(t, 2, asked.Load())
		time.Sleep(30 * time.Second)
		require.EqualValues(t, 5, asked.Load())
		require.Equal(t, gopptp.StateUp, theirs.State())
		time.Sleep(5 * time.Minute)
		require.Equal(t, gopptp.StateUp, theirs.State())
		require.Greater(t, asked.Load(), int32(8))
		w.exchange(s, 2)
	})
}

// callPlacer is a bare PPTP client that places calls as long as it is told to.
type callPlacer struct {
	n                    uint16
	interval             time.Duration
	clear                bool // each at once
	established, refused int
	results              map[pptp.OutgoingCallResult]int
}

func (p *callPlacer) HandleEvent(c *pptp.Conn, ev pptp.Event) {
	switch e := ev.(type) {
	case pptp.Started:
		for id := range p.n {
			time.AfterFunc(time.Duration(id)*p.interval, func() {
				c.Do(func() { c.PlaceCall(pptp.OutgoingCallRequest{CallID: id}) })
			})
		}
	case pptp.CallEstablished:
		p.established++
		if p.clear {
			c.ClearCall(pptp.CallDisconnectNotify{CallID: e.CallID})
		}
	case pptp.CallRefused:
		p.refused++
		p.results[e.ResultCode]++
	}
}

func (p *callPlacer) HandleClose(*pptp.Conn, error) {}

func TestMaxCalls(t *testing.T) {
	for _, c := range []struct {
		interval    time.Duration
		clear       bool
		established int
	}{
		{0, false, 4},                       // at once
		{10 * time.Second, false, 7},        // each ends after 12 s, as no GRE comes
		{100*time.Millisecond - 1, true, 4}, // in turn, but too often
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			server := w.serve(func(cfg *gopptp.ServerConfig) { cfg.Limits.MaxCalls = 4 })
			p := &callPlacer{n: 7, interval: c.interval, clear: c.clear, results: map[pptp.OutgoingCallResult]int{}}
			conn := pptp.NewConn(w.connect(), pptp.ConnConfig{Config: pptp.Config{Role: pptp.RolePNS, Originator: true}}, p)
			conn.Start()
			time.Sleep(2 * time.Minute)
			<-conn.Done()
			require.Equal(t, c.established, p.established)
			require.Equal(t, 7-c.established, p.results[pptp.OutgoingBusy])
			require.EqualValues(t, 7-c.established, server.Stats().RefusedCalls)
		})
	}
}

// What accept fails for is named.
func TestOutOfDescriptors(t *testing.T) {
	for _, c := range []struct {
		err    error
		reason string
	}{{syscall.EMFILE, "RLIMIT_NOFILE"}, {syscall.ENFILE, "fs.file-max"}, {errors.New("odd"), "listener"}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			log := newLogged()
			fail := 20
			w.listen = func(l net.Listener) net.Listener {
				return failingListener{l, func() error {
					if fail--; fail >= 0 {
						return &net.OpError{Op: "accept", Err: c.err}
					}
					return nil
				}}
			}
			server := w.serve(func(cfg *gopptp.ServerConfig) { cfg.Logger = slog.New(log) })
			time.Sleep(time.Minute)
			w.exchange(w.dial(nil), 1)
			require.EqualValues(t, 20, server.Stats().AcceptErrors)
			lines := log.with("cannot accept connections")
			require.Less(t, len(lines), 15)
			require.Contains(t, lines[0]["reason"], c.reason)
			require.EqualValues(t, 0, lines[0]["connections"])
		})
	}
}
