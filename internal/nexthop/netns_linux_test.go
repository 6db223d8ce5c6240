package nexthop

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// missing ends a test that lacks something: with a skip, or with a failure where
// everything must be there.
func missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// namespace is a network namespace, which lives until the end of the test.
type namespace struct {
	work chan func()
	fd   int
	nl   *netlink.Handle
}

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	ns := &namespace{work: make(chan func())}
	ready := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		ready <- ns.enter()
		for f := range ns.work {
			f()
		}
	}()
	err := <-ready
	if err == unix.EPERM {
		close(ns.work)
		missing(t, "network namespaces need CAP_SYS_ADMIN: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		ns.nl.Close()
		unix.Close(ns.fd)
		close(ns.work)
	})
	return ns
}

func (ns *namespace) enter() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	if ns.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if ns.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	lo, err := ns.nl.LinkByName("lo")
	if err != nil {
		return err
	}
	return ns.nl.LinkSetUp(lo)
}

// do runs f on a thread in the namespace.
func (ns *namespace) do(f func()) {
	done := make(chan struct{})
	ns.work <- func() { defer close(done); f() }
	<-done
}

func (ns *namespace) open(t testing.TB) *Table {
	t.Helper()
	var table *Table
	var err error
	ns.do(func() { table, err = Open() })
	require.NoError(t, err)
	t.Cleanup(func() { table.Close() })
	return table
}

// join connects two namespaces by a veth pair with one name and an address at
// each end.
func join(t testing.TB, name string, a *namespace, addrA string, b *namespace, addrB string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	require.NoError(t, a.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerNamespace: netlink.NsFd(b.fd)}))
	a.addAddress(t, name, addrA)
	b.addAddress(t, name, addrB)
	for _, ns := range []*namespace{a, b} {
		require.NoError(t, ns.nl.LinkSetUp(ns.link(t, name)))
	}
	// What is sent too early is lost.
	for _, ns := range []*namespace{a, b} {
		eventually(t, name+" is up", func() bool { return ns.link(t, name).Attrs().OperState == netlink.OperUp })
	}
}

func (ns *namespace) link(t testing.TB, name string) netlink.Link {
	t.Helper()
	link, err := ns.nl.LinkByName(name)
	require.NoError(t, err)
	return link
}

func (ns *namespace) addAddress(t testing.TB, name, addr string) {
	t.Helper()
	require.NoError(t, ns.nl.AddrAdd(ns.link(t, name), &netlink.Addr{IPNet: ipNet(addr)}))
}

func ipNet(s string) *net.IPNet {
	p := netip.MustParsePrefix(s)
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// route replaces a route.
func (ns *namespace) route(t testing.TB, r netlink.Route, to, by string) {
	t.Helper()
	r.Dst = ipNet(to)
	if by != "" {
		r.Gw = net.ParseIP(by)
	}
	require.NoError(t, ns.nl.RouteReplace(&r))
}

// send sends a packet by the kernel, as the caller of Path.Load does without a Hop.
func (ns *namespace) send(t testing.TB, from, to string) {
	t.Helper()
	ns.do(func() {
		c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP(to), Port: 9})
		if err == nil {
			_, _ = c.Write([]byte{1})
			c.Close()
		}
	})
}

// neighbour sets an entry of the neighbour table.
func (ns *namespace) neighbour(t testing.TB, name, addr string, state int, mac net.HardwareAddr) {
	t.Helper()
	require.NoError(t, ns.nl.NeighSet(&netlink.Neigh{
		LinkIndex: ns.link(t, name).Attrs().Index, Family: netlink.FAMILY_V4,
		State: state, IP: net.ParseIP(addr), HardwareAddr: mac,
	}))
}

// state returns that of an entry, 0 without one.
func (ns *namespace) state(t testing.TB, name, addr string) int {
	t.Helper()
	list, err := ns.nl.NeighList(ns.link(t, name).Attrs().Index, netlink.FAMILY_V4)
	require.NoError(t, err)
	for _, n := range list {
		if n.IP.String() == addr {
			return n.State
		}
	}
	return 0
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain: ", what)
		}
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}
