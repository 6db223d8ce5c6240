package userspace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/internal/offload"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// outcome is what became of the packets that a rig was given.
type outcome struct {
	sent     [][]sentGRE // by session, as on the wire
	inner    [][][]byte  // by session, what was in those
	arrived  [][]byte    // at the hosts behind the gateway
	control  [][][]byte  // by session
	counters []string    // by session
	joined   bool        // some packets to the host were written as one
	split    bool        // some packets of the host were read as one
}

// TestDifferential gives the same packets to a plane with the simple path, packet by
// packet through raw sockets and a plain TUN device, and to planes with the fast
// one. The same comes out: octet by octet, and in order.
func TestDifferential(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	simple := calmly(t, func() (*outcome, error) {
		return differential(t, Options{XDP: XDPOff, NoOffload: true, Workers: 1, Batch: 1}, 1, seed)
	})
	require.False(t, simple.joined)
	require.False(t, simple.split)
	for _, c := range []struct {
		name   string
		opts   Options
		queues int // of the network interface
	}{
		{"raw", Options{XDP: XDPOff, NoOffload: true, Workers: 1, Batch: 64}, 1},
		{"raw, workers", Options{XDP: XDPOff, NoOffload: true, Workers: 4, Batch: 8}, 1},
		{"raw, offload", Options{XDP: XDPOff, Workers: 1, Batch: 64}, 1},
		{"XDP", Options{NoOffload: true, Workers: 1, Batch: 64}, 1},
		{"XDP, offload, batch 1", Options{Workers: 1, Batch: 1}, 1},
		{"XDP, offload, batch 8", Options{Workers: 1, Batch: 8}, 1},
		{"XDP, offload, batch 256", Options{Workers: 1, Batch: 256}, 1},
		{"XDP, offload, workers", Options{Workers: 4}, 1},
		{"XDP, offload, workers, queues", Options{Workers: 2, Batch: 16}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			fast := calmly(t, func() (*outcome, error) {
				fast, err := differential(t, c.opts, c.queues, seed)
				if err == nil {
					err = simple.same(fast, c.opts.Workers == 1 && c.queues == 1)
				}
				return fast, err
			})
			require.Equal(t, !c.opts.NoOffload && c.opts.Batch != 1, fast.joined, "packets joined")
			require.Equal(t, !c.opts.NoOffload, fast.split, "packets split")
		})
	}
}

// calmly tries again, a few times. Packets that overtake each other are put right if
// those that were overtaken come soon, and on a machine that is busy they may not.
func calmly(t *testing.T, f func() (*outcome, error)) *outcome {
	t.Helper()
	for attempt := 1; ; attempt++ {
		o, err := f()
		if err == nil {
			return o
		}
		if attempt == 4 {
			t.Fatal(err)
		}
		t.Log(err)
	}
}

// same compares. If it is exact, also what is on the wire, whose order depends on
// nothing else then.
func (o *outcome) same(other *outcome, exact bool) error {
	errs := []error{sameFlows("arrived", o.arrived, other.arrived, true, false)}
	for i := range o.sent {
		s := fmt.Sprintf("session %d: ", i)
		errs = append(errs,
			// The host hands fragments over by a queue of their own.
			sameFlows(s+"sent", o.inner[i], other.inner[i], false, !exact),
			sameValue(s+"control frames", o.control[i], other.control[i]),
			sameValue(s+"counters", o.counters[i], other.counters[i]))
		if exact {
			errs = append(errs, sameValue(s+"wire", o.sent[i], other.sent[i]))
		}
	}
	return errors.Join(errs...)
}

func sameValue(what string, want, got any) error {
	if w, g := fmt.Sprintf("%x", want), fmt.Sprintf("%x", got); w != g {
		return fmt.Errorf("%s: want %.500s, got %.500s", what, w, g)
	}
	return nil
}

