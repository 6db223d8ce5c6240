package userspace

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/mppe"
)

// owner is what a session is to its call.
type owner struct {
	mu       sync.Mutex
	frames   [][]byte
	attached chan error
	failed   chan error
}

func newOwner() *owner {
	return &owner{attached: make(chan error, 8), failed: make(chan error, 8)}
}

func (o *owner) ControlFrame(frame []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frames = append(o.frames, bytes.Clone(frame))
}
func (o *owner) Attached(err error) { o.attached <- err }
func (o *owner) ResetNeeded()       {}
func (o *owner) Failed(err error)   { o.failed <- err }

func (o *owner) got(frame []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.frames {
		if bytes.Equal(f, frame) {
			return true
		}
	}
	return false
}

// tunnel is a session between two planes, the client's at A and the server's at
// B, without the protocols that would have made it.
type tunnel struct {
	client, server     *Plane
	clientCall         gopptp.Call
	serverCall         gopptp.Call
	atClient, atServer *owner
}

var (
	innerClient = netip.MustParseAddr("10.99.0.2")
	innerServer = netip.MustParseAddr("10.99.0.1")
	pool        = netip.MustParsePrefix("10.99.0.0/24")
)

// newTunnel connects planes in a and b, where the server has the outer address
// server. Users' packets flow after attach.
func newTunnel(t testing.TB, a, b *namespace, server netip.Addr) *tunnel {
	t.Helper()
	return newTunnelWith(t, a, b, server, Options{})
}

// newTunnelWith has both planes opened with opts, which have no names and networks.
func newTunnelWith(t testing.TB, a, b *namespace, server netip.Addr, opts Options) *tunnel {
	t.Helper()
	n := &tunnel{atClient: newOwner(), atServer: newOwner()}
	n.connect(t, a, b, server, opts, n.atClient, n.atServer)
	return n
}

// connect opens the planes and the calls, with what the calls report to.
func (n *tunnel) connect(t testing.TB, a, b *namespace, server netip.Addr, opts Options, client, handler gopptp.CallHandler) {
	t.Helper()
	atClient, atServer := opts, opts
	atClient.TUNName = "client"
	atServer.TUNName, atServer.Prefixes = "server", []netip.Prefix{pool}
	n.client, n.server = a.open(t, atClient), b.open(t, atServer)
	var err error
	n.clientCall, err = n.client.Open(gopptp.CallConfig{Local: outerA, Peer: server}, client)
	require.NoError(t, err)
	n.serverCall, err = n.server.Open(gopptp.CallConfig{Local: server, Peer: outerA}, handler)
	require.NoError(t, err)
	require.NoError(t, n.clientCall.Connect(gopptp.PeerCall{ID: n.serverCall.ID(), Window: 64}))
	require.NoError(t, n.serverCall.Connect(gopptp.PeerCall{ID: n.clientCall.ID(), Window: 64}))
}

func (n *tunnel) encrypt(t testing.TB) {
	t.Helper()
	n.encryptWith(t, mppe.Params{KeyLength: mppe.Key128})
}

// encryptWith has MPPE as p says, with keys of its own.
func (n *tunnel) encryptWith(t testing.TB, p mppe.Params) {
	t.Helper()
	other := p
	up, down := &p, &other
	up.Key, down.Key = mppe.Key{1}, mppe.Key{2}
	require.NoError(t, n.clientCall.PrepareReceive(*down))
	require.NoError(t, n.serverCall.PrepareReceive(*up))
	require.NoError(t, n.clientCall.SetEncryption(gopptp.Encryption{Send: up, Receive: down}))
	require.NoError(t, n.serverCall.SetEncryption(gopptp.Encryption{Send: down, Receive: up}))
}

func (n *tunnel) attach(t testing.TB, mtu int) {
	t.Helper()
	require.NoError(t, n.clientCall.Attach(gopptp.Network{Local: innerClient, Peer: innerServer, MTU: mtu}))
	require.NoError(t, n.serverCall.Attach(gopptp.Network{Local: innerServer, Peer: innerClient, MTU: mtu}))
	for _, o := range []*owner{n.atClient, n.atServer} {
		select {
		case err := <-o.attached:
			require.NoError(t, err)
		case <-time.After(5 * time.Second):
			t.Fatal("not attached")
		}
	}
}

