package engine

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// headerOf decodes a GRE packet that was sent.
func headerOf(t *testing.T, d Datagram) (h gre.Header, payload []byte) {
	t.Helper()
	n, err := h.Decode(d.Data)
	require.NoError(t, err)
	require.EqualValues(t, peerCallID, h.CallID)
	require.Equal(t, localAddr, d.Local)
	require.Equal(t, peerAddr, d.Peer)
	return h, d.Data[n:]
}

func TestPacketsPass(t *testing.T) {
	n := attached(t)
	n.fromHost(outPacket(1), outPacket(2))
	sent := n.wire.take()
	require.Len(t, sent, 2)
	for i, d := range sent {
		h, payload := headerOf(t, d)
		require.EqualValues(t, i, h.Sequence)
		require.Equal(t, ipFrame(outPacket(byte(i+1))), payload)
	}
	n.receive(n.packet(ipFrame(inPacket(7))...), n.packet(ipFrame(inPacket(8))...))
	require.Equal(t, [][]byte{inPacket(7), inPacket(8)}, n.host.take())

	n.encrypt()
	n.receive(n.sealed(innerFrame(inPacket(9))...))
	require.Equal(t, [][]byte{inPacket(9)}, n.host.take())
	n.fromHost(outPacket(3))
	require.Equal(t, innerFrame(outPacket(3)), n.decrypt(n.wire.take())[0])
	require.Equal(t, gopptp.Counters{
		ReceivedPackets: 3, ReceivedOctets: 3 * 29, SentPackets: 3, SentOctets: 3 * 29,
	}, n.call.Counters())
}

// decrypt returns what is encrypted in packets that were sent, of a connection
// that has just been encrypted.
func (n *end) decrypt(sent []Datagram) (inner [][]byte) {
	n.t.Helper()
	d, err := mppe.NewDecryptor(testParams)
	require.NoError(n.t, err)
	for _, s := range sent {
		_, payload := headerOf(n.t, s)
		p, packet, err := ppp.DecodeFrame(payload)
		require.NoError(n.t, err)
		require.Equal(n.t, ppp.ProtocolCompressed, p)
		b, err := d.Open(packet, 0)
		require.NoError(n.t, err)
		inner = append(inner, b)
	}
	return inner
}

func TestHeaderCompression(t *testing.T) {
	for _, c := range []struct {
		header           ppp.HeaderCompression
		clear, encrypted []byte
	}{
		{ppp.HeaderCompression{}, []byte{0xff, 0x03, 0x00, 0x21}, []byte{0xff, 0x03, 0x00, 0xfd}},
		{ppp.HeaderCompression{Protocol: true}, []byte{0xff, 0x03, 0x21}, []byte{0xff, 0x03, 0xfd}},
		{ppp.HeaderCompression{AddressControl: true}, []byte{0x00, 0x21}, []byte{0x00, 0xfd}},
		{ppp.HeaderCompression{Protocol: true, AddressControl: true}, []byte{0x21}, []byte{0xfd}},
	} {
		n := connected(t, false)
		n.attach(func(w *gopptp.Network) { w.Header = c.header })
		n.fromHost(outPacket(1))
		_, payload := headerOf(t, n.wire.take()[0])
		require.Equal(t, append(c.clear, outPacket(1)...), payload)

		n.encrypt()
		n.fromHost(outPacket(1))
		sent := n.wire.take()
		_, payload = headerOf(t, sent[0])
		require.Equal(t, c.encrypted, payload[:len(c.encrypted)])
		require.Equal(t, innerFrame(outPacket(1)), n.decrypt(sent)[0])

		// Control frames are never compressed.
		require.NoError(t, n.call.WriteControl([]byte{0x80, 0x21, 1, 1, 0, 4}))
		_, payload = headerOf(t, n.wire.take()[0])
		require.Equal(t, []byte{0xff, 0x03, 0x80, 0x21, 1, 1, 0, 4}, payload)
	}
}

