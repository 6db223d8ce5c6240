package engine

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/mppe"
)

func TestInboundMalformedGRE(t *testing.T) {
	n := attached(t)
	good := n.packet(0xc0, 0x21, 1, 1, 0, 4).Data
	for change, want := range map[string]MalformedStats{
		"short": {Short: 1}, "version": {Version: 1}, "protocol": {Protocol: 1}, "checksum": {Flags: 1},
		"no key": {Flags: 1}, "no sequence": {Sequence: 1}, "length": {Length: 1},
	} {
		b := append([]byte(nil), good...)
		switch change {
		case "short":
			b = b[:7]
		case "version":
			b[1] = 0
		case "protocol":
			b[2] = 0
		case "checksum":
			b[0] |= 0x80
		case "no key":
			b[0] &^= 0x20
		case "no sequence":
			b[0] &^= 0x10
		case "length":
			b[5]++
		}
		before := n.Stats().Malformed
		n.receive(Datagram{Local: localAddr, Peer: peerAddr, Data: b})
		after := n.Stats().Malformed
		require.Equal(t, MalformedStats{
			Short: before.Short + want.Short, Version: before.Version + want.Version,
			Protocol: before.Protocol + want.Protocol, Flags: before.Flags + want.Flags,
			Sequence: before.Sequence + want.Sequence, Length: before.Length + want.Length,
		}, after, change)
	}
	require.EqualValues(t, 7, n.Stats().Malformed.Total())
	require.Empty(t, n.handler.take())
}

func TestInboundUnknownCall(t *testing.T) {
	n := attached(t)
	wrongID, wrongPeer := n.packet(0xc0, 0x21, 1, 1, 0, 4), n.packet(0xc0, 0x21, 1, 1, 0, 4)
	wrongID.Data[7]++
	wrongPeer.Peer = netip.MustParseAddr("198.51.100.2")
	n.receive(wrongID, wrongPeer)
	require.EqualValues(t, 2, n.Stats().UnknownCall)
	require.Empty(t, n.handler.take())
}

// Control frames reach the handler with a protocol field of two octets, however
// they came.
func TestInboundControlFrames(t *testing.T) {
	n := connected(t, false)
	for _, c := range [][2][]byte{
		{{0xff, 0x03, 0xc0, 0x21, 1, 2, 3}, {0xc0, 0x21, 1, 2, 3}},
		{{0xc0, 0x21, 1, 2, 3}, {0xc0, 0x21, 1, 2, 3}},
		{{0x80, 0xfd}, {0x80, 0xfd}},
		{{0xff, 0x03, 0x2b, 1, 2}, {0x00, 0x2b, 1, 2}}, // IPX, compressed
		{{0x2b, 1, 2}, {0x00, 0x2b, 1, 2}},
		{{0x00, 0x2b, 1, 2}, {0x00, 0x2b, 1, 2}},
		{{0x2d}, {0x00, 0x2d}},
	} {
		n.receive(n.packet(c[0]...))
		require.Equal(t, [][]byte{c[1]}, n.handler.take(), "% x", c[0])
	}

	// Within MPPE too, if it is a network protocol.
	n.encrypt()
	n.receive(n.sealed(0x00, 0x2b, 1, 2), n.sealed(0x2b, 3), n.sealed(0x00, 0x2d))
	require.Equal(t, [][]byte{{0x00, 0x2b, 1, 2}, {0x00, 0x2b, 3}, {0x00, 0x2d}}, n.handler.take())
	n.receive(n.sealed(0xc0, 0x21, 1, 1, 0, 4), n.sealed(0x00, 0xfd, 0, 0), n.sealed(0x01, 0), n.sealed(0x00, 0x20))
	require.Empty(t, n.handler.take(), "was encrypted with another key")
	require.Equal(t, gopptp.Counters{DroppedEncrypted: 4}, n.call.Counters())
}

