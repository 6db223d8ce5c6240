package userspace

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp"
)

// fakeLink writes down what is changed.
type fakeLink struct {
	changes []string
	fail    string // the change that fails
}

func (f *fakeLink) change(format string, args ...any) error {
	c := fmt.Sprintf(format, args...)
	if c == f.fail {
		return unix.EEXIST
	}
	f.changes = append(f.changes, c)
	return nil
}

func (f *fakeLink) addAddress(a netip.Addr) error    { return f.change("+%v", a) }
func (f *fakeLink) removeAddress(a netip.Addr) error { return f.change("-%v", a) }
func (f *fakeLink) removeRoute(p netip.Prefix) error { return f.change("-%v", p) }
func (f *fakeLink) addRoute(r route) error {
	if !r.src.IsValid() {
		return f.change("+%v", r.to)
	}
	if r.mtu != 0 {
		return f.change("+%v src %v mtu %d", r.to, r.src, r.mtu)
	}
	return f.change("+%v src %v", r.to, r.src)
}

// take returns the changes since the last time.
func (f *fakeLink) take() []string {
	c := f.changes
	f.changes = nil
	return c
}

func newFakeNetwork(prefixes ...string) (*network, *fakeLink) {
	opts := Options{}.withDefaults()
	for _, p := range prefixes {
		opts.Prefixes = append(opts.Prefixes, netip.MustParsePrefix(p))
	}
	link := new(fakeLink)
	return newNetwork(link, &opts, new(peerSet)), link
}

func session(local, peer string, mtu int, routes ...string) gopptp.Network {
	s := gopptp.Network{Local: netip.MustParseAddr(local), MTU: mtu}
	if peer != "" {
		s.Peer = netip.MustParseAddr(peer)
	}
	for _, r := range routes {
		s.Routes = append(s.Routes, netip.MustParsePrefix(r))
	}
	return s
}

func TestNetworkServer(t *testing.T) {
	n, link := newFakeNetwork("10.8.0.0/16", "10.9.0.0/24")
	// All that a hundred sessions need is one address.
	var sessions []gopptp.Network
	for i := range 100 {
		s := session("10.8.0.1", fmt.Sprintf("10.8.1.%d", i), 1456, "10.9.0.0/25")
		require.NoError(t, n.Attach(s))
		sessions = append(sessions, s)
	}
	require.Equal(t, []string{"+10.8.0.1"}, link.take())
	for _, s := range sessions[1:] {
		n.Detach(s)
	}
	require.Empty(t, link.take())
	n.Detach(sessions[0])
	ended := []string{"-10.8.0.1", "+10.8.0.0/16", "+10.9.0.0/24"}
	require.Equal(t, ended, link.take(), "the kernel removes the routes with the last address")

	// What a session has beyond that is its own.
	s := session("10.8.0.1", "10.8.1.1", 1460, "10.0.0.0/8", "192.168.7.1/24")
	require.NoError(t, n.Attach(s))
	require.Equal(t, []string{
		"+10.8.0.1", "+10.0.0.0/8 src 10.8.0.1", "+192.168.7.0/24 src 10.8.0.1",
	}, link.take())
	n.Detach(s)
	require.Equal(t, append([]string{"-192.168.7.0/24", "-10.0.0.0/8"}, ended...), link.take())

	// A smaller MTU has to be told, even in the pool.
	s = session("10.8.0.1", "10.8.1.1", 1396)
	require.NoError(t, n.Attach(s))
	require.Equal(t, []string{"+10.8.0.1", "+10.8.1.1/32 src 10.8.0.1 mtu 1396"}, link.take())
	n.Detach(s)
	require.Equal(t, append([]string{"-10.8.1.1/32"}, ended...), link.take())
}

// An address that is to stay outlives the sessions, and with it the routes.
func TestNetworkKeepsAddresses(t *testing.T) {
	n, link := newFakeNetwork("10.8.0.0/16")
	require.NoError(t, n.keep([]netip.Addr{netip.MustParseAddr("10.8.0.1")}))
	require.Equal(t, []string{"+10.8.0.1"}, link.take())
	for range 2 {
		s := session("10.8.0.1", "10.8.1.1", 1456)
		require.NoError(t, n.Attach(s))
		n.Detach(s)
	}
	require.Empty(t, link.take())
}