// sameFlows compares the packets of each flow. Some may have been joined on the way,
// and fragments may be apart.
func sameFlows(what string, want, got [][]byte, joins, apart bool) error {
	sort := func(packets [][]byte) map[string][][]byte {
		m := make(map[string][][]byte)
		for _, p := range packets {
			if joins {
				p = withoutID(p)
			}
			key := flowKey(p, apart)
			m[key] = append(m[key], p)
		}
		return m
	}
	w, g := sort(want), sort(got)
	for key, packets := range g {
		if _, ok := w[key]; !ok {
			return fmt.Errorf("%s: a flow that is not to be there: %x, %d packets", what, packets[0], len(packets))
		}
	}
	for key, packets := range w {
		for i := range max(len(packets), len(g[key])) {
			switch {
			case i >= len(g[key]):
				return fmt.Errorf("%s: packet %d of a flow is missing: %x", what, i, packets[i])
			case i >= len(packets):
				return fmt.Errorf("%s: there is one more packet of a flow: %x", what, g[key][i])
			case !bytes.Equal(packets[i], g[key][i]):
				return fmt.Errorf("%s: packet %d of a flow:\nwant %x\ngot  %x", what, i, packets[i], g[key][i])
			}
		}
	}
	return nil
}

// differential gives a plane random packets, from peers and from hosts, and returns
// what comes out. The error says that a packet did not that should have.
func differential(t *testing.T, opts Options, queues int, seed uint64) (*outcome, error) {
	t.Helper()
	r := newRig(t, opts, queues, []*mppe.Params{
		nil,
		{KeyLength: mppe.Key128},
		{KeyLength: mppe.Key128, Stateful: true},
		{KeyLength: mppe.Key40},
	})
	start := r.plane.Stats().GRE
	w := &wireFeed{rig: r, seed: seed, random: rand.New(rand.NewPCG(seed, 1))}
	for range 12 {
		w.round()
	}
	w.odd()
	received := r.plane.Stats().GRE
	if opts.XDP == XDPOff {
		require.Zero(t, received.ReceivedXDP)
	} else {
		raw := received.Received - received.ReceivedXDP
		require.Greater(t, received.ReceivedXDP-start.ReceivedXDP, 20*raw, "%+v", received)
	}

	r.feedLAN(seed)
	sent := r.plane.Stats().GRE
	if opts.XDP == XDPOff {
		require.Zero(t, sent.SentXDP)
	} else {
		require.Equal(t, sent.Sent-start.Sent, sent.SentXDP-start.SentXDP, "%+v", sent)
	}
	require.Zero(t, sent.ReceiveQueueFull+sent.SendQueueFull+sent.SendTooLarge+sent.SendRefused)

	require.Empty(t, r.problems)

	o := &outcome{arrived: r.onLAN}
	if err := sameFlows("forwarded", w.forwarded, r.onLAN, !opts.NoOffload, false); err != nil {
		return nil, err
	}
	for i, p := range r.peers {
		o.sent = append(o.sent, p.sent)
		o.inner = append(o.inner, p.users(t, queues == 1))
		o.control = append(o.control, p.frames)
		k := p.call.Counters()
		o.counters = append(o.counters, fmt.Sprintf("%+v", k))
		require.EqualValues(t, w.delivered[i], k.ReceivedPackets)
	}
	link, err := r.ns.NL.LinkByName(r.plane.DeviceName())
	require.NoError(t, err)
	s := r.plane.Stats().TUN
	require.Zero(t, s.Refused+s.TooLarge+s.NoCall+s.NotIP+s.Looped, "%+v", s)
	o.joined = link.Attrs().Statistics.RxPackets < s.Sent
	o.split = link.Attrs().Statistics.TxPackets < s.Received
	return o, nil
}