// A protocol number that cannot be is for LCP to reject (RFC 1661 §2).
func TestInboundImpossibleProtocol(t *testing.T) {
	n := attached(t)
	n.receive(n.packet(0xff, 0x03, 0xc0, 0x20, 1), n.packet(0xc0, 0x20, 2))
	require.Equal(t, [][]byte{{0xc0, 0x20, 1}, {0xc0, 0x20, 2}}, n.handler.take())
	require.Zero(t, n.call.Counters())
}

func TestInboundMalformedFrames(t *testing.T) {
	n := attached(t)
	ip := inPacket(1)
	change := func(f func(p []byte)) []byte {
		p := append([]byte(nil), ip...)
		f(p)
		return ipFrame(p)
	}
	bad := [][]byte{
		{0xff}, {0xff, 0x04, 0xc0, 0x21}, {0xff, 0x03}, {0xc0},
		ipFrame(nil), ipFrame(ip[:19]), ipFrame(ip[:len(ip)-1]),
		change(func(p []byte) { p[0] = 0x65 }), // version 6
		change(func(p []byte) { p[0] = 0x44 }), // header shorter than a header
		change(func(p []byte) { p[0] = 0x4f }), // longer than the packet
		change(func(p []byte) { p[3] = 19 }),   // shorter than its header
		change(func(p []byte) { p[2] = 0xff }),
	}
	for i, frame := range bad {
		n.receive(n.packet(frame...))
		require.Equal(t, gopptp.Counters{DroppedMalformed: uint64(i + 1)}, n.call.Counters(), "% x", frame)
	}
	require.Empty(t, n.host.take())
	require.Empty(t, n.handler.take())

	n.receive(n.packet()) // keeps a NAT open, and is nothing wrong
	n.receive(n.packet(append(ipFrame(ip), 0, 0, 0)...))
	require.Equal(t, [][]byte{ip}, n.host.take(), "padding is taken off")
	require.EqualValues(t, len(bad), n.call.Counters().DroppedMalformed)
}

// What is kept of the packets before Attach is in held_test.go.
func TestInboundOutsideAttach(t *testing.T) {
	n := connected(t, false)
	n.encrypt()
	for range maxHeld + 1 {
		n.receive(n.sealed(innerFrame(inPacket(1))...))
	}
	require.EqualValues(t, 1, n.call.Counters().DroppedNetwork)
	n.attach(nil)
	n.receive(n.sealed(innerFrame(inPacket(2))...))
	require.Equal(t, inPacket(2), n.host.take()[maxHeld], "the cipher did not lose its place")
	require.NoError(t, n.call.Detach())
	n.receive(n.sealed(innerFrame(inPacket(3))...))
	n.fromHost(outPacket(1))
	require.Empty(t, n.host.take())
	require.Empty(t, n.wire.take())
	require.EqualValues(t, 1, n.Stats().NoCall)
	require.NoError(t, n.call.Close())
	require.EqualValues(t, 2, n.call.Counters().DroppedNetwork)
}

func TestInboundSource(t *testing.T) {
	n := connected(t, false)
	n.attach(func(w *gopptp.Network) {
		w.Routes = []netip.Prefix{
			netip.MustParsePrefix("10.2.0.0/16"), netip.MustParsePrefix("10.1.3.7/24"), netip.MustParsePrefix("10.2.5.0/24"),
			netip.MustParsePrefix("192.168.0.1/32"), netip.MustParsePrefix("255.255.255.255/32"),
		}
	})
	for src, want := range map[string]bool{
		"10.0.0.2": true, "10.0.0.1": false, "10.0.0.3": false, "0.0.0.0": false,
		"10.1.2.255": false, "10.1.3.0": true, "10.1.3.255": true, "10.1.4.0": false,
		"10.1.255.255": false, "10.2.0.0": true, "10.2.5.9": true, "10.2.6.0": true, "10.2.255.255": true, "10.3.0.0": false,
		"192.168.0.1": true, "192.168.0.2": false, "255.255.255.255": true, "255.255.255.254": false,
	} {
		before := n.call.Counters().DroppedSource
		p := udp(netip.MustParseAddr(src), tunnelLocal, 1)
		n.receive(n.packet(ipFrame(p)...))
		if want {
			require.Equal(t, [][]byte{p}, n.host.take(), src)
		} else {
			require.Empty(t, n.host.take(), src)
			before++
		}
		require.Equal(t, before, n.call.Counters().DroppedSource, src)
	}

	n.attach(func(w *gopptp.Network) { w.Routes = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} })
	n.receive(n.packet(ipFrame(udp(netip.MustParseAddr("8.8.8.8"), tunnelLocal))...))
	require.Len(t, n.host.take(), 1)
}