func TestWriteControl(t *testing.T) {
	n := newEnd(t, false)
	frame := []byte{0xc0, 0x21, 1, 1, 0, 4}
	require.ErrorIs(t, n.call.WriteControl(frame), errNotConnected)
	require.NoError(t, n.call.Connect(gopptp.PeerCall{ID: peerCallID}))
	require.Error(t, n.call.WriteControl([]byte{0xc0}))
	require.Error(t, n.call.WriteControl(make([]byte, maxControlFrame+1)))
	require.NoError(t, n.call.WriteControl(frame))
	require.NoError(t, n.call.WriteControl(make([]byte, maxControlFrame)))
	n.encrypt()
	require.NoError(t, n.call.WriteControl(frame))
	sent := n.wire.take()
	require.Len(t, sent, 3, "nothing was sent before Connect")
	for i, d := range sent {
		h, payload := headerOf(t, d)
		require.EqualValues(t, i, h.Sequence)
		if i != 1 {
			require.Equal(t, append([]byte{0xff, 0x03}, frame...), payload, "never encrypted")
		}
	}
}

// Packets of the host and control frames share the numbers, which go onto the
// wire in order whoever sends.
func TestOrderOnTheWire(t *testing.T) {
	n := attached(t)
	n.encrypt()
	const each = 300
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range each {
				n.fromHost(outPacket(1), outPacket(2), outPacket(3))
			}
		})
		wg.Go(func() {
			for range each {
				if err := n.call.WriteControl([]byte{0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	sent := n.wire.take()
	require.Len(t, sent, 2*each*4)
	var encrypted []Datagram
	for i, d := range sent {
		h, payload := headerOf(t, d)
		require.EqualValues(t, i, h.Sequence)
		if payload[3] == 0xfd {
			encrypted = append(encrypted, d)
		}
	}
	n.decrypt(encrypted) // which fails if the cipher's order is another
}

func TestEarlyFrames(t *testing.T) {
	n := newEnd(t, false)
	frame := func(i byte) []byte { return []byte{0xc0, 0x21, 1, i, 0, 4} }
	n.receive(n.packet(append([]byte{0xff, 0x03}, make([]byte, maxEarlyFrame)...)...)) // too long to be kept
	for i := range byte(maxEarly + 2) {
		n.receive(n.packet(append([]byte{0xff, 0x03}, frame(i)...)...))
	}
	require.Empty(t, n.handler.take())
	require.EqualValues(t, 3, n.call.Counters().DroppedQueue)

	require.NoError(t, n.call.Connect(gopptp.PeerCall{ID: peerCallID}))
	frames := n.handler.take()
	require.Len(t, frames, maxEarly)
	for i := range byte(maxEarly) {
		require.Equal(t, frame(i), frames[i])
	}
	n.receive(n.packet(frame(99)...))
	require.Equal(t, [][]byte{frame(99)}, n.handler.take())
	require.NoError(t, n.call.Connect(gopptp.PeerCall{ID: peerCallID}))
	require.Empty(t, n.handler.take(), "they come once")
}

func TestAttach(t *testing.T) {
	n := connected(t, false)
	for name, w := range map[string]gopptp.Network{
		"no addresses": {MTU: 1400},
		"IPv6":         {Local: tunnelLocal, Peer: netip.MustParseAddr("2001:db8::1"), MTU: 1400},
		"MTU":          {Local: tunnelLocal, Peer: tunnelPeer, MTU: 67},
		"route":        {Local: tunnelLocal, Peer: tunnelPeer, MTU: 1400, Routes: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}},
		"no route":     {Local: tunnelLocal, Peer: tunnelPeer, MTU: 1400, Routes: []netip.Prefix{{}}},
	} {
		require.Error(t, n.call.Attach(w), name)
	}
	require.NoError(t, n.call.Detach(), "of what is not attached")
	require.Empty(t, n.host.history())

	n.attach(nil)
	n.attach(func(w *gopptp.Network) { w.Peer = netip.MustParseAddr("10.0.0.3") })
	require.NoError(t, n.call.Detach())
	require.NoError(t, n.call.Detach())
	n.eventually(func() bool { return len(n.host.history()) == 4 })
	require.Equal(t, []string{"attach 10.0.0.2", "detach 10.0.0.2", "attach 10.0.0.3", "detach 10.0.0.3"}, n.host.history())
	require.Equal(t, []error{nil, nil}, n.handler.attaches())

	n.attach(nil)
	require.NoError(t, n.call.Close())
	n.eventually(func() bool { return len(n.host.history()) == 6 })
}

func TestAttachFails(t *testing.T) {
	n := connected(t, false)
	n.host.attachErr = errors.New("no such device")
	n.attach(nil)
	require.Equal(t, []error{n.host.attachErr}, n.handler.attaches())
	n.fromHost(outPacket(1))
	require.Empty(t, n.wire.take())
	require.EqualValues(t, 1, n.Stats().NoCall)
	for i := range maxHeld + 1 {
		n.receive(n.packet(ipFrame(inPacket(byte(i)))...))
	}
	require.Empty(t, n.host.take())
	require.EqualValues(t, 1, n.call.Counters().DroppedNetwork)
	require.NoError(t, n.call.Close())
	require.EqualValues(t, maxHeld+1, n.call.Counters().DroppedNetwork)
	require.Equal(t, []string{"attach 10.0.0.2"}, n.host.history(), "there is nothing to detach")
}

// A host that is slow holds up nobody. What a session does in the meantime comes
// down to the last of it.
func TestAttachSlowHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := connected(t, false)
		n.host.gate = make(chan struct{})
		network := testNetwork()
		for i := range 100 {
			network.Peer = netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
			require.NoError(t, n.call.Attach(network))
			synctest.Wait()
			require.NoError(t, n.call.Detach())
		}
		require.NoError(t, n.call.Attach(network))
		n.receive(n.packet(ipFrame(udp(network.Peer, tunnelLocal, 1))...))
		require.Empty(t, n.host.take(), "packets wait for the host")

		close(n.host.gate)
		synctest.Wait()
		require.Len(t, n.host.take(), 1)
		require.Equal(t, []string{"attach 10.0.1.0", "detach 10.0.1.0", "attach 10.0.1.99"}, n.host.history())
		require.Equal(t, []error{nil}, n.handler.attaches(), "the first was overtaken")
	})
}

