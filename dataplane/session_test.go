package dataplane_test

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
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/internal/engine"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/kernel/kerneltest"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/userspace"
)

const password = "correct horse"

var (
	serverAddr  = netip.MustParseAddrPort("192.0.2.1:1723")
	clientAddr  = netip.MustParseAddr("198.51.100.1")
	innerServer = netip.MustParseAddr("10.9.0.1")
)

// adopter is a host's data plane of package memory, in the place of userspace.
type adopter struct{ *engine.Engine }

func (a adopter) Adopt(cfg gopptp.CallConfig, from userspace.Adopted, h gopptp.CallHandler) (gopptp.Call, error) {
	return a.AdoptVia(nil, from.ID, from.Sequence, cfg, h)
}

func adopterOf(h *memory.Host) dataplane.Adopter { return adopter{h.Dataplane().(*engine.Engine)} }

// mixed is a host with a kernel, and userspace beside it.
type mixed struct {
	*kerneltest.Host
	kernel *kernel.Plane
	plane  *dataplane.Plane
}

func newMixed(t *testing.T, n *memory.Network, addr netip.Addr, opts kernel.Options, spill bool) *mixed {
	m := &mixed{Host: kerneltest.NewHost(n, addr, kerneltest.Options{})}
	var err error
	m.kernel, err = m.Open(opts)
	require.NoError(t, err)
	var other func() (dataplane.Adopter, error)
	if spill {
		other = func() (dataplane.Adopter, error) { return adopterOf(m.Host.Host), nil }
	}
	m.plane = dataplane.Compose(m.kernel, other, nil)
	return m
}

// world is a server that has both planes, and a client of package memory; or the other
// way round.
type world struct {
	t      *testing.T
	net    *memory.Network
	mixed  *mixed
	server host
	client host
	fixed  *fixedID // the client's plane, if it has one
	users  int
	gone   []func()
}

// host is what the two kinds have in common.
type host interface {
	Send(packet []byte)
	Packets() <-chan []byte
}

type setting struct {
	name     string
	kernel   kernel.Options
	noSpill  bool
	atClient bool
	keys     mppe.KeyLengths // of the end that has one plane; the other has all
	// firstOther is the first call ID of userspace, if it is not the default.
	firstOther uint16
	modes      mppe.Modes
	impair     memory.Impairment
}

// inWorld runs f with a function that brings a session up.
func inWorld(t *testing.T, s setting, f func(w *world, dial func() (*gopptp.Session, error), server *gopptp.Server)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: memory.NewNetwork()}
		w.net.Impair(s.impair)
		server, client := gopptp.ServerConfig{KeyLengths: mppe.AllKeyLengths}, gopptp.ClientConfig{KeyLengths: mppe.AllKeyLengths}
		var serverHost, clientHost *memory.Host
		if s.atClient {
			w.mixed = newMixed(t, w.net, clientAddr, s.kernel, !s.noSpill)
			serverHost, clientHost = w.net.Host(serverAddr.Addr()), w.mixed.Host.Host
			server.Dataplane, client.Dataplane = serverHost.Dataplane(), w.mixed.plane
			w.server, w.client = serverHost, w.mixed
			server.KeyLengths, server.EncryptionModes = s.keys, s.modes
			client.EncryptionModes = mppe.AllowStateless | mppe.AllowStateful
		} else {
			w.mixed = newMixed(t, w.net, serverAddr.Addr(), s.kernel, !s.noSpill)
			serverHost, clientHost = w.mixed.Host.Host, w.net.Host(clientAddr)
			w.fixed = &fixedID{Adopter: adopterOf(clientHost)}
			server.Dataplane, client.Dataplane = w.mixed.plane, w.fixed
			w.server, w.client = w.mixed, clientHost
			client.KeyLengths, client.EncryptionModes = s.keys, s.modes
			server.EncryptionModes = mppe.AllowStateless | mppe.AllowStateful
		}
		server.Authenticator = gopptp.NewLocalAuthenticator(func(_ context.Context, name string) (*gopptp.LocalUser, error) {
			return &gopptp.LocalUser{NTHash: chap.NTPasswordHash(password)}, nil
		})
		pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.9.1.0/24"))})
		require.NoError(t, err)
		server.Pool, server.LocalAddress = pool, innerServer
		srv, err := gopptp.NewServer(server)
		require.NoError(t, err)
		l, err := serverHost.Listen(serverAddr.Port())
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- srv.Serve(t.Context(), l) }()

		client.DialContext, client.Password = clientHost.DialContext, password
		f(w, func() (*gopptp.Session, error) {
			w.users++
			client.User = fmt.Sprint("user", w.users)
			s, err := gopptp.Dial(t.Context(), serverAddr.String(), client)
			if err == nil {
				w.gone = append(w.gone, func() { s.Close(); <-s.Done() })
			}
			return s, err
		}, srv)

		for _, end := range w.gone {
			end()
		}
		srv.Close()
		require.ErrorIs(t, <-served, gopptp.ErrServerClosed)
		require.NoError(t, w.mixed.plane.Close())
		require.Zero(t, w.mixed.Leaks())
		stats := w.mixed.plane.Stats()
		require.Zero(t, stats.KernelCalls)
		require.Zero(t, stats.UserspaceCalls)
		require.Empty(t, w.mixed.Attached())
		w.net.Close()
	})
}