// Where encryption is required, nothing passes in clear, at no time, either way.
func TestClearNeverPasses(t *testing.T) {
	n := connected(t, true)
	clear := uint64(0)
	try := func() {
		t.Helper()
		n.receive(n.packet(ipFrame(inPacket(1))...), n.packet(append([]byte{0x21}, inPacket(1)...)...))
		clear += 2
		require.Empty(t, n.host.take())
		require.Equal(t, clear, n.call.Counters().DroppedClear)
	}
	send := func() {
		t.Helper()
		n.fromHost(outPacket(1))
		clear++
		require.Empty(t, n.wire.take())
		require.Equal(t, clear, n.call.Counters().DroppedClear)
	}
	try()
	n.attach(nil)
	try()
	send()
	require.NoError(t, n.call.PrepareReceive(testParams))
	try()
	send()
	require.NoError(t, n.call.SetEncryption(gopptp.Encryption{Send: &testParams, Receive: &testParams}))
	try()
	n.fromHost(outPacket(1))
	require.Equal(t, innerFrame(outPacket(1)), n.decrypt(n.wire.take())[0])
	require.NoError(t, n.call.SetEncryption(gopptp.Encryption{}))
	try()
	send()

	// Control frames do.
	n.receive(n.packet(0xc0, 0x21, 1, 1, 0, 4))
	require.Len(t, n.handler.take(), 1)
}

// Where it is not required, each direction goes by what CCP has agreed on.
func TestEncryptionOfOneDirection(t *testing.T) {
	n := attached(t)
	require.NoError(t, n.call.PrepareReceive(testParams))
	n.receive(n.packet(ipFrame(inPacket(1))...))
	require.Len(t, n.host.take(), 1, "nothing is agreed on yet")

	require.NoError(t, n.call.SetEncryption(gopptp.Encryption{Receive: &testParams}))
	n.receive(n.packet(ipFrame(inPacket(1))...))
	require.Empty(t, n.host.take())
	require.EqualValues(t, 1, n.call.Counters().DroppedClear)
	n.fromHost(outPacket(1))
	_, payload := headerOf(t, n.wire.take()[0])
	require.Equal(t, ipFrame(outPacket(1)), payload)

	require.NoError(t, n.call.SetEncryption(gopptp.Encryption{Send: &testParams}))
	n.receive(n.packet(ipFrame(inPacket(1))...))
	require.Len(t, n.host.take(), 1)
	n.fromHost(outPacket(1))
	n.decrypt(n.wire.take())
	n.receive(n.packet(0xfd, 0x90, 0, 1, 2))
	require.EqualValues(t, 1, n.call.Counters().DroppedEncrypted)
	require.Empty(t, n.handler.take(), "an encrypted frame is nobody else's business")

	require.ErrorIs(t, n.call.PrepareReceive(mppe.Params{}), mppe.ErrNotSupported)
	require.ErrorIs(t, n.call.SetEncryption(gopptp.Encryption{Receive: &mppe.Params{}}), mppe.ErrNotSupported)
	require.ErrorIs(t, n.call.SetEncryption(gopptp.Encryption{Send: &mppe.Params{}}), mppe.ErrNotSupported)
	n.fromHost(outPacket(1))
	_, payload = headerOf(t, n.wire.take()[0])
	require.Equal(t, []byte{0xff, 0x03, 0x00, 0xfd}, payload[:4], "an error changes nothing")
}