// bothWays runs f in clear and with MPPE.
func bothWays(t *testing.T, f func(t *testing.T, encrypted bool)) {
	for name, encrypted := range map[string]bool{"clear": false, "MPPE": true} {
		t.Run(name, func(t *testing.T) { f(t, encrypted) })
	}
}

func TestPlanes(t *testing.T) {
	bothWays(t, func(t *testing.T, encrypted bool) {
		a, b := newPair(t)
		n := newTunnel(t, a, b, outerB)

		// Control frames, of both directions.
		lcp := []byte{0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4}
		require.NoError(t, n.clientCall.WriteControl(lcp))
		eventually(t, "a control frame at the server", func() bool { return n.atServer.got(lcp) })
		require.NoError(t, n.serverCall.WriteControl(lcp))
		eventually(t, "a control frame at the client", func() bool { return n.atClient.got(lcp) })

		if encrypted {
			n.encrypt(t)
		}
		n.attach(t, 1456)
		testUDP(t, a, b)
		testTCP(t, a, b)

		for _, c := range []gopptp.Call{n.clientCall, n.serverCall} {
			k := c.Counters()
			require.NotZero(t, k.ReceivedPackets)
			require.NotZero(t, k.SentPackets)
			require.Zero(t, k.DroppedSource+k.DroppedClear+k.DroppedEncrypted+k.DroppedMalformed+k.DroppedQueue+k.DroppedNetwork, "%+v", k)
		}
		for _, p := range []*Plane{n.client, n.server} {
			s := p.Stats()
			require.Equal(t, 1, s.Calls)
			require.NotZero(t, s.GRE.Received)
			require.NotZero(t, s.GRE.Sent)
			require.NotZero(t, s.TUN.Received)
			require.NotZero(t, s.TUN.Sent)
			s.GRE.ReceivedXDP, s.GRE.SentXDP = 0, 0
			s.GRE.Received, s.GRE.Sent, s.TUN.Received, s.TUN.Sent = 0, 0, 0, 0
			require.Equal(t, Stats{Calls: 1}, s, "nothing was dropped")
		}
	})
}

// testUDP sends datagrams of many sizes around, one by one.
func testUDP(t *testing.T, client, server *namespace) {
	t.Helper()
	s := server.listenUDP(t, "10.99.0.1:0")
	c := client.listenUDP(t, "10.99.0.2:0")
	to := s.LocalAddr().(*net.UDPAddr).AddrPort()
	from := c.LocalAddr().(*net.UDPAddr).AddrPort()
	buf := make([]byte, 4096)
	for size := 0; size <= 3000; size += 97 { // also such as the host has to cut
		data := bytes.Repeat([]byte{byte(size)}, size)
		_, err := c.WriteToUDPAddrPort(data, to)
		require.NoError(t, err)
		n, addr, err := s.ReadFromUDPAddrPort(buf)
		require.NoError(t, err, size)
		require.Equal(t, from, addr)
		require.Equal(t, data, buf[:n])
		_, err = s.WriteToUDPAddrPort(data, addr)
		require.NoError(t, err)
		n, err = c.Read(buf)
		require.NoError(t, err, size)
		require.Equal(t, data, buf[:n])
	}
}

// testTCP sends a megabyte each way at once.
func testTCP(t *testing.T, client, server *namespace) {
	t.Helper()
	testTCPAt(t, client, server, "10.99.0.1:0")
}

func testTCPAt(t *testing.T, client, server *namespace, addr string) {
	t.Helper()
	transferTCP(t, client, server, addr, 1<<20)
}

func transferTCP(t *testing.T, client, server *namespace, addr string, size int) {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i * i >> 8)
	}
	var listener net.Listener
	var err error
	server.Do(func() { listener, err = net.Listen("tcp", addr) })
	require.NoError(t, err)
	defer listener.Close()

	transfer := func(c net.Conn) error {
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			return err
		}
		written := make(chan error, 1)
		go func() {
			_, err := c.Write(data)
			written <- err
		}()
		hash := sha256.New()
		_, err := io.CopyN(hash, c, int64(size))
		if err := errors.Join(err, <-written); err != nil {
			return err
		}
		if [32]byte(hash.Sum(nil)) != sha256.Sum256(data) {
			return errors.New("other data arrived")
		}
		return nil
	}
	ended := make(chan error, 1)
	go func() {
		c, err := listener.Accept()
		if err != nil {
			ended <- err
			return
		}
		ended <- transfer(c)
	}()
	var c net.Conn
	client.Do(func() { c, err = net.DialTimeout("tcp", listener.Addr().String(), 20*time.Second) })
	require.NoError(t, err)
	require.NoError(t, transfer(c))
	require.NoError(t, <-ended)
}

