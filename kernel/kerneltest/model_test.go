package kerneltest

import (
	"bytes"
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/kernel/internal/driver"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/ppp"
)

func TestCallIDs(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		d := r.server.driver
		_, err := d.Bind(serverAddr, netip.MustParseAddr("198.51.100.2"), serverID, new(heard))
		require.ErrorIs(t, err, driver.ErrIDInUse, "though it is another peer")
		_, err = d.Bind(serverAddr, clientAddr, 0, new(heard))
		require.Error(t, err)

		s, err := d.Bind(serverAddr, clientAddr, serverID+1, new(heard))
		require.NoError(t, err)
		require.ErrorIs(t, s.Connect(clientID), driver.ErrCollision)
		require.NoError(t, s.Connect(clientID+1))
		require.Error(t, s.Connect(clientID+2))
		require.NoError(t, s.Close())
		require.ErrorIs(t, s.Close(), errClosed)

		s, err = d.Bind(serverAddr, netip.MustParseAddr("198.51.100.2"), serverID+1, new(heard))
		require.NoError(t, err, "it is free again")
		require.NoError(t, s.Connect(clientID), "it is another peer")
		require.NoError(t, s.Close())
	})
}

func TestMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		defer n.Close()
		h := NewHost(n, serverAddr, Options{PPTP: Missing, PPP: Unclear})
		f := h.findings()
		require.Equal(t, driver.NotSupported, f.PPTP.Answer)
		require.Error(t, f.PPTP.Err)
		require.Equal(t, driver.Unknown, f.PPP.Answer)
		require.Error(t, f.PPP.Err)
		require.Equal(t, driver.Finding{Answer: driver.Supported}, f.MPPE)
		d := h.driver()
		_, err := d.Bind(serverAddr, clientAddr, 1, new(heard))
		require.ErrorIs(t, err, syscall.EPROTONOSUPPORT)
		require.NoError(t, d.Close())
		require.ErrorIs(t, d.Close(), errClosed)

		d = NewHost(n, clientAddr, Options{PPP: Missing}).driver()
		s, err := d.Bind(clientAddr, serverAddr, 1, new(heard))
		require.NoError(t, err)
		require.NoError(t, s.Connect(1))
		require.ErrorIs(t, s.AttachChannel(), syscall.ENXIO)
		require.NoError(t, s.Close())
		require.NoError(t, d.Close())
	})
}

// What comes before a socket is connected is handed up when its channel is there.
func TestEarlyFrames(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		e := r.end(netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("10.9.0.3"))
		e.bind(t, clientAddr, 3)
		h := gre.Header{CallID: 3, HasSequence: true}
		early := frame(ppp.ProtocolLCP, ppp.ConfigureRequest)
		h.PayloadLength = uint16(len(early) + 2)
		packet := append(append(h.Append(nil), 0xff, 0x03), early...)
		for _, from := range []netip.Addr{clientAddr, serverAddr} { // the second is not the peer
			r.net.Inject(memory.Packet{From: from, To: e.host.Addr(), Data: packet})
		}
		require.Empty(t, e.take())
		require.NoError(t, e.socket.Connect(clientID))
		require.Empty(t, e.take())
		require.NoError(t, e.socket.AttachChannel())
		require.Equal(t, [][]byte{early}, e.take())

		// It was no part of the sequence.
		r.net.Inject(memory.Packet{From: clientAddr, To: e.host.Addr(), Data: packet})
		require.Equal(t, [][]byte{early}, e.take())
		require.NoError(t, e.socket.Close())
		require.NoError(t, e.driver.Close())
	})
}

func TestSequence(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		var seen []gre.Header
		r.net.Tap(func(p memory.Packet) {
			var h gre.Header
			_, err := h.Decode(p.Data)
			require.NoError(t, err)
			seen = append(seen, h)
		})
		lcp := frame(ppp.ProtocolLCP, ppp.EchoRequest)
		require.NoError(t, r.server.socket.Write(lcp))
		require.NoError(t, r.server.socket.Write(lcp))
		require.Len(t, r.client.take(), 2)
		require.Len(t, seen, 2, "nothing acknowledges what has no answer")
		require.Equal(t, uint32(1), seen[0].Sequence)
		require.False(t, seen[0].HasAck)
		require.NoError(t, r.client.socket.Write(lcp))
		require.NoError(t, r.client.socket.Write(lcp))
		require.Equal(t, uint32(2), seen[2].Ack)
		require.False(t, seen[3].HasAck, "nothing new")

		// Late packets are dropped, unless they are echoes in full.
		chap := frame(ppp.ProtocolCHAP, 1)
		r.inject(5, chap)
		r.inject(5, chap)
		r.inject(4, chap)
		require.Equal(t, [][]byte{chap}, r.client.take())
		r.inject(3, lcp)
		require.Empty(t, r.client.take())
		r.inject(3, append([]byte{0xff, 0x03}, lcp...))
		require.Equal(t, [][]byte{lcp}, r.client.take())
		r.inject(6, chap)
		require.Len(t, r.client.take(), 1)
	})
}