// users returns the users' packets in what the plane has sent to the peer.
func (p *rigPeer) users(t *testing.T, inOrder bool) [][]byte {
	t.Helper()
	sent := append([]sentGRE(nil), p.sent...)
	at := make([]int, len(sent)) // by sequence number
	for i := range at {
		at[i] = -1
	}
	for i, s := range sent {
		seq := s.seq - 1 // the first is 0 or 1
		if sent[0].seq == 0 {
			seq++
		}
		require.Less(t, int(seq), len(at), "sequence numbers")
		require.Equal(t, -1, at[seq], "a sequence number is there twice")
		at[seq] = i
		if inOrder {
			require.Equal(t, i, int(seq), "sequence numbers rise")
		}
	}
	var packets [][]byte
	for _, i := range at {
		protocol, payload, err := ppp.DecodeFrame(bytes.Clone(sent[i].payload))
		require.NoError(t, err)
		if protocol == ppp.ProtocolCompressed {
			inner, err := p.in.Open(payload, 0)
			require.NoError(t, err)
			protocol, payload, err = ppp.DecodeProtocol(inner)
			require.NoError(t, err)
		} else if protocol != ppp.ProtocolLCP {
			require.Nil(t, p.in, "in clear")
		}
		if protocol == ppp.ProtocolIPv4 || protocol == ppp.ProtocolIPv6 {
			packets = append(packets, payload)
		}
	}
	return packets
}

// wireFeed sends what peers send.
type wireFeed struct {
	*rig
	seed      uint64
	random    *rand.Rand
	builders  []*builder
	forwarded [][]byte // what is to arrive, with one hop less to go
	delivered [4]int   // users' packets, by session
	gaveUp    bool
	id        uint16
	deaf      [4]int // how many packets more a stateful session cannot be understood
}

// want says that a packet of a session is to arrive.
func (w *wireFeed) want(session int, packet []byte) {
	w.delivered[session]++
	w.forwarded = append(w.forwarded, forwarded(packet))
}

func (w *wireFeed) packet(p *rigPeer, payload []byte) []byte {
	w.id++
	return w.ethernet(p, outerPacket(p.addr, w.id, 0, nil, payload))
}

// fed is a frame, and the session that it is of.
type fed struct {
	queue int
	frame []byte
}

// round sends packets of all sessions, some of which are lost, come twice or are
// overtaken, and what is no packet of a session between them.
func (w *wireFeed) round() {
	if w.builders == nil {
		for i, p := range w.peers {
			w.builders = append(w.builders, &builder{
				Rand: rand.New(rand.NewPCG(w.seed, 100+uint64(i))), src: p.inner, dst: lanHost, src6: p.inner6, dst6: lanHost6, port: 0x1000,
			})
		}
	}
	var frames []fed
	for i, p := range w.peers {
		var own [][]byte
		var packets [][]byte
		for len(packets) < 30 {
			packets = append(packets, w.builders[i].some()...)
		}
		for k, packet := range packets {
			// The first number is the base of all, and nothing is missing in the end.
			safe := k < 8 || k >= len(packets)-4
			fate := w.random.IntN(100)
			switch {
			case p.in == nil && fate == 99:
				// What is between a user's packets stays there.
				own = append(own, w.packet(p, p.gre(append(bytes.Clone(controlFrame), byte(k)))))
			case fate == 98:
				own = append(own, w.packet(p, p.gre(nil))) // keeps a NAT open
			}
			frame := w.packet(p, p.gre(p.frame(packet, fate%2 == 0)))
			if w.deaf[i] > 0 {
				if w.deaf[i]--; w.deaf[i] == 0 {
					p.out.Flush() // the next one begins anew
				}
				own = append(own, frame)
				continue
			}
			switch {
			case safe || fate >= 8:
				own = append(own, frame)
			case fate < 2:
				if i == 2 {
					w.deaf[i] = 3
				}
				continue
			case fate < 4:
				own = append(own, frame, bytes.Clone(frame))
			default:
				at := max(len(own)-1-w.random.IntN(7), 0)
				own = append(own[:at], append([][]byte{frame}, own[at:]...)...)
			}
			w.want(i, packet)
		}
		for w.deaf[i] > 0 {
			w.deaf[i]--
			own = append(own, w.packet(p, p.gre(p.frame(packets[0], false))))
			if w.deaf[i] == 0 {
				p.out.Flush()
			}
		}
		for _, frame := range own {
			frames = append(frames, fed{p.queue, frame})
		}
	}
	// Sessions are mixed, each stays in order.
	mixed := make([]fed, 0, len(frames))
	rest := map[int][]fed{}
	for _, f := range frames {
		rest[f.queue] = append(rest[f.queue], f)
	}
	for len(mixed) < len(frames) {
		i := w.random.IntN(len(w.peers))
		n := min(1+w.random.IntN(9), len(rest[i]))
		mixed = append(mixed, rest[i][:n]...)
		rest[i] = rest[i][n:]
		if w.random.IntN(3) == 0 {
			mixed = append(mixed, fed{i, w.garbage(w.peers[i])})
			frames = append(frames, fed{})
		}
	}
	w.whileHeld(func() {
		for _, f := range mixed {
			w.wire.send(w.t, f.queue, f.frame)
		}
		time.Sleep(time.Millisecond)
	})
	w.settle()
}