// A server with several addresses answers from the one that the client called,
// not from the one that the route would choose: the client takes no other.
func TestPlanesSourceAddress(t *testing.T) {
	a, b := newPair(t)
	n := newTunnel(t, a, b, secondB)
	n.attach(t, 1456)
	testUDP(t, a, b)
}

// A path that is narrower than anybody thought is slow, but no black hole.
func TestPlanesNarrowPath(t *testing.T) {
	bothWays(t, func(t *testing.T, encrypted bool) {
		a, b := newPair(t)
		setMTU(t, 1300, a, b)
		n := newTunnel(t, a, b, outerB)
		if encrypted {
			n.encrypt(t)
		}
		n.attach(t, 1456)
		testUDP(t, a, b)
		testTCP(t, a, b)
		require.Zero(t, n.client.Stats().GRE.SendTooLarge)
	})
}

// A session whose MTU is below the device's: the host heeds it.
func TestPlanesSmallMTU(t *testing.T) {
	a, b := newPair(t)
	n := newTunnel(t, a, b, outerB)
	n.attach(t, 1000)
	require.Contains(t, b.routes(t, "server"), "10.99.0.2/32 src 10.99.0.1 mtu 1000")
	testUDP(t, a, b)
	testTCP(t, a, b)
	require.Zero(t, n.serverCall.Counters().DroppedQueue)
}

func TestPlaneAddresses(t *testing.T) {
	a, b := newPair(t)
	n := newTunnel(t, a, b, outerB)
	require.Equal(t, "client", n.client.DeviceName())
	require.Empty(t, a.addresses(t, "client"))
	n.attach(t, 1456)
	require.Equal(t, []string{"10.99.0.2/32"}, a.addresses(t, "client"))
	require.Equal(t, []string{"10.99.0.1/32 src 10.99.0.2"}, a.routes(t, "client"))
	require.Equal(t, []string{"10.99.0.1/32"}, b.addresses(t, "server"))
	require.Equal(t, []string{"10.99.0.0/24"}, b.routes(t, "server"))
	require.NoError(t, n.clientCall.Detach())
	require.NoError(t, n.serverCall.Close())
	eventually(t, "no address", func() bool {
		return len(a.addresses(t, "client"))+len(b.addresses(t, "server")) == 0
	})
	eventually(t, "the pool routed again", func() bool { return len(b.routes(t, "server")) == 1 })
	require.Empty(t, a.routes(t, "client"))
}

// A route that leads the outer packets into the tunnel does no more harm than
// that they are lost.
func TestPlaneLoop(t *testing.T) {
	a, b := newPair(t)
	n := newTunnel(t, a, b, outerB)
	require.NoError(t, n.clientCall.Attach(gopptp.Network{
		Local: innerClient, Peer: innerServer, MTU: 1456,
		Routes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/30")},
	}))
	require.NoError(t, <-n.atClient.attached)
	for range 5 {
		require.NoError(t, n.clientCall.WriteControl([]byte{0xc0, 0x21, 9, 1, 0, 4}))
	}
	eventually(t, "looped packets", func() bool { return n.client.Stats().TUN.Looped == 5 }) // no more, no less
	require.EqualValues(t, 5, n.client.Stats().GRE.Sent)
}

func TestPlaneUnknownCall(t *testing.T) {
	a, b := newPair(t)
	n := newTunnel(t, a, b, outerB)
	require.NoError(t, n.serverCall.Close())
	require.NoError(t, n.clientCall.WriteControl([]byte{0xc0, 0x21, 9, 1, 0, 4}))
	eventually(t, "it counted", func() bool { return n.server.Stats().GRE.UnknownCall == 1 })
	require.Zero(t, n.server.Stats().Calls)
}

