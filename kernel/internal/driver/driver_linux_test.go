package driver

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/nstest"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

func TestControlFrames(t *testing.T) {
	a, b := connected(t)
	lcp := frame(ppp.ProtocolLCP, packet(ppp.EchoRequest, 1, 2, 3, 4)...)
	require.NoError(t, a.socket.Write(lcp))
	require.Equal(t, [][]byte{lcp}, b.await(t, 1))
	require.NoError(t, b.socket.Write(lcp))
	require.Equal(t, [][]byte{lcp}, a.await(t, 1))

	// With a unit, too, and in order.
	a.newUnit(t)
	ipcp := frame(ppp.ProtocolIPCP, packet(ppp.ConfigureRequest)...)
	require.NoError(t, b.socket.Write(ipcp))
	require.Equal(t, [][]byte{ipcp}, a.await(t, 1))
	for _, h := range []ppp.HeaderCompression{{}, {Protocol: true}, {AddressControl: true}, {Protocol: true, AddressControl: true}} {
		require.NoError(t, a.socket.SetHeader(h))
		require.NoError(t, a.socket.Write(ipcp))
		require.Equal(t, [][]byte{ipcp}, b.await(t, 1), "%+v", h)
		require.NoError(t, a.socket.Write(lcp))
		require.Equal(t, [][]byte{lcp}, b.await(t, 1), "%+v", h)
	}
}

func TestEarlyFrames(t *testing.T) {
	hostA, hostB := pair(t)
	a, b := hostA.bind(t, addrB, 11), hostB.bind(t, addrA, 22)
	a.connect(t, 22)
	var sent [][]byte
	for i := range 3 {
		f := frame(ppp.ProtocolLCP, packet(ppp.ConfigureRequest, 1, 4, byte(i), 0)...)
		require.NoError(t, a.socket.Write(f))
		sent = append(sent, f)
	}
	require.Empty(t, b.take())
	b.connect(t, 11)
	require.Equal(t, sent, b.take()[:3], "by the time of AttachChannel")
}

func TestCallIDs(t *testing.T) {
	hostA, hostB := pair(t)
	a := hostA.bind(t, addrB, 11)
	_, err := hostA.driver.Bind(addrA, addrB, 11, &inbox{})
	require.ErrorIs(t, err, ErrIDInUse)
	a.connect(t, 22)

	// What came early is not lost when there is a collision.
	other := hostA.bind(t, addrB, 12)
	b := hostB.bind(t, addrA, 22)
	b.connect(t, 12)
	early := frame(ppp.ProtocolLCP, packet(ppp.ConfigureRequest)...)
	require.NoError(t, b.socket.Write(early))
	require.ErrorIs(t, other.socket.Connect(22), ErrCollision)
	require.Equal(t, [][]byte{early}, other.take())
	require.NoError(t, other.socket.Connect(23), "and it goes on")
	require.NoError(t, other.socket.AttachChannel())

	// It is free again once it is closed.
	require.NoError(t, other.socket.Close())
	again := hostA.bind(t, addrB, 12)
	again.connect(t, 23)
}

// begin has both ends encrypt both ways.
func begin(t *testing.T, a, b *half, up, down mppe.Params) {
	t.Helper()
	require.NoError(t, a.unit.SetEncryption(&up, &down))
	require.NoError(t, b.unit.SetEncryption(&down, &up))
	require.Empty(t, a.take(), "of the Acks that are no peer's")
	require.Empty(t, b.take())
}

