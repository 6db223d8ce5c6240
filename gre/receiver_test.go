package gre

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// inbox is a Receiver with what it has delivered.
type inbox struct {
	Receiver
	now time.Time
	got []Packet
}

func newInbox(cfg ReceiverConfig) *inbox { return &inbox{Receiver: NewReceiver(cfg), now: epoch} }

// payloadOf makes a payload that shows which packet it is.
func payloadOf(seq uint32) []byte {
	return []byte{byte(seq >> 24), byte(seq >> 16), byte(seq >> 8), byte(seq)}
}

// push gives the Receiver packets, and returns the numbers that it delivers. The
// buffer is used again, as a reader of packets does.
func (r *inbox) push(seqs ...uint32) []uint32 {
	before := len(r.got)
	var buf [4]byte
	for _, seq := range seqs {
		copy(buf[:], payloadOf(seq))
		n := len(r.got)
		r.got = r.Push(r.got, seq, buf[:], r.now)
		r.keep(n)
		buf = [4]byte{0xee, 0xee, 0xee, 0xee}
	}
	return numbers(r.got[before:])
}

// keep copies the payloads delivered from n on.
func (r *inbox) keep(n int) {
	for i := n; i < len(r.got); i++ {
		r.got[i].Payload = append([]byte(nil), r.got[i].Payload...)
	}
}

// at moves the time to d after the epoch and ticks.
func (r *inbox) at(d time.Duration) []uint32 {
	r.now = epoch.Add(d)
	before := len(r.got)
	r.got = r.Tick(r.got, r.now)
	return numbers(r.got[before:])
}

func numbers(packets []Packet) []uint32 {
	var seqs []uint32
	for _, p := range packets {
		seqs = append(seqs, p.Sequence)
	}
	return seqs
}

// missing returns what is said to be missing before each packet delivered.
func (r *inbox) missing() []uint32 {
	var m []uint32
	for _, p := range r.got {
		m = append(m, p.Missing)
	}
	return m
}

// span is the numbers from first on, n of them.
func span(first uint32, n int) []uint32 {
	seqs := make([]uint32, n)
	for i := range seqs {
		seqs[i] = first + uint32(i)
	}
	return seqs
}

// Peers begin with 0 or 1; a call that is joined late may be anywhere.
func TestReceiverFirstNumber(t *testing.T) {
	for _, first := range []uint32{0, 1, 2, 1000, 1 << 31, math.MaxUint32} {
		r := newInbox(ReceiverConfig{})
		require.True(t, r.Deadline().IsZero())
		require.Equal(t, span(first, 5), r.push(span(first, 5)...))
		require.Equal(t, []uint32{0, 0, 0, 0, 0}, r.missing(), "nothing before the first is missing")
		for _, p := range r.got {
			require.Equal(t, payloadOf(p.Sequence), p.Payload)
		}
		require.Equal(t, ReceiverCounters{Packets: 5}, r.Counters())
	}
}

func TestReceiverReorders(t *testing.T) {
	for name, c := range map[string]struct {
		in        []uint32
		reordered uint64
	}{
		"two":         {[]uint32{1, 3, 2, 4}, 1},
		"backwards":   {[]uint32{1, 5, 4, 3, 2, 6}, 3},
		"first late":  {[]uint32{1, 3, 4, 5, 2, 6}, 1},
		"interleaved": {[]uint32{1, 3, 2, 5, 4, 6}, 2},
		"two gaps":    {[]uint32{1, 3, 5, 6, 4, 2}, 2},
	} {
		for _, base := range []uint32{0, math.MaxUint32 - 3} { // across the wrap too
			t.Run(name, func(t *testing.T) {
				r := newInbox(ReceiverConfig{})
				var in []uint32
				for _, seq := range c.in {
					in = append(in, base+seq)
				}
				r.push(in...)
				require.Equal(t, span(base+1, len(in)), numbers(r.got))
				require.Equal(t, make([]uint32, len(in)), r.missing())
				for _, p := range r.got {
					require.Equal(t, payloadOf(p.Sequence), p.Payload, "held packets are copies")
				}
				require.Equal(t, ReceiverCounters{Packets: uint64(len(in)), Reordered: c.reordered}, r.Counters())
				require.Nil(t, r.held, "no memory is held when all is in order")
			})
		}
	}
}