func TestFirstSequenceNumberMayBeZero(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		chap := frame(ppp.ProtocolCHAP, 1)
		r.inject(0, chap)
		r.inject(1, chap)
		require.Len(t, r.client.take(), 2)
	})
}

func TestHeader(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		var last []byte
		r.net.Tap(func(p memory.Packet) { last = bytes.Clone(p.Frame()) })
		for _, c := range []struct {
			header ppp.HeaderCompression
			frame  []byte
			want   []byte // the beginning
		}{
			{ppp.HeaderCompression{}, userFrame(1), []byte{0xff, 0x03, 0x00, 0x21, 0x45}},
			{ppp.HeaderCompression{Protocol: true}, userFrame(1), []byte{0xff, 0x03, 0x21, 0x45}},
			{ppp.HeaderCompression{AddressControl: true}, userFrame(1), []byte{0x00, 0x21, 0x45}},
			{ppp.HeaderCompression{Protocol: true, AddressControl: true}, userFrame(1), []byte{0x21, 0x45}},
			{ppp.HeaderCompression{AddressControl: true}, frame(ppp.ProtocolLCP, 7), []byte{0xff, 0x03, 0xc0, 0x21}},
			{ppp.HeaderCompression{AddressControl: true}, frame(ppp.ProtocolLCP, 9), []byte{0xc0, 0x21}},
			{ppp.HeaderCompression{AddressControl: true}, ccp(1), []byte{0x80, 0xfd}},
		} {
			require.NoError(t, r.server.socket.SetHeader(c.header))
			require.NoError(t, r.server.unit.Write(c.frame))
			require.Equal(t, c.want, last[:len(c.want)])
		}
		// All of these are understood.
		require.Equal(t, []int{1, 1, 1, 1}, r.client.arrived())
		require.Len(t, r.client.take(), 3)
	})
}

// Without a unit everything is a frame; with one, users' packets are the host's.
func TestWhereFramesGo(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		for _, f := range [][]byte{frame(ppp.ProtocolLCP, 1), ccp(1), userFrame(1), {0x00, 0xfd, 1, 2, 3}} {
			require.NoError(t, r.server.socket.Write(f))
			require.Equal(t, [][]byte{f}, r.client.take())
		}
		require.Empty(t, r.client.arrived())

		r.up()
		for _, f := range [][]byte{frame(ppp.ProtocolLCP, 1), ccp(1), {0x00, 0xfd, 1, 2, 3}} {
			require.NoError(t, r.server.socket.Write(f))
			require.Equal(t, [][]byte{f}, r.client.take())
		}
		require.Equal(t, []int{2}, r.sends(2))
		require.NoError(t, r.client.unit.Pass(false, true))
		require.Empty(t, r.sends(3))
		require.NoError(t, r.client.unit.Pass(true, false))
		require.NoError(t, r.client.unit.SetUp(false))
		require.Empty(t, r.sends(4))
		require.NoError(t, r.client.unit.SetUp(true))
		require.NoError(t, r.server.unit.Pass(false, false))
		require.Empty(t, r.sends(5))
		require.Empty(t, r.client.take())
	})
}

func TestQueueIsBounded(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		s := r.client.socket.(*socket)
		s.host.mu.Lock()
		for i := range 2 * maxQueue {
			s.channel.add([]byte{0xc0, 0x21, byte(i)})
		}
		s.host.cond.Broadcast()
		s.host.mu.Unlock()
		got := r.client.take()
		require.Len(t, got, maxQueue)
		require.Equal(t, []byte{0xc0, 0x21, maxQueue}, got[0], "the oldest are dropped")
	})
}

