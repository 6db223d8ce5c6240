package gopptp_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/ppp"
)

var otherTunnels = netip.MustParsePrefix("10.9.2.0/24")

// config is one that serve takes, changed.
func (w *world) serverConfig(change func(*gopptp.ServerConfig)) gopptp.ServerConfig {
	cfg := gopptp.ServerConfig{
		Authenticator: gopptp.NewLocalAuthenticator(func(_ context.Context, name string) (*gopptp.LocalUser, error) {
			return w.user(name), nil
		}),
		Pool:         w.pool,
		LocalAddress: tunnelServer,
		DNS:          []netip.Addr{nameServer},
	}
	change(&cfg)
	return cfg
}

// Sessions begin with what holds when they begin, and keep it.
func TestReconfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		events := map[string][]gopptp.State{}
		observe := func(name string) gopptp.Observer {
			return gopptp.ObserverFunc(func(e gopptp.SessionEvent) { events[name] = append(events[name], e.State) })
		}
		server := w.serve(func(c *gopptp.ServerConfig) { c.Observer = observe("old") })
		before := w.dial(nil)
		theirs := w.session(server)

		pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(otherTunnels)})
		require.NoError(t, err)
		poolSize := pool.Free()
		otherServer, otherDNS := netip.MustParseAddr("10.9.2.254"), netip.MustParseAddr("10.9.2.53")
		var traced atomic.Int32
		methods := []ppp.AuthMethod{ppp.AuthPAP}
		cfg := w.serverConfig(func(c *gopptp.ServerConfig) {
			c.Pool = pool
			c.LocalAddress = otherServer
			c.DNS = []netip.Addr{otherDNS}
			c.MTU = 1280
			c.Name = "renamed"
			c.AuthMethods = methods
			c.Encryption = gopptp.EncryptionAllow
			c.IPv6 = &gopptp.IPv6Config{}
			c.Observer = observe("new")
			c.Trace = func(gopptp.TraceEvent) { traced.Add(1) }
		})
		require.NoError(t, server.Reconfigure(cfg))
		methods[0], cfg.DNS[0] = ppp.AuthMSCHAPv2, netip.Addr{} // are the caller's again

		after := w.dial(func(c *gopptp.ClientConfig) {
			c.AuthMethods = []ppp.AuthMethod{ppp.AuthPAP}
			c.Encryption = gopptp.EncryptionAllow
			c.IPv6 = true
		})
		require.True(t, otherTunnels.Contains(after.Local()), "%v", after.Local())
		require.Equal(t, otherServer, after.Peer())
		require.Equal(t, []netip.Addr{otherDNS}, after.DNS())
		for _, s := range server.Sessions() {
			if s != theirs {
				require.Equal(t, 1280, s.MTU())
			}
		}
		require.Equal(t, "none", after.Encryption())
		require.Equal(t, "renamed", after.PeerInfo().HostName)
		require.True(t, after.PeerIPv6().IsValid())
		require.NotZero(t, traced.Load())

		// Nothing of it concerns the one that was there.
		count := traced.Load()
		time.Sleep(time.Hour)
		w.exchange(before, 5)
		require.Equal(t, "MPPE 128-bit stateless", before.Encryption())
		require.NoError(t, after.Close())
		<-after.Done()
		synctest.Wait()
		require.Equal(t, poolSize, pool.Free())
		require.Equal(t, w.poolSize-1, w.pool.Free())
		require.Greater(t, traced.Load(), count)
		count = traced.Load()
		require.NoError(t, theirs.Close())
		<-theirs.Done()
		<-before.Done()
		synctest.Wait()
		require.Equal(t, w.poolSize, w.pool.Free(), "its address goes back to where it came from")
		require.Equal(t, count, traced.Load())
		whole := []gopptp.State{
			gopptp.StateCall, gopptp.StateEstablish, gopptp.StateAuthenticate, gopptp.StateNetwork,
			gopptp.StateUp, gopptp.StateTerminate, gopptp.StateClosed,
		}
		require.Equal(t, map[string][]gopptp.State{"old": whole, "new": whole}, events)
	})
}

// A configuration with a fault in it changes nothing at all.
func TestReconfigureRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) { c.Loops = 2 })
		fields := func(err error) (list []string) {
			t.Helper()
			joined, ok := err.(interface{ Unwrap() []error })
			require.True(t, ok, "%v", err)
			for _, e := range joined.Unwrap() {
				for line := range strings.Lines(e.Error()) {
					list = append(list, strings.Fields(line)[1])
				}
			}
			return list
		}
		err := server.Reconfigure(w.serverConfig(func(c *gopptp.ServerConfig) {
			c.Dataplane = w.host(clientAddr).Dataplane()
			c.Loops = 3
			c.Name = strings.Repeat("x", 64)
			c.DNS = []netip.Addr{netip.MustParseAddr("10.9.9.9")}
			c.Limits.MaxSessions = -1
		}))
		var failure *gopptp.ConfigError
		require.ErrorAs(t, err, &failure)
		require.Equal(t, []string{"Dataplane:", "Loops:", "Name:", "Limits.MaxSessions:"}, fields(err))

		// A value that cannot be compared is another one.
		err = server.Reconfigure(w.serverConfig(func(c *gopptp.ServerConfig) { c.Dataplane = failingPlane{} }))
		require.Equal(t, []string{"Dataplane:"}, fields(err))
		require.Equal(t, []netip.Addr{nameServer}, w.dial(nil).DNS())

		require.NoError(t, server.Reconfigure(w.serverConfig(func(c *gopptp.ServerConfig) {
			c.Dataplane, c.Loops = w.server.Dataplane(), 2
		})), "what it has may be named")

		require.NoError(t, server.Close())
		require.ErrorIs(t, server.Reconfigure(w.serverConfig(func(*gopptp.ServerConfig) {})), gopptp.ErrServerClosed)
	})
}

