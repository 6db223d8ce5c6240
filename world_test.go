package gopptp_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/ppp"
)

const password = "correct horse"

var (
	serverAddr   = netip.MustParseAddrPort("192.0.2.1:1723")
	clientAddr   = netip.MustParseAddr("198.51.100.1")
	tunnelServer = netip.MustParseAddr("10.9.0.1")
	tunnels      = netip.MustParsePrefix("10.9.1.0/24")
	nameServer   = netip.MustParseAddr("10.9.0.53")
)

// world is a server and any number of clients on a network in memory. It lives
// in the virtual time of the test's bubble.
type world struct {
	t        *testing.T
	net      *memory.Network
	server   *memory.Host
	mu       sync.Mutex // guards clients, and users while a server runs
	clients  map[netip.Addr]*memory.Host
	users    map[string]*gopptp.LocalUser
	pool     *gopptp.Pool
	poolSize int
	stop     context.CancelFunc // of Serve
	served   chan error         // what it returned
	counter  uint32             // of the packets that were exchanged

	// listen, if not nil, makes the listener of serve of the network's.
	listen func(net.Listener) net.Listener
}

func newWorld(t *testing.T) *world {
	w := &world{
		t:       t,
		net:     memory.NewNetwork(),
		clients: make(map[netip.Addr]*memory.Host),
		users: map[string]*gopptp.LocalUser{
			"alice": {NTHash: chap.NTPasswordHash(password)},
			"slow":  {NTHash: chap.NTPasswordHash(password)},
		},
	}
	t.Cleanup(w.net.Close)
	w.server = w.net.Host(serverAddr.Addr())
	var err error
	w.pool, err = gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(tunnels)})
	require.NoError(t, err)
	w.poolSize = w.pool.Free()
	return w
}

// serve starts a server; change, if not nil, alters its configuration. It ends
// with the test.
func (w *world) serve(change func(*gopptp.ServerConfig)) *gopptp.Server {
	cfg := gopptp.ServerConfig{
		Dataplane: w.server.Dataplane(),
		Authenticator: gopptp.NewLocalAuthenticator(func(_ context.Context, name string) (*gopptp.LocalUser, error) {
			return w.user(name), nil
		}),
		Pool:         w.pool,
		LocalAddress: tunnelServer,
		DNS:          []netip.Addr{nameServer},
	}
	if change != nil {
		change(&cfg)
	}
	server, err := gopptp.NewServer(cfg)
	require.NoError(w.t, err)
	l, err := w.server.Listen(serverAddr.Port())
	require.NoError(w.t, err)
	if w.listen != nil {
		l = w.listen(l)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.stop, w.served = cancel, make(chan error, 1)
	go func() { w.served <- server.Serve(ctx, l) }()
	w.t.Cleanup(func() {
		server.Close()
		cancel()
	})
	return server
}

// user is what the server's store knows of a user; nil if nothing.
func (w *world) user(name string) *gopptp.LocalUser {
	w.mu.Lock()
	defer w.mu.Unlock()
	if u := w.users[name]; u != nil {
		known := *u
		return &known
	}
	return nil
}

// edit changes a user while the server runs.
func (w *world) edit(name string, change func(*gopptp.LocalUser)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w.users[name])
}

// host returns the client's machine at an address.
func (w *world) host(addr netip.Addr) *memory.Host {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.clients[addr]
	if h == nil {
		h = w.net.Host(addr)
		w.clients[addr] = h
	}
	return h
}

func (w *world) configFor(h *memory.Host) gopptp.ClientConfig {
	return gopptp.ClientConfig{
		Dataplane:   h.Dataplane(),
		DialContext: h.DialContext,
		User:        "alice",
		Password:    password,
		RequestDNS:  true,
		RequestNBNS: true,
	}
}

func (w *world) clientConfig() gopptp.ClientConfig { return w.configFor(w.host(clientAddr)) }

func (w *world) tryDial(change func(*gopptp.ClientConfig)) (*gopptp.Session, error) {
	return w.tryDialFrom(clientAddr, change)
}

