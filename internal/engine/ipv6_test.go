package engine

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/ppp"
)

var (
	linkLocal = netip.MustParseAddr("fe80::1:1")
	linkPeer  = netip.MustParseAddr("fe80::2:2")
	prefix6   = netip.MustParsePrefix("2001:db8:1:7::/64")
	peer6     = netip.MustParseAddr("2001:db8:1:7::2:2")
	host6     = netip.MustParseAddr("2001:db8:99::1") // somewhere behind this end
	behind6   = netip.MustParseAddr("2001:db8:5::5")  // behind the peer
)

// packet6 makes an IPv6 packet.
func packet6(src, dst netip.Addr, next, hopLimit byte, payload []byte) []byte {
	p := make([]byte, ipv6HeaderLen, ipv6HeaderLen+len(payload))
	p[0], p[6], p[7] = 0x60, next, hopLimit
	binary.BigEndian.PutUint16(p[4:], uint16(len(payload)))
	s, d := src.As16(), dst.As16()
	copy(p[8:], s[:])
	copy(p[24:], d[:])
	return append(p, payload...)
}

func udp6(src, dst netip.Addr, payload ...byte) []byte {
	return packet6(src, dst, 17, 64, append([]byte{0x10, 0, 0x20, 0, 0, byte(8 + len(payload)), 0, 0}, payload...))
}

// message6 makes an ICMPv6 message with its checksum.
func message6(src, dst netip.Addr, hopLimit byte, message ...byte) []byte {
	p := packet6(src, dst, protocolICMPv6, hopLimit, message)
	binary.BigEndian.PutUint16(p[ipv6HeaderLen+2:], checksumICMPv6(p))
	return p
}

func ip6Frame(packet []byte) []byte { return append([]byte{0xff, 0x03, 0x00, 0x57}, packet...) }

// routerNetwork and clientNetwork are networks with IPv6 in either role.
func routerNetwork() gopptp.Network {
	n := testNetwork()
	n.IPv6 = &gopptp.IPv6Network{
		Local: linkLocal, Peer: linkPeer, Router: true, Prefix: prefix6,
		Routes: []netip.Prefix{netip.MustParsePrefix("2001:db8:5::/48")},
		DNS:    []netip.Addr{netip.MustParseAddr("2001:db8:99::53")},
	}
	return n
}

func clientNetwork() gopptp.Network {
	n := testNetwork()
	n.IPv6 = &gopptp.IPv6Network{
		Local: linkLocal, Peer: linkPeer,
		Routes: []netip.Prefix{netip.MustParsePrefix("2001:db8:99::/48")},
	}
	return n
}

func attachedTo(t *testing.T, network gopptp.Network) *end {
	n := connected(t, false)
	n.attach(func(w *gopptp.Network) { *w = network })
	// What the link is told at first is not what most tests are about.
	n.eventually(func() bool { return len(n.wire.take()) > 0 })
	return n
}

