package gopptp_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

func TestSessionComesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		began := time.Now()
		s := w.dial(nil)

		require.Less(t, time.Since(began), 100*time.Millisecond, "nothing was waited for")
		require.Equal(t, gopptp.StateUp, s.State())
		require.Equal(t, "alice", s.User())
		require.Equal(t, tunnelServer, s.Peer())
		require.True(t, tunnels.Contains(s.Local()), "%v", s.Local())
		require.Equal(t, 1456, s.MTU())
		require.Equal(t, "MPPE 128-bit stateless", s.Encryption())
		require.Equal(t, []netip.Addr{nameServer}, s.DNS())
		require.Equal(t, "gopptp", s.PeerInfo().HostName)
		require.EqualValues(t, 64, s.CallInfo().PacketRecvWindowSize)

		theirs := w.session(server)
		require.Equal(t, gopptp.StateUp, theirs.State())
		require.Equal(t, "alice", theirs.User())
		require.Equal(t, s.Local(), theirs.Peer())
		require.Equal(t, s.Peer(), theirs.Local())
		require.Equal(t, 1456, theirs.MTU())
		require.Equal(t, s.Encryption(), theirs.Encryption())
		require.Equal(t, clientAddr, theirs.RemoteAddr().Addr())
		require.EqualValues(t, 64, theirs.CallInfo().PacketRecvWindowSize)
		require.Equal(t, s.CallSerialNumber(), theirs.CallSerialNumber())
		stats := server.Stats()
		require.Equal(t, 1, stats.Sessions)
		require.Equal(t, 1, stats.Up)
		require.Equal(t, 0, stats.HalfOpen)

		w.exchange(s, 20)
		require.EqualValues(t, 20, s.Counters().SentPackets)
		require.EqualValues(t, 20, s.Counters().ReceivedPackets)
		require.EqualValues(t, 20, theirs.Counters().ReceivedPackets)

		require.NoError(t, s.Close())
		<-s.Done()
		require.NoError(t, s.Err())
		require.Equal(t, gopptp.StateClosed, s.State())
		<-theirs.Done()
		requireCause(t, theirs.Err(), gopptp.CausePeer, gopptp.StateUp)
		require.EqualValues(t, 20, theirs.Counters().ReceivedPackets, "final figures stay")
		require.Zero(t, server.Stats().Sessions)
		require.Equal(t, w.poolSize, w.pool.Free())
	})
}

func TestServerEndsASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		s := w.dial(nil)
		theirs := w.session(server)
		require.NoError(t, theirs.Close())
		<-s.Done()
		requireCause(t, s.Err(), gopptp.CausePeer, gopptp.StateUp)
		<-theirs.Done()
		require.NoError(t, theirs.Err())

		// The next one finds everything as it was.
		again := w.dial(nil)
		w.exchange(again, 3)
	})
}

func TestBadPassword(t *testing.T) {
	for name, spoil := range map[string]func(*gopptp.ClientConfig){
		"wrong password": func(c *gopptp.ClientConfig) { c.Password = "guess" },
		"unknown user":   func(c *gopptp.ClientConfig) { c.User = "mallory" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				server := w.serve(nil)
				_, err := w.tryDial(spoil)
				requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
				var failure *chap.FailureError
				require.ErrorAs(t, err, &failure)
				require.EqualValues(t, 691, failure.Code)
				synctest.Wait()
				require.EqualValues(t, 1, server.Stats().FailedAuthentication)
				require.Zero(t, server.Stats().Sessions)
				require.Equal(t, w.poolSize, w.pool.Free())
				require.NotContains(t, err.Error(), "guess")
			})
		})
	}
}

// A server that does not know the password cannot prove that it does.
func TestImpostor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(func(c *gopptp.ServerConfig) {
			c.Authenticator = gopptp.AuthenticatorFunc(func(context.Context, *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				return &gopptp.AuthResult{AuthenticatorResponse: "S=0123456789ABCDEF0123456789ABCDEF01234567"}, nil
			})
		})
		_, err := w.tryDial(nil)
		requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
		require.ErrorIs(t, err, chap.ErrAuthenticatorResponse)
	})
}

func TestDomainUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(nil)
		s := w.dial(func(c *gopptp.ClientConfig) { c.User = `OFFICE\alice` })
		w.exchange(s, 1)
	})
}

func TestNTHashInsteadOfPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(nil)
		s := w.dial(func(c *gopptp.ClientConfig) {
			hash := chap.NTPasswordHash(password)
			c.Password, c.NTHash = "", &hash
		})
		w.exchange(s, 1)
	})
}

func TestDeadPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) { c.EchoInterval, c.EchoFailures = 10*time.Second, 3 })
		s := w.dial(func(c *gopptp.ClientConfig) { c.EchoInterval, c.EchoFailures = 10*time.Second, 3 })
		theirs := w.session(server)
		time.Sleep(10 * time.Minute)
		require.Equal(t, gopptp.StateUp, s.State(), "echoes keep it alive")

		w.cut()
		began := time.Now()
		<-theirs.Done()
		requireCause(t, theirs.Err(), gopptp.CauseDeadPeer, gopptp.StateUp)
		require.ErrorIs(t, theirs.Err(), lcp.ErrPeerDead)
		require.Less(t, time.Since(began), time.Minute)
		<-s.Done()
		require.Error(t, s.Err())
		require.Zero(t, server.Stats().Sessions)
	})
}

// Of two who would know whether the other is there, the one that dialled asks, of the link
// and of the control connection; the server answers, which tells it as much.
func TestOneEndAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		w.dial(nil)
		asked := make(map[bool]int) // by the server or not
		defer w.session(server).Trace(func(e gopptp.TraceEvent) {
			switch e.Kind {
			case gopptp.TraceControl:
				if messageType(e.Data) == pptp.TypeEchoRequest {
					asked[e.Sent]++
				}
			case gopptp.TracePPP:
				if p, packet, err := ppp.DecodeFrame(e.Data); err == nil && p == ppp.ProtocolLCP && ppp.Code(packet[0]) == ppp.EchoRequest {
					asked[e.Sent]++
				}
			}
		})()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Zero(t, asked[true])
		require.InDelta(t, 120+60, asked[false], 3)
	})
}

func TestGREBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		w.dropGRE(func(int) bool { return true })
		began := time.Now()
		_, err := w.tryDial(nil)
		requireCause(t, err, gopptp.CauseGREBlocked, gopptp.StateEstablish)
		require.ErrorIs(t, err, gopptp.ErrGREBlocked)
		require.Less(t, time.Since(began), 20*time.Second)
		time.Sleep(30 * time.Second)
		require.Zero(t, server.Stats().Connections)
	})
}

// TestImpairedSetUp brings sessions up where much is lost, doubled and late.
func TestImpairedSetUp(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.impair(seed)
				w.serve(nil)
				s, err := w.tryDial(nil)
				require.NoError(t, err)
				w.heal()
				time.Sleep(10 * time.Second)
				require.Equal(t, gopptp.StateUp, s.State())
				w.exchange(s, 5)
			})
		})
	}
}

func TestEncryptionPolicies(t *testing.T) {
	const (
		fails = iota
		clear
		encrypted
	)
	require4 := [4]int{encrypted, encrypted, encrypted, fails}
	policies := []gopptp.EncryptionPolicy{gopptp.EncryptionRequire, gopptp.EncryptionPrefer, gopptp.EncryptionAllow, gopptp.EncryptionDeny}
	want := [4][4]int{
		require4,
		{encrypted, encrypted, encrypted, clear},
		{encrypted, encrypted, clear, clear},
		{fails, clear, clear, clear},
	}
	for i, server := range policies {
		for j, client := range policies {
			t.Run(fmt.Sprintf("server %v client %v", server, client), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					clearData := 0
					w.tapGRE(func(payload []byte) {
						if isData(payload) {
							clearData++
						}
					})
					w.serve(func(c *gopptp.ServerConfig) { c.Encryption = server })
					s, err := w.tryDial(func(c *gopptp.ClientConfig) { c.Encryption = client })
					if want[i][j] == fails {
						var failure *gopptp.SessionError
						require.ErrorAs(t, err, &failure)
						require.Contains(t, []gopptp.Cause{gopptp.CauseEncryption, gopptp.CausePeer}, failure.Cause)
						if client == gopptp.EncryptionRequire {
							require.Equal(t, gopptp.CauseEncryption, failure.Cause)
						}
						require.Zero(t, clearData)
						return
					}
					require.NoError(t, err)
					synctest.Wait()
					w.exchange(s, 4)
					if want[i][j] == encrypted {
						require.Equal(t, "MPPE 128-bit stateless", s.Encryption())
						require.Equal(t, 1456, s.MTU())
						require.Zero(t, clearData)
					} else {
						require.Equal(t, "none", s.Encryption())
						require.Equal(t, 1460, s.MTU())
						require.Equal(t, 8, clearData)
					}
				})
			})
		}
	}
}

func TestNoAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) { c.Pool = nil })
		_, err := w.tryDial(nil)
		require.ErrorContains(t, err, "No address is available")
		synctest.Wait()
		require.Zero(t, server.Stats().Sessions)
	})
}

