package engine

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/ppp"
)

// linkPackets returns the IPv6 packets that were sent.
func (n *end) linkPackets() (list [][]byte) {
	n.t.Helper()
	for _, d := range n.wire.take() {
		var h gre.Header
		k, err := h.Decode(d.Data)
		require.NoError(n.t, err)
		if h.PayloadLength == 0 {
			continue
		}
		protocol, p, err := ppp.DecodeFrame(d.Data[k:])
		require.NoError(n.t, err)
		require.Equal(n.t, ppp.ProtocolIPv6, protocol)
		require.Equal(n.t, p, trimIPv6(p))
		if p[6] == protocolICMPv6 {
			require.Zero(n.t, checksumICMPv6(p))
		}
		list = append(list, p)
	}
	return list
}

// linkPacket wants one packet of a type.
func (n *end) linkPacket(kind byte) []byte {
	n.t.Helper()
	list := n.linkPackets()
	require.Len(n.t, list, 1)
	require.EqualValues(n.t, protocolICMPv6, list[0][6])
	require.Equal(n.t, kind, list[0][ipv6HeaderLen])
	return list[0]
}

// A router says at once what the link is like, then twice in 16 s, then rarely, and
// nothing more when IPv6 is gone.
func TestLinkAdvertises(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := connected(t, false)
		require.NoError(t, n.call.Attach(routerNetwork()))
		synctest.Wait()
		p := n.linkPacket(icmpv6RouterAdvertisement)
		require.Equal(t, addressOf(linkLocal), ipv6Source(p))
		require.Equal(t, allNodes, ipv6Destination(p))
		for range initialAdverts - 1 {
			time.Sleep(initialAdvertInterval)
			synctest.Wait()
			n.linkPacket(icmpv6RouterAdvertisement)
		}
		for range 20 {
			time.Sleep(minAdvertInterval - time.Second)
			synctest.Wait()
			require.Empty(t, n.wire.take(), "too early")
			sent := 0
			for range (maxAdvertInterval-minAdvertInterval)/time.Second + 1 {
				time.Sleep(time.Second)
				synctest.Wait()
				if sent = len(n.linkPackets()); sent > 0 {
					break
				}
			}
			require.Equal(t, 1, sent)
		}
		require.Zero(t, n.call.Counters().SentPackets, "no user's packets")

		// What is the same is not said again.
		network := routerNetwork()
		network.Header.Protocol = true
		require.NoError(t, n.call.Attach(network))
		synctest.Wait()
		require.Empty(t, n.wire.take())
		network.IPv6 = nil
		require.NoError(t, n.call.Attach(network))
		time.Sleep(24 * time.Hour)
		require.Empty(t, n.wire.take())
		require.NoError(t, n.call.Attach(routerNetwork()))
		synctest.Wait()
		n.linkPacket(icmpv6RouterAdvertisement)
		n.call.Close()
		time.Sleep(24 * time.Hour)
		require.Empty(t, n.wire.take())
	})
}

// A host asks for a router, less and less often, until it has a prefix.
func TestLinkSolicits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := connected(t, false)
		require.NoError(t, n.call.Attach(clientNetwork()))
		synctest.Wait()
		p := n.linkPacket(icmpv6RouterSolicitation)
		require.Equal(t, addressOf(linkLocal), ipv6Source(p))
		require.Equal(t, allRouters, ipv6Destination(p))
		require.EqualValues(t, 255, p[7])
		for _, wait := range []time.Duration{4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600} {
			time.Sleep(wait*time.Second - time.Millisecond)
			synctest.Wait()
			require.Empty(t, n.wire.take(), wait)
			time.Sleep(time.Millisecond)
			synctest.Wait()
			n.linkPacket(icmpv6RouterSolicitation)
		}
		network := clientNetwork()
		network.IPv6.Prefix = prefix6
		require.NoError(t, n.call.Attach(network))
		time.Sleep(24 * time.Hour)
		require.Empty(t, n.wire.take())
	})
}

