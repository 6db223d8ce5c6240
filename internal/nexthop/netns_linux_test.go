package nexthop

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/gopptp/gopptp/internal/nstest"
)

var missing, eventually, descriptors = nstest.Missing, nstest.Eventually, nstest.Descriptors

// namespace is a network namespace, which lives until the end of the test.
type namespace struct{ *nstest.Namespace }

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	return &namespace{nstest.New(t)}
}

func (ns *namespace) open(t testing.TB) *Table {
	t.Helper()
	var table *Table
	var err error
	ns.Do(func() { table, err = Open() })
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
	require.NoError(t, a.NL.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerNamespace: netlink.NsFd(b.FD)}))
	a.addAddress(t, name, addrA)
	b.addAddress(t, name, addrB)
	for _, ns := range []*namespace{a, b} {
		require.NoError(t, ns.NL.LinkSetUp(ns.link(t, name)))
	}
	// What is sent too early is lost.
	for _, ns := range []*namespace{a, b} {
		eventually(t, name+" is up", func() bool { return ns.link(t, name).Attrs().OperState == netlink.OperUp })
	}
}

func (ns *namespace) link(t testing.TB, name string) netlink.Link {
	t.Helper()
	link, err := ns.NL.LinkByName(name)
	require.NoError(t, err)
	return link
}

func (ns *namespace) addAddress(t testing.TB, name, addr string) {
	t.Helper()
	require.NoError(t, ns.NL.AddrAdd(ns.link(t, name), &netlink.Addr{IPNet: ipNet(addr)}))
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
	require.NoError(t, ns.NL.RouteReplace(&r))
}

// send sends a packet by the kernel, as the caller of Path.Load does without a Hop.
func (ns *namespace) send(t testing.TB, from, to string) {
	t.Helper()
	ns.Do(func() {
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
	require.NoError(t, ns.NL.NeighSet(&netlink.Neigh{
		LinkIndex: ns.link(t, name).Attrs().Index, Family: netlink.FAMILY_V4,
		State: state, IP: net.ParseIP(addr), HardwareAddr: mac,
	}))
}

// state returns that of an entry, 0 without one.
func (ns *namespace) state(t testing.TB, name, addr string) int {
	t.Helper()
	list, err := ns.NL.NeighList(ns.link(t, name).Attrs().Index, netlink.FAMILY_V4)
	require.NoError(t, err)
	for _, n := range list {
		if n.IP.String() == addr {
			return n.State
		}
	}
	return 0
}