func TestNetworkClient(t *testing.T) {
	n, link := newFakeNetwork()
	s := session("10.8.0.7", "10.8.0.1", 1456, "0.0.0.0/0", "10.8.0.1/32")
	require.NoError(t, n.Attach(s))
	require.Equal(t, []string{
		"+10.8.0.7", "+10.8.0.1/32 src 10.8.0.7", "+0.0.0.0/1 src 10.8.0.7", "+128.0.0.0/1 src 10.8.0.7",
	}, link.take())
	n.Detach(s)
	require.Equal(t, []string{"-128.0.0.0/1", "-0.0.0.0/1", "-10.8.0.1/32", "-10.8.0.7"}, link.take())

	// A peer without an address, or with ours, has no route.
	for _, peer := range []string{"", "0.0.0.0", "10.8.0.7"} {
		s := session("10.8.0.7", peer, 1456)
		require.NoError(t, n.Attach(s))
		require.Equal(t, []string{"+10.8.0.7"}, link.take())
		n.Detach(s)
		require.Equal(t, []string{"-10.8.0.7"}, link.take())
	}
}

// Sessions that share routes: the first adds them, the last takes them away.
func TestNetworkShares(t *testing.T) {
	n, link := newFakeNetwork()
	a := session("10.8.0.1", "10.8.0.2", 1456, "192.168.7.0/24")
	b := session("10.8.0.1", "10.8.0.3", 1456, "192.168.7.0/24")
	require.NoError(t, n.Attach(a))
	link.take()
	require.NoError(t, n.Attach(b))
	require.Equal(t, []string{"+10.8.0.3/32 src 10.8.0.1"}, link.take())
	n.Detach(a)
	require.Equal(t, []string{"-10.8.0.2/32"}, link.take())
	n.Detach(b)
	require.Equal(t, []string{"-192.168.7.0/24", "-10.8.0.3/32", "-10.8.0.1"}, link.take())
	n.Detach(b) // once too often
	require.Empty(t, link.take())
}

// A failure leaves nothing behind.
func TestNetworkUndoes(t *testing.T) {
	n, link := newFakeNetwork()
	s := session("10.8.0.7", "10.8.0.1", 1400, "192.168.7.0/24", "192.168.8.0/24")
	link.fail = "+192.168.8.0/24 src 10.8.0.7 mtu 1400"
	err := n.Attach(s)
	require.ErrorIs(t, err, unix.EEXIST)
	require.ErrorContains(t, err, "userspace: add route 192.168.8.0/24: ")
	require.Equal(t, []string{
		"+10.8.0.7", "+10.8.0.1/32 src 10.8.0.7 mtu 1400", "+192.168.7.0/24 src 10.8.0.7 mtu 1400",
		"-192.168.7.0/24", "-10.8.0.1/32", "-10.8.0.7",
	}, link.take())

	link.fail = "+10.8.0.7"
	require.ErrorContains(t, n.Attach(s), "userspace: add address 10.8.0.7: ")
	require.Empty(t, link.take())
	require.Empty(t, n.addresses)
	require.Empty(t, n.routes)

	for field, s := range map[string]gopptp.Network{
		"Network.Local":     {},
		"Network.Routes[1]": session("10.8.0.7", "", 0, "10.0.0.0/8", "2001:db8::/32"),
	} {
		require.ErrorContains(t, n.Attach(s), "userspace: "+field+": ")
		n.Detach(s)
		require.Empty(t, link.take())
	}
}

