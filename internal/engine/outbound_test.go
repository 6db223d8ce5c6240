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
)

func TestOutboundNoCall(t *testing.T) {
	n := attached(t)
	n.fromHost(udp(tunnelLocal, netip.MustParseAddr("10.0.0.3"), 1))
	require.Equal(t, Stats{Calls: 1, NoCall: 1}, n.Stats())
	n.Outbound([][]byte{nil, make([]byte, Headroom-1), make([]byte, Headroom)})
	six := outPacket(1)
	six[0] = 0x60
	n.fromHost(six, outPacket(1)[:20])
	require.Equal(t, Stats{Calls: 1, NoCall: 1, NotIP: 5}, n.Stats())
	require.Empty(t, n.wire.take())
}

func TestOutboundRoutes(t *testing.T) {
	n := connected(t, false)
	n.attach(func(w *gopptp.Network) {
		w.Routes = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.1.0.0/16")}
	})
	n.fromHost(udp(tunnelLocal, netip.MustParseAddr("10.1.200.1"), 1), outPacket(1))
	require.Len(t, n.wire.take(), 2)
	require.NoError(t, n.call.Detach())
	n.fromHost(udp(tunnelLocal, netip.MustParseAddr("10.1.200.1"), 1))
	require.Empty(t, n.wire.take())
	require.Zero(t, n.table.root[ipv4].children)
}

// A packet that loses its way because its call has just been detached.
func TestOutboundWithoutNetwork(t *testing.T) {
	n := attached(t)
	c := n.call.(*call)
	c.out.network = nil
	n.fromHost(outPacket(1))
	require.EqualValues(t, 1, n.call.Counters().DroppedNetwork)
	c.out.network = c.want
	c.num.connected = false
	n.fromHost(outPacket(1))
	require.Equal(t, gopptp.Counters{DroppedNetwork: 1}, n.call.Counters())
	require.Empty(t, n.wire.take())
}

func TestOutboundTooBig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := attached(t)
		big := ipv4Packet(tunnelLocal, tunnelPeer, 17, make([]byte, 1456-19))
		n.fromHost(ipv4Packet(tunnelLocal, tunnelPeer, 17, make([]byte, 1456-20)))
		require.Len(t, n.wire.take(), 1)
		for range 3 * maxTooBig {
			n.fromHost(big)
		}
		require.Empty(t, n.wire.take())
		got := n.host.take()
		require.Len(t, got, maxTooBig, "the host is told, but not without end")
		require.EqualValues(t, 3*maxTooBig, n.call.Counters().DroppedQueue)
		time.Sleep(time.Second)
		n.fromHost(big)
		require.Len(t, n.host.take(), 1)

		m := got[0]
		require.Equal(t, m, trimIPv4(m))
		require.Zero(t, checksum(m[:20]))
		require.Zero(t, checksum(m[20:]))
		require.Equal(t, be32(tunnelPeer), ipv4Source(m))
		require.Equal(t, be32(tunnelLocal), ipv4Destination(m))
		require.EqualValues(t, protocolICMP, m[9])
		require.Equal(t, []byte{3, 4}, m[20:22])
		require.EqualValues(t, 1456, binary.BigEndian.Uint16(m[26:]))
		require.Equal(t, big[:28], m[28:])
	})
}

// Where RFC 1812 wants silence.
func TestTooBigIsNotTold(t *testing.T) {
	packet := func(change func(p []byte)) []byte {
		p := ipv4Packet(tunnelLocal, tunnelPeer, protocolICMP, []byte{8, 0, 0, 0})
		change(p)
		return tooBig(p, be32(tunnelPeer), 1400)
	}
	require.NotNil(t, packet(func(p []byte) {}))
	for name, change := range map[string]func(p []byte){
		"fragment":              func(p []byte) { p[7] = 1 },
		"no source":             func(p []byte) { copy(p[12:], []byte{0, 0, 0, 0}) },
		"multicast source":      func(p []byte) { p[12] = 224 },
		"multicast destination": func(p []byte) { p[16] = 239 },
		"ICMP error":            func(p []byte) { p[20] = 3 },
	} {
		require.Nil(t, packet(change), name)
	}
}