// A call that is closed while the host is at work is not heard of again, and
// leaves nothing behind.
func TestCloseWhileAttaching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := connected(t, false)
		n.host.gate = make(chan struct{})
		require.NoError(t, n.call.Attach(testNetwork()))
		synctest.Wait()
		require.NoError(t, n.call.Close())
		close(n.host.gate)
		synctest.Wait()
		require.Equal(t, []string{"attach 10.0.0.2", "detach 10.0.0.2"}, n.host.history())
		require.Empty(t, n.handler.attaches())
	})
}

func TestCloseCall(t *testing.T) {
	n := attached(t)
	n.encrypt()
	n.receive(n.sealed(innerFrame(inPacket(1))...))
	n.sender.Next() // one is lost
	n.receive(n.sealed(innerFrame(inPacket(2))...))
	n.fromHost(outPacket(1))
	c := n.call.(*call)
	encryptor, decryptor := c.out.encryptor, c.in.decryption.decryptor
	require.NoError(t, n.call.Close())
	n.host.take()

	require.Equal(t, mppe.Encryptor{}, *encryptor, "keys are wiped")
	require.Equal(t, mppe.Decryptor{}, *decryptor)
	require.Equal(t, decryption{}, c.in.decryption)
	counters := n.call.Counters()
	require.EqualValues(t, 1, counters.ReceivedPackets)
	require.EqualValues(t, 1, counters.SentPackets)

	n.wire.take()
	n.fromHost(outPacket(1))
	n.receive(n.packet(0xc0, 0x21, 1, 1, 0, 4), n.packet(ipFrame(inPacket(1))...))
	require.Empty(t, n.wire.take())
	require.Empty(t, n.host.take())
	require.Empty(t, n.handler.take())
	require.Equal(t, Stats{UnknownCall: 2, NoCall: 1}, n.Stats())

	require.ErrorIs(t, n.call.Connect(gopptp.PeerCall{}), net.ErrClosed)
	require.ErrorIs(t, n.call.WriteControl([]byte{0xc0, 0x21}), net.ErrClosed)
	require.ErrorIs(t, n.call.PrepareReceive(testParams), net.ErrClosed)
	require.ErrorIs(t, n.call.SetEncryption(gopptp.Encryption{}), net.ErrClosed)
	require.ErrorIs(t, n.call.Attach(testNetwork()), net.ErrClosed)
	require.ErrorIs(t, n.call.Detach(), net.ErrClosed)
	require.NoError(t, n.call.Close())
	require.Equal(t, counters, n.call.Counters(), "final figures stay")
}