func TestReceiverHoldTime(t *testing.T) {
	r := newInbox(ReceiverConfig{})
	r.push(1)
	r.TakeAck()
	require.Empty(t, r.push(3))
	require.Equal(t, epoch.Add(DefaultHold), r.Deadline())
	r.now = epoch.Add(5 * time.Millisecond)
	require.Empty(t, r.push(4, 6, 7))
	require.Equal(t, epoch.Add(DefaultHold), r.Deadline(), "that of the first held")
	require.Empty(t, r.at(DefaultHold-1))
	require.Equal(t, []uint32{3, 4}, r.at(DefaultHold), "what follows directly has no reason to wait")
	r.TakeAck()
	require.Equal(t, epoch.Add(DefaultHold+5*time.Millisecond), r.Deadline())
	require.Equal(t, []uint32{6, 7}, r.at(DefaultHold+5*time.Millisecond))
	require.Equal(t, []uint32{0, 1, 0, 1, 0}, r.missing())
	require.Equal(t, ReceiverCounters{Packets: 5, Lost: 2, Acks: 2}, r.Counters())

	// They come after all.
	require.Empty(t, r.push(2, 5))
	require.EqualValues(t, 2, r.Counters().Late)
	require.Empty(t, r.push(2))
	require.EqualValues(t, 2, r.Counters().Late)
	require.EqualValues(t, 1, r.Counters().Duplicates)
}

// The time of a packet in the middle that is up takes those before it along.
func TestReceiverHoldTimeOfALaterPacket(t *testing.T) {
	r := newInbox(ReceiverConfig{Hold: 50 * time.Millisecond})
	r.push(1)
	require.Empty(t, r.push(9))
	r.now = epoch.Add(30 * time.Millisecond)
	require.Empty(t, r.push(5))
	require.Equal(t, []uint32{5, 9}, r.at(50*time.Millisecond))
	require.Equal(t, []uint32{0, 3, 3}, r.missing())
}

// Push looks at the time as well, so that a busy call needs no timer.
func TestReceiverHoldTimeSeenByPush(t *testing.T) {
	r := newInbox(ReceiverConfig{})
	r.push(1, 3)
	r.now = epoch.Add(time.Second)
	require.Equal(t, []uint32{3}, r.push(5))
	r.now = epoch.Add(2 * time.Second)
	require.Equal(t, []uint32{5}, r.push(1), "a dropped one serves too")
}

func TestReceiverHoldsNoMoreThanReorder(t *testing.T) {
	for _, limit := range []int{1, 2, 16} {
		r := newInbox(ReceiverConfig{Reorder: limit})
		r.push(0)
		require.Empty(t, r.push(span(2, limit)...))
		require.Len(t, r.held, limit)
		require.Equal(t, span(2, limit+1), r.push(2+uint32(limit)), "one more gives the gap up")
		require.EqualValues(t, 1, r.Counters().Lost)
		require.Nil(t, r.held)
	}

	// Several gaps are given up one by one.
	r := newInbox(ReceiverConfig{Reorder: 3})
	r.push(0)
	require.Empty(t, r.push(2, 4, 6))
	require.Equal(t, []uint32{2}, r.push(8))
	require.Equal(t, []uint32{3, 4}, r.push(3), "in time after all")
	require.Equal(t, []uint32{5, 6}, r.push(5))
	require.Equal(t, []uint32{7, 8}, r.push(7))
	require.EqualValues(t, 1, r.Counters().Lost)
}

func TestReceiverWithoutReordering(t *testing.T) {
	r := newInbox(ReceiverConfig{Reorder: -1})
	require.Equal(t, []uint32{1, 4, 5}, r.push(1, 4, 2, 3, 5, 4))
	require.Equal(t, []uint32{0, 2, 0}, r.missing())
	require.Equal(t, ReceiverCounters{Packets: 3, Lost: 2, Late: 2, Duplicates: 1}, r.Counters())
	require.Nil(t, r.held)
}

func TestReceiverDuplicates(t *testing.T) {
	r := newInbox(ReceiverConfig{})
	require.Equal(t, []uint32{1, 2}, r.push(1, 1, 2, 1, 2))
	require.Empty(t, r.push(4, 4, 6, 4, 6), "of held ones too")
	require.Equal(t, []uint32{3, 4}, r.push(3, 3))
	require.Equal(t, []uint32{5, 6}, r.push(5, 6))
	require.Equal(t, ReceiverCounters{Packets: 6, Reordered: 2, Duplicates: 3 + 3 + 1 + 1}, r.Counters())
}

