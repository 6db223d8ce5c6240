package gopptp_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ipcp"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/ppp"
)

var (
	delegated6  = netip.MustParsePrefix("2001:db8:1::/48")
	behind6     = netip.MustParseAddr("2001:db8:99::1") // on the server's side
	behindNet6  = netip.MustParsePrefix("2001:db8:99::/48")
	nameServer6 = netip.MustParseAddr("2001:db8:99::53")
)

// serve6 starts a server that does IPv6.
func (w *world) serve6(change func(*gopptp.ServerConfig)) (*gopptp.Server, *gopptp.IPv6Pool) {
	pool, err := gopptp.NewIPv6Pool(delegated6)
	require.NoError(w.t, err)
	return w.serve(func(c *gopptp.ServerConfig) {
		c.IPv6 = &gopptp.IPv6Config{Pool: pool, DNS: []netip.Addr{nameServer6}}
		if change != nil {
			change(c)
		}
	}), pool
}

func want6(c *gopptp.ClientConfig) {
	c.IPv6 = true
	c.Routes = []netip.Prefix{behindNet6}
}

// echo6 makes an Echo Request, or with kind 129 a reply, without a checksum that
// anybody looks at.
func echo6(from, to netip.Addr, kind byte, sequence, size int) []byte {
	b := make([]byte, 48+size)
	b[0], b[6], b[7], b[40] = 0x60, 58, 64, kind
	binary.BigEndian.PutUint16(b[4:], uint16(8+size))
	copy(b[8:], from.AsSlice())
	copy(b[24:], to.AsSlice())
	binary.BigEndian.PutUint16(b[46:], uint16(sequence))
	for i := range b[48:] {
		b[48+i] = byte(i * sequence)
	}
	return b
}

// ping6 sends n Echo Requests and their replies through a client's session each
// way, of all sizes up to the MTU.
func (w *world) ping6(addr netip.Addr, s *gopptp.Session, n int) {
	w.t.Helper()
	client, own := w.host(addr), s.IPv6Address()
	for i := range n {
		size := (s.MTU() - 48) * i / max(n-1, 1)
		w.carry(client, w.server, echo6(own, behind6, 128, i, size))
		w.carry(w.server, client, echo6(behind6, own, 129, i, size))
		w.carry(w.server, client, echo6(behind6, own, 128, i, size))
		w.carry(client, w.server, echo6(own, behind6, 129, i, size))
	}
}

func TestSessionIPv6(t *testing.T) {
	for _, policy := range []gopptp.EncryptionPolicy{gopptp.EncryptionRequire, gopptp.EncryptionDeny} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			server, pool := w.serve6(func(c *gopptp.ServerConfig) { c.Encryption = policy })
			free := pool.Free()
			began := time.Now()
			s := w.dial(func(c *gopptp.ClientConfig) { want6(c); c.Encryption = policy })
			require.Less(t, time.Since(began), 100*time.Millisecond, "nothing was waited for")
			theirs := w.session(server)
			require.Equal(t, free-1, pool.Free())

			require.True(t, s.LocalIPv6().IsLinkLocalUnicast())
			require.Equal(t, s.LocalIPv6(), theirs.PeerIPv6())
			require.Equal(t, s.PeerIPv6(), theirs.LocalIPv6())
			require.NotEqual(t, s.LocalIPv6(), s.PeerIPv6())
			require.True(t, delegated6.Contains(s.IPv6Prefix().Addr()))
			require.Equal(t, s.IPv6Prefix(), theirs.IPv6Prefix())
			require.True(t, s.IPv6Prefix().Contains(s.IPv6Address()))
			require.Equal(t, s.LocalIPv6().AsSlice()[8:], s.IPv6Address().AsSlice()[8:])
			require.False(t, theirs.IPv6Address().IsValid(), "a router has none in its host's prefix")
			require.Equal(t, []netip.Addr{nameServer6}, s.IPv6DNS())
			require.Equal(t, []netip.Addr{nameServer6}, theirs.IPv6DNS())

			w.exchange(s, 5)
			w.ping6(clientAddr, s, 10)
			// The link's own packets are nobody's traffic.
			require.EqualValues(t, 25, s.Counters().SentPackets)
			require.EqualValues(t, 25, theirs.Counters().SentPackets)
			require.Zero(t, theirs.Counters().DroppedSource+theirs.Counters().DroppedNetwork+theirs.Counters().DroppedClear)

			// A day later, all is as it was: the prefix has not run out.
			time.Sleep(24 * time.Hour)
			w.ping6(clientAddr, s, 2)

			s.Close()
			<-s.Done()
			<-theirs.Done()
			synctest.Wait()
			require.Equal(t, free, pool.Free())
			require.Equal(t, w.poolSize, w.pool.Free())
			require.Empty(t, w.server.Attached())
			require.Empty(t, w.host(clientAddr).Attached())
		})
	}
}

