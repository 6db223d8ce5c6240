package kerneltest_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/kernel/kerneltest"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

var (
	serverAddr  = netip.MustParseAddr("192.0.2.1")
	clientAddr  = netip.MustParseAddr("198.51.100.1")
	serverInner = netip.MustParseAddr("10.9.0.1")
)

// host is a machine of either kind.
type host interface {
	Send(packet []byte)
	Packets() <-chan []byte
	Listen(port uint16) (net.Listener, error)
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// place is a machine with a data plane.
type place struct {
	host
	plane  gopptp.Dataplane
	kernel *kerneltest.Host // nil: package memory
}

// world is a server and a client, in virtual time.
type world struct {
	*testing.T
	net            *memory.Network
	server, client place
	front          *gopptp.Server
}

func (w *world) place(addr netip.Addr, kernelly bool) place {
	if !kernelly {
		h := w.net.Host(addr)
		return place{h, h.Dataplane(), nil}
	}
	h := kerneltest.NewHost(w.net, addr, kerneltest.Options{})
	p, err := h.Open(kernel.Options{})
	require.NoError(w, err)
	return place{h, p, h}
}

// inWorld runs f with data planes of the kernel, or of package memory. In the end,
// nothing must be left.
func inWorld(t *testing.T, server, client bool, change func(*gopptp.ServerConfig), f func(*world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, net: memory.NewNetwork()}
		defer w.net.Close()
		w.server, w.client = w.place(serverAddr, server), w.place(clientAddr, client)
		pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.9.1.0/24"))})
		require.NoError(t, err)
		cfg := gopptp.ServerConfig{
			Dataplane: w.server.plane, Pool: pool, LocalAddress: serverInner,
			KeyLengths: mppe.AllKeyLengths, EncryptionModes: mppe.AllowStateless | mppe.AllowStateful,
			Authenticator: gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
				return &gopptp.LocalUser{NTHash: chap.NTPasswordHash("secret")}, nil
			}),
		}
		if change != nil {
			change(&cfg)
		}
		w.front, err = gopptp.NewServer(cfg)
		require.NoError(t, err)
		l, err := w.server.Listen(1723)
		require.NoError(t, err)
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = w.front.Serve(context.Background(), l)
		}()
		defer func() {
			_ = w.front.Close()
			<-served
			for _, p := range []place{w.server, w.client} {
				require.NoError(t, p.plane.Close())
				if p.kernel != nil {
					require.Zero(t, p.kernel.Leaks())
				}
			}
		}()
		f(w)
	})
}

// dial makes a session that ends with the test, and waits for the server's side too.
func (w *world) dial(change func(*gopptp.ClientConfig)) *gopptp.Session {
	s, err := w.tryDial(change)
	require.NoError(w, err)
	time.Sleep(time.Second)
	return s
}

func (w *world) tryDial(change func(*gopptp.ClientConfig)) (*gopptp.Session, error) {
	cfg := gopptp.ClientConfig{
		Dataplane: w.client.plane, DialContext: w.client.DialContext, User: "alice", Password: "secret",
	}
	if change != nil {
		change(&cfg)
	}
	return gopptp.Dial(context.Background(), netip.AddrPortFrom(serverAddr, 1723).String(), cfg)
}

func hangUp(s *gopptp.Session) {
	s.Close()
	<-s.Done()
}

// carry sends a packet, and reports whether it arrives.
func carry(from, to place, packet []byte) bool {
	from.Send(packet)
	select {
	case got := <-to.Packets():
		return string(got) == string(packet)
	case <-time.After(time.Second):
		return false
	}
}

// exchange sends packets both ways, which all arrive.
func (w *world) exchange(s *gopptp.Session, n int) {
	w.Helper()
	for range n {
		require.True(w, carry(w.client, w.server, ipPacket(s.Local(), serverInner, "to the server")))
		require.True(w, carry(w.server, w.client, ipPacket(serverInner, s.Local(), "to the client")))
	}
}