func TestEncryption(t *testing.T) {
	for _, length := range []mppe.KeyLength{mppe.Key128, mppe.Key40} {
		for _, stateful := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v stateful %v", length, stateful), func(t *testing.T) {
				a, b := connected(t)
				a.newUnit(t)
				b.newUnit(t)
				begin(t, a, b, params(length, stateful, 1), params(length, stateful, 100))
				for _, h := range []*half{a, b} {
					require.NoError(t, h.socket.SetFilter(Filter{NoClear: true, NoRestart: true}))
				}
				attach(t, a, b)
				at, to := a.udp(t, innerA), b.udp(t, innerB)
				for i := range 300 {
					passes(t, at, innerB, to, fmt.Sprint("there ", i))
					passes(t, to, innerA, at, fmt.Sprint("back ", i))
				}
				s, err := a.unit.Stats()
				require.NoError(t, err)
				require.Equal(t, uint64(300), s.ReceivedPackets)
				require.Equal(t, uint64(300), s.SentPackets)
				idle, err := a.unit.Idle()
				require.NoError(t, err)
				require.Less(t, idle.Seconds(), 5.0)

				if !stateful {
					return
				}
				// A packet is lost: what follows cannot be decrypted, until a Reset-Ack.
				require.NoError(t, b.unit.Pass(true, false))
				link, err := b.ns.NL.LinkByName("outer")
				require.NoError(t, err)
				require.NoError(t, b.ns.NL.LinkSetDown(link))
				lost(t, at, innerB, to, "lost")
				require.NoError(t, b.ns.NL.LinkSetUp(link))
				// The other end takes its time to find out.
				nstest.Eventually(t, "the network to be back", func() bool {
					require.NoError(t, a.socket.Write(frame(ppp.ProtocolLCP, packet(ppp.EchoRequest, 1, 2, 3, 4)...)))
					return len(b.take()) > 0
				})
				time.Sleep(50 * time.Millisecond)
				b.take()
				lost(t, at, innerB, to, "deaf")
				lost(t, at, innerB, to, "deaf still")
				for _, f := range b.await(t, 1) {
					require.Equal(t, byte(ppp.ProtocolCompressed), f[1])
				}
				state, err := b.unit.Decryption()
				require.NoError(t, err)
				require.Equal(t, DecryptionLost, state)
				require.NoError(t, a.unit.Write(ccp(ppp.ResetAck)))
				b.await(t, 1)
				state, err = b.unit.Decryption()
				require.NoError(t, err)
				require.Equal(t, DecryptionWorks, state)
				passes(t, at, innerB, to, "again")
			})
		}
	}
}

func TestKeyLengthUnknown(t *testing.T) {
	a, b := connected(t)
	a.newUnit(t)
	unknown, known := params(mppe.Key56, false, 1), params(mppe.Key40, false, 1)
	require.ErrorIs(t, a.unit.SetEncryption(&unknown, &known), mppe.ErrNotSupported)
	require.ErrorIs(t, a.unit.SetEncryption(&known, &unknown), mppe.ErrNotSupported)
	// It has not lost its channel by that.
	f := frame(ppp.ProtocolIPCP, packet(ppp.ConfigureRequest)...)
	require.NoError(t, b.socket.Write(f))
	require.Equal(t, [][]byte{f}, a.await(t, 1))
}

// Acks of the peer that come late, or twice, change no key, nor does a new negotiation
// leave anything of the old one.
func TestEncryptionAnew(t *testing.T) {
	a, b := connected(t)
	a.newUnit(t)
	b.newUnit(t)
	attach(t, a, b)
	at, to := a.udp(t, innerA), b.udp(t, innerB)
	for i := range 5 {
		up, down := params(mppe.Key128, i%2 == 1, byte(1+i)), params(mppe.Key128, i%2 == 1, byte(100+i))
		for _, h := range []*half{a, b} {
			for range 3 {
				require.NoError(t, h.socket.Write(ccp(ppp.ConfigureAck, option(up)...)))
			}
		}
		require.NoError(t, a.unit.SetEncryption(&up, &down))
		require.NoError(t, b.unit.SetEncryption(&down, &up))
		for _, h := range []*half{a, b} {
			require.NoError(t, h.socket.Write(ccp(ppp.ConfigureAck, option(up)...)))
			require.NoError(t, h.socket.SetFilter(Filter{NoClear: true}))
		}
		for range 10 {
			passes(t, at, innerB, to, "there")
			passes(t, to, innerA, at, "back")
		}
		if i == 3 { // one direction alone
			require.NoError(t, a.unit.SetEncryption(nil, &down))
			require.NoError(t, b.unit.SetEncryption(&down, nil))
			lost(t, at, innerB, to, "in clear")
			passes(t, to, innerA, at, "back")
		}
	}
	a.await(t, 20)
	b.await(t, 20)
}

// A unit that has no channel for a while is not read over and over again meanwhile.
func TestNoChannel(t *testing.T) {
	a, b := connected(t)
	a.newUnit(t)
	b.newUnit(t)
	channel, file := a.socket.(*socket).channel, a.unit.(*unit).file
	var reads atomic.Int64
	file.source.mu.Lock()
	ready := file.source.ready
	file.source.ready = func(events uint32, buf []byte) bool {
		reads.Add(1)
		return ready(events, buf)
	}
	file.source.mu.Unlock()
	for i := range 3 {
		require.NoError(t, ioctl(channel.fd, "PPPIOCDISCONN", unix.PPPIOCDISCONN, nil))
		time.Sleep(20 * time.Millisecond)
		require.NoError(t, a.unit.(*unit).join())
		require.NoError(t, b.socket.Write(ccp(ppp.ConfigureRequest)))
		require.Equal(t, ccp(ppp.ConfigureRequest), a.await(t, 1)[0], i)
	}
	require.Less(t, reads.Load(), int64(20))
}