// The goroutines of an engine end with it: the bubble would not otherwise.
func TestCloseEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := attached(t)
		synctest.Wait()
		second, err := n.Open(gopptp.CallConfig{Local: localAddr, Peer: peerAddr}, new(fakeHandler))
		require.NoError(t, err)
		require.NotEqual(t, n.call.ID(), second.ID())
		require.Equal(t, 2, n.Stats().Calls)
		require.NoError(t, second.Close())
		require.Equal(t, 1, n.Stats().Calls)

		require.NoError(t, n.Close())
		require.Zero(t, n.Stats().Calls)
		require.Len(t, n.handler.failed, 1, "who had a call is told")
		require.ErrorIs(t, n.handler.failed[0], net.ErrClosed)
		require.Equal(t, []string{"attach 10.0.0.2", "detach 10.0.0.2"}, n.host.history())
		require.NoError(t, n.call.Close())
		_, err = n.Open(gopptp.CallConfig{Local: localAddr, Peer: peerAddr}, &n.handler)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestOpen(t *testing.T) {
	n := newEnd(t, false)
	for _, peer := range []string{"2001:db8::1", "::ffff:192.0.2.9"} {
		c, err := n.Open(gopptp.CallConfig{Local: localAddr, Peer: netip.MustParseAddr(peer)}, &n.handler)
		if peer == "2001:db8::1" {
			require.Error(t, err)
			continue
		}
		require.NoError(t, err)
		require.NotZero(t, c.ID())
		require.NoError(t, c.Close())
	}
	_, err := n.Open(gopptp.CallConfig{Peer: peerAddr}, &n.handler)
	require.Error(t, err)
}

// A call that was begun elsewhere goes on with its ID and its sequence numbers,
// which begin anywhere in both directions.
func TestAdopt(t *testing.T) {
	n := &end{t: t}
	n.Engine = New(Config{Wire: &n.wire, Host: &n.host, FirstCallID: 60000, LastCallID: 60001})
	t.Cleanup(func() { require.NoError(t, n.Engine.Close()) })
	cfg := gopptp.CallConfig{Local: localAddr, Peer: peerAddr}
	var err error
	n.call, err = n.AdoptVia(nil, 7, 0xfffffffe, cfg, &n.handler)
	require.NoError(t, err)
	require.EqualValues(t, 7, n.call.ID())
	_, err = n.AdoptVia(nil, 7, 1, cfg, new(fakeHandler))
	require.ErrorIs(t, err, gre.ErrInUse)
	other := cfg
	other.Peer = netip.MustParseAddr("198.51.100.2")
	second, err := n.AdoptVia(nil, 7, 1, other, new(fakeHandler))
	require.NoError(t, err, "of another peer")
	require.NoError(t, second.Close())

	n.sender = gre.NewSender(4_000_000_000)
	frame := []byte{0xc0, 0x21, 1, 1, 0, 4}
	n.receive(n.packet(frame...)) // before Connect
	require.NoError(t, n.call.Connect(gopptp.PeerCall{ID: peerCallID}))
	n.encrypt()
	n.attach(nil)
	n.receive(n.sealed(innerFrame(inPacket(1))...), n.sealed(innerFrame(inPacket(2))...))
	require.Equal(t, [][]byte{frame}, n.handler.take())
	require.Equal(t, [][]byte{inPacket(1), inPacket(2)}, n.host.take())
	require.Zero(t, n.call.Counters().Lost)
	for range 3 {
		require.NoError(t, n.call.WriteControl(frame))
	}
	for i, d := range n.wire.take() {
		h, _ := headerOf(t, d)
		require.Equal(t, 0xfffffffe+uint32(i), h.Sequence)
	}

	// Its ID is not from the range that Open gives out.
	for range 2 {
		c, err := n.Open(cfg, new(fakeHandler))
		require.NoError(t, err)
		require.Contains(t, []uint16{60000, 60001}, c.ID())
	}
	_, err = n.Open(cfg, new(fakeHandler))
	require.ErrorIs(t, err, gre.ErrNoCallID)
}