// The peer may encrypt as soon as it has acked our CCP request, which we may
// know later.
func TestEncryptedBeforeCCPIsOpen(t *testing.T) {
	n := attached(t)
	require.NoError(t, n.call.PrepareReceive(testParams))
	n.peerEncrypts()
	n.receive(n.sealed(innerFrame(inPacket(1))...), n.sealed(innerFrame(inPacket(2))...))
	require.Equal(t, [][]byte{inPacket(1), inPacket(2)}, n.host.take())
	require.NoError(t, n.call.SetEncryption(gopptp.Encryption{Send: &testParams, Receive: &testParams}))
	n.receive(n.sealed(innerFrame(inPacket(3))...))
	require.Equal(t, [][]byte{inPacket(3)}, n.host.take(), "the keys go on")

	// SetEncryption alone does as well, for who has missed PrepareReceive.
	other := testParams
	other.Key[0]++
	require.NoError(t, n.call.SetEncryption(gopptp.Encryption{Receive: &other}))
	n.encryptor, _ = mppe.NewEncryptor(other)
	n.receive(n.sealed(innerFrame(inPacket(4))...))
	require.Equal(t, [][]byte{inPacket(4)}, n.host.take())
}

// CCP starts again: with the same keys, from the beginning. Packets of before
// that are still on their way must not spoil it.
func TestCCPStartsAgain(t *testing.T) {
	for _, down := range []bool{true, false} { // the latter: our request was only repeated
		for _, before := range []int{0, 1, 10, 3000} {
			for _, lost := range []int{0, 1, 5} {
				n := attached(t, func(c *Config) { c.Receiver.Reorder = -1 })
				n.encrypt()
				for range before {
					n.receive(n.sealed(innerFrame(inPacket(1))...))
				}
				require.Len(t, n.host.take(), before)
				onTheWay := []Datagram{n.sealed(innerFrame(inPacket(2))...), n.sealed(innerFrame(inPacket(2))...)}
				if down {
					require.NoError(t, n.call.SetEncryption(gopptp.Encryption{}))
				}
				require.NoError(t, n.call.PrepareReceive(testParams))
				n.receive(onTheWay...)
				if got := n.host.take(); !down {
					require.Len(t, got, 2, "the old keys are still there")
				}

				n.peerEncrypts()
				for range lost {
					n.sealed(0x00, 0x21)
				}
				n.receive(n.sealed(innerFrame(inPacket(4))...))
				require.NoError(t, n.call.SetEncryption(gopptp.Encryption{Send: &testParams, Receive: &testParams}))
				n.receive(n.sealed(innerFrame(inPacket(5))...))
				require.Equal(t, [][]byte{inPacket(4), inPacket(5)}, n.host.take(), "%v %d %d", down, before, lost)
			}
		}
	}
}

// Our CCP request was repeated, but the peer, which had acked the first, goes on
// as before.
func TestCCPDoesNotStartAgain(t *testing.T) {
	n := attached(t)
	n.encrypt()
	for range 3000 {
		n.receive(n.sealed(innerFrame(inPacket(1))...))
	}
	require.NoError(t, n.call.PrepareReceive(testParams))
	for range 4096 + 100 {
		n.receive(n.sealed(innerFrame(inPacket(1))...))
	}
	require.Len(t, n.host.take(), 3000+4096+100)
	require.Nil(t, n.call.(*call).in.decryption.next, "it is not waited for for ever")
}

// Of the packets that came before the first that GRE saw, it knows nothing.
func TestEncryptedFromTheFirstPacketSeen(t *testing.T) {
	n := attached(t)
	n.encrypt()
	for range 10 {
		n.sealed(innerFrame(inPacket(1))...)
	}
	for range 4096 + 100 {
		n.receive(n.sealed(innerFrame(inPacket(2))...))
	}
	require.Len(t, n.host.take(), 4096+100)
}

