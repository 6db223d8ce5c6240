package userspace

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// session6 is the part of a session that the engine attaches for IPv6.
func session6(router bool, prefix string, mtu int, routes ...string) gopptp.Network {
	six := &gopptp.IPv6Network{
		Local:  netip.MustParseAddr("fe80::1:1"),
		Peer:   netip.MustParseAddr("fe80::2:2"),
		Router: router,
	}
	if prefix != "" {
		six.Prefix = netip.MustParsePrefix(prefix)
	}
	for _, r := range routes {
		six.Routes = append(six.Routes, netip.MustParsePrefix(r))
	}
	return gopptp.Network{MTU: mtu, IPv6: six}
}

// A server needs a route for each prefix that is not routed anyway, and no address.
func TestNetworkIPv6Server(t *testing.T) {
	n, link := newFakeNetwork("10.8.0.0/16", "2001:db8:1::/48")
	covered := session6(true, "2001:db8:1:7::/64", 1456)
	require.NoError(t, n.Attach(covered))
	require.Empty(t, link.take())
	n.Detach(covered)
	require.Empty(t, link.take())

	other := session6(true, "2001:db8:2:7::/64", 1456, "2001:db8:3::/48")
	require.NoError(t, n.Attach(other))
	require.Equal(t, []string{"+2001:db8:2:7::/64", "+2001:db8:3::/48"}, link.take())
	n.Detach(other)
	require.Equal(t, []string{"-2001:db8:3::/48", "-2001:db8:2:7::/64"}, link.take())

	none := session6(true, "", 1456)
	require.NoError(t, n.Attach(none))
	n.Detach(none)
	require.Empty(t, link.take())
}

// A client has its link-local address at once, and all else with the prefix.
func TestNetworkIPv6Client(t *testing.T) {
	n, link := newFakeNetwork()
	early := session6(false, "", 1456, "::/0")
	require.NoError(t, n.Attach(early))
	require.Equal(t, []string{"+fe80::1:1", "+fe80::2:2/128 src fe80::1:1"}, link.take())
	n.Detach(early)
	require.Equal(t, []string{"-fe80::2:2/128", "-fe80::1:1"}, link.take())

	s := session6(false, "2001:db8:1:7::/64", 1400, "::/0")
	require.NoError(t, n.Attach(s))
	require.Equal(t, []string{
		"+fe80::1:1", "+2001:db8:1:7::1:1",
		"+fe80::2:2/128 src fe80::1:1 mtu 1400",
		"+::/1 src 2001:db8:1:7::1:1 mtu 1400", "+8000::/1 src 2001:db8:1:7::1:1 mtu 1400",
	}, link.take())
	n.Detach(s)
	require.Equal(t, []string{
		"-8000::/1", "-::/1", "-fe80::2:2/128", "-2001:db8:1:7::1:1", "-fe80::1:1",
	}, link.take())
}

// What fails leaves nothing behind.
func TestNetworkIPv6Undo(t *testing.T) {
	s := session6(false, "2001:db8:1:7::/64", 1456, "2001:db8:9::/48")
	for _, fail := range []string{
		"+fe80::1:1", "+2001:db8:1:7::1:1", "+fe80::2:2/128 src fe80::1:1", "+2001:db8:9::/48 src 2001:db8:1:7::1:1",
	} {
		n, link := newFakeNetwork()
		link.fail = fail
		require.Error(t, n.Attach(s), fail)
		require.Empty(t, n.addresses, fail)
		require.Empty(t, n.routes, fail)
		done := link.take()
		require.Equal(t, 0, len(done)%2, "what was added was removed: %v", done)
	}
}

// The routes of IPv4 go with its last address, whatever IPv6 has.
func TestNetworkIPv6RestoresIPv4(t *testing.T) {
	n, link := newFakeNetwork("10.8.0.0/16", "2001:db8:1::/48")
	four, six := session("10.8.0.1", "10.8.0.2", 1456), session6(false, "", 1456)
	require.NoError(t, n.Attach(four))
	require.NoError(t, n.Attach(six))
	link.take()
	n.Detach(four)
	require.Equal(t, []string{"-10.8.0.1", "+10.8.0.0/16"}, link.take())
	n.Detach(six)
	require.Equal(t, []string{"-fe80::2:2/128", "-fe80::1:1"}, link.take())
}

// A kernel without IPv6 leaves a session its IPv4.
func TestNetworkWithoutIPv6(t *testing.T) {
	n, link := newFakeNetwork()
	n.ipv6 = false
	s := session6(false, "2001:db8:1:7::/64", 1456)
	require.NoError(t, n.Attach(s))
	n.Detach(s)
	require.Empty(t, link.take())
}