// Every session has a prefix of its own, and gets no packets of another.
func TestIPv6PrefixesAreUnique(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, pool := w.serve6(nil)
		free := pool.Free()
		sessions := map[netip.Addr]*gopptp.Session{}
		prefixes := map[netip.Prefix]bool{}
		for i := range 20 {
			addr := netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + i)})
			s, err := w.tryDialFrom(addr, want6)
			require.NoError(t, err)
			synctest.Wait()
			sessions[addr] = s
			prefixes[s.IPv6Prefix()] = true
		}
		require.Len(t, prefixes, 20)
		require.Equal(t, free-20, pool.Free())
		for addr, s := range sessions {
			w.ping6(addr, s, 1)
		}
		for _, s := range sessions {
			s.Close()
			<-s.Done()
		}
		synctest.Wait()
		require.Equal(t, free, pool.Free())
	})
}

// One end that does no IPv6 leaves the other its IPv4.
func TestIPv6Refused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		s := w.dial(want6)
		time.Sleep(time.Minute)
		require.Equal(t, gopptp.StateUp, s.State())
		require.False(t, s.LocalIPv6().IsValid())
		require.False(t, s.IPv6Prefix().IsValid())
		w.exchange(s, 5)
		require.Equal(t, gopptp.StateUp, w.session(server).State())
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server, _ := w.serve6(nil)
		rejects := 0
		w.tapGRE(func(frame []byte) {
			p, payload, err := ppp.DecodeFrame(frame)
			if err == nil && p == ppp.ProtocolLCP && payload[0] == byte(ppp.ProtocolReject) {
				require.Equal(t, []byte{0x80, 0x57}, payload[4:6])
				rejects++
			}
		})
		s := w.dial(nil)
		time.Sleep(time.Minute)
		w.exchange(s, 5)
		require.Equal(t, 1, rejects, "is told once, and heeded")
		require.False(t, w.session(server).LocalIPv6().IsValid())
	})
}

// A Terminate-Request of one network protocol leaves the other alone, whichever
// end it comes from, and it can come back.
func TestNetworksTerminatedAlone(t *testing.T) {
	for _, encrypted := range []gopptp.EncryptionPolicy{gopptp.EncryptionRequire, gopptp.EncryptionDeny} {
		for _, byServer := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				server, _ := w.serve6(func(c *gopptp.ServerConfig) { c.Encryption = encrypted })
				s := w.dial(func(c *gopptp.ClientConfig) { want6(c); c.Encryption = encrypted })
				theirs := w.session(server)
				who := s
				if byServer {
					who = theirs
				}
				both := func(what string) {
					t.Helper()
					require.Equal(t, gopptp.StateUp, s.State(), what)
					require.Equal(t, gopptp.StateUp, theirs.State(), what)
				}

				who.CloseNetwork(ppp.ProtocolIPV6CP)
				time.Sleep(time.Minute)
				both("without IPv6")
				require.False(t, s.LocalIPv6().IsValid())
				require.False(t, theirs.IPv6Prefix().IsValid())
				w.exchange(s, 3)
				require.Len(t, w.server.Attached(), 1)

				who.OpenNetwork(ppp.ProtocolIPV6CP)
				time.Sleep(time.Minute)
				both("with IPv6 again")
				w.ping6(clientAddr, s, 3)
				w.exchange(s, 3)

				who.CloseNetwork(ppp.ProtocolIPCP)
				time.Sleep(time.Minute)
				both("with IPv6 alone")
				w.ping6(clientAddr, s, 3)
				require.Len(t, w.host(clientAddr).Attached(), 1)
				w.host(clientAddr).Send(w.packet(s.Local(), tunnelServer, s.MTU()))
				synctest.Wait()
				require.Empty(t, w.server.Packets(), "IPv4 is closed")

				who.OpenNetwork(ppp.ProtocolIPCP)
				time.Sleep(time.Minute)
				both("with both again")
				w.exchange(s, 3)
				w.ping6(clientAddr, s, 3)

				who.CloseNetwork(ppp.ProtocolIPCP)
				who.CloseNetwork(ppp.ProtocolIPV6CP)
				<-s.Done()
				<-theirs.Done()
				require.ErrorIs(t, firstError(s, theirs), ppp.ErrNoNetwork, "nothing is left to do")
			})
		}
	}
}