// fixedID is a data plane all of whose calls have the same ID, if it is free.
type fixedID struct {
	dataplane.Adopter
	call gopptp.Call
}

func (p *fixedID) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (c gopptp.Call, err error) {
	if c, err = p.Adopt(cfg, userspace.Adopted{ID: 77}, h); err != nil {
		return p.Adopter.Open(cfg, h)
	}
	p.call = c
	return c, nil
}

// lose ends the client's last call with the fixed ID, and nobody is told.
func (w *world) lose() { w.fixed.call.Close() }

// packet makes an IPv4 packet.
func packet(from, to netip.Addr, i uint32) []byte {
	p := make([]byte, 20, 24)
	src, dst := from.As4(), to.As4()
	p[0], p[3], p[8], p[9] = 0x45, byte(cap(p)), 64, 253
	copy(p[12:], src[:])
	copy(p[16:], dst[:])
	return binary.BigEndian.AppendUint32(p, i)
}

// exchange has packets go both ways.
func (w *world) exchange(s *gopptp.Session) {
	w.t.Helper()
	synctest.Wait()
	for i := range uint32(20) {
		for _, way := range []struct {
			from, to host
			packet   []byte
		}{
			{w.client, w.server, packet(s.Local(), innerServer, i)},
			{w.server, w.client, packet(innerServer, s.Local(), i)},
		} {
			way.from.Send(way.packet)
			select {
			case got := <-way.to.Packets():
				require.Equal(w.t, way.packet, got)
			case <-time.After(10 * time.Second):
				require.FailNow(w.t, "a packet does not arrive")
			}
		}
	}
}

// drain takes what has arrived.
func (w *world) drain() {
	synctest.Wait()
	for _, h := range []host{w.client, w.server} {
		for len(h.Packets()) > 0 {
			<-h.Packets()
		}
	}
}

// numbers watches the sequence numbers of what a host sends, by the call ID it is for.
type numbers struct {
	mu   sync.Mutex
	seen map[uint16][]uint32
}