// What is heard of a router goes to the session, if it is valid.
func TestLinkHearsRouter(t *testing.T) {
	n := attachedTo(t, clientNetwork())
	n.receive(n.packet(ip6Frame(advert(prefixOption(64, 0x40, 2, 1)...))...))
	require.Equal(t, []gopptp.RouterAdvertisement{{
		RouterLifetime: 30 * time.Minute, Prefix: prefix6, PrefixLifetime: 2 * time.Second,
	}}, n.handler.routers)
	forwarded := advert()
	forwarded[7] = 64
	fromElsewhere := message6(host6, linkLocal, 255, append([]byte{134}, make([]byte, 15)...)...)
	n.receive(n.packet(ip6Frame(forwarded)...), n.packet(ip6Frame(fromElsewhere)...), n.packet(ip6Frame(advert(1, 0))...))
	require.Len(t, n.handler.routers, 1)
	require.Equal(t, gopptp.Counters{DroppedLink: 3}, n.call.Counters())
	require.Empty(t, n.host.take(), "the kernel hears no router")
}

// A router answers what a host on its link asks for.
func TestLinkAnswers(t *testing.T) {
	n := attachedTo(t, routerNetwork())
	unspecified := netip.IPv6Unspecified()
	all, routers := netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff02::2")
	ask := func(p []byte) []byte {
		t.Helper()
		n.receive(n.packet(ip6Frame(p)...))
		list := n.linkPackets()
		require.Len(t, list, 1)
		require.Equal(t, addressOf(linkLocal), ipv6Source(list[0]))
		return list[0]
	}
	rs := []byte{icmpv6RouterSolicitation, 0, 0, 0, 0, 0, 0, 0}
	p := ask(message6(linkPeer, routers, 255, rs...))
	require.EqualValues(t, icmpv6RouterAdvertisement, p[40])
	require.Equal(t, addressOf(linkPeer), ipv6Destination(p))
	p = ask(message6(unspecified, routers, 255, rs...))
	require.Equal(t, addressOf(all), ipv6Destination(p))

	p = ask(solicitation(linkPeer, netip.MustParseAddr("ff02::1:ff01:1"), linkLocal, 255))
	require.EqualValues(t, icmpv6NeighborAdvertisement, p[40])
	require.EqualValues(t, neighborRouter|neighborSolicited|neighborOverride, p[44])
	require.Equal(t, linkLocal.AsSlice(), p[48:])
	require.Equal(t, addressOf(linkPeer), ipv6Destination(p))
	p = ask(solicitation(unspecified, netip.MustParseAddr("ff02::1:ff01:1"), linkLocal, 255))
	require.EqualValues(t, neighborRouter|neighborOverride, p[44], "the peer has chosen our address")
	require.Equal(t, addressOf(all), ipv6Destination(p))

	echo := []byte{icmpv6EchoRequest, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7}
	for _, from := range []netip.Addr{linkPeer, peer6} {
		p = ask(message6(from, linkLocal, 64, echo...))
		require.EqualValues(t, icmpv6EchoReply, p[40])
		require.Equal(t, echo[4:], p[44:])
		require.Equal(t, addressOf(from), ipv6Destination(p))
	}
	require.Empty(t, n.host.take())
	require.Equal(t, gopptp.Counters{}, n.call.Counters())

	// Not without end.
	for range 3 * maxLinkReplies {
		n.receive(n.packet(ip6Frame(message6(linkPeer, linkLocal, 64, echo...))...))
	}
	require.LessOrEqual(t, len(n.linkPackets()), 2*maxLinkReplies)
}

// Answers are encrypted as all else is.
func TestLinkAnswersEncrypted(t *testing.T) {
	n := connected(t, true)
	n.encrypt()
	n.attach(func(w *gopptp.Network) { *w = routerNetwork() })
	n.eventually(func() bool { return len(n.wire.take()) > 0 })
	rs := message6(linkPeer, netip.MustParseAddr("ff02::2"), 255, icmpv6RouterSolicitation, 0, 0, 0, 0, 0, 0, 0)
	n.receive(n.sealed(append([]byte{0x00, 0x57}, rs...)...))
	sent := n.wire.take()
	require.Len(t, sent, 1)
	protocol, _, err := ppp.DecodeFrame(sent[0].Data[16:])
	if sent[0].Data[1]&0x80 == 0 {
		protocol, _, err = ppp.DecodeFrame(sent[0].Data[12:])
	}
	require.NoError(t, err)
	require.Equal(t, ppp.ProtocolCompressed, protocol)
}