// Late packets are told from duplicates for as long as they are remembered, and
// that goes right across the wrap.
func TestReceiverHistory(t *testing.T) {
	for _, base := range []uint32{0, math.MaxUint32 - 300, math.MaxUint32 - 100} {
		r := newInbox(ReceiverConfig{Reorder: -1})
		for i := range uint32(1000) {
			if i%3 != 2 {
				r.push(base + i)
			}
		}
		last := base + 999
		before := r.Counters()
		for behind := range uint32(history) {
			seq := last - behind
			if (seq-base)%3 == 2 {
				before.Late++
			} else {
				before.Duplicates++
			}
			r.push(seq)
			require.Equal(t, before, r.Counters(), "%d behind", behind)
			r.push(seq)
			before.Duplicates++
			require.Equal(t, before, r.Counters(), "%d behind, again", behind)
		}
		r.push(last - history)
		before.OutOfRange++
		require.Equal(t, before, r.Counters())
	}
}

// What came before a long gap is forgotten with it, not mistaken for what came
// after.
func TestReceiverHistoryAfterAGap(t *testing.T) {
	r := newInbox(ReceiverConfig{Reorder: -1})
	r.push(span(0, 500)...)
	require.Equal(t, []uint32{5000}, r.push(5000))
	require.EqualValues(t, 4500, r.Counters().Lost)
	for _, seq := range []uint32{4999, 4900, 5000 - history + 1} {
		before := r.Counters()
		require.Empty(t, r.push(seq))
		before.Late++
		require.Equal(t, before, r.Counters(), "%d", seq)
	}
	before := r.Counters()
	r.push(5000-history, 499)
	before.OutOfRange += 2
	require.Equal(t, before, r.Counters())
}

// A number from before the first packet is not one that is late.
func TestReceiverBeforeTheFirst(t *testing.T) {
	r := newInbox(ReceiverConfig{})
	r.push(1)
	require.Empty(t, r.push(0))
	require.EqualValues(t, 1, r.Counters().OutOfRange)
	require.Equal(t, []uint32{2}, r.push(2))
}

// A great gap is believed if the peer goes on behind it.
func TestReceiverGreatLoss(t *testing.T) {
	for _, gap := range []uint32{history, history + 1, 4096, 100_000, maxAhead} {
		for _, base := range []uint32{10, math.MaxUint32 - 5} {
			r := newInbox(ReceiverConfig{})
			r.push(base)
			r.push(base + 1 + gap)
			require.Equal(t, []uint32{base + 1 + gap}, r.at(DefaultHold), "gap of %d", gap)
			require.Equal(t, []uint32{0, gap}, r.missing())
			require.EqualValues(t, gap, r.Counters().Lost)
			require.Zero(t, r.Counters().Resyncs)
			require.Equal(t, []uint32{base + 2 + gap}, r.push(base+2+gap))
		}
	}
}

// A forged number far ahead does not move the sequence while it goes on
// elsewhere.
func TestReceiverStrayAhead(t *testing.T) {
	for _, stray := range []uint32{1 + history + 10, 5000, 1 << 20} {
		r := newInbox(ReceiverConfig{})
		r.push(0)
		require.Empty(t, r.push(stray))
		require.Equal(t, []uint32{1, 2}, r.push(1, 2))
		require.Empty(t, r.at(DefaultHold))
		require.EqualValues(t, 1, r.Counters().OutOfRange)
		require.Zero(t, r.Counters().Lost)
		require.Equal(t, []uint32{3}, r.push(3))
		require.Nil(t, r.held)
	}
}

// A single packet of the old sequence is enough, and 256 the limit.
func TestReceiverStrayAheadLimit(t *testing.T) {
	r := newInbox(ReceiverConfig{})
	r.push(0, 2+history+1, 1)
	require.Empty(t, r.at(DefaultHold))
	require.EqualValues(t, 1, r.Counters().OutOfRange)
	r = newInbox(ReceiverConfig{})
	r.push(0, 2+history, 1)
	require.Equal(t, []uint32{2 + history}, r.at(DefaultHold))
	require.EqualValues(t, history, r.Counters().Lost)
}

// Of two that are far ahead the one that came last says where the sequence goes
// on.
func TestReceiverTwoStraysAhead(t *testing.T) {
	r := newInbox(ReceiverConfig{})
	r.push(0, 9000, 5000)
	require.Equal(t, []uint32{5000}, r.at(DefaultHold))
	require.EqualValues(t, 1, r.Counters().OutOfRange)
	r = newInbox(ReceiverConfig{})
	r.push(0, 5000, 9000)
	require.Equal(t, []uint32{5000, 9000}, r.at(DefaultHold))
	require.Zero(t, r.Counters().OutOfRange)
}