// What the peer sends to have us encrypt no longer is handed up, and does not.
func TestNoRestart(t *testing.T) {
	a, b := connected(t)
	a.newUnit(t)
	b.newUnit(t)
	begin(t, a, b, params(mppe.Key128, false, 1), params(mppe.Key128, false, 100))
	attach(t, a, b)
	at, to := a.udp(t, innerA), b.udp(t, innerB)
	require.NoError(t, a.socket.SetFilter(Filter{NoClear: true, NoRestart: true}))
	require.NoError(t, b.socket.SetFilter(Filter{NoClear: true}))
	for _, code := range []ppp.Code{ppp.ConfigureRequest, ppp.TerminateRequest, ppp.TerminateAck} {
		f := ccp(code, option(params(mppe.Key128, false, 0))...)
		require.NoError(t, b.socket.Write(f))
		require.Equal(t, [][]byte{f}, a.await(t, 1), "%v", code)
		passes(t, at, innerB, to, "encrypted still")
	}
	// Other packets of CCP go their usual way.
	f := ccp(ppp.ConfigureAck, option(params(mppe.Key128, false, 0))...)
	require.NoError(t, b.socket.Write(f))
	require.Equal(t, [][]byte{f}, a.await(t, 1))
	passes(t, at, innerB, to, "encrypted still")

	// Without the filter the kernel stops encrypting, and b does not take it.
	require.NoError(t, a.socket.SetFilter(Filter{NoClear: true}))
	require.NoError(t, b.socket.Write(ccp(ppp.ConfigureRequest)))
	a.await(t, 1)
	lost(t, at, innerB, to, "in clear")
	require.NoError(t, b.socket.SetFilter(Filter{}))
	passes(t, at, innerB, to, "in clear")
}

func TestNoClear(t *testing.T) {
	a, b := connected(t)
	a.newUnit(t)
	b.newUnit(t)
	attach(t, a, b)
	at, to := a.udp(t, innerA), b.udp(t, innerB)
	for _, h := range []ppp.HeaderCompression{{}, {Protocol: true}, {AddressControl: true}, {Protocol: true, AddressControl: true}} {
		require.NoError(t, a.socket.SetHeader(h))
		require.NoError(t, b.socket.SetFilter(Filter{NoClear: true}))
		lost(t, at, innerB, to, "in clear")
		// Control frames are always clear.
		f := frame(ppp.ProtocolIPCP, packet(ppp.ConfigureRequest)...)
		require.NoError(t, a.socket.Write(f))
		require.Equal(t, [][]byte{f}, b.await(t, 1))
		require.NoError(t, b.socket.SetFilter(Filter{}))
		passes(t, at, innerB, to, "allowed")
	}
}

func TestPass(t *testing.T) {
	a, b := connected(t)
	a.newUnit(t)
	b.newUnit(t)
	attach(t, a, b)
	at, to := a.udp(t, innerA), b.udp(t, innerB)
	passes(t, at, innerB, to, "open")
	require.NoError(t, a.unit.Pass(false, false))
	lost(t, at, innerB, to, "shut")
	lost(t, to, innerA, at, "shut")
	require.NoError(t, a.unit.Pass(true, false))
	passes(t, at, innerB, to, "open")
	passes(t, to, innerA, at, "open")
}

func TestDevice(t *testing.T) {
	a, b := connected(t)
	var err error
	a.unit, err = a.socket.NewUnit("vpn%d")
	require.NoError(t, err)
	require.Equal(t, "vpn0", a.unit.Name())
	require.NoError(t, a.unit.SetUp(true))
	require.NoError(t, a.unit.AddAddress(innerA, netip.Addr{}))
	r := Route{To: netip.MustParsePrefix("10.1.0.0/16"), Source: innerA}
	require.NoError(t, a.unit.AddRoute(r))
	link, err := a.ns.NL.LinkByName("vpn0")
	require.NoError(t, err)
	routes, err := a.ns.NL.RouteList(link, netlink.FAMILY_V4)
	require.NoError(t, err)
	require.Len(t, routes, 1)
	require.NoError(t, a.unit.RemoveRoute(r))
	require.NoError(t, a.unit.RemoveAddress(innerA, netip.Addr{}))

	// Somebody removes it.
	require.NoError(t, a.ns.NL.LinkDel(link))
	nstest.Eventually(t, "the handler to hear of it", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.gone != nil
	})
	_ = b
}

func TestProbe(t *testing.T) {
	needDriver(t)
	f := Probe()
	require.Equal(t, Finding{Answer: Supported}, f.MPPE)
}