// IPv4 is not interrupted when IPv6 comes and goes, and the host attaches each by
// itself.
func TestReattachFamilies(t *testing.T) {
	n := attached(t)
	require.Equal(t, []string{"attach 10.0.0.2"}, n.host.history())
	n.host.gate = make(chan struct{})
	early := udp6(peer6, host6, 1)
	require.NoError(t, n.call.Attach(routerNetwork()))
	n.receive(n.packet(ipFrame(inPacket(1))...), n.packet(ip6Frame(early)...))
	require.Equal(t, [][]byte{inPacket(1)}, n.host.take(), "the host is not yet ready for IPv6")
	close(n.host.gate)
	n.eventually(func() bool { return len(n.handler.attaches()) == 2 })
	settle(n.call)
	require.Equal(t, [][]byte{early}, n.host.take(), "was kept")
	require.Equal(t, []string{"attach 10.0.0.2", "attach fe80::2:2"}, n.host.history())

	six := routerNetwork()
	six.Local, six.Peer = netip.Addr{}, netip.Addr{}
	n.attach(func(w *gopptp.Network) { *w = six })
	require.Equal(t, "detach 10.0.0.2", n.host.history()[2])
	n.receive(n.packet(ip6Frame(early)...))
	require.Equal(t, [][]byte{early}, n.host.take())
	n.fromHost(outPacket(1))
	require.EqualValues(t, 1, n.Stats().NoCall, "IPv4 is not routed any more")

	n.attach(nil)
	n.eventually(func() bool { return len(n.host.history()) == 5 })
	require.ElementsMatch(t, []string{"detach fe80::2:2", "attach 10.0.0.2"}, n.host.history()[3:])
	require.Zero(t, n.table.root[ipv6].children)
	n.call.Close()
	n.eventually(func() bool { return len(n.host.history()) == 6 })
}

// What fails takes the other family with it.
func TestReattachFails(t *testing.T) {
	n := attached(t)
	n.host.mu.Lock()
	n.host.attachErr = errCallClosed
	n.host.mu.Unlock()
	require.NoError(t, n.call.Attach(routerNetwork()))
	n.eventually(func() bool { return len(n.handler.attaches()) == 2 })
	settle(n.call)
	require.ErrorIs(t, n.handler.attaches()[1], errCallClosed)
	n.eventually(func() bool { return len(n.host.history()) == 3 })
	require.Equal(t, []string{"attach 10.0.0.2", "attach fe80::2:2", "detach 10.0.0.2"}, n.host.history())
}

// No packet of IPv6 allocates.
func TestNoAllocationsIPv6(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		e, c := newSinkCall(t, encrypted)
		h := c.(*call).handler.(*fakeHandler)
		require.NoError(t, c.Attach(routerNetwork()))
		require.Eventually(t, func() bool { return len(h.attaches()) == 2 }, 5*time.Second, time.Millisecond)
		settle(c)
		in, out := newFlow(t, c.ID(), 100, 8, encrypted), newHostFlow(100, 8)
		for i := range in.fresh {
			p := in.fresh[i][len(in.fresh[i])-100:]
			in.fresh[i][len(in.fresh[i])-101] = 0x57
			copy(p, packet6(peer6, host6, 17, 64, make([]byte, 60)))
			copy(out.fresh[i][Headroom:], packet6(host6, peer6, 17, 64, make([]byte, 60)))
		}
		in.next()
		e.Inbound(in.batch)
		e.Outbound(out.next())
		before := c.Counters()
		require.EqualValues(t, 8, before.ReceivedPackets)
		require.EqualValues(t, 8, before.SentPackets)
		require.Zero(t, testing.AllocsPerRun(200, func() {
			e.Inbound(in.next())
			e.Outbound(out.next())
		}))
		require.EqualValues(t, in.sequence, c.Counters().ReceivedPackets)
	}
}

// The prefix that a host was told is where its packets come from, which tells
// sessions to one router apart.
func TestLinkTwoSessions(t *testing.T) {
	n := attachedTo(t, clientNetwork())
	other, err := n.Open(gopptp.CallConfig{Local: localAddr, Peer: peerAddr}, new(fakeHandler))
	require.NoError(t, err)
	require.NoError(t, other.Connect(gopptp.PeerCall{ID: peerCallID + 1}))
	for i, c := range []gopptp.Call{n.call, other} {
		network := clientNetwork()
		network.IPv6.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, byte(i)}), 64)
		require.NoError(t, c.Attach(network))
		defer func() {
			n.wire.take()
			n.fromHost(udp6(network.IPv6.Address(), host6, 1))
			sent := n.wire.take()
			require.Len(t, sent, 1)
			require.EqualValues(t, peerCallID+i, binary.BigEndian.Uint16(sent[0].Data[6:]))
		}()
	}
}