// Ten thousand encrypted packets, of which the network loses, doubles and
// reorders many: those that arrive are right, in order, and none twice.
func TestEncryptedThroughABadNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := attached(t)
		n.encrypt()
		random := rand.New(rand.NewPCG(1, 0))
		const packets = 10_000
		type onTheWay struct {
			at time.Duration
			Datagram
		}
		var way []onTheWay
		for i := range packets {
			b := binary.BigEndian.AppendUint32(nil, uint32(i))
			d := n.sealed(innerFrame(inPacket(append(b, make([]byte, random.IntN(200))...)...))...)
			if random.IntN(10) == 0 {
				continue
			}
			at := time.Duration(i) * time.Millisecond
			way = append(way, onTheWay{at + time.Duration(random.IntN(12))*time.Millisecond, d})
			if random.IntN(10) == 0 {
				d.Data = append([]byte(nil), d.Data...)
				way = append(way, onTheWay{at + time.Duration(random.IntN(50))*time.Millisecond, d})
			}
		}
		arriving := make(map[time.Duration][]Datagram)
		last := time.Duration(0)
		for _, w := range way {
			arriving[w.at] = append(arriving[w.at], w.Datagram)
			last = max(last, w.at)
		}
		for at := time.Duration(0); at <= last; at += time.Millisecond {
			n.receive(arriving[at]...)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()

		got := n.host.take()
		next := uint32(0)
		for _, p := range got {
			i := binary.BigEndian.Uint32(p[28:])
			require.GreaterOrEqual(t, i, next, "in order, and none twice")
			for _, b := range p[32:] {
				require.Zero(t, b)
			}
			next = i + 1
		}
		c := n.call.Counters()
		require.Zero(t, c.DroppedEncrypted+c.DroppedMalformed+c.DroppedSource, "none decrypted wrongly")
		require.EqualValues(t, len(got), c.ReceivedPackets)
		// Before the first that came, and after the last, GRE cannot know.
		ends := uint64(binary.BigEndian.Uint32(got[0][28:])) + uint64(packets-next)
		require.EqualValues(t, packets, c.ReceivedPackets+c.Lost+ends, "each came or is lost")
		require.Greater(t, len(got), packets*88/100)
		require.NotZero(t, c.Reordered)
		require.NotZero(t, c.Duplicates)
		require.Empty(t, n.handler.take())
	})
}

// The coherency count of MPPE goes round after 4,096 packets; GRE knows how many
// are missing all the same.
func TestEncryptedAfterGreatLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := attached(t)
		n.encrypt()
		for _, lost := range []int{1, 100, 2047, 2048, 4095, 4096, 20_000} {
			n.receive(n.sealed(innerFrame(inPacket(1))...))
			for range lost {
				n.sealed(innerFrame(inPacket(2))...)
			}
			n.receive(n.sealed(innerFrame(inPacket(3))...))
			time.Sleep(gre.DefaultHold)
			synctest.Wait()
			n.receive(n.sealed(innerFrame(inPacket(4))...))
			require.Equal(t, [][]byte{inPacket(1), inPacket(3), inPacket(4)}, n.host.take(), "%d", lost)
		}

		// Control frames among those lost are no losses to MPPE.
		for range 5000 {
			n.packet(0xc0, 0x21)
			n.sealed(innerFrame(inPacket(2))...)
		}
		n.receive(n.sealed(innerFrame(inPacket(5))...))
		time.Sleep(gre.DefaultHold)
		synctest.Wait()
		got := n.host.take()
		if len(got) == 1 { // twice as many as MPPE has lost, and so a guess
			require.Equal(t, inPacket(5), got[0])
		}
	})
}

// A gap that is too great to be bridged ends the session, once, with its reason.
func TestEncryptedAfterAbsurdLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := attached(t)
		n.encrypt()
		n.receive(n.sealed(innerFrame(inPacket(1))...))
		for range 70_000 {
			n.sender.Next()
		}
		for range 5 {
			n.receive(n.sealed(innerFrame(inPacket(2))...))
			time.Sleep(gre.DefaultHold)
		}
		synctest.Wait()
		require.Len(t, n.host.take(), 1)
		require.Equal(t, []error{mppe.ErrGap}, n.handler.failed)
	})
}