// One within the history is believed: it costs those before it at the most.
func TestReceiverStrayNear(t *testing.T) {
	r := newInbox(ReceiverConfig{})
	r.push(0)
	r.push(200)
	require.Equal(t, []uint32{1}, r.push(1))
	require.Equal(t, []uint32{200}, r.at(DefaultHold))
	require.EqualValues(t, 198, r.Counters().Lost)
}

// A peer that begins its numbers anew is followed after a second, from
// wherever.
func TestReceiverResync(t *testing.T) {
	for name, c := range map[string]struct{ from, to uint32 }{
		"restart from 0":   {1_000_000, 0},
		"restart from 1":   {500, 1},
		"far ahead":        {5, 5 + maxAhead + 2},
		"half way round":   {5, 1<<31 + 5},
		"from the wrap":    {math.MaxUint32, 1 << 22},
		"to near the wrap": {1 << 21, math.MaxUint32 - 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := newInbox(ReceiverConfig{})
			r.push(c.from)
			r.TakeAck()
			const step = 100 * time.Millisecond
			for i := range uint32(10) {
				require.Empty(t, r.push(c.to+i))
				r.now = r.now.Add(step)
				require.False(t, r.AckDue(r.now), "what nobody believes is not acknowledged")
			}
			require.Equal(t, []uint32{c.to + 10, c.to + 11}, r.push(c.to+10, c.to+11))
			require.Equal(t, []uint32{0, 0, 0}, r.missing(), "nobody knows")
			require.EqualValues(t, 1, r.Counters().Resyncs)
			require.EqualValues(t, 3, r.Counters().Packets)
			require.Zero(t, r.Counters().Lost)
			ack, ok := r.TakeAck()
			require.True(t, ok)
			require.Equal(t, c.to+11, ack)
			// The new numbers have a history of their own.
			before := r.Counters()
			r.push(c.to+10, c.to+9)
			before.Duplicates++
			before.OutOfRange++
			require.Equal(t, before, r.Counters())
		})
	}
}

// What is held when the sequence moves elsewhere was sent before that.
func TestReceiverResyncReleasesHeld(t *testing.T) {
	r := newInbox(ReceiverConfig{Hold: time.Hour})
	r.push(100, 102)
	r.push(1)
	r.now = epoch.Add(suspicion)
	require.Equal(t, []uint32{102, 2}, r.push(2))
	require.Nil(t, r.held)
}

func TestReceiverNoResync(t *testing.T) {
	t.Run("too soon", func(t *testing.T) {
		r := newInbox(ReceiverConfig{})
		r.push(5000)
		r.push(1)
		r.now = epoch.Add(suspicion - 1)
		require.Empty(t, r.push(2))
	})
	t.Run("the old sequence goes on", func(t *testing.T) {
		r := newInbox(ReceiverConfig{})
		for i := range uint32(100) {
			require.Equal(t, []uint32{5000 + i}, r.push(5000+i))
			require.Empty(t, r.push(1+i))
			r.now = r.now.Add(100 * time.Millisecond)
		}
		require.Zero(t, r.Counters().Resyncs)
	})
	t.Run("one packet again and again", func(t *testing.T) {
		r := newInbox(ReceiverConfig{})
		r.push(5000)
		for range 100 {
			require.Empty(t, r.push(1))
			r.now = r.now.Add(100 * time.Millisecond)
		}
		require.Zero(t, r.Counters().Resyncs)
	})
	t.Run("falling numbers", func(t *testing.T) {
		r := newInbox(ReceiverConfig{})
		r.push(5000)
		for i := range uint32(100) {
			require.Empty(t, r.push(200-i))
			r.now = r.now.Add(100 * time.Millisecond)
		}
		require.Zero(t, r.Counters().Resyncs)
	})
}