// Calls come and go while packets for them come from all sides. After Close has
// returned, a handler is left alone.
func TestCloseRaces(t *testing.T) {
	n := newEnd(t, false, func(c *Config) { c.Receiver.Hold = time.Millisecond })
	stop := make(chan struct{})
	var traffic, sessions sync.WaitGroup
	var mu sync.Mutex
	live := map[gopptp.Call]bool{n.call: true}
	for g := range 2 {
		traffic.Go(func() {
			for seq := uint32(0); ; seq++ {
				select {
				case <-stop:
					return
				default:
				}
				mu.Lock()
				var ids []uint16
				for c := range live {
					ids = append(ids, c.ID())
				}
				mu.Unlock()
				var batch []Datagram
				for _, id := range ids {
					for _, frame := range [][]byte{ipFrame(inPacket(1)), {0xc0, 0x21, 1, 1, 0, 4}, {0xfd, 0x90, 0, 1}} {
						h := gre.Header{CallID: id, HasSequence: true, Sequence: seq * 2, PayloadLength: uint16(len(frame)), HasAck: true, Ack: seq}
						batch = append(batch, Datagram{Local: localAddr, Peer: peerAddr, Data: append(h.Append(nil), frame...)})
					}
				}
				if g == 0 {
					n.Inbound(batch)
				} else {
					n.fromHost(outPacket(1), outPacket(2))
				}
				n.wire.take()
				n.host.take()
			}
		})
	}
	for range 4 {
		sessions.Go(func() {
			for range 50 {
				h := new(fakeHandler)
				c, err := n.Open(gopptp.CallConfig{Local: localAddr, Peer: peerAddr}, h)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				live[c] = true
				mu.Unlock()
				ok := c.Connect(gopptp.PeerCall{ID: peerCallID}) == nil &&
					c.PrepareReceive(testParams) == nil &&
					c.WriteControl([]byte{0xc0, 0x21, 1, 1, 0, 4}) == nil &&
					c.SetEncryption(gopptp.Encryption{Send: &testParams}) == nil &&
					c.Attach(testNetwork()) == nil
				time.Sleep(100 * time.Microsecond)
				c.Counters()
				if !ok || c.Close() != nil {
					t.Error("an operation has failed")
				}
				h.mu.Lock()
				h.over = true
				h.mu.Unlock()
				time.Sleep(100 * time.Microsecond)
				h.mu.Lock()
				if h.late != 0 {
					t.Error("a handler was called after Close")
				}
				h.mu.Unlock()
				mu.Lock()
				delete(live, c)
				mu.Unlock()
			}
		})
	}
	sessions.Wait()
	close(stop)
	traffic.Wait()
	require.NoError(t, n.call.Close())
	require.Zero(t, n.Stats().Calls)
	require.Equal(t, 0, n.table.root[ipv4].children, "no route is left")
}