func TestAddressRanges(t *testing.T) {
	for _, c := range [][3]string{
		{"10.0.0.0/8", "10.0.0.0", "10.255.255.255"},
		{"0.0.0.0/0", "0.0.0.0", "255.255.255.255"},
		{"10.1.2.3/32", "10.1.2.3", "10.1.2.3"},
		{"2001:db8::/32", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"},
		{"2001:db8:1:7::/64", "2001:db8:1:7::", "2001:db8:1:7:ffff:ffff:ffff:ffff"},
		{"2001:db8::8000/113", "2001:db8::8000", "2001:db8::ffff"},
		{"2001:db8::1/128", "2001:db8::1", "2001:db8::1"},
		{"::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	} {
		r := rangesOf(nil, []netip.Prefix{netip.MustParsePrefix(c[0])})
		want := addressRange{addressOf(netip.MustParseAddr(c[1])), addressOf(netip.MustParseAddr(c[2]))}
		require.Equal(t, []addressRange{want}, r, c[0])
	}
	part := networkPart{sources: rangesOf(nil, []netip.Prefix{
		prefix6, netip.MustParsePrefix("2001:db8:1::/64"), netip.MustParsePrefix("2001:db8:1:7:8::/80"),
	})}
	require.Len(t, part.sources, 2)
	for a, want := range map[string]bool{
		"2001:db8:1:7::": true, "2001:db8:1:7:ffff:ffff:ffff:ffff": true, "2001:db8:1:6:ffff:ffff:ffff:ffff": false,
		"2001:db8:1:8::": false, "2001:db8:1::1": true, "2001:db8:1:1::": false, "::1": false,
	} {
		require.Equal(t, want, part.allows(addressOf(netip.MustParseAddr(a))), a)
	}
	require.False(t, new(networkPart).allows(address{}))
}

func TestTrimIPv6(t *testing.T) {
	p := udp6(peer6, host6, 1, 2, 3)
	require.Equal(t, p, trimIPv6(append(p[:len(p):len(p)], 9, 9)))
	require.Nil(t, trimIPv6(p[:len(p)-1]))
	require.Nil(t, trimIPv6(p[:ipv6HeaderLen-1]))
	require.Nil(t, trimIPv6(inPacket(1)))
	require.Len(t, trimIPv6(packet6(peer6, host6, 59, 64, nil)), ipv6HeaderLen)
}

func TestNewNetworkIPv6(t *testing.T) {
	for name, change := range map[string]func(n *gopptp.Network){
		"MTU":          func(n *gopptp.Network) { n.MTU = 1279 },
		"no local":     func(n *gopptp.Network) { n.IPv6.Local = netip.Addr{} },
		"global peer":  func(n *gopptp.Network) { n.IPv6.Peer = peer6 },
		"zone":         func(n *gopptp.Network) { n.IPv6.Peer = linkPeer.WithZone("x") },
		"equal ends":   func(n *gopptp.Network) { n.IPv6.Peer = n.IPv6.Local },
		"short prefix": func(n *gopptp.Network) { n.IPv6.Prefix = netip.MustParsePrefix("2001:db8::/56") },
		"local prefix": func(n *gopptp.Network) { n.IPv6.Prefix = netip.MustParsePrefix("fe80::/64") },
		"IPv4 prefix":  func(n *gopptp.Network) { n.IPv6.Prefix = netip.MustParsePrefix("10.0.0.0/8") },
		"IPv4 route":   func(n *gopptp.Network) { n.IPv6.Routes = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
		"no route":     func(n *gopptp.Network) { n.IPv6.Routes = make([]netip.Prefix, 1) },
		"IPv4 DNS":     func(n *gopptp.Network) { n.IPv6.DNS = []netip.Addr{tunnelPeer} },
		"much DNS":     func(n *gopptp.Network) { n.IPv6.DNS = make([]netip.Addr, 9) },
		"half of IPv4": func(n *gopptp.Network) { n.Local = netip.Addr{} },
	} {
		n := routerNetwork()
		change(&n)
		_, err := newNetwork(n)
		require.Error(t, err, name)
	}
	n := routerNetwork()
	n.Local, n.Peer = netip.Addr{}, netip.Addr{}
	w, err := newNetwork(n)
	require.NoError(t, err, "IPv6 alone")
	require.Nil(t, w.part(ipv4))
	require.NotNil(t, w.part(ipv6))
	require.Equal(t, netip.Addr{}, w.IPv6.Address(), "of a router")
	c := clientNetwork()
	c.IPv6.Prefix = prefix6
	require.Equal(t, "2001:db8:1:7::1:1", c.IPv6.Address().String())
}

// tcp6 is a SYN with an MSS of 1460, behind extension headers.
func tcp6(src, dst netip.Addr, first byte, extensions ...byte) []byte {
	tcp := []byte{0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 6 << 4, tcpSYN, 0, 0, 0, 0, 0, 0, 2, 4, 5, 0xb4}
	return packet6(src, dst, first, 64, append(extensions, tcp...))
}

// sumTCP is that of the TCP segment at the end of p.
func sumTCP(p []byte) uint16 {
	pseudo := append([]byte(nil), p[8:40]...)
	pseudo = append(pseudo, 0, 0, 0, 24, 0, 0, 0, protocolTCP)
	return checksum(append(pseudo, p[len(p)-24:]...))
}

func TestClampMSS6(t *testing.T) {
	mss := func(p []byte) int { return int(binary.BigEndian.Uint16(p[len(p)-2:])) }
	hop := []byte{protocolTCP, 0, 1, 4, 0, 0, 0, 0}
	for name, c := range map[string]struct {
		p    []byte
		want int
	}{
		"plain":        {tcp6(peer6, host6, protocolTCP), 1396},
		"hop by hop":   {tcp6(peer6, host6, protocolHopByHop, hop...), 1396},
		"two":          {tcp6(peer6, host6, protocolDestination, append([]byte{protocolRouting, 0, 1, 4, 0, 0, 0, 0}, hop...)...), 1396},
		"first":        {tcp6(peer6, host6, protocolFragment, protocolTCP, 0, 0, 1, 0, 0, 0, 1), 1396},
		"later":        {tcp6(peer6, host6, protocolFragment, protocolTCP, 0, 0, 8, 0, 0, 0, 1), 1460},
		"unknown":      {tcp6(peer6, host6, 50, hop...), 1460},
		"too long":     {tcp6(peer6, host6, protocolHopByHop, protocolTCP, 200, 1, 4, 0, 0, 0, 0), 1460},
		"UDP":          {tcp6(peer6, host6, 17), 1460},
		"no more room": {tcp6(peer6, host6, protocolHopByHop, protocolHopByHop, 3, 0, 0, 0, 0, 0, 0), 1460},
	} {
		p := c.p
		binary.BigEndian.PutUint16(p[len(p)-24+16:], sumTCP(p))
		clampMSS6(p, 1396)
		require.Equal(t, c.want, mss(p), name)
		require.Zero(t, sumTCP(p), name)
	}
}

func TestTooBig6(t *testing.T) {
	p := packet6(host6, peer6, 17, 64, make([]byte, 1500))
	m := tooBig6(p, 1400)[Headroom:]
	require.Len(t, m, minMTU6, "as much as fits")
	require.Equal(t, m, trimIPv6(m))
	require.Zero(t, checksumICMPv6(m))
	require.Equal(t, addressOf(host6), ipv6Destination(m))
	require.Equal(t, addressOf(peer6), ipv6Source(m), "a host takes nothing from its own addresses")
	require.Equal(t, []byte{icmpv6TooBig, 0}, m[40:42])
	require.EqualValues(t, 1400, binary.BigEndian.Uint32(m[44:]))
	require.Equal(t, p[:len(m)-48], m[48:])

	require.NotNil(t, tooBig6(message6(host6, peer6, 64, icmpv6EchoRequest, 0, 0, 0), 1400))
	require.NotNil(t, tooBig6(packet6(host6, peer6, protocolICMPv6, 64, nil), 1400))
	require.Nil(t, tooBig6(message6(host6, peer6, 64, 3, 0, 0, 0), 1400), "about an error")
	for _, src := range []string{"::", "::1", "ff02::1"} {
		require.Nil(t, tooBig6(udp6(netip.MustParseAddr(src), peer6), 1400), src)
	}
}

// Both families pass in either direction, in clear and with MPPE.
func TestIPv6BothWays(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		n := connected(t, encrypted)
		if encrypted {
			n.encrypt()
		}
		n.attach(func(w *gopptp.Network) { *w = routerNetwork() })
		n.eventually(func() bool { return len(n.wire.take()) > 0 })
		for _, src := range []netip.Addr{peer6, behind6} {
			p := udp6(src, host6, 1, 2, 3)
			if encrypted {
				n.receive(n.sealed(append([]byte{0x00, 0x57}, p...)...))
			} else {
				n.receive(n.packet(ip6Frame(p)...))
			}
			require.Equal(t, [][]byte{p}, n.host.take())
		}
		for _, dst := range []netip.Addr{peer6, behind6} {
			n.fromHost(udp6(host6, dst, 1, 2, 3))
			require.Len(t, n.wire.take(), 1)
		}
		c := n.call.Counters()
		require.EqualValues(t, 2, c.ReceivedPackets)
		require.EqualValues(t, 2*51, c.ReceivedOctets)
		require.EqualValues(t, 2, c.SentPackets)
		require.EqualValues(t, 2*51, c.SentOctets)
	}
}

// What goes out in clear is marked as IPv6.
func TestIPv6Frame(t *testing.T) {
	n := attachedTo(t, routerNetwork())
	p := udp6(host6, peer6, 1)
	n.fromHost(p)
	sent := n.wire.take()
	require.Len(t, sent, 1)
	protocol, payload, err := ppp.DecodeFrame(sent[0].Data[len(sent[0].Data)-len(p)-4:])
	require.NoError(t, err)
	require.Equal(t, ppp.ProtocolIPv6, protocol)
	require.Equal(t, p, payload)
}

// Every rule for what the peer may send, by its counter.
func TestIPv6Inbound(t *testing.T) {
	addr := netip.MustParseAddr
	all, solicited := addr("ff02::1"), addr("ff02::1:ff02:2")
	unspecified := netip.IPv6Unspecified()
	report := []byte{58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0, 0, 0, 0, 0}
	cut := udp6(peer6, host6, 1, 2)
	for name, c := range map[string]struct {
		p    []byte
		want gopptp.Counters
	}{
		"foreign source":     {udp6(addr("2001:db8:1:8::1"), host6), gopptp.Counters{DroppedSource: 1}},
		"our source":         {udp6(host6, host6), gopptp.Counters{DroppedSource: 1}},
		"link-local to afar": {udp6(linkPeer, host6), gopptp.Counters{DroppedSource: 1}},
		"our link-local":     {udp6(linkLocal, all), gopptp.Counters{DroppedSource: 1}},
		"another link-local": {udp6(addr("fe80::3"), all), gopptp.Counters{DroppedSource: 1}},
		"loopback source":    {udp6(addr("::1"), host6), gopptp.Counters{DroppedSource: 1}},
		"multicast source":   {udp6(all, host6), gopptp.Counters{DroppedSource: 1}},
		"no source":          {udp6(unspecified, host6), gopptp.Counters{DroppedSource: 1}},
		"no source, UDP":     {udp6(unspecified, all), gopptp.Counters{DroppedSource: 1}},
		"no source, echo":    {message6(unspecified, all, 64, icmpv6EchoRequest, 0, 0, 0, 0, 0, 0, 0), gopptp.Counters{DroppedSource: 1}},
		"no source, cut":     {packet6(unspecified, all, protocolICMPv6, 255, nil), gopptp.Counters{DroppedSource: 1}},
		"to loopback":        {udp6(peer6, addr("::1")), gopptp.Counters{DroppedMalformed: 1}},
		"to nobody":          {udp6(peer6, unspecified), gopptp.Counters{DroppedMalformed: 1}},
		"IPv4 in it":         {inPacket(1), gopptp.Counters{DroppedMalformed: 1}},
		"cut short":          {cut[:len(cut)-1], gopptp.Counters{DroppedMalformed: 1}},
		"to its own prefix":  {udp6(peer6, addr("2001:db8:1:7::99")), gopptp.Counters{DroppedLink: 1}},
		"multicast":          {udp6(peer6, addr("ff02::fb")), gopptp.Counters{DroppedLink: 1}},
		"far multicast":      {udp6(peer6, addr("ff0e::1")), gopptp.Counters{DroppedLink: 1}},
		"MLD":                {packet6(linkPeer, addr("ff02::16"), 0, 1, report), gopptp.Counters{DroppedLink: 1}},
		"MLD, no source":     {packet6(unspecified, addr("ff02::16"), 0, 1, report), gopptp.Counters{DroppedLink: 1}},
		"its own address":    {solicitation(unspecified, solicited, linkPeer, 255), gopptp.Counters{DroppedLink: 1}},
		"NS from afar":       {solicitation(linkPeer, solicited, linkLocal, 254), gopptp.Counters{DroppedLink: 1}},
		"bad checksum":       {packet6(linkPeer, linkLocal, protocolICMPv6, 255, []byte{133, 0, 1, 1, 0, 0, 0, 0}), gopptp.Counters{DroppedLink: 1}},
		"advertisement":      {advert(), gopptp.Counters{DroppedLink: 1}},
		"UDP to the link":    {udp6(linkPeer, linkLocal), gopptp.Counters{DroppedLink: 1}},
		"to another's link":  {udp6(peer6, addr("fe80::9")), gopptp.Counters{DroppedLink: 1}},
	} {
		n := attachedTo(t, routerNetwork())
		n.receive(n.packet(ip6Frame(c.p)...))
		require.Equal(t, c.want, n.call.Counters(), name)
		require.Empty(t, n.host.take(), name)
		for _, d := range n.wire.take() {
			require.LessOrEqual(t, len(d.Data), 16, "%s: nothing but an acknowledgement", name)
		}
	}
}

// A client takes from its routes, and from the router's link-local address.
func TestIPv6InboundClient(t *testing.T) {
	n := attachedTo(t, clientNetwork())
	good := udp6(host6, peer6, 1)
	pong := message6(linkPeer, linkLocal, 64, icmpv6EchoReply, 0, 0, 0, 0, 1, 0, 1)
	n.receive(n.packet(ip6Frame(good)...), n.packet(ip6Frame(pong)...))
	require.Equal(t, [][]byte{good, pong}, n.host.take())
	n.receive(n.packet(ip6Frame(udp6(behind6, peer6))...),
		n.packet(ip6Frame(message6(linkPeer, linkLocal, 255, icmpv6Redirect, 0, 0, 0))...))
	require.Empty(t, n.host.take())
	c := n.call.Counters()
	require.EqualValues(t, 1, c.DroppedSource)
	require.EqualValues(t, 1, c.DroppedLink)
	n.wire.take()
	n.fromHost(udp6(linkLocal, linkPeer, 1), udp6(peer6, host6, 1))
	require.Len(t, n.wire.take(), 2, "the router has an address on the link, for its host")
}

// IPv6 in clear is subject to what IPv4 is.
func TestIPv6Clear(t *testing.T) {
	n := connected(t, true)
	n.receive(n.packet(ip6Frame(udp6(peer6, host6, 1))...))
	n.encrypt()
	n.receive(n.packet(ip6Frame(udp6(peer6, host6, 1))...))
	require.Equal(t, gopptp.Counters{DroppedClear: 2}, n.call.Counters())

	n = connected(t, true)
	n.attach(func(w *gopptp.Network) { *w = routerNetwork() })
	n.fromHost(udp6(host6, peer6))
	require.NotZero(t, n.call.Counters().DroppedClear)
	require.Empty(t, n.wire.take(), "an advertisement neither")
}

// The host's packets: which are for whom, and which are too large.
func TestIPv6Outbound(t *testing.T) {
	n := attachedTo(t, routerNetwork())
	n.fromHost(udp6(host6, netip.MustParseAddr("2001:db8:1:8::1")))
	n.fromHost(udp6(host6, netip.MustParseAddr("ff02::16")), udp6(host6, linkPeer))
	n.fromHost(udp6(host6, peer6)[:39])
	s := n.Stats()
	require.EqualValues(t, 1, s.NoCall)
	require.EqualValues(t, 2, s.Link, "a server's host is on no tunnel's link")
	require.EqualValues(t, 1, s.NotIP)
	require.Empty(t, n.wire.take())

	large := packet6(host6, peer6, 17, 64, make([]byte, 1456-ipv6HeaderLen+1))
	for range maxTooBig + 5 {
		n.fromHost(large)
	}
	told := n.host.take()
	require.Len(t, told, maxTooBig)
	require.EqualValues(t, icmpv6TooBig, told[0][ipv6HeaderLen])
	require.EqualValues(t, maxTooBig+5, n.call.Counters().DroppedQueue)
	n.fromHost(large[:1456]) // its length says more
	require.EqualValues(t, 2, n.Stats().NotIP)

	n.fromHost(tcp6(host6, peer6, protocolTCP))
	sent := n.wire.take()[0].Data
	require.EqualValues(t, 1396, binary.BigEndian.Uint16(sent[len(sent)-2:]))
}