// Limits hold at once, for those who come.
func TestReconfigureLimits(t *testing.T) {
	limit := func(w *world, server *gopptp.Server, limits gopptp.Limits) {
		require.NoError(t, server.Reconfigure(w.serverConfig(func(c *gopptp.ServerConfig) { c.Limits = limits })))
	}
	t.Run("sessions", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			server := w.serve(nil)
			a, b := w.dial(nil), w.dial(nil)
			limit(w, server, gopptp.Limits{MaxSessions: 1})
			_, err := w.tryDial(nil)
			requireCause(t, err, gopptp.CauseCall, gopptp.StateCall)
			require.Equal(t, gopptp.StateUp, a.State())
			require.Equal(t, gopptp.StateUp, b.State())
			limit(w, server, gopptp.Limits{})
			w.exchange(w.dial(nil), 1)
		})
	})
	t.Run("half open", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			server := w.serve(func(c *gopptp.ServerConfig) { c.Limits.MaxHalfOpen = 1 })
			defer w.connect().Close()
			synctest.Wait()
			began := time.Now()
			time.AfterFunc(time.Second, func() { limit(w, server, gopptp.Limits{MaxHalfOpen: 2}) })
			w.dial(nil) // waits for that
			require.Equal(t, time.Second, time.Since(began).Round(100*time.Millisecond))

			// Nobody is turned away at once by a limit that has become lower.
			limit(w, server, gopptp.Limits{MaxHalfOpen: 1, HandshakeTimeout: time.Second})
			time.AfterFunc(2*time.Second, func() { limit(w, server, gopptp.Limits{}) })
			w.dial(nil)
			require.Zero(t, server.Stats().RefusedHalfOpen)
		})
	})
	t.Run("rate of a source", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			server := w.serve(nil)
			w.dial(nil)
			limit(w, server, gopptp.Limits{SourceConnections: gopptp.Rate{PerSecond: 0.1, Burst: 1}})
			time.Sleep(10 * time.Second)
			w.dial(nil)
			_, err := w.tryDial(nil)
			require.Error(t, err)
			require.EqualValues(t, 1, server.Stats().RefusedSourceRate)
		})
	})
	t.Run("authentications", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			const clients = 6
			gate := make(chan struct{})
			slow := func(c *gopptp.ServerConfig) {
				next := c.Authenticator
				c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
					<-gate
					return next.Authenticate(ctx, req)
				})
			}
			server := w.serve(func(c *gopptp.ServerConfig) {
				slow(c)
				c.Limits.MaxAuthentications = 1
			})
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					if _, err := w.tryDial(nil); err != nil {
						t.Error(err)
					}
				})
			}
			time.Sleep(time.Second)
			require.Equal(t, 1, server.Stats().Authentications)
			require.Equal(t, clients-1, server.Stats().AuthenticationsWaiting)
			limit(w, server, gopptp.Limits{MaxAuthentications: 4})
			synctest.Wait()
			require.Equal(t, 4, server.Stats().Authentications)
			close(gate)
			wg.Wait()
			require.Zero(t, server.Stats().Authentications)
		})
	})
}

// Clients come and go, and everything about the server changes meanwhile.
func TestReconfigureUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var settled atomic.Bool
		server := w.serve(nil)
		pools := []*gopptp.Pool{w.pool}
		for i := range 3 {
			p, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix(fmt.Sprintf("10.9.%d.0/24", 10+i)))})
			require.NoError(t, err)
			pools = append(pools, p)
		}
		var clients, changes sync.WaitGroup
		changes.Go(func() {
			for i := 0; !settled.Load(); i++ {
				err := server.Reconfigure(w.serverConfig(func(c *gopptp.ServerConfig) {
					c.Pool = pools[i%len(pools)]
					c.Name = fmt.Sprint("name ", i)
					c.MTU = 1400 + i%50
					c.Limits.MaxAuthentications = 1 + i%4
					c.Limits.MaxHalfOpen = 5 + i%10
					c.Limits.SourceConnections.PerSecond = float64(1000 + i)
					c.Trace = func(gopptp.TraceEvent) {}
					c.Observer = gopptp.ObserverFunc(func(gopptp.SessionEvent) {})
				}))
				if err != nil {
					t.Error(err)
				}
				time.Sleep(3 * time.Millisecond)
			}
		})
		for i := range 20 {
			clients.Go(func() {
				addr := netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + i)})
				for range 10 {
					s, err := w.tryDialFrom(addr, nil)
					if err != nil {
						t.Error(err)
						return
					}
					time.Sleep(time.Duration(i) * time.Millisecond)
					s.Close()
					<-s.Done()
				}
			})
		}
		clients.Wait()
		settled.Store(true)
		changes.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, server.Sessions())
		require.EqualValues(t, 200, server.Stats().SessionsStarted)
		for _, p := range pools {
			require.Equal(t, w.poolSize, p.Free())
		}
	})
}