// A client that gives up must leave nothing behind.
func TestDialCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, _ *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
		})
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, err := gopptp.Dial(ctx, serverAddr.String(), w.clientConfig())
		requireCause(t, err, gopptp.CauseTimeout, gopptp.StateAuthenticate)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(began), 10*time.Second)
		time.Sleep(time.Second)
		require.Zero(t, server.Stats().Sessions)
	})
}

func TestConnectionRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, err := w.tryDial(nil)
		requireCause(t, err, gopptp.CauseConnect, gopptp.StateConnect)
	})
}

func TestTimeLimits(t *testing.T) {
	for name, c := range map[string]struct {
		grant gopptp.AuthResult
		cause gopptp.Cause
		err   error
	}{
		"session": {gopptp.AuthResult{SessionTimeout: time.Hour}, gopptp.CauseSessionTimeout, gopptp.ErrSessionTimeout},
		"idle":    {gopptp.AuthResult{IdleTimeout: time.Hour}, gopptp.CauseIdleTimeout, gopptp.ErrIdleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.users["alice"].Result = c.grant
				server := w.serve(nil)
				s := w.dial(nil)
				theirs := w.session(server)
				began := time.Now()
				<-theirs.Done()
				require.InDelta(t, time.Hour, time.Since(began), float64(10*time.Second))
				requireCause(t, theirs.Err(), c.cause, gopptp.StateUp)
				require.ErrorIs(t, theirs.Err(), c.err)
				<-s.Done()
			})
		})
	}
}

func TestIdleLimitHeedsTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.users["alice"].Result.IdleTimeout = time.Minute
		w.serve(nil)
		s := w.dial(nil)
		for range 10 {
			time.Sleep(50 * time.Second)
			w.exchange(s, 1)
		}
		require.Equal(t, gopptp.StateUp, s.State())
		time.Sleep(3 * time.Minute)
		require.Equal(t, gopptp.StateClosed, s.State())
	})
}

// idlePlane is a data plane whose calls know how long they have been idle.
type idlePlane struct {
	gopptp.Dataplane
	idle func() (time.Duration, error)
}

type idleCall struct {
	gopptp.Call
	plane *idlePlane
}

func (p *idlePlane) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	c, err := p.Dataplane.Open(cfg, h)
	return &idleCall{c, p}, err
}

func (c *idleCall) Idle() (time.Duration, error) { return c.plane.idle() }

func TestIdleLimitAsTheDataplaneCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.users["alice"].Result.IdleTimeout = time.Minute
		var last atomic.Pointer[time.Time] // nil: it cannot tell
		packet := func() {
			now := time.Now()
			last.Store(&now)
		}
		packet()
		w.serve(func(c *gopptp.ServerConfig) {
			c.Dataplane = &idlePlane{c.Dataplane, func() (time.Duration, error) {
				if at := last.Load(); at != nil {
					return time.Since(*at), nil
				}
				return 0, errors.New("no idea")
			}}
		})
		s := w.dial(nil)
		time.Sleep(50 * time.Second)
		packet()
		time.Sleep(59 * time.Second)
		require.Equal(t, gopptp.StateUp, s.State())
		time.Sleep(2 * time.Second)
		require.Equal(t, gopptp.StateClosed, s.State(), "a minute after the last packet, and not after the last check")

		// One that cannot tell at the moment has counters.
		last.Store(nil)
		s = w.dial(nil)
		time.Sleep(50 * time.Second)
		w.exchange(s, 1)
		time.Sleep(20 * time.Second)
		require.Equal(t, gopptp.StateUp, s.State())
		time.Sleep(time.Minute)
		require.Equal(t, gopptp.StateClosed, s.State())
	})
}

// requireCause checks how a session ended.
func requireCause(t *testing.T, err error, cause gopptp.Cause, stage gopptp.State) {
	t.Helper()
	var failure *gopptp.SessionError
	require.True(t, errors.As(err, &failure), "%v", err)
	require.Equal(t, cause.String(), failure.Cause.String(), "%v", err)
	require.Equal(t, stage.String(), failure.Stage.String(), "%v", err)
}

// Whoever gives up first, the other end knows why too.
func TestGREBlockedAndThePeerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(func(c *gopptp.ServerConfig) { c.Limits.GRETimeout = 3 * time.Second })
		w.dropGRE(func(int) bool { return true })
		_, err := w.tryDial(nil)
		requireCause(t, err, gopptp.CauseGREBlocked, gopptp.StateEstablish)
		require.ErrorIs(t, err, gopptp.ErrPeerClosed)
	})
}