// Somebody removes the device: the owners of calls are told.
func TestPlaneDeviceRemoved(t *testing.T) {
	a, _ := newPair(t)
	p := a.open(t, Options{})
	require.Equal(t, "pptp0", p.DeviceName())
	o, closed := newOwner(), newOwner()
	_, err := p.Open(gopptp.CallConfig{Local: outerA, Peer: outerB}, o)
	require.NoError(t, err)
	c, err := p.Open(gopptp.CallConfig{Local: outerA, Peer: outerB}, closed)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	link, err := a.NL.LinkByName("pptp0")
	require.NoError(t, err)
	require.NoError(t, a.NL.LinkDel(link))
	select {
	case err := <-o.failed:
		require.ErrorContains(t, err, "userspace: TUN device pptp0: somebody removed it")
	case <-time.After(5 * time.Second):
		t.Fatal("nobody was told")
	}
	_, err = p.Open(gopptp.CallConfig{Local: outerA, Peer: outerB}, o)
	require.ErrorContains(t, err, "userspace: TUN device pptp0: ")
	require.NoError(t, p.Close())
	require.Empty(t, closed.failed)
}

// Close may come at any time and from anywhere, more than once.
func TestPlaneClose(t *testing.T) {
	a, b := newPair(t)
	n := newTunnel(t, a, b, outerB)
	n.attach(t, 1456)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { n.client.Close() })
		wg.Go(func() { n.client.Stats() })
	}
	wg.Wait()
	require.ErrorIs(t, <-n.atClient.failed, net.ErrClosed)
	_, err := a.NL.LinkByName("client")
	require.Error(t, err)
	_, err = n.client.Open(gopptp.CallConfig{Local: outerA, Peer: outerB}, newOwner())
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, n.clientCall.WriteControl([]byte{0xc0, 0x21, 9, 1, 0, 4}), net.ErrClosed)
	require.NoError(t, n.clientCall.Close())
	require.NoError(t, n.clientCall.Close())
	require.NotPanics(t, func() { n.client.Stats() })
}

func TestPlaneLeaksNothing(t *testing.T) {
	a, _ := newPair(t)
	cycle := func() {
		p := a.open(t, Options{Prefixes: []netip.Prefix{pool}})
		o := newOwner()
		c, err := p.Open(gopptp.CallConfig{Local: outerA, Peer: outerB}, o)
		require.NoError(t, err)
		require.NoError(t, c.Attach(gopptp.Network{Local: innerServer, Peer: innerClient, MTU: 1400}))
		require.NoError(t, <-o.attached)
		require.NoError(t, p.Close())
	}
	cycle() // the runtime's poller and such come to stay
	goroutines, fds := runtime.NumGoroutine(), descriptors(t)
	for range 50 {
		cycle()
	}
	require.Equal(t, fds, descriptors(t))
	eventually(t, "goroutines ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	links, err := a.NL.LinkList()
	require.NoError(t, err)
	require.Len(t, links, 2, "lo and eth0")
}

// An Open that fails leaves nothing behind.
func TestOpenUndoes(t *testing.T) {
	a, _ := newPair(t)
	fds, goroutines := descriptors(t), runtime.NumGoroutine()
	for name, c := range map[string]struct {
		opts Options
		err  error
		text string
	}{
		"route": {
			Options{Prefixes: []netip.Prefix{pool, netip.MustParsePrefix("192.0.2.0/24")}}, unix.EEXIST,
			"userspace: Options.Prefixes[1]: add route 192.0.2.0/24: the host has such a route already",
		},
		"name": {
			Options{TUNName: "eth0"}, nil, `userspace: TUN device "eth0": `,
		},
	} {
		var err error
		a.Do(func() { _, err = Open(c.opts) })
		require.ErrorContains(t, err, c.text, name)
		if c.err != nil {
			require.ErrorIs(t, err, c.err, name)
		}
	}
	require.Equal(t, fds, descriptors(t))
	require.Equal(t, goroutines, runtime.NumGoroutine())
	links, err := a.NL.LinkList()
	require.NoError(t, err)
	require.Len(t, links, 2, "lo and eth0")
}

// Who lacks a capability learns which.
func TestOpenWithoutPrivilege(t *testing.T) {
	for name, capability := range map[string]uint{"CAP_NET_RAW": unix.CAP_NET_RAW, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN} {
		ns := newNamespace(t)
		var err error
		ns.Do(func() { // capabilities belong to the thread, which ends with the test
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var caps [2]unix.CapUserData
			if err = unix.Capget(&header, &caps[0]); err != nil {
				return
			}
			caps[0].Effective &^= 1 << capability
			if err = unix.Capset(&header, &caps[0]); err != nil {
				return
			}
			_, err = Open(Options{})
		})
		require.ErrorIs(t, err, unix.EPERM)
		require.ErrorContains(t, err, "needs "+name)
	}
}