func TestReceiverAckDelay(t *testing.T) {
	r := newInbox(ReceiverConfig{})
	_, ok := r.TakeAck()
	require.False(t, ok, "nothing came yet")
	require.False(t, r.AckDue(epoch.Add(time.Hour)))

	r.push(7)
	require.Equal(t, epoch.Add(DefaultAckDelay), r.Deadline())
	r.now = epoch.Add(50 * time.Millisecond)
	r.push(8)
	require.Equal(t, epoch.Add(DefaultAckDelay), r.Deadline(), "counted from the first")
	require.False(t, r.AckDue(epoch.Add(DefaultAckDelay-1)))
	require.True(t, r.AckDue(epoch.Add(DefaultAckDelay)))
	ack, ok := r.TakeAck()
	require.True(t, ok)
	require.EqualValues(t, 8, ack, "one for both (RFC 2637 section 4.2.5)")
	require.True(t, r.Deadline().IsZero())
	require.False(t, r.AckDue(epoch.Add(time.Hour)))
	_, ok = r.TakeAck()
	require.False(t, ok, "there is nothing new to tell")
	require.EqualValues(t, 1, r.Counters().Acks)

	// A packet that goes out anyway takes it along at any time.
	r.push(9)
	ack, ok = r.TakeAck()
	require.True(t, ok)
	require.EqualValues(t, 9, ack)
	require.EqualValues(t, 2, r.Counters().Acks)
}

// A peer that keeps to the window it was told is never left to wait.
func TestReceiverAckAtHalfTheWindow(t *testing.T) {
	for window, half := range map[int]int{1: 1, 2: 1, 3: 2, 4: 2, 16: 8, 64: 32, 0: DefaultWindow / 2, -1: DefaultWindow / 2} {
		r := newInbox(ReceiverConfig{Window: window})
		seq := uint32(0)
		for round := range 3 {
			for i := range half {
				require.False(t, r.AckDue(r.now), "window %d, round %d, packet %d", window, round, i)
				r.push(seq)
				seq++
			}
			require.True(t, r.AckDue(r.now), "window %d", window)
			require.Equal(t, r.now, r.Deadline())
			r.push(seq) // more does not put it off
			seq++
			require.True(t, r.AckDue(r.now))
			ack, _ := r.TakeAck()
			require.Equal(t, seq-1, ack)
		}
	}
}

// Packets that are dropped are nothing to acknowledge, held ones not yet.
func TestReceiverAckOfWhatIsDelivered(t *testing.T) {
	r := newInbox(ReceiverConfig{})
	r.push(1)
	r.TakeAck()
	r.push(1, 0, 1<<31)
	_, ok := r.TakeAck()
	require.False(t, ok)
	r.push(3)
	_, ok = r.TakeAck()
	require.False(t, ok)
	r.push(2)
	ack, ok := r.TakeAck()
	require.True(t, ok)
	require.EqualValues(t, 3, ack)

	r = newInbox(ReceiverConfig{})
	r.push(math.MaxUint32, 0)
	ack, ok = r.TakeAck()
	require.True(t, ok)
	require.Zero(t, ack)
}

func TestReceiverConfig(t *testing.T) {
	r := newInbox(ReceiverConfig{Hold: 7 * time.Millisecond, AckDelay: 3 * time.Millisecond})
	r.push(1, 3)
	require.Equal(t, epoch.Add(3*time.Millisecond), r.Deadline())
	r.TakeAck()
	require.Equal(t, epoch.Add(7*time.Millisecond), r.Deadline())
	require.Equal(t, NewReceiver(ReceiverConfig{}), NewReceiver(ReceiverConfig{
		Reorder: DefaultReorder, Hold: DefaultHold, AckDelay: DefaultAckDelay, Window: DefaultWindow,
	}))
	require.Equal(t, NewReceiver(ReceiverConfig{}), NewReceiver(ReceiverConfig{Hold: -1, AckDelay: -1, Window: -1}))
}

func TestReceiverInOrderDoesNotAllocate(t *testing.T) {
	r := NewReceiver(ReceiverConfig{})
	out := make([]Packet, 0, 1)
	payload := make([]byte, 1400)
	seq := uint32(math.MaxUint32 - 50)
	require.Zero(t, testing.AllocsPerRun(200, func() {
		out = r.Push(out[:0], seq, payload, epoch)
		if len(out) != 1 || &out[0].Payload[0] != &payload[0] {
			t.Fatal("not passed straight through")
		}
		seq++
		_ = r.Deadline()
		if r.AckDue(epoch) {
			r.TakeAck()
		}
	}))
}

func BenchmarkReceiverPush(b *testing.B) {
	r := NewReceiver(ReceiverConfig{})
	out := make([]Packet, 0, 1)
	payload := make([]byte, 1400)
	b.ReportAllocs()
	for i := range b.N {
		out = r.Push(out[:0], uint32(i), payload, epoch)
		if r.AckDue(epoch) {
			r.TakeAck()
		}
	}
}