func firstError(sessions ...*gopptp.Session) error {
	for _, s := range sessions {
		if err := s.Err(); err != nil && s.State() == gopptp.StateClosed {
			if e, ok := err.(*gopptp.SessionError); ok && e.Cause == gopptp.CauseNegotiation {
				return err
			}
		}
	}
	return nil
}

// Two ends with the same interface identifier agree on different ones.
func TestIPv6IdentifiersCollide(t *testing.T) {
	same := ipcp.InterfaceID{0, 0, 0, 0, 0, 0, 0, 1}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve6(func(c *gopptp.ServerConfig) { c.IPv6.InterfaceID = same })
		s := w.dial(func(c *gopptp.ClientConfig) { want6(c); c.InterfaceID = same })
		time.Sleep(10 * time.Second)
		require.NotEqual(t, s.LocalIPv6(), s.PeerIPv6())
		require.True(t, s.LocalIPv6().IsValid())
		w.ping6(clientAddr, s, 3)
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve6(func(c *gopptp.ServerConfig) { c.IPv6.InterfaceID = same })
		s := w.dial(func(c *gopptp.ClientConfig) { want6(c); c.InterfaceID = ipcp.InterfaceID{7: 2} })
		require.Equal(t, "fe80::1", s.PeerIPv6().String())
		require.Equal(t, "fe80::2", s.LocalIPv6().String())
	})
}

// What the Authenticator says comes before the pool, and routes are of both
// families.
func TestIPv6ByAuthenticator(t *testing.T) {
	fixed := netip.MustParsePrefix("2001:db8:77:1::/64")
	office := netip.MustParsePrefix("2001:db8:78::/48")
	for _, prefix := range []netip.Prefix{fixed, netip.MustParsePrefix("2001:db8:77::/56")} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			_, pool := w.serve6(func(c *gopptp.ServerConfig) {
				inner := c.Authenticator
				c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, r *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
					a, err := inner.Authenticate(ctx, r)
					if a != nil {
						a.IPv6Prefix = prefix
						a.Routes = []netip.Prefix{office, netip.MustParsePrefix("192.168.7.0/24")}
					}
					return a, err
				})
			})
			free := pool.Free()
			s, err := w.tryDial(want6)
			if prefix != fixed {
				require.Error(t, err, "no /64")
				require.Equal(t, w.poolSize, w.pool.Free())
				return
			}
			require.NoError(t, err)
			synctest.Wait()
			require.Equal(t, fixed, s.IPv6Prefix())
			require.Equal(t, free, pool.Free())
			w.ping6(clientAddr, s, 2)
			p := echo6(behind6, netip.MustParseAddr("2001:db8:78::9"), 128, 1, 10)
			w.carry(w.server, w.host(clientAddr), p)
		})
	}
}

// Without prefixes there is the link, and IPv4.
func TestIPv6WithoutPrefix(t *testing.T) {
	for name, pool := range map[string]gopptp.PrefixPool{"none": nil, "exhausted": emptyPool{}, "wrong": wrongPool{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.serve6(func(c *gopptp.ServerConfig) { c.IPv6.Pool = pool })
				s := w.dial(want6)
				time.Sleep(time.Hour)
				require.True(t, s.LocalIPv6().IsValid())
				require.False(t, s.IPv6Prefix().IsValid())
				require.Equal(t, []netip.Addr{nameServer6}, s.IPv6DNS())
				w.exchange(s, 3)
				w.host(clientAddr).Send(withChecksum(echo6(s.LocalIPv6(), s.PeerIPv6(), 128, 1, 10)))
				got := <-w.host(clientAddr).Packets()
				require.EqualValues(t, 129, got[40], "the router answers")
			})
		})
	}
}

type emptyPool struct{}

func (emptyPool) Acquire(context.Context, gopptp.PoolRequest) (netip.Prefix, error) {
	return netip.Prefix{}, gopptp.ErrPoolExhausted
}
func (emptyPool) Release(netip.Prefix) {}

type wrongPool struct{ emptyPool }

func (wrongPool) Acquire(context.Context, gopptp.PoolRequest) (netip.Prefix, error) {
	return netip.MustParsePrefix("2001:db8::/56"), nil
}