// tryDialFrom dials from the client at an address. It may be called from
// several goroutines.
func (w *world) tryDialFrom(addr netip.Addr, change func(*gopptp.ClientConfig)) (*gopptp.Session, error) {
	cfg := w.configFor(w.host(addr))
	if change != nil {
		change(&cfg)
	}
	s, err := gopptp.Dial(context.Background(), serverAddr.String(), cfg)
	if err == nil {
		w.t.Cleanup(func() {
			s.Close()
			<-s.Done()
		})
	}
	return s, err
}

func (w *world) dial(change func(*gopptp.ClientConfig)) *gopptp.Session {
	w.t.Helper()
	s, err := w.tryDial(change)
	require.NoError(w.t, err)
	synctest.Wait() // the other end has the last word still to hear
	return s
}

// connect makes a bare TCP connection to the server.
func (w *world) connect() net.Conn {
	nc, err := w.host(clientAddr).DialContext(context.Background(), "tcp4", serverAddr.String())
	require.NoError(w.t, err)
	return nc
}

// session returns the server's only session, once it is up.
func (w *world) session(server *gopptp.Server) *gopptp.Session {
	w.t.Helper()
	for range 1000 {
		if list := server.Sessions(); len(list) == 1 && list[0].State() == gopptp.StateUp {
			return list[0]
		}
		time.Sleep(10 * time.Millisecond)
	}
	require.FailNow(w.t, "the server's session does not come up")
	return nil
}

// dropGRE loses the packets for which f returns true, given how many have been
// sent before.
func (w *world) dropGRE(f func(i int) bool) {
	if f == nil {
		w.net.Filter(nil)
		return
	}
	i := 0
	w.net.Filter(func(memory.Packet) bool {
		i++
		return !f(i - 1)
	})
}

// tapGRE shows f the PPP frames that are sent.
func (w *world) tapGRE(f func(frame []byte)) {
	w.net.Tap(func(p memory.Packet) {
		if frame := p.Frame(); frame != nil {
			f(frame)
		}
	})
}

// isData reports whether a frame holds a user's packet in clear.
func isData(frame []byte) bool {
	p, _, err := ppp.DecodeFrame(frame)
	return err == nil && (p == ppp.ProtocolIPv4 || p == ppp.ProtocolIPv6)
}

// impair loses, doubles, delays and reorders.
func (w *world) impair(seed uint64) {
	w.net.Impair(memory.Impairment{
		Loss: 0.1, Duplicate: 0.1, Delay: 5 * time.Millisecond, Jitter: 20 * time.Millisecond, Seed: seed,
	})
}

func (w *world) heal() { w.net.Impair(memory.Impairment{}) }

func (w *world) cut() { w.net.Cut(true) }

// exchange sends n packets each way through a session and wants each to arrive
// unchanged, in order.
func (w *world) exchange(s *gopptp.Session, n int) {
	w.t.Helper()
	w.exchangeFrom(clientAddr, s, n)
}

func (w *world) exchangeFrom(addr netip.Addr, s *gopptp.Session, n int) {
	w.t.Helper()
	client := w.host(addr)
	synctest.Wait()
	for range n {
		w.carry(client, w.server, w.packet(s.Local(), tunnelServer, s.MTU()))
		w.carry(w.server, client, w.packet(tunnelServer, s.Local(), s.MTU()))
	}
}

func (w *world) carry(from, to *memory.Host, packet []byte) {
	w.t.Helper()
	from.Send(packet)
	select {
	case got := <-to.Packets():
		require.Equal(w.t, packet, got)
	case <-time.After(10 * time.Second):
		require.FailNow(w.t, "a packet does not arrive")
	}
}

// packet makes a UDP packet with random content, of any size up to mtu.
func (w *world) packet(from, to netip.Addr, mtu int) []byte {
	w.counter++
	random := rand.New(rand.NewPCG(uint64(w.counter), 1))
	const headers = 28
	b := make([]byte, headers+random.IntN(mtu-headers+1))
	for i := headers; i < len(b); i++ {
		b[i] = byte(random.Uint32())
	}
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	src, dst := from.As4(), to.As4()
	copy(b[12:], src[:])
	copy(b[16:], dst[:])
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
	binary.BigEndian.PutUint16(b[20:], 1000)
	binary.BigEndian.PutUint16(b[22:], 2000)
	binary.BigEndian.PutUint16(b[24:], uint16(len(b)-20))
	return b
}