// A server whose inner address is its outer one gets no route into its own
// tunnel, for whoever shares it, and whatever ends first.
func TestNetworkOuterPeer(t *testing.T) {
	n, link := newFakeNetwork()
	server := netip.MustParseAddr("198.51.100.1")
	n.outer.add(server)
	s := session("10.8.0.7", "198.51.100.1", 1456, "192.168.7.0/24")
	require.NoError(t, n.Attach(s))
	require.Equal(t, []string{"+10.8.0.7", "+192.168.7.0/24 src 10.8.0.7"}, link.take())
	n.outer.remove(server)
	require.NoError(t, n.Attach(s))
	n.Detach(s)
	require.Empty(t, link.take())
	n.Detach(s)
	require.Equal(t, []string{"-192.168.7.0/24", "-10.8.0.7"}, link.take())
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// Other pools while sessions are up: nobody is without a route, and nothing is left.
func TestSetPrefixes(t *testing.T) {
	n, link := newFakeNetwork("10.8.0.0/24", "10.9.0.0/24")
	require.NoError(t, n.keep([]netip.Addr{netip.MustParseAddr("10.8.0.1")}))
	in8 := session("10.8.0.1", "10.8.0.2", 1456)
	small := session("10.8.0.1", "10.9.0.2", 1400)
	net9 := session("10.8.0.1", "10.9.0.3", 1456, "10.9.0.0/24")
	out := session("10.8.0.1", "10.7.0.2", 1456, "10.7.1.0/24")
	for _, s := range []gopptp.Network{in8, in8, small, net9, out} {
		require.NoError(t, n.Attach(s))
	}
	link.take()
	require.NoError(t, n.setPrefixes(prefixes("10.9.0.0/24", "10.8.0.0/24")))
	require.Empty(t, link.take())

	// What is new comes first, and what is no longer goes last; a route that there is goes
	// from one to the other.
	require.NoError(t, n.setPrefixes(prefixes("10.7.0.0/24", "10.7.1.0/24")))
	changes := link.take()
	require.Equal(t, "+10.7.0.0/24", changes[0])
	require.ElementsMatch(t, []string{"+10.8.0.2/32 src 10.8.0.1", "+10.9.0.3/32 src 10.8.0.1"}, changes[1:3])
	require.Equal(t, []string{"-10.8.0.0/24"}, changes[3:])

	// A failure leaves all as it was, whatever fails.
	for _, fail := range []string{"+10.6.0.0/24", "+10.8.0.0/24", "+10.5.0.2/32 src 10.8.0.1"} {
		require.NoError(t, n.setPrefixes(prefixes("10.7.0.0/24", "10.7.1.0/24", "10.5.0.0/24")))
		in5 := session("10.8.0.1", "10.5.0.2", 1456)
		require.NoError(t, n.Attach(in5))
		link.take()
		link.fail = fail
		require.ErrorIs(t, n.setPrefixes(prefixes("10.6.0.0/24", "10.8.0.0/24")), unix.EEXIST)
		link.fail = ""
		routes := make(map[string]int)
		for _, c := range link.take() {
			to, _, _ := strings.Cut(c[1:], " ")
			routes[to] += map[byte]int{'+': 1, '-': -1}[c[0]]
		}
		for to, n := range routes {
			require.Zero(t, n, "%s: %s", fail, to)
		}
		n.Detach(in5)
		require.Empty(t, link.take())
	}
	require.NoError(t, n.setPrefixes(prefixes("10.7.0.0/24", "10.7.1.0/24")))
	require.Equal(t, []string{"-10.5.0.0/24"}, link.take())

	// The same session needs no more than its peer's routes, and all ends.
	n.Detach(in8)
	require.Empty(t, link.take(), "another has it")
	n.Detach(in8)
	n.Detach(net9)
	n.Detach(small)
	n.Detach(out)
	require.Equal(t, []string{"-10.8.0.2/32", "-10.9.0.0/24", "-10.9.0.3/32", "-10.9.0.2/32", "-10.7.0.2/32"}, link.take())
	require.Empty(t, n.routes)

	// One that a smaller MTU makes necessary beside a session that is covered.
	wide, narrow := session("10.8.0.1", "10.7.0.9", 1456), session("10.8.0.1", "10.7.0.9", 1400)
	require.NoError(t, n.Attach(wide))
	require.NoError(t, n.Attach(narrow))
	require.Equal(t, []string{"+10.7.0.9/32 src 10.8.0.1 mtu 1400"}, link.take())
	n.Detach(narrow)
	n.Detach(wide)
	require.Equal(t, []string{"-10.7.0.9/32"}, link.take())

	n.close()
	require.ErrorIs(t, n.setPrefixes(nil), net.ErrClosed)
}

func TestNetworkClose(t *testing.T) {
	n, link := newFakeNetwork()
	s := session("10.8.0.7", "10.8.0.1", 1456)
	require.NoError(t, n.Attach(s))
	link.take()
	n.close()
	n.Detach(s)
	require.ErrorIs(t, n.Attach(s), net.ErrClosed)
	require.Empty(t, link.take(), "the kernel does it")
}

// The same with the kernel.
func TestNetlink(t *testing.T) {
	ns := newNamespace(t)
	var d *tunDevice
	var c *netlinkConfig
	var err error
	ns.Do(func() {
		if d, err = openTUN(tunConfig{"pptp7", 1, batchLen, false}); err == nil {
			c, err = openNetlink(d.name)
		}
	})
	require.NoError(t, err)
	t.Cleanup(func() { c.close(); d.Close() })
	opts := Options{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16"), netip.MustParsePrefix("10.9.0.1/32")}}.withDefaults()
	require.NoError(t, c.up(1456, opts.Prefixes))
	link, err := ns.NL.LinkByName("pptp7")
	require.NoError(t, err)
	require.Equal(t, 1456, link.Attrs().MTU)
	pool := []string{"10.8.0.0/16", "10.9.0.1/32"}
	require.ElementsMatch(t, pool, ns.routes(t, "pptp7"))
	require.Empty(t, ns.addresses(t, "pptp7"), "not even IPv6")

	n := newNetwork(c, &opts, new(peerSet))
	a := session("10.8.0.1", "10.8.0.2", 1456)
	b := session("10.8.0.1", "10.8.0.3", 1400, "0.0.0.0/0", "192.168.7.0/24")
	require.NoError(t, n.Attach(a))
	require.NoError(t, n.Attach(b))
	require.Equal(t, []string{"10.8.0.1/32"}, ns.addresses(t, "pptp7"))
	require.ElementsMatch(t, append([]string{
		"10.8.0.3/32 src 10.8.0.1 mtu 1400", "0.0.0.0/1 src 10.8.0.1 mtu 1400",
		"128.0.0.0/1 src 10.8.0.1 mtu 1400", "192.168.7.0/24 src 10.8.0.1 mtu 1400",
	}, pool...), ns.routes(t, "pptp7"))
	n.Detach(b)
	require.Equal(t, []string{"10.8.0.1/32"}, ns.addresses(t, "pptp7"))
	require.ElementsMatch(t, pool, ns.routes(t, "pptp7"))
	n.Detach(a)
	require.Empty(t, ns.addresses(t, "pptp7"))
	require.ElementsMatch(t, pool, ns.routes(t, "pptp7"))

	// Another pool, and back.
	require.NoError(t, n.Attach(a))
	require.NoError(t, n.setPrefixes(prefixes("10.8.0.0/15", "10.10.0.0/24")))
	require.ElementsMatch(t, []string{"10.8.0.0/15", "10.10.0.0/24"}, ns.routes(t, "pptp7"))
	require.NoError(t, n.setPrefixes(prefixes("10.10.0.0/24")))
	require.ElementsMatch(t, []string{"10.8.0.2/32 src 10.8.0.1", "10.10.0.0/24"}, ns.routes(t, "pptp7"))
	require.NoError(t, n.setPrefixes(opts.Prefixes))
	n.Detach(a)
	require.ElementsMatch(t, pool, ns.routes(t, "pptp7"))

	// The host's own route is left alone.
	lo, err := ns.NL.LinkByName("lo")
	require.NoError(t, err)
	own := netlinkConfig{handle: ns.NL, link: lo}
	require.NoError(t, own.addRoute(route{to: netip.MustParsePrefix("192.168.7.0/24")}))
	err = n.Attach(b)
	require.ErrorIs(t, err, unix.EEXIST)
	require.ErrorContains(t, err, "the host has such a route already")
	require.Empty(t, ns.addresses(t, "pptp7"))
	require.ElementsMatch(t, pool, ns.routes(t, "pptp7"))
	err = n.setPrefixes(prefixes("10.7.0.0/24", "192.168.7.0/24"))
	require.ErrorIs(t, err, unix.EEXIST)
	require.ElementsMatch(t, pool, ns.routes(t, "pptp7"))
	require.Equal(t, []string{"192.168.7.0/24"}, ns.routes(t, "lo"))

	// Somebody else removed the address, and with it the routes from it.
	b.Routes = nil
	require.NoError(t, n.Attach(b))
	require.NoError(t, c.removeAddress(b.Local))
	n.Detach(b)
	require.Empty(t, n.addresses)
	require.True(t, errors.Is(c.removeAddress(b.Local), unix.EADDRNOTAVAIL))
}
