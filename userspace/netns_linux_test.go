package userspace

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/gopptp/gopptp/internal/nstest"
)

var missing, eventually, descriptors = nstest.Missing, nstest.Eventually, nstest.Descriptors

// namespace is a network namespace, which lives until the end of the test.
type namespace struct{ *nstest.Namespace }

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	if _, err := os.Stat(tunPath); err != nil {
		missing(t, "no TUN device: %v", err)
	}
	return &namespace{nstest.New(t)}
}

// open opens a plane in the namespace, until the end of the test.
func (ns *namespace) open(t testing.TB, opts Options) *Plane {
	t.Helper()
	var p *Plane
	var err error
	ns.Do(func() { p, err = Open(opts) })
	require.NoError(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

func (ns *namespace) openSocket(t testing.TB) *greSocket {
	t.Helper()
	var s *greSocket
	var err error
	ns.Do(func() {
		s, err = openGRESocket(share{0, 1}, callIDs{}, batchLen, newSlots(2*batchLen), defaultReceiveBuffer, defaultSendBuffer)
	})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func (ns *namespace) listenUDP(t testing.TB, addr string) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	var err error
	ns.Do(func() { c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr))) })
	require.NoError(t, err)
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	t.Cleanup(func() { c.Close() })
	return c
}

// addresses lists those of a device.
func (ns *namespace) addresses(t testing.TB, device string) []string {
	t.Helper()
	link, err := ns.NL.LinkByName(device)
	require.NoError(t, err)
	found, err := ns.NL.AddrList(link, netlink.FAMILY_ALL)
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
	link, err := ns.NL.LinkByName(device)
	require.NoError(t, err)
	found, err := ns.NL.RouteList(link, netlink.FAMILY_V4)
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
	require.NoError(t, a.NL.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(b.FD)}))
	for _, end := range []struct {
		ns        *namespace
		addresses []netip.Addr
	}{{a, []netip.Addr{outerA}}, {b, []netip.Addr{outerB, secondB}}} {
		link, err := end.ns.NL.LinkByName("eth0")
		require.NoError(t, err)
		for _, addr := range end.addresses {
			require.NoError(t, end.ns.NL.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(addr, 24))}))
		}
		require.NoError(t, end.ns.NL.LinkSetUp(link))
	}
	// What is sent too early is lost, and the kernel takes a second to look for
	// the neighbour again.
	for _, ns := range []*namespace{a, b} {
		eventually(t, "eth0 is up", func() bool {
			link, err := ns.NL.LinkByName("eth0")
			return err == nil && link.Attrs().OperState == netlink.OperUp
		})
	}
	return a, b
}

// setMTU sets the MTU of eth0 at both ends.
func setMTU(t testing.TB, mtu int, ends ...*namespace) {
	t.Helper()
	for _, ns := range ends {
		link, err := ns.NL.LinkByName("eth0")
		require.NoError(t, err)
		require.NoError(t, ns.NL.LinkSetMTU(link, mtu))
	}
}
