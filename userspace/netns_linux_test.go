package userspace

import (
	"fmt"
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

// namespace is a network namespace of its own, and a thread in it. The threads
// of other goroutines stay where they are, so that what a plane does later it
// does from outside, as it may.
type namespace struct {
	work chan func()
	fd   int // of the namespace
	// nl configures the namespace from any thread.
	nl *netlink.Handle
}

// newNamespace makes a namespace that lives until the end of the test.
func newNamespace(t testing.TB) *namespace {
	t.Helper()
	if _, err := os.Stat(tunPath); err != nil {
		missing(t, "no TUN device: %v", err)
	}
	ns := &namespace{work: make(chan func())}
	ready := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody else
		// gets to run in the namespace.
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

// do runs f on the thread in the namespace.
func (ns *namespace) do(f func()) {
	done := make(chan struct{})
	ns.work <- func() { defer close(done); f() }
	<-done
}

// open opens a plane in the namespace, until the end of the test.
func (ns *namespace) open(t testing.TB, opts Options) *Plane {
	t.Helper()
	var p *Plane
	var err error
	ns.do(func() { p, err = Open(opts) })
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func (ns *namespace) openSocket(t testing.TB) *greSocket {
	t.Helper()
	var s *greSocket
	var err error
	ns.do(func() {
		s, err = openGRESocket(share{0, 1}, batchLen, newSlots(2*batchLen), defaultReceiveBuffer, defaultSendBuffer)
	})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func (ns *namespace) listenUDP(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	var err error
	ns.do(func() { c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))) })
	require.NoError(t, err)
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	t.Cleanup(func() { c.Close() })
	return c
}

// addresses lists those of a device.
func (ns *namespace) addresses(t testing.TB, device string) []string {
	t.Helper()
	link, err := ns.nl.LinkByName(device)
	require.NoError(t, err)
	found, err := ns.nl.AddrList(link, netlink.FAMILY_ALL)
	require.NoError(t, err)
	list := []string{}
	for _, a := range found {
		list = append(list, a.IPNet.String())
	}
	return list
}

// routes lists those to a device, with source and MTU where they have them.
func (ns *namespace) routes(t testing.TB, device string) []string {
	t.Helper()
	link, err := ns.nl.LinkByName(device)
	require.NoError(t, err)
	found, err := ns.nl.RouteList(link, netlink.FAMILY_V4)
	require.NoError(t, err)
	list := []string{}
	for _, r := range found {
		text := r.Dst.String()
		if r.Src != nil {
			text += " src " + r.Src.String()
		}
		if r.MTU != 0 {
			text += fmt.Sprintf(" mtu %d", r.MTU)
		}
		list = append(list, text)
	}
	return list
}

var (
	outerA = netip.MustParseAddr("192.0.2.1")
	outerB = netip.MustParseAddr("192.0.2.2")
	// secondB is another address of B.
	secondB = netip.MustParseAddr("192.0.2.3")
)

// newPair makes two namespaces joined by a veth pair, eth0 at both ends.
//
//	A 192.0.2.1/24 ──── 192.0.2.2/24, 192.0.2.3/24 B
func newPair(t testing.TB) (a, b *namespace) {
	t.Helper()
	a, b = newNamespace(t), newNamespace(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	require.NoError(t, a.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(b.fd)}))
	for _, end := range []struct {
		ns        *namespace
		addresses []netip.Addr
	}{{a, []netip.Addr{outerA}}, {b, []netip.Addr{outerB, secondB}}} {
		link, err := end.ns.nl.LinkByName("eth0")
		require.NoError(t, err)
		for _, addr := range end.addresses {
			require.NoError(t, end.ns.nl.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(addr, 24))}))
		}
		require.NoError(t, end.ns.nl.LinkSetUp(link))
	}
	// What is sent too early is lost, and the kernel takes a second to look for
	// the neighbour again.
	for _, ns := range []*namespace{a, b} {
		eventually(t, "eth0 is up", func() bool {
			link, err := ns.nl.LinkByName("eth0")
			return err == nil && link.Attrs().OperState == netlink.OperUp
		})
	}
	return a, b
}

// setMTU sets the MTU of eth0 at both ends.
func setMTU(t testing.TB, mtu int, ends ...*namespace) {
	t.Helper()
	for _, ns := range ends {
		link, err := ns.nl.LinkByName("eth0")
		require.NoError(t, err)
		require.NoError(t, ns.nl.LinkSetMTU(link, mtu))
	}
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain: ", what)
		}
	}
}

// descriptors counts those of the process.
func descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}
