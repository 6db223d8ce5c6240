package dataplane_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/internal/nstest"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/userspace"
)

// The same on a real kernel: raw sockets and the driver side by side.

// realWorld is a server that has both planes, and a client that has userspace alone, in
// namespaces of their own; or the other way round.
type realWorld struct {
	t              *testing.T
	client, server *nstest.Namespace
	plane          *dataplane.Plane
	fixed          *fixedID // the client's, if it has one plane
	config         gopptp.ClientConfig
	address        string
}

var realClient, realServer = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")

// needDriver ends a test where the kernel has no PPTP driver, which is only there in the
// laboratory.
func needDriver(t *testing.T) {
	t.Helper()
	if err := kernel.Probe().Err(true); err != nil {
		if lab, _ := strconv.ParseBool(os.Getenv("GOPPTP_LAB")); lab {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func newRealWorld(t *testing.T, s setting) *realWorld {
	t.Helper()
	needDriver(t)
	w := &realWorld{t: t, client: nstest.New(t), server: nstest.New(t)}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "outer"}, PeerName: "outer", PeerNamespace: netlink.NsFd(w.server.FD)}
	require.NoError(t, w.client.NL.LinkAdd(veth))
	for ns, addr := range map[*nstest.Namespace]netip.Addr{w.client: realClient, w.server: realServer} {
		link, err := ns.NL.LinkByName("outer")
		require.NoError(t, err)
		require.NoError(t, ns.NL.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(24, 32)}}))
		require.NoError(t, ns.NL.LinkSetUp(link))
	}
	pool := netip.MustParsePrefix("10.9.1.0/24")
	server := gopptp.ServerConfig{KeyLengths: mppe.AllKeyLengths, LocalAddress: innerServer}
	w.config = gopptp.ClientConfig{KeyLengths: mppe.AllKeyLengths, User: "alice", Password: password}

	mixed, single := w.server, w.client
	if s.atClient {
		mixed, single = single, mixed
	}
	var u *userspace.Plane
	var err error
	single.Do(func() { u, err = userspace.Open(userspace.Options{TUNName: "single"}) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, u.Close()) })
	mixed.Do(func() {
		w.plane, err = dataplane.Open(dataplane.Options{
			Mode: dataplane.Kernel, Needs: dataplane.Needs{KeyLengths: mppe.AllKeyLengths},
			Kernel: s.kernel, Userspace: userspace.Options{TUNName: "mixed", FirstCallID: s.firstOther},
		})
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.plane.Close()) })
	if s.atClient {
		server.Dataplane, server.KeyLengths = u, s.keys
		w.config.Dataplane = w.plane
	} else {
		w.fixed = &fixedID{Adopter: u}
		server.Dataplane = w.plane
		w.config.Dataplane, w.config.KeyLengths = w.fixed, s.keys
	}

	server.Authenticator = gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
		return &gopptp.LocalUser{NTHash: chap.NTPasswordHash(password)}, nil
	})
	server.Pool, err = gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(pool)})
	require.NoError(t, err)
	srv, err := gopptp.NewServer(server)
	require.NoError(t, err)
	t.Cleanup(func() { srv.Close() })
	var l net.Listener
	w.server.Do(func() { l, err = net.Listen("tcp4", realServer.String()+":0") })
	require.NoError(t, err)
	go srv.Serve(context.Background(), l)
	w.address = l.Addr().String()
	w.config.DialContext = func(_ context.Context, network, address string) (c net.Conn, err error) {
		w.client.Do(func() { c, err = net.DialTimeout(network, address, 5*time.Second) })
		return c, err
	}
	return w
}

func (w *realWorld) dial() *gopptp.Session {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := gopptp.Dial(ctx, w.address, w.config)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { s.Close(); <-s.Done() })
	return s
}

// exchange has users' packets go both ways.
func (w *realWorld) exchange(s *gopptp.Session) {
	w.t.Helper()
	listen := func(ns *nstest.Namespace, a netip.Addr) (c *net.UDPConn) {
		// The other end may be some milliseconds behind.
		nstest.Eventually(w.t, "the address is there", func() bool {
			var err error
			ns.Do(func() { c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9))) })
			return err == nil
		})
		return c
	}
	client, server := listen(w.client, s.Local()), listen(w.server, innerServer)
	defer client.Close()
	defer server.Close()
	for i := range byte(50) {
		for _, way := range []struct {
			from, to *net.UDPConn
			addr     netip.Addr
		}{{client, server, innerServer}, {server, client, s.Local()}} {
			buf := make([]byte, 10)
			var n int
			for try := 0; n == 0; try++ {
				require.Less(w.t, try, 20, "a packet does not arrive")
				_, err := way.from.WriteToUDPAddrPort([]byte{i}, netip.AddrPortFrom(way.addr, 9))
				require.NoError(w.t, err)
				require.NoError(w.t, way.to.SetReadDeadline(time.Now().Add(500*time.Millisecond)))
				n, _ = way.to.Read(buf)
			}
			require.Equal(w.t, []byte{i}, buf[:n])
		}
	}
}

// Keys of 56 bits have a call move on a real kernel, at either end.
func TestRealKey56Moves(t *testing.T) {
	for _, s := range settings {
		s.keys = mppe.AllowKey56
		t.Run(s.name, func(t *testing.T) {
			w := newRealWorld(t, s)
			for range 5 {
				session := w.dial()
				require.Contains(t, session.Encryption(), "56-bit")
				w.exchange(session)
				session.Close()
				<-session.Done()
			}
			require.Equal(t, dataplane.Moved{KeyLength: 5}, w.plane.Stats().Moved)
			require.Zero(t, w.plane.Stats().KernelCalls)
		})
	}
}

// Calls of both planes go on side by side, and packets of the kernel's calls do not reach
// the raw sockets. Those that the kernel has none for are told apart by their call ID.
func TestRealSideBySide(t *testing.T) {
	w := newRealWorld(t, setting{keys: mppe.AllowKey128, kernel: kernel.Options{LastCallID: 1}, firstOther: 1000})
	first := w.dial()
	second := w.dial()
	require.Equal(t, 1, w.plane.Stats().KernelCalls)
	require.Equal(t, 1, w.plane.Stats().UserspaceCalls)
	require.EqualValues(t, 1, w.plane.Stats().Moved.NoCallID)
	w.exchange(first)
	w.exchange(second)
	before := w.plane.Stats().Userspace.GRE.Received
	w.exchange(first)
	after := w.plane.Stats().Userspace.GRE
	require.Less(t, after.Received-before, uint64(5), "none of the first's 50")
	require.Zero(t, after.UnknownCall)
	w.exchange(second)
	require.GreaterOrEqual(t, w.plane.Stats().Userspace.GRE.Received-after.Received, uint64(50))
}

// A client that comes back with the call ID that it had.
func TestRealCollisionMoves(t *testing.T) {
	w := newRealWorld(t, setting{keys: mppe.AllowKey128})
	w.exchange(w.dial())
	require.Equal(t, 1, w.plane.Stats().KernelCalls)
	require.NoError(t, w.fixed.call.Close()) // and nobody is told
	second := w.dial()
	require.Equal(t, dataplane.Moved{Collision: 1}, w.plane.Stats().Moved)
	w.exchange(second)
}