// clear counts users' packets that go unencrypted, ever.
func (w *world) clear() func() int {
	var mu sync.Mutex
	n := 0
	w.net.Tap(func(p memory.Packet) {
		mu.Lock()
		defer mu.Unlock()
		if protocol, _, err := ppp.DecodeFrame(p.Frame()); err == nil && protocol == ppp.ProtocolIPv4 {
			n++
		}
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

var pairs = map[string]struct{ server, client bool }{
	"kernel and kernel": {true, true},
	"kernel and memory": {true, false},
	"memory and kernel": {false, true},
}

var kinds = map[string]struct {
	lengths mppe.KeyLengths
	modes   mppe.Modes
}{
	"MPPE 128-bit stateless": {mppe.AllowKey128, mppe.AllowStateless},
	"MPPE 128-bit stateful":  {mppe.AllowKey128, mppe.AllowStateful},
	"MPPE 40-bit stateless":  {mppe.AllowKey40, mppe.AllowStateless},
	"MPPE 40-bit stateful":   {mppe.AllowKey40, mppe.AllowStateful},
}

func TestSession(t *testing.T) {
	for pair, who := range pairs {
		for kind, k := range kinds {
			t.Run(pair+", "+kind, func(t *testing.T) {
				inWorld(t, who.server, who.client, nil, func(w *world) {
					clear := w.clear()
					s := w.dial(func(cfg *gopptp.ClientConfig) {
						cfg.KeyLengths, cfg.EncryptionModes = k.lengths, k.modes
					})
					require.Equal(w, kind, s.Encryption())
					w.exchange(s, 600)
					require.Equal(w, uint64(600), s.Counters().SentPackets)
					require.Equal(w, uint64(600), s.Counters().ReceivedPackets)
					hangUp(s)
					require.Equal(w, uint64(600), s.Counters().SentPackets)
					require.Zero(w, clear())
					time.Sleep(time.Second)
					require.Empty(w, w.front.Sessions())
				})
			})
		}
	}
}

func TestSessionInClear(t *testing.T) {
	for pair, who := range pairs {
		t.Run(pair, func(t *testing.T) {
			deny := func(cfg *gopptp.ServerConfig) { cfg.Encryption = gopptp.EncryptionAllow }
			inWorld(t, who.server, who.client, deny, func(w *world) {
				clear := w.clear()
				s := w.dial(func(cfg *gopptp.ClientConfig) { cfg.Encryption = gopptp.EncryptionDeny })
				w.exchange(s, 10)
				require.Equal(w, 20, clear())
				hangUp(s)
			})
		})
	}
}

// Losses cost what is lost, and in stateful mode a round trip.
func TestSessionWithLosses(t *testing.T) {
	for pair, who := range pairs {
		for kind, k := range kinds {
			t.Run(pair+", "+kind, func(t *testing.T) {
				inWorld(t, who.server, who.client, nil, func(w *world) {
					clear := w.clear()
					w.net.Impair(memory.Impairment{Delay: 5 * time.Millisecond})
					s := w.dial(func(cfg *gopptp.ClientConfig) {
						cfg.KeyLengths, cfg.EncryptionModes = k.lengths, k.modes
					})
					for range 10 {
						i := 0
						w.net.Filter(func(memory.Packet) bool { i++; return i > 2 })
						up, down := ipPacket(s.Local(), serverInner, "up"), ipPacket(serverInner, s.Local(), "down")
						require.False(w, carry(w.client, w.server, up))
						require.False(w, carry(w.server, w.client, down))
						for _, c := range []struct {
							from, to place
							packet   []byte
						}{{w.client, w.server, up}, {w.server, w.client, down}} {
							lost := 0
							for !carry(c.from, c.to, c.packet) {
								lost++
								require.Less(w, lost, 3)
							}
						}
						w.exchange(s, 5)
					}
					hangUp(s)
					require.Zero(w, clear())
				})
			})
		}
	}
}

// Whatever gets lost while a session is set up, no packet goes in clear, and in the end
// there is one.
func TestSessionSetUpWithLosses(t *testing.T) {
	for pair, who := range pairs {
		t.Run(pair, func(t *testing.T) {
			for seed := range uint64(8) {
				inWorld(t, who.server, who.client, nil, func(w *world) {
					clear := w.clear()
					w.net.Impair(memory.Impairment{
						Loss: 0.15, Duplicate: 0.1, Delay: 5 * time.Millisecond, Jitter: 10 * time.Millisecond, Seed: seed,
					})
					s := w.dial(nil)
					w.net.Impair(memory.Impairment{})
					time.Sleep(10 * time.Second)
					w.exchange(s, 5)
					hangUp(s)
					require.Zero(w, clear())
				})
			}
		})
	}
}

func TestManySessions(t *testing.T) {
	inWorld(t, true, true, nil, func(w *world) {
		sessions := make(chan *gopptp.Session)
		const n = 50
		for range n {
			go func() {
				s, err := w.tryDial(nil)
				if err != nil {
					w.Error(err)
				}
				sessions <- s
			}()
		}
		var all []*gopptp.Session
		for range n {
			all = append(all, <-sessions)
		}
		time.Sleep(time.Second)
		require.Len(w, w.server.kernel.Devices(), n)
		for _, s := range all {
			require.NotNil(w, s)
			// The client's host has a route by each of them.
			require.True(w, carry(w.server, w.client, ipPacket(serverInner, s.Local(), "down")))
		}
		for _, s := range all {
			s.Close()
		}
		for _, s := range all {
			<-s.Done()
		}
	})
}

// A kernel without MPPE, and what the kernel's does not do, are the session's to know.
func TestNoSuchEncryption(t *testing.T) {
	inWorld(t, true, true, nil, func(w *world) {
		s, err := w.tryDial(func(cfg *gopptp.ClientConfig) { cfg.KeyLengths = mppe.AllowKey56 })
		require.Nil(w, s)
		require.ErrorIs(w, err, mppe.ErrNotSupported)
	})
}

func TestOpenWhereSomethingIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		defer n.Close()
		for _, o := range []kerneltest.Options{
			{PPTP: kerneltest.Missing}, {PPP: kerneltest.Missing}, {Privileges: kerneltest.Unclear},
		} {
			_, err := kerneltest.NewHost(n, serverAddr, o).Open(kernel.Options{})
			require.ErrorIs(t, err, errors.ErrUnsupported, "%+v", o)
		}
		h := kerneltest.NewHost(n, serverAddr, kerneltest.Options{})
		p, err := h.Open(kernel.Options{FirstCallID: 5, LastCallID: 5})
		require.NoError(t, err)
		cfg := gopptp.CallConfig{Local: serverAddr, Peer: clientAddr}
		c, err := p.Open(cfg, deaf{})
		require.NoError(t, err)
		_, err = p.Open(cfg, deaf{})
		require.ErrorIs(t, err, kernel.ErrNoCallID)
		require.NoError(t, c.Close())
		require.NoError(t, p.Close())
		require.Zero(t, h.Leaks())
	})
}