// tcpPacket makes a TCP segment with the right checksum.
func tcpPacket(src, dst netip.Addr, flags byte, options ...byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, 0)
	}
	tcp := make([]byte, tcpHeaderLen, tcpHeaderLen+len(options))
	binary.BigEndian.PutUint16(tcp, 1000)
	binary.BigEndian.PutUint16(tcp[2:], 80)
	tcp[12] = byte(tcpHeaderLen+len(options)) / 4 << 4
	tcp[13] = flags
	tcp = append(tcp, options...)
	p := ipv4Packet(src, dst, protocolTCP, tcp)
	binary.BigEndian.PutUint16(p[ipv4HeaderLen+16:], tcpChecksum(p))
	return p
}

// tcpChecksum is what the checksum is to be, or zero if it is that already.
func tcpChecksum(p []byte) uint16 {
	pseudo := append([]byte(nil), p[12:20]...)
	pseudo = append(pseudo, 0, protocolTCP)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(p)-ipv4HeaderLen))
	return checksum(append(pseudo, p[ipv4HeaderLen:]...))
}

func TestClampMSS(t *testing.T) {
	const syn, ack = 0x02, 0x10
	for name, c := range map[string]struct {
		flags   byte
		options []byte
		want    []byte // nil: unchanged
	}{
		"first":           {syn, []byte{2, 4, 0x05, 0xb4, 1, 1, 4, 2}, []byte{2, 4, 0x05, 0x88, 1, 1, 4, 2}},
		"SYN ACK":         {syn | ack, []byte{2, 4, 0x05, 0xb4}, []byte{2, 4, 0x05, 0x88}},
		"odd offset":      {syn, []byte{1, 2, 4, 0x05, 0xb4, 0, 0, 0}, []byte{1, 2, 4, 0x05, 0x88, 0, 0, 0}},
		"behind others":   {syn, []byte{3, 3, 7, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 0xff, 0xff}, []byte{3, 3, 7, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 2, 4, 0x05, 0x88, 0, 0}},
		"largest":         {syn, []byte{2, 4, 0xff, 0xff}, []byte{2, 4, 0x05, 0x88}},
		"fits":            {syn, []byte{2, 4, 0x05, 0x88}, nil},
		"smaller":         {syn, []byte{2, 4, 0x02, 0x00}, nil},
		"no SYN":          {ack, []byte{2, 4, 0x05, 0xb4}, nil},
		"none":            {syn, nil, nil},
		"behind the end":  {syn, []byte{0, 2, 4, 0x05, 0xb4}, nil},
		"length 0":        {syn, []byte{3, 0, 2, 4, 0x05, 0xb4}, nil},
		"length 1":        {syn, []byte{3, 1, 2, 4, 0x05, 0xb4}, nil},
		"length too much": {syn, []byte{1, 1, 2, 9}, nil},
		"wrong length":    {syn, []byte{2, 3, 0x05, 0xb4}, nil},
		"no length":       {syn, []byte{1, 1, 1, 2}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			want := c.want
			if want == nil {
				want = c.options
			}
			n := attached(t)
			n.fromHost(tcpPacket(tunnelLocal, tunnelPeer, c.flags, c.options...))
			_, payload := headerOf(t, n.wire.take()[0])
			out := payload[4:]
			require.Equal(t, tcpPacket(tunnelLocal, tunnelPeer, c.flags, want...), out)
			require.Zero(t, tcpChecksum(out))

			n.receive(n.packet(ipFrame(tcpPacket(tunnelPeer, tunnelLocal, c.flags, c.options...))...))
			in := n.host.take()[0]
			require.Equal(t, tcpPacket(tunnelPeer, tunnelLocal, c.flags, want...), in)
			require.Zero(t, tcpChecksum(in))
		})
	}

	// With options in the IP header; not in a later fragment, nor a cut header.
	p := tcpPacket(tunnelLocal, tunnelPeer, syn, 2, 4, 0x05, 0xb4)
	long := append(append(append([]byte(nil), p[:20]...), 1, 1, 1, 1), p[20:]...)
	long[0], long[3] = 0x46, byte(len(long))
	clampMSS(long, 1000)
	require.Equal(t, []byte{2, 4, 0x03, 0xe8}, long[44:])
	for _, change := range []func([]byte){
		func(p []byte) { p[7] = 1 },
		func(p []byte) { p[9] = 17 },
		func(p []byte) { p[32] = 0xf0 },
		func(p []byte) { p[32] = 0x40 },
	} {
		b := append([]byte(nil), p...)
		change(b)
		want := append([]byte(nil), b...)
		clampMSS(b, 1000)
		require.Equal(t, want, b)
	}
	clampMSS(p[:20], 1000)
	clampMSS(p[:39], 1000)

	n := attached(t, func(c *Config) { c.NoMSSClamp = true })
	n.fromHost(p)
	_, payload := headerOf(t, n.wire.take()[0])
	require.Equal(t, p, payload[4:])
}