func (w *world) watch(from netip.Addr) *numbers {
	n := &numbers{seen: make(map[uint16][]uint32)}
	w.net.Tap(func(p memory.Packet) {
		var h gre.Header
		if _, err := h.Decode(p.Data); err != nil || p.From != from || !h.HasSequence {
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.seen[h.CallID] = append(n.seen[h.CallID], h.Sequence)
	})
	return n
}

// requireGapless wants each number of a call once, in order.
func (n *numbers) requireGapless(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	require.NotEmpty(t, n.seen)
	for id, list := range n.seen {
		for i, seq := range list {
			require.Equal(t, list[0]+uint32(i), seq, "call %d: %v", id, list)
		}
	}
}

var settings = []setting{
	{name: "server"},
	{name: "client", atClient: true},
}

// Where the kernel can do it, it does.
func TestKernelCarries(t *testing.T) {
	for _, s := range settings {
		for name, keys := range map[string]mppe.KeyLengths{"128": mppe.AllowKey128, "40": mppe.AllowKey40} {
			s.keys = keys
			t.Run(s.name+"/"+name, func(t *testing.T) {
				inWorld(t, s, func(w *world, dial func() (*gopptp.Session, error), _ *gopptp.Server) {
					session, err := dial()
					require.NoError(t, err)
					w.exchange(session)
					require.Equal(t, dataplane.Stats{KernelCalls: 1}, w.mixed.plane.Stats())
					require.Len(t, w.mixed.Devices(), 1)
				})
			})
		}
	}
}

// Keys of 56 bits have the call move in the middle of CCP: neither end loses a frame.
func TestKey56Moves(t *testing.T) {
	for _, s := range settings {
		for name, change := range map[string]func(*setting){
			"only 56":  func(s *setting) { s.keys = mppe.AllowKey56 },
			"at best":  func(s *setting) { s.keys = mppe.AllowKey56 | mppe.AllowKey40 },
			"stateful": func(s *setting) { s.keys, s.modes = mppe.AllowKey56, mppe.AllowStateful },
		} {
			change(&s)
			t.Run(s.name+"/"+name, func(t *testing.T) {
				inWorld(t, s, func(w *world, dial func() (*gopptp.Session, error), server *gopptp.Server) {
					addr := serverAddr.Addr()
					if s.atClient {
						addr = clientAddr
					}
					n := w.watch(addr)
					for i := range 3 {
						session, err := dial()
						require.NoError(t, err)
						require.Contains(t, session.Encryption(), "56-bit")
						require.Less(t, session.UpAt().Sub(session.StartedAt()), time.Second, "no frame was lost")
						w.exchange(session)
						moved := dataplane.Moved{KeyLength: uint64(i + 1)}
						if s.modes == mppe.AllowStateful {
							moved = dataplane.Moved{Stateful: uint64(i + 1)}
						}
						require.Equal(t, moved, w.mixed.plane.Stats().Moved)
						require.Equal(t, i+1, w.mixed.plane.Stats().UserspaceCalls)
						require.Zero(t, session.Counters().Lost)
						require.Zero(t, session.Counters().Duplicates)
					}
					n.requireGapless(t)
					time.Sleep(time.Second)
					require.Zero(t, w.mixed.Leaks(), "the kernel has nothing left of them")
					require.Zero(t, w.mixed.kernel.Stats().Calls)
				})
			})
		}
	}
}

// Stateful encryption has a call move as well, and survives there what the kernel's may
// not: that any packet is lost, of those too with which an end begins anew.
func TestStatefulMoves(t *testing.T) {
	for _, s := range settings {
		s.keys, s.modes = mppe.AllowKey128, mppe.AllowStateful
		t.Run(s.name, func(t *testing.T) {
			inWorld(t, s, func(w *world, dial func() (*gopptp.Session, error), _ *gopptp.Server) {
				session, err := dial()
				require.NoError(t, err)
				require.Equal(t, "MPPE 128-bit stateful", session.Encryption())
				require.Less(t, session.UpAt().Sub(session.StartedAt()), time.Second, "no frame was lost")
				w.exchange(session)
				require.Equal(t, dataplane.Stats{UserspaceCalls: 1, Moved: dataplane.Moved{Stateful: 1}}, w.mixed.plane.Stats())
				require.Zero(t, session.Counters().Lost)
				for seed := range uint64(10) {
					w.net.Impair(memory.Impairment{Loss: 0.3, Seed: seed})
					for i := range uint32(75) {
						if i == 50 { // the rest is for them to notice what they have missed
							w.net.Impair(memory.Impairment{})
						}
						w.client.Send(packet(session.Local(), innerServer, i))
						w.server.Send(packet(innerServer, session.Local(), i))
						time.Sleep(100 * time.Millisecond)
					}
					w.drain()
					w.exchange(session)
				}
			})
		})
	}
}

// On a bad path, too.
func TestKey56MovesOnABadPath(t *testing.T) {
	for seed := range uint64(20) {
		s := settings[seed%2]
		s.keys = mppe.AllowKey56
		s.impair = memory.Impairment{Loss: 0.05, Duplicate: 0.1, Delay: 5 * time.Millisecond, Jitter: 10 * time.Millisecond, Seed: seed}
		inWorld(t, s, func(w *world, dial func() (*gopptp.Session, error), _ *gopptp.Server) {
			session, err := dial()
			require.NoError(t, err)
			time.Sleep(10 * time.Second)
			w.net.Impair(memory.Impairment{})
			w.exchange(session)
		})
	}
}

// A client that comes back with the call ID that it had, while the server has the call
// of before yet.
func TestCollisionMoves(t *testing.T) {
	s := setting{keys: mppe.AllowKey128}
	inWorld(t, s, func(w *world, dial func() (*gopptp.Session, error), server *gopptp.Server) {
		n := w.watch(serverAddr.Addr())
		first, err := dial()
		require.NoError(t, err)
		w.exchange(first)
		require.Equal(t, 1, w.mixed.plane.Stats().KernelCalls)

		n.requireGapless(t)
		w.lose() // the client's end of it
		n = w.watch(serverAddr.Addr())
		second, err := dial()
		require.NoError(t, err)
		require.Less(t, second.UpAt().Sub(second.StartedAt()), time.Second)
		w.exchange(second)
		require.Equal(t, dataplane.Stats{KernelCalls: 1, UserspaceCalls: 1, Moved: dataplane.Moved{Collision: 1}}, w.mixed.plane.Stats())
		n.requireGapless(t)
	})
}

// Without a free call ID in the kernel, a call begins in userspace.
func TestNoCallIDMoves(t *testing.T) {
	s := setting{keys: mppe.AllowKey128, kernel: kernel.Options{LastCallID: 1}}
	inWorld(t, s, func(w *world, dial func() (*gopptp.Session, error), _ *gopptp.Server) {
		for i := range 3 {
			session, err := dial()
			require.NoError(t, err)
			w.exchange(session)
			require.Equal(t, dataplane.Stats{KernelCalls: 1, UserspaceCalls: i, Moved: dataplane.Moved{NoCallID: uint64(i)}}, w.mixed.plane.Stats())
		}
	})
}

// Where nothing may move, such sessions fail.
func TestNoSpillFails(t *testing.T) {
	s := setting{keys: mppe.AllowKey56, noSpill: true}
	inWorld(t, s, func(w *world, dial func() (*gopptp.Session, error), _ *gopptp.Server) {
		_, err := dial()
		require.Error(t, err)
	})
	s = setting{keys: mppe.AllowKey128, noSpill: true, kernel: kernel.Options{LastCallID: 1}}
	inWorld(t, s, func(w *world, dial func() (*gopptp.Session, error), _ *gopptp.Server) {
		_, err := dial()
		require.NoError(t, err)
		_, err = dial()
		require.ErrorIs(t, err, gopptp.ErrCallRefused)
	})
}

// A kernel that is slow has frames waiting when the call moves: they go first, and their
// numbers are used up.
func TestMoveOfASlowKernel(t *testing.T) {
	for _, s := range settings {
		s.keys = mppe.AllowKey56
		t.Run(s.name, func(t *testing.T) {
			inWorld(t, s, func(w *world, dial func() (*gopptp.Session, error), _ *gopptp.Server) {
				w.mixed.OnOp(func(op kerneltest.Op, _ uint16) error {
					switch op {
					case kerneltest.OpAttachChannel, kerneltest.OpNewUnit:
						time.Sleep(100 * time.Millisecond)
					case kerneltest.OpWrite:
						time.Sleep(10 * time.Millisecond)
					}
					return nil
				})
				n := w.watch(w.mixed.Addr())
				session, err := dial()
				require.NoError(t, err)
				w.exchange(session)
				n.requireGapless(t)
			})
		})
	}
}