// Two clients behind one NAT may choose the same call ID. Two planes of a host share its
// kernel.
func TestCollision(t *testing.T) {
	inWorld(t, true, true, nil, func(w *world) {
		second, err := w.server.kernel.Open(kernel.Options{})
		require.NoError(w, err)
		cfg := gopptp.CallConfig{Local: serverAddr, Peer: clientAddr}
		a, err := w.server.plane.Open(cfg, deaf{})
		require.NoError(w, err)
		require.NoError(w, a.Connect(gopptp.PeerCall{ID: 1}))
		b, err := second.Open(cfg, deaf{})
		require.NoError(w, err)
		require.ErrorIs(w, b.Connect(gopptp.PeerCall{ID: 1}), kernel.ErrCollision)
		require.NoError(w, b.Connect(gopptp.PeerCall{ID: 2}))
		require.NoError(w, second.Close())
		require.NoError(w, a.Close())
	})
}

// deaf is a CallHandler that nobody needs.
type deaf struct{}

func (deaf) ControlFrame([]byte) {}
func (deaf) Attached(error)      {}
func (deaf) ResetNeeded()        {}
func (deaf) Failed(error)        {}

// Whatever fails, the session ends or never is, and nothing of it is left.
func TestOperationFails(t *testing.T) {
	for _, op := range []kerneltest.Op{
		kerneltest.OpBind, kerneltest.OpConnect, kerneltest.OpAttachChannel, kerneltest.OpNewUnit,
		kerneltest.OpSetFilter, kerneltest.OpSetHeader, kerneltest.OpSetEncryption, kerneltest.OpSetMTU,
		kerneltest.OpSetUp, kerneltest.OpAddAddress, kerneltest.OpAddRoute, kerneltest.OpPass,
	} {
		t.Run(string(op), func(t *testing.T) {
			inWorld(t, true, true, nil, func(w *world) {
				clear := w.clear()
				w.client.kernel.Fail(op, syscall.ENOBUFS)
				_, err := w.tryDial(nil)
				require.ErrorIs(w, err, syscall.ENOBUFS)
				w.client.kernel.Fail(op, nil)
				time.Sleep(time.Minute)
				require.Zero(w, w.client.kernel.Leaks())

				s := w.dial(nil)
				w.exchange(s, 1)
				hangUp(s)
				require.Zero(w, clear())
			})
		})
	}
}

func TestDeviceRemovedDuringSession(t *testing.T) {
	inWorld(t, true, true, nil, func(w *world) {
		s := w.dial(nil)
		require.True(w, w.client.kernel.RemoveDevice(w.client.kernel.Devices()[0].Name))
		<-s.Done()
		require.Error(w, s.Err())
	})
}

// Both data planes of a host are in use at once, and a packet goes by the one that has
// the way.
func TestHostWithBothPlanes(t *testing.T) {
	inWorld(t, true, true, nil, func(w *world) {
		other, err := w.tryDial(func(cfg *gopptp.ClientConfig) { cfg.Dataplane = w.client.kernel.Dataplane() })
		require.NoError(w, err)
		time.Sleep(time.Second)
		w.exchange(other, 3)
		require.Empty(w, w.client.kernel.Devices())
		hangUp(other)
		s := w.dial(nil)
		w.exchange(s, 3)
		require.Len(w, w.client.kernel.Devices(), 1)
		hangUp(s)
	})
}
