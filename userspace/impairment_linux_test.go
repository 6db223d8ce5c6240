package userspace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/mppe"
)

// cable joins two interfaces, and is a bad one if it is told so.
type cable struct {
	t    testing.TB
	ends [2]*tap
	bad  atomic.Pointer[badness]
	// To the first end and to the second: packets with a sequence number.
	counts [2]struct{ sent, lost, doubled atomic.Int64 }
	late   atomic.Int64 // packets that are under way yet
}

// badness is how many packets in a thousand are lost, come twice, or come some
// milliseconds late and so are overtaken.
type badness struct{ lost, twice, late int }

// newCabled makes two namespaces joined by a cable.
//
//	A 192.0.2.1/24 ──── 192.0.2.2/24 B
func newCabled(t testing.TB) (a, b *namespace, c *cable) {
	t.Helper()
	a, b = newNamespace(t), newNamespace(t)
	c = &cable{t: t, ends: [2]*tap{a.newTAP(t, "eth0", 1, false), b.newTAP(t, "eth0", 1, false)}}
	for i, ns := range []*namespace{a, b} {
		addresses := []netip.Addr{outerA, outerB}
		ns.address(t, c.ends[i].index, addresses[i].String()+"/24")
		ns.neighbour(t, c.ends[i].index, addresses[1-i].String(), c.ends[1-i].mac)
		c.ends[i].each(func(_ int, frame []byte) { c.carry(1-i, frame) })
	}
	return a, b, c
}

func (c *cable) deliver(to int, frame []byte) {
	_, _ = c.ends[to].queues[0].Write(frame) // fails at the end of the test only
}

// carry takes a frame to one of the ends.
func (c *cable) carry(to int, frame []byte) {
	const sequencePresent = 0x10
	if binary.BigEndian.Uint16(frame[12:]) != 0x0800 || frame[14+9] != protocolGRE || frame[34]&sequencePresent == 0 {
		c.deliver(to, frame)
		return
	}
	n := &c.counts[to]
	n.sent.Add(1)
	bad := c.bad.Load()
	if bad == nil {
		c.deliver(to, frame)
		return
	}
	fate := rand.IntN(1000)
	switch {
	case fate < bad.lost:
		n.lost.Add(1)
	case fate < bad.lost+bad.twice:
		n.doubled.Add(1)
		c.deliver(to, frame)
		c.deliver(to, frame)
	case fate < bad.lost+bad.twice+bad.late:
		kept := bytes.Clone(frame)
		c.late.Add(1)
		time.AfterFunc(time.Duration(rand.IntN(int(10*time.Millisecond))), func() {
			defer c.late.Add(-1)
			c.deliver(to, kept)
		})
	default:
		c.deliver(to, frame)
	}
}

// resetter is an owner that has what CCP does when packets were lost: after a
// moment, the peer begins anew.
type resetter struct {
	*owner
	peer    func() gopptp.Call
	resets  atomic.Int64
	pending atomic.Int64
}

func (r *resetter) ResetNeeded() {
	r.resets.Add(1)
	r.pending.Add(1)
	time.AfterFunc(time.Millisecond, func() {
		defer r.pending.Add(-1)
		_ = r.peer().ResetSend()
	})
}

// TestImpaired has packets lost, doubled and overtaken between two planes that use
// AF_XDP. No packet is delivered that was not sent, all are accounted for, and TCP
// gets through.
func TestImpaired(t *testing.T) {
	for name, cipher := range map[string]*mppe.Params{
		"clear":     nil,
		"stateless": {KeyLength: mppe.Key128},
		"stateful":  {KeyLength: mppe.Key128, Stateful: true},
	} {
		for _, opts := range []Options{
			{XDP: XDPOff, Workers: 1, Batch: 8},
			{XDP: XDPOn, Workers: 1, Batch: 1, NoOffload: true},
			{XDP: XDPOn, Workers: 4, Batch: 64},
		} {
			t.Run(fmt.Sprintf("%s, XDP mode %d, %d workers, batch %d", name, opts.XDP, opts.Workers, opts.Batch), func(t *testing.T) {
				t.Parallel()
				testImpaired(t, opts, cipher)
			})
		}
	}
}