// settle waits for everything that is to arrive. What is missing is missed later.
func (w *wireFeed) settle() {
	for end := time.Now().Add(2 * time.Second); !w.gaveUp; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		n := len(w.onLAN)
		w.mu.Unlock()
		if n >= len(w.forwarded) {
			return
		}
		w.gaveUp = time.Now().After(end)
	}
}

// garbage is a frame that means nothing, or nothing to any session.
func (w *wireFeed) garbage(p *rigPeer) []byte {
	h := gre.Header{CallID: p.call.ID(), HasSequence: true, Sequence: p.seq + 1, PayloadLength: 8}
	packet := append(h.Append(nil), make([]byte, 8)...)
	switch w.random.IntN(12) {
	case 0: // of no call
		h.CallID += 20
		return w.packet(p, append(h.Append(nil), make([]byte, 8)...))
	case 1: // of another's
		other := w.peers[(p.queue+1)%len(w.peers)]
		h.CallID = other.call.ID()
		return w.packet(p, append(h.Append(nil), make([]byte, 8)...))
	case 2: // cut off
		return w.packet(p, packet[:4+w.random.IntN(len(packet)-4)])
	case 3: // with more in the header than in the packet
		binary.BigEndian.PutUint16(packet[4:], 9)
		return w.packet(p, packet)
	case 4: // bits that are to be zero, or versions
		packet[w.random.IntN(2)] ^= 1 << w.random.IntN(8)
		packet[1] &^= 0x80 // would be an acknowledgement
		if packet[0] == 0x30 && packet[1] == 1 {
			packet[1] = 0
		}
		return w.packet(p, packet)
	case 5: // another protocol
		packet[3]++
		return w.packet(p, packet)
	case 6: // a wrong checksum of the IP header
		frame := w.packet(p, packet)
		frame[14+10]++
		return frame
	case 7: // longer than the frame
		frame := w.packet(p, packet)
		frame[14+2] = 5
		frame[14+10], frame[14+11] = 0, 0
		binary.BigEndian.PutUint16(frame[14+10:], ^onesSum(frame[14:34]))
		return frame
	case 8: // shorter than its header says
		return w.packet(p, packet)[:14+20+w.random.IntN(15)]
	case 9: // an acknowledgement
		h = gre.Header{CallID: p.call.ID(), HasAck: true, Ack: w.random.Uint32N(3)}
		return w.packet(p, h.Append(nil))
	case 10: // from somebody else
		w.id++
		return w.ethernet(p, outerPacket(netip.MustParseAddr("192.0.2.99"), w.id, 0, nil, packet))
	default: // a number that is seen already
		h.Sequence = 1
		return w.packet(p, append(h.Append(nil), make([]byte, 8)...))
	}
}