// What waits for a missing packet is handed out in time, without another packet
// that would cause it.
func TestGapGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := attached(t)
		n.receive(n.packet(ipFrame(inPacket(1))...))
		n.packet()
		n.receive(n.packet(ipFrame(inPacket(3))...), n.packet(ipFrame(inPacket(4))...))
		require.Len(t, n.host.take(), 1)
		time.Sleep(gre.DefaultHold - 1)
		synctest.Wait()
		require.Empty(t, n.host.take())
		time.Sleep(1 * time.Nanosecond)
		synctest.Wait()
		require.Equal(t, [][]byte{inPacket(3), inPacket(4)}, n.host.take())
		require.EqualValues(t, 1, n.call.Counters().Lost)
	})
}

// acks returns the acknowledgements among packets that were sent.
func acks(t *testing.T, sent []Datagram) (numbers []uint32, alone int) {
	for _, d := range sent {
		h, payload := headerOf(t, d)
		if h.HasAck {
			numbers = append(numbers, h.Ack)
			if !h.HasSequence {
				require.Empty(t, payload)
				alone++
			}
		}
	}
	return numbers, alone
}

func TestAcknowledgements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newEnd(t, false)
		frame := []byte{0xc0, 0x21, 1, 1, 0, 4}
		n.receive(n.packet(frame...))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, n.wire.take(), "where to is not known before Connect")
		require.NoError(t, n.call.Connect(gopptp.PeerCall{ID: peerCallID}))
		require.NoError(t, n.call.WriteControl(frame))
		got, alone := acks(t, n.wire.take())
		require.Equal(t, []uint32{0}, got, "on the first frame that goes")
		require.Zero(t, alone)
		n.attach(nil)

		// On a packet, if there is one in time.
		n.receive(n.packet(ipFrame(inPacket(1))...))
		n.fromHost(outPacket(1), outPacket(2))
		got, alone = acks(t, n.wire.take())
		require.Equal(t, []uint32{1}, got, "each once")
		require.Zero(t, alone)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, n.wire.take())

		// Otherwise alone, after a while.
		n.receive(n.packet(ipFrame(inPacket(1))...))
		time.Sleep(gre.DefaultAckDelay - 1)
		synctest.Wait()
		require.Empty(t, n.wire.take())
		time.Sleep(1 * time.Nanosecond)
		synctest.Wait()
		got, alone = acks(t, n.wire.take())
		require.Equal(t, []uint32{2}, got)
		require.Equal(t, 1, alone)

		// At once when half of the window is full.
		for range gre.DefaultWindow {
			n.receive(n.packet(ipFrame(inPacket(1))...))
		}
		got, alone = acks(t, n.wire.take())
		require.Equal(t, []uint32{2 + gre.DefaultWindow/2, 2 + gre.DefaultWindow}, got)
		require.Equal(t, 2, alone)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, n.wire.take())
	})
}

// A peer's acknowledgements are taken, also those that come alone.
func TestAcknowledgementsOfThePeer(t *testing.T) {
	n := attached(t)
	n.fromHost(outPacket(1), outPacket(2), outPacket(3))
	h := gre.Header{CallID: n.call.ID(), HasAck: true, Ack: 1}
	n.receive(Datagram{Local: localAddr, Peer: peerAddr, Data: h.Append(nil)})
	require.EqualValues(t, 1, n.call.(*call).num.sender.Unacked())
	require.Zero(t, n.call.Counters().DroppedMalformed)
}

// A timer is not touched by packets in good order.
func TestTimerIsLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := attached(t)
		c := n.call.(*call)
		posts := 0
		last := time.Duration(0)
		for range 1000 {
			n.receive(n.packet(ipFrame(inPacket(1))...))
			n.fromHost(outPacket(1))
			c.num.mu.Lock()
			if c.num.armed != last {
				last = c.num.armed
				posts++
			}
			c.num.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
		require.LessOrEqual(t, posts, 12, "once in an AckDelay")
		time.Sleep(time.Minute)
		c.num.mu.Lock()
		defer c.num.mu.Unlock()
		require.Zero(t, c.num.armed, "an idle call has no timer")
	})
}