// withChecksum fills in that of an ICMPv6 message.
func withChecksum(p []byte) []byte {
	sum := uint32(len(p)-40) + 58
	for i := 8; i+1 < len(p); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(p[42:], ^uint16(sum))
	return p
}

// A tunnel of the smallest MTU that IPv6 allows.
func TestIPv6SmallestMTU(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve6(nil)
		s := w.dial(func(c *gopptp.ClientConfig) { want6(c); c.MTU = 1280 })
		require.Equal(t, 1280, s.MTU())
		w.ping6(clientAddr, s, 3)
	})
}

// A lost advertisement only takes longer.
func TestIPv6LostAdvertisements(t *testing.T) {
	for lost := range 3 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.serve6(func(c *gopptp.ServerConfig) { c.Encryption = gopptp.EncryptionDeny })
			n := 0
			w.net.Filter(func(p memory.Packet) bool {
				if isData(p.Frame()) {
					n++
					return n > 2*lost // an advertisement and a solicitation
				}
				return true
			})
			s := w.dial(func(c *gopptp.ClientConfig) { want6(c); c.Encryption = gopptp.EncryptionDeny })
			time.Sleep(20 * time.Second)
			require.True(t, s.IPv6Prefix().IsValid())
			w.ping6(clientAddr, s, 2)
		})
	}
}

// A prefix that is advertised no more is not used for ever.
func TestIPv6PrefixExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve6(func(c *gopptp.ServerConfig) { c.Encryption = gopptp.EncryptionDeny })
		s := w.dial(func(c *gopptp.ClientConfig) { want6(c); c.Encryption = gopptp.EncryptionDeny })
		require.True(t, s.IPv6Prefix().IsValid())
		w.net.Filter(func(p memory.Packet) bool { return !isData(p.Frame()) })
		time.Sleep(2*time.Hour - time.Second)
		require.True(t, s.IPv6Prefix().IsValid())
		time.Sleep(10 * time.Minute)
		require.False(t, s.IPv6Prefix().IsValid())
		require.False(t, s.IPv6Address().IsValid())
		require.True(t, s.LocalIPv6().IsValid())
		w.net.Filter(nil)
		time.Sleep(time.Hour)
		require.True(t, s.IPv6Prefix().IsValid(), "asked for again")
		w.ping6(clientAddr, s, 2)
	})
}

// The Observer hears of IPv6 by StateUp, once each time that it changes.
func TestIPv6Observed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve6(nil)
		var mu sync.Mutex
		var ups []string
		s := w.dial(func(c *gopptp.ClientConfig) {
			want6(c)
			c.Observer = gopptp.ObserverFunc(func(e gopptp.SessionEvent) {
				if e.State == gopptp.StateUp {
					mu.Lock()
					defer mu.Unlock()
					ups = append(ups, e.Session.IPv6Address().String())
				}
			})
		})
		time.Sleep(24 * time.Hour)
		mu.Lock()
		defer mu.Unlock()
		require.LessOrEqual(t, len(ups), 3, "up, with a link, with a prefix: %v", ups)
		require.Equal(t, s.IPv6Address().String(), ups[len(ups)-1])
	})
}

// An idle session ends, advertisements or not.
func TestIPv6IsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.users["alice"] = &gopptp.LocalUser{NTHash: chap.NTPasswordHash(password)}
		server, _ := w.serve6(func(c *gopptp.ServerConfig) {
			inner := c.Authenticator
			c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, r *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				a, err := inner.Authenticate(ctx, r)
				if a != nil {
					a.IdleTimeout = time.Hour
				}
				return a, err
			})
		})
		s := w.dial(want6)
		theirs := w.session(server)
		time.Sleep(59 * time.Minute)
		w.ping6(clientAddr, s, 1)
		time.Sleep(59 * time.Minute)
		require.Equal(t, gopptp.StateUp, s.State())
		<-theirs.Done()
		requireCause(t, theirs.Err(), gopptp.CauseIdleTimeout, gopptp.StateUp)
	})
}

// A network with losses carries IPv6 too, in order or not at all.
func TestIPv6Impaired(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.serve6(nil)
			w.impair(seed)
			s, err := w.tryDial(want6)
			require.NoError(t, err)
			for range 100 {
				if s.IPv6Prefix().IsValid() {
					break
				}
				time.Sleep(time.Second)
			}
			require.True(t, s.IPv6Prefix().IsValid(), fmt.Sprint(seed))
			w.heal()
			time.Sleep(10 * time.Second)
			w.ping6(clientAddr, s, 5)
		})
	}
}