// Many segment sizes, so that every carry of the checksum happens.
func TestClampMSSChecksum(t *testing.T) {
	for mss := 0; mss < 1<<16; mss += 7 {
		for _, odd := range []bool{false, true} {
			options := []byte{2, 4, byte(mss >> 8), byte(mss), 1, 1, 1, 1}
			if odd {
				options = []byte{1, 2, 4, byte(mss >> 8), byte(mss), 1, 1, 1}
			}
			p := tcpPacket(tunnelLocal, tunnelPeer, tcpSYN, options...)
			clampMSS(p, 536)
			if got := tcpChecksum(p); got != 0 {
				t.Fatalf("%d: %04x", mss, got)
			}
		}
	}
}

// Many calls in one batch, each more than once: nothing is lost or mixed up.
func TestBatchOfManyCalls(t *testing.T) {
	n := newEnd(t, false)
	const calls = 20
	var batch []Datagram
	var packets [][]byte
	all := make([]gopptp.Call, calls)
	peer := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}) }
	for i := range calls {
		h := new(fakeHandler)
		c, err := n.Open(gopptp.CallConfig{Local: localAddr, Peer: peerAddr}, h)
		require.NoError(t, err)
		require.NoError(t, c.Connect(gopptp.PeerCall{ID: uint16(i)}))
		network := testNetwork()
		network.Peer = peer(i)
		require.NoError(t, c.Attach(network))
		n.eventually(func() bool { return len(h.attaches()) > 0 })
		settle(c)
		all[i] = c
	}
	for sequence := range uint32(3) {
		for i, c := range all {
			packets = append(packets, udp(tunnelLocal, peer(i), byte(i)))
			n.call, n.sender = c, gre.NewSender(sequence)
			batch = append(batch, n.packet(ipFrame(udp(peer(i), tunnelLocal, byte(i)))...))
		}
	}
	n.fromHost(packets...)
	n.receive(batch...)
	sent := n.wire.take()
	require.Len(t, sent, 3*calls)
	for i, d := range sent {
		require.Equal(t, packets[i], d.Data[len(d.Data)-len(packets[i]):])
		require.EqualValues(t, i%calls, binary.BigEndian.Uint16(d.Data[6:]))
	}
	require.Len(t, n.host.take(), 3*calls)
	for _, c := range all {
		counters := c.Counters()
		require.EqualValues(t, 3, counters.SentPackets)
		require.EqualValues(t, 3, counters.ReceivedPackets)
		require.NoError(t, c.Close())
	}
}
