package kernel

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
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/internal/nstest"
)

// needDriver ends a test where the kernel has no PPTP driver: with a skip, as hardly
// any machine for tests has it, but with a failure in the laboratory, which is there
// for it.
func needDriver(t testing.TB) {
	t.Helper()
	if err := Probe().Err(true); err != nil {
		if lab, _ := strconv.ParseBool(os.Getenv("GOPPTP_LAB")); lab {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

var (
	outerClient, outerServer = netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	innerServer              = netip.MustParseAddr("10.9.0.1")
	firstClient              = netip.MustParseAddr("10.9.1.1")
	lastClient               = netip.MustParseAddr("10.9.8.255")
)

// machine is a host.
type machine struct {
	*nstest.Namespace
	addr netip.Addr
}

// machines are a client and a server, with a network between them.
func machines(t testing.TB) (client, server *machine) {
	t.Helper()
	needDriver(t)
	client, server = &machine{nstest.New(t), outerClient}, &machine{nstest.New(t), outerServer}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "outer"}, PeerName: "outer", PeerNamespace: netlink.NsFd(server.FD)}
	require.NoError(t, client.NL.LinkAdd(veth))
	for _, m := range []*machine{client, server} {
		link, err := m.NL.LinkByName("outer")
		require.NoError(t, err)
		require.NoError(t, m.NL.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: m.addr.AsSlice(), Mask: net.CIDRMask(24, 32)}}))
		require.NoError(t, m.NL.LinkSetUp(link))
	}
	return client, server
}

func (m *machine) open(t testing.TB, opts Options) *Plane {
	t.Helper()
	var p *Plane
	var err error
	m.Do(func() { p, err = Open(opts) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// devices counts the devices of sessions.
func (m *machine) devices(t testing.TB) int {
	t.Helper()
	links, err := m.NL.LinkList()
	require.NoError(t, err)
	n := 0
	for _, l := range links {
		if l.Type() == "ppp" {
			n++
		}
	}
	return n
}

// sessions are a server, and how a client calls it.
type sessions struct {
	client, server *machine
	pptp           *gopptp.Server
	address        string
	config         gopptp.ClientConfig
}

func serve(t testing.TB, client, server *machine, clientPlane, serverPlane gopptp.Dataplane, change func(*gopptp.ServerConfig)) *sessions {
	t.Helper()
	pool, err := gopptp.NewPool([]gopptp.PoolRange{{First: firstClient, Last: lastClient}})
	require.NoError(t, err)
	cfg := gopptp.ServerConfig{
		Dataplane: serverPlane,
		Authenticator: gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
			return &gopptp.LocalUser{NTHash: chap.NTPasswordHash("correct horse")}, nil
		}),
		Pool:         pool,
		LocalAddress: innerServer,
	}
	if change != nil {
		change(&cfg)
	}
	s, err := gopptp.NewServer(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	var listener net.Listener
	server.Do(func() { listener, err = net.Listen("tcp4", outerServer.String()+":0") })
	require.NoError(t, err)
	go s.Serve(context.Background(), listener)
	return &sessions{client: client, server: server, pptp: s, address: listener.Addr().String(), config: gopptp.ClientConfig{
		Dataplane:  clientPlane,
		User:       "alice",
		Password:   "correct horse",
		Encryption: cfg.Encryption,
		DialContext: func(_ context.Context, network, address string) (c net.Conn, err error) {
			client.Do(func() { c, err = net.DialTimeout(network, address, 5*time.Second) })
			return c, err
		},
	}}
}

func (s *sessions) dial(t testing.TB) *gopptp.Session {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	session, err := gopptp.Dial(ctx, s.address, s.config)
	require.NoError(t, err)
	return session
}

// udp makes a socket in m.
func (m *machine) udp(t testing.TB, local netip.Addr) int {
	t.Helper()
	var fd int
	var err error
	m.Do(func() {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet4{Addr: local.As4(), Port: 9})
		}
	})
	require.NoError(t, err)
	return fd
}

// device is the name of the one that has an address.
func (m *machine) device(t testing.TB, address netip.Addr) string {
	t.Helper()
	addrs, err := m.NL.AddrList(nil, netlink.FAMILY_V4)
	require.NoError(t, err)
	for _, a := range addrs {
		if a.IP.Equal(address.AsSlice()) {
			link, err := m.NL.LinkByIndex(a.LinkIndex)
			require.NoError(t, err)
			return link.Attrs().Name
		}
	}
	t.Fatalf("no device has %v", address)
	return ""
}

// echo reports whether a user's packet comes through the session, and an answer back,
// at the first attempt.
func (s *sessions) echo(t testing.TB, session *gopptp.Session) bool {
	t.Helper()
	there, back := s.client.udp(t, session.Local()), s.server.udp(t, innerServer)
	defer unix.Close(there)
	defer unix.Close(back)
	// Other sessions of the client lead to the server's address, too.
	require.NoError(t, unix.BindToDevice(there, s.client.device(t, session.Local())))
	return passes(t, there, innerServer, back) && passes(t, back, session.Local(), there)
}

func passes(t testing.TB, from int, to netip.Addr, at int) bool {
	t.Helper()
	require.NoError(t, unix.Sendto(from, []byte("hello"), 0, &unix.SockaddrInet4{Addr: to.As4(), Port: 9}))
	poll := []unix.PollFd{{Fd: int32(at), Events: unix.POLLIN}}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		if n, _ := unix.Poll(poll, 100); n > 0 {
			buf := make([]byte, 2048)
			n, err := unix.Read(at, buf)
			require.NoError(t, err)
			return string(buf[:n]) == "hello"
		}
	}
	return false
}