func TestDevice(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		u := r.server.unit
		wide, narrow := netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("172.16.1.0/24")
		require.NoError(t, u.SetMTU(1400))
		require.NoError(t, u.AddRoute(driver.Route{To: wide, Source: serverInner}))
		require.ErrorIs(t, u.AddRoute(driver.Route{To: wide, Source: serverInner}), syscall.EEXIST)
		require.Equal(t, []Device{{
			Name: "ppp0", CallID: serverID, Up: true, MTU: 1400, IPv4: true,
			Addresses: []Address{{serverInner, clientInner}},
			Routes:    []Route{{wide, serverInner}, {netip.PrefixFrom(clientInner, 32), serverInner}},
		}}, r.server.host.Devices())
		require.Equal(t, Leaks{Sockets: 1, Units: 1, Addresses: 1, Routes: 2}, r.server.host.Leaks())

		// Another device with a longer prefix has its packets, and then again not.
		s, err := r.server.driver.Bind(serverAddr, clientAddr, serverID+1, new(heard))
		require.NoError(t, err)
		require.NoError(t, s.Connect(clientID+1))
		require.NoError(t, s.AttachChannel())
		other, err := s.NewUnit("ppp%d")
		require.NoError(t, err)
		require.Equal(t, "ppp1", other.Name())
		require.ErrorIs(t, other.AddRoute(driver.Route{To: narrow}), syscall.ENETDOWN)
		require.NoError(t, other.SetUp(true))
		require.NoError(t, other.AddRoute(driver.Route{To: narrow}))
		to := func(i int) []int {
			r.server.host.Send(ipPacket(serverInner, netip.MustParseAddr("172.16.1.1"), i))
			return r.client.arrived()
		}
		require.Empty(t, to(1))
		require.NoError(t, other.RemoveRoute(driver.Route{To: narrow}))
		require.ErrorIs(t, other.RemoveRoute(driver.Route{To: narrow}), syscall.ESRCH)
		require.Equal(t, []int{2}, to(2))
		require.NoError(t, other.AddRoute(driver.Route{To: wide}))
		require.Empty(t, to(3), "the newest of two")
		require.NoError(t, other.Close())
		require.Equal(t, []int{4}, to(4))
		require.NoError(t, s.Close())

		big := append(ipPacket(serverInner, clientInner, 5), make([]byte, 1400)...)
		r.server.host.Send(big)
		require.Empty(t, r.client.arrived(), "larger than the MTU")
		require.ErrorIs(t, u.SetMTU(0), syscall.EINVAL)

		require.ErrorIs(t, u.RemoveAddress(clientInner, serverInner), syscall.EADDRNOTAVAIL)
		require.NoError(t, u.RemoveAddress(serverInner, clientInner))
		require.Equal(t, Leaks{Sockets: 1, Units: 1}, r.server.host.Leaks(), "the routes go with the last address")
	})
}

func TestIdleAndStats(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		time.Sleep(90 * time.Second)
		require.Equal(t, []int{1}, r.sends(1))
		require.NoError(t, r.server.socket.Write(frame(ppp.ProtocolLCP, 1)))
		require.NoError(t, r.server.unit.Write(ccp(1)))
		time.Sleep(61*time.Second + time.Millisecond)
		for _, e := range []*end{r.server, r.client} {
			idle, err := e.unit.Idle()
			require.NoError(t, err)
			require.Equal(t, 61*time.Second, idle)
		}
		s, err := r.server.unit.Stats()
		require.NoError(t, err)
		require.Equal(t, driver.Stats{SentPackets: 1, SentOctets: 24}, s)
		s, err = r.client.unit.Stats()
		require.NoError(t, err)
		require.Equal(t, driver.Stats{ReceivedPackets: 1, ReceivedOctets: 24}, s)
	})
}

func TestRemoveDevice(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		require.False(t, r.client.host.RemoveDevice("ppp1"))
		require.True(t, r.client.host.RemoveDevice("ppp0"))
		require.Empty(t, r.client.take())
		require.Equal(t, []error{errGone}, r.client.gone)
		require.ErrorIs(t, r.client.unit.Pass(true, true), syscall.ENXIO)
		require.Equal(t, Leaks{Sockets: 1, Units: 1}, r.client.host.Leaks())
	})
}

func TestFaults(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		broken := errors.New("broken")
		r.client.host.Fail(OpSetUp, broken)
		require.ErrorIs(t, r.client.unit.SetUp(false), broken)
		require.True(t, r.client.host.Devices()[0].Up)
		r.client.host.Fail(OpSetUp, nil)
		require.NoError(t, r.client.unit.SetUp(false))

		var ops []Op
		r.client.host.OnOp(func(op Op, id uint16) error {
			require.Equal(t, uint16(clientID), id)
			ops = append(ops, op)
			time.Sleep(time.Second)
			return broken
		})
		began := time.Now()
		require.ErrorIs(t, r.client.unit.Close(), broken)
		require.Equal(t, time.Second+closeUnitTime, time.Since(began))
		require.Empty(t, r.client.host.Devices(), "it is closed all the same")
		r.client.host.OnOp(nil)
		require.ErrorIs(t, r.client.unit.Close(), errClosed)
		require.Equal(t, []Op{OpCloseUnit}, ops)
		r.client.unit = nil
	})
}

// A Handler is not called once Close has returned, and two calls at once are found out.
func TestClose(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		began := time.Now()
		s, err := r.client.driver.Bind(clientAddr, serverAddr, clientID+1, new(heard))
		require.NoError(t, err)
		require.NoError(t, s.Close())
		require.Equal(t, closeSocketTime, time.Since(began))

		s, err = r.client.driver.Bind(clientAddr, serverAddr, clientID+1, new(heard))
		require.NoError(t, err)
		closed := make(chan error)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		require.Panics(t, func() { _ = s.Close() })
		require.NoError(t, <-closed)
	})
}

func TestDriverClosedBeforeItsSockets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		defer n.Close()
		h := NewHost(n, serverAddr, Options{})
		d := h.driver()
		_, err := d.Bind(serverAddr, clientAddr, 1, new(heard))
		require.NoError(t, err)
		require.ErrorIs(t, d.Close(), errLeft)
		require.Equal(t, Leaks{Sockets: 1}, h.Leaks())
	})
}