func testImpaired(t *testing.T, opts Options, cipher *mppe.Params) {
	a, b, cable := newCabled(t)
	n := &tunnel{atClient: newOwner(), atServer: newOwner()}
	atClient := &resetter{owner: n.atClient, peer: func() gopptp.Call { return n.serverCall }}
	atServer := &resetter{owner: n.atServer, peer: func() gopptp.Call { return n.clientCall }}
	n.connect(t, a, b, outerB, opts, atClient, atServer)
	if cipher != nil {
		n.encryptWith(t, *cipher)
	}
	if opts.XDP != XDPOff {
		n.warm(t)
	} else {
		// The first number is the base of all.
		require.NoError(t, n.clientCall.WriteControl(controlFrame))
		require.NoError(t, n.serverCall.WriteControl(controlFrame))
		eventually(t, "a frame at both ends", func() bool { return n.atClient.got(controlFrame) && n.atServer.got(controlFrame) })
	}
	before := [2]GREStats{n.client.Stats().GRE, n.server.Stats().GRE}
	n.attach(t, 1400)

	bad := &badness{lost: 10, twice: 10, late: 20}
	least, size := 100, 1<<18
	if cipher != nil && cipher.Stateful {
		// Late packets would cost as much as those that are lost, of which there are
		// more than the ten resets that a second may have.
		bad.late = 0
		least, size = 10, 1<<16
	}
	cable.bad.Store(bad)
	datagrams(t, a, b, least)
	transferTCP(t, a, b, "10.99.0.1:0", size)
	cable.bad.Store(nil)
	eventually(t, "late packets", func() bool { return cable.late.Load() == 0 })
	// What comes now tells what is missing.
	const after = 300
	for range after {
		require.NoError(t, n.clientCall.WriteControl(controlFrame))
		require.NoError(t, n.serverCall.WriteControl(controlFrame))
	}

	for i, end := range []struct {
		plane *Plane
		call  gopptp.Call
		owner *resetter
	}{{n.client, n.clientCall, atClient}, {n.server, n.serverCall, atServer}} {
		count := &cable.counts[i]
		var k gopptp.Counters
		var control int
		eventually(t, "all packets accounted for", func() bool {
			k = end.call.Counters()
			end.owner.mu.Lock()
			control = len(end.owner.frames)
			end.owner.mu.Unlock()
			late := int64(k.Duplicates) - count.doubled.Load()
			return late >= 0 && count.sent.Load()-count.lost.Load()-late == int64(k.ReceivedPackets+k.DroppedEncrypted)+int64(control)
		})
		require.NotZero(t, k.Lost)
		// Of what comes far too late, nobody knows any more that it was given up.
		require.LessOrEqual(t, count.lost.Load(), int64(k.Lost))
		require.LessOrEqual(t, int64(k.Lost), count.lost.Load()+int64(k.Duplicates)-count.doubled.Load())
		require.NotZero(t, k.Duplicates)
		require.Zero(t, k.DroppedSource+k.DroppedClear+k.DroppedMalformed+k.DroppedQueue+k.DroppedNetwork+k.DroppedLink, "%+v", k)
		if cipher != nil && cipher.Stateful {
			require.NotZero(t, end.owner.resets.Load())
		} else {
			require.Zero(t, k.DroppedEncrypted)
			require.NotZero(t, int64(k.Reordered+k.Duplicates)-count.doubled.Load())
		}
		s := end.plane.Stats().GRE
		if opts.XDP == XDPOff {
			require.Zero(t, s.ReceivedXDP+s.SentXDP)
		} else {
			require.Equal(t, s.Received-before[i].Received, s.ReceivedXDP-before[i].ReceivedXDP, "by AF_XDP: %+v", s)
			require.Equal(t, s.Sent-before[i].Sent, s.SentXDP-before[i].SentXDP, "by AF_XDP: %+v", s)
		}
	}
	require.Empty(t, n.atClient.failed)
	require.Empty(t, n.atServer.failed)
	eventually(t, "the last resets", func() bool { return atClient.pending.Load()+atServer.pending.Load() == 0 })
}

// datagrams go both ways at once. Those that arrive are as they were sent, each
// comes once, and of 800 that go each way as many do as least says.
func datagrams(t *testing.T, a, b *namespace, least int) {
	t.Helper()
	const count, size = 800, 1000
	datagram := func(number uint64) []byte {
		p := binary.BigEndian.AppendUint64(nil, number)
		r := rand.NewChaCha8([32]byte(append(p[:8:8], make([]byte, 24)...)))
		p = append(p, make([]byte, number%size)...)
		_, _ = r.Read(p[8:])
		return p
	}
	conns := [2]*net.UDPConn{a.listenUDP(t, "10.99.0.2:0"), b.listenUDP(t, "10.99.0.1:0")}
	var received [2][][]byte
	var errs [2]error
	var writing, reading sync.WaitGroup
	for i, c := range conns {
		reading.Go(func() {
			buf := make([]byte, 2000)
			for {
				n, err := c.Read(buf)
				if err != nil {
					return
				}
				received[i] = append(received[i], bytes.Clone(buf[:n]))
			}
		})
		writing.Go(func() {
			to := conns[1-i].LocalAddr().(*net.UDPAddr).AddrPort()
			for n := range uint64(count) {
				if _, errs[i] = c.WriteToUDPAddrPort(datagram(n<<1|uint64(i)), to); errs[i] != nil {
					return
				}
				if n%16 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	writing.Wait()
	for i, c := range conns {
		require.NoError(t, errs[i])
		require.NoError(t, c.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	}
	reading.Wait()
	for i := range conns {
		seen := make(map[uint64]bool)
		for _, d := range received[i] {
			number := binary.BigEndian.Uint64(d)
			require.Equal(t, datagram(number), d)
			require.Equal(t, uint64(1-i), number&1)
			require.False(t, seen[number], "twice")
			seen[number] = true
		}
		require.Greater(t, len(seen), least)
	}
}
