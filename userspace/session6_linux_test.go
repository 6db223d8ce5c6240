package userspace

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/gopptp/gopptp"
)

var (
	inner6  = netip.MustParseAddr("2001:db8:1::1") // the server's
	prefix6 = netip.MustParsePrefix("2001:db8:1::/48")
)

// routes6 lists the IPv6 routes to a device that somebody has added.
func (ns *namespace) routes6(t testing.TB, device string) []string {
	t.Helper()
	link, err := ns.NL.LinkByName(device)
	require.NoError(t, err)
	found, err := ns.NL.RouteList(link, netlink.FAMILY_V6)
	require.NoError(t, err)
	list := []string{}
	for _, r := range found {
		if r.Protocol == 4 { // RTPROT_STATIC
			list = append(list, r.Dst.String())
		}
	}
	return list
}

// ping6 sends Echo Requests one after the other and wants their replies in order.
func ping6(t *testing.T, ns *namespace, from, to string, count, size int) {
	t.Helper()
	var c net.PacketConn
	var err error
	ns.Do(func() { c, err = net.ListenPacket("ip6:ipv6-icmp", from) })
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(10*time.Second)))
	addr, err := net.ResolveIPAddr("ip6", to)
	require.NoError(t, err)
	for i := range count {
		// The kernel fills in the checksum.
		m := make([]byte, 8+size)
		m[0] = 128
		binary.BigEndian.PutUint16(m[4:], 77)
		binary.BigEndian.PutUint16(m[6:], uint16(i))
		_, err = c.WriteTo(m, addr)
		require.NoError(t, err)
	}
	buf := make([]byte, 2000)
	for i := 0; i < count; {
		n, _, err := c.ReadFrom(buf)
		require.NoError(t, err, "reply %d", i)
		if n >= 8 && buf[0] == 129 && binary.BigEndian.Uint16(buf[4:]) == 77 {
			require.EqualValues(t, i, binary.BigEndian.Uint16(buf[6:]), "in order")
			require.Equal(t, 8+size, n)
			i++
		}
	}
}

// reach6 waits for the first reply: the other end may be up a little later, and
// keeps only a few packets until then.
func reach6(t *testing.T, ns *namespace, from, to string) {
	t.Helper()
	var c net.PacketConn
	var err error
	ns.Do(func() { c, err = net.ListenPacket("ip6:ipv6-icmp", from) })
	require.NoError(t, err)
	defer c.Close()
	addr, err := net.ResolveIPAddr("ip6", to)
	require.NoError(t, err)
	buf := make([]byte, 2000)
	eventually(t, "a reply of "+to, func() bool {
		_, err = c.WriteTo([]byte{128, 0, 0, 0, 0, 76, 0, 0}, addr)
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		for {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				return false
			}
			if n >= 8 && buf[0] == 129 && buf[5] == 76 {
				return true
			}
		}
	})
}

// IPv6 with the kernel at both ends: the client gets its address by a Router
// Advertisement, and all is gone afterwards.
func TestSessionIPv6(t *testing.T) {
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		missing(t, "no IPv6 in this kernel: %v", err)
	}
	poller, err := net.Listen("tcp4", "127.0.0.1:0") // its descriptors come to stay
	require.NoError(t, err)
	poller.Close()
	bothWays(t, func(t *testing.T, encrypted bool) {
		goroutines, fds := 0, 0
		t.Cleanup(func() {
			eventually(t, "goroutines ended", func() bool { return runtime.NumGoroutine() <= goroutines })
			require.LessOrEqual(t, descriptors(t), fds)
		})
		goroutines, fds = runtime.NumGoroutine(), descriptors(t)
		a, b := newPair(t)
		client := a.open(t, Options{})
		server := b.open(t, Options{
			Addresses: []netip.Addr{innerServer, inner6},
			Prefixes:  []netip.Prefix{pool, prefix6},
		})
		require.True(t, client.network.ipv6)
		prefixes, err := gopptp.NewIPv6Pool(prefix6, netip.PrefixFrom(inner6, 64))
		require.NoError(t, err)
		free := prefixes.Free()
		session := serveAndDial(t, a, b, server, client, encrypted,
			func(c *gopptp.ServerConfig) { c.IPv6 = &gopptp.IPv6Config{Pool: prefixes} },
			func(c *gopptp.ClientConfig) { c.IPv6, c.Routes = true, []netip.Prefix{prefix6} })
		eventually(t, "an IPv6 address", func() bool { return session.IPv6Address().IsValid() })
		address := session.IPv6Address().String()
		want := []string{"10.99.0.2/32", session.LocalIPv6().String() + "/128", address + "/128"}
		eventually(t, "the addresses of the client", func() bool {
			return len(a.addresses(t, client.DeviceName())) == 3 && len(a.routes6(t, client.DeviceName())) == 2
		})
		require.ElementsMatch(t, want, a.addresses(t, client.DeviceName()))

		reach6(t, a, address, inner6.String())
		ping6(t, a, address, inner6.String(), 20, 1000)
		ping6(t, b, inner6.String(), address, 20, 1000)
		ping6(t, a, "::", session.PeerIPv6().String()+"%"+client.DeviceName(), 3, 56)
		testTCPAt(t, a, b, "["+inner6.String()+"]:0")
		testTCPAt(t, b, a, "["+address+"]:0")
		testUDP(t, a, b)
		c := session.Counters()
		require.Zero(t, c.Lost+c.Reordered+c.Duplicates+c.DroppedSource+c.DroppedMalformed+c.DroppedEncrypted+c.DroppedNetwork)

		session.Close()
		<-session.Done()
		eventually(t, "no call left", func() bool { return client.Stats().Calls+server.Stats().Calls == 0 })
		eventually(t, "no address left", func() bool { return len(a.addresses(t, client.DeviceName())) == 0 })
		require.Empty(t, a.routes6(t, client.DeviceName()))
		require.ElementsMatch(t, []string{prefix6.String()}, b.routes6(t, server.DeviceName()))
		require.Len(t, b.addresses(t, server.DeviceName()), 2, "the server keeps its own")
		eventually(t, "the prefix given back", func() bool { return prefixes.Free() == free })
	})
}