// odd sends packets that AF_XDP does not take, which are right all the same, and
// inner packets that are not. They come alone, as those that take different paths
// may overtake each other.
func (w *wireFeed) odd() {
	for i, p := range w.peers {
		b := w.builders[i]
		good := func() []byte {
			packet := b.ip4(unix.IPPROTO_UDP, 0, nil, b.udp(false, 0, b.bytes(1000)))
			w.want(i, packet)
			return p.gre(p.frame(packet, false))
		}
		alone := func(packets ...[]byte) {
			for _, packet := range packets {
				w.wire.send(w.t, p.queue, w.ethernet(p, packet))
			}
			w.settle()
		}
		w.id++
		alone(outerPacket(p.addr, w.id, 0, []byte{1, 1, 1, 0}, good())) // options
		w.id++
		whole := good()
		alone(outerPacket(p.addr, w.id, moreFragments, nil, whole[:800]), outerPacket(p.addr, w.id, 100, nil, whole[800:]))
		w.id++
		alone(append(outerPacket(p.addr, w.id, 0, nil, good()), b.bytes(30)...)) // a trailer
		w.id++
		alone(outerPacket(p.addr, w.id, 0, nil, append(good(), b.bytes(30)...))) // another

		for _, bad := range [][]byte{
			{0x45}, bytes.Repeat([]byte{0x45}, 19), b.bytes(100)[:0],
			append([]byte{0x44}, b.bytes(60)...), append([]byte{0x60}, b.bytes(30)...), append([]byte{0x55}, b.bytes(60)...),
		} {
			if len(bad) > 0 {
				w.id++
				alone(outerPacket(p.addr, w.id, 0, nil, p.gre(p.frame(bad, false))))
			}
		}
		// Not of the peer's address.
		other := *b
		other.src, other.src6 = innerServer, lanHost6
		w.id++
		alone(outerPacket(p.addr, w.id, 0, nil, p.gre(p.frame(other.ip4(unix.IPPROTO_UDP, 0, nil, b.udp(false, 0, nil)), false))))
		w.id++
		alone(outerPacket(p.addr, w.id, 0, nil, p.gre(p.frame(other.ip6(unix.IPPROTO_UDP, b.udp(true, 0, nil)), false))))
		w.id++
		alone(outerPacket(p.addr, w.id, 0, nil, good()))
	}
}

// feedLAN sends what hosts behind the gateway send.
func (r *rig) feedLAN(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 2))
	var builders []*builder
	for i, p := range r.peers {
		builders = append(builders, &builder{
			Rand: rand.New(rand.NewPCG(seed, 200+uint64(i))), src: lanHost, dst: p.inner, src6: lanHost6, dst6: p.inner6, port: 0x2000,
		})
	}
	want := make([]int, len(r.peers))
	for i, p := range r.peers {
		want[i] = len(p.sent)
	}
	for range 12 {
		// The TUN device holds 500 packets.
		var frames [][]byte
		for n := 0; n < 250; {
			i := random.IntN(len(r.peers))
			if random.IntN(4) == 0 {
				h, packet, count := builders[i].large()
				frames = append(frames, r.fromLAN(h, packet))
				want[i] += count
				n += count
				continue
			}
			for _, packet := range builders[i].some() {
				frames = append(frames, r.fromLAN(offload.Header{}, packet))
				want[i]++
				n++
			}
		}
		r.whileHeld(func() {
			for _, f := range frames {
				r.lan.send(r.t, 0, f)
			}
			time.Sleep(time.Millisecond)
		})
		r.await("packets at the peers", func() bool {
			for i, p := range r.peers {
				if len(p.sent) < want[i] {
					return false
				}
			}
			return true
		})
	}
}
