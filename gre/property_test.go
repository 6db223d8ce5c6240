package gre

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawBase draws where numbers begin: mostly around the wrap, or where a sign
// would change.
func drawBase(t *rapid.T) uint32 {
	around := rapid.SampledFrom([]uint32{0, 1 << 31, 1 << 20, math.MaxUint32 - maxAhead}).Draw(t, "around")
	return around + uint32(rapid.IntRange(-600, 600).Draw(t, "offset"))
}

// arrival is a packet that comes.
type arrival struct {
	step  int64 // from the number before, of those that did not stay behind
	stray bool  // the next one goes on from where this one left
	after time.Duration
	ack   bool // an acknowledgement is sent then
}

var drawArrival = rapid.Custom(func(t *rapid.T) arrival {
	return arrival{
		step: rapid.SampledFrom([]int64{1, 1, 1, 1, 2, 3, 0, -1, -2, -5, 15, 16, 17, 255, 256, 257, -255, -256, -257,
			maxAhead, maxAhead + 1, -maxAhead, 1 << 31, -1 << 31}).Draw(t, "step"),
		stray: rapid.Bool().Draw(t, "stray"),
		after: rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, DefaultHold, DefaultAckDelay, suspicion}).Draw(t, "after"),
		ack:   rapid.Bool().Draw(t, "ack"),
	}
})

// TestReceiverWrapProperty: what a Receiver does depends on the distances between
// numbers only, so that the wrap, or any other place, is no place of its own.
func TestReceiverWrapProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := ReceiverConfig{
			Reorder: rapid.SampledFrom([]int{-1, 0, 1, 2, 16, 100}).Draw(t, "Reorder"),
			Window:  rapid.SampledFrom([]int{0, 1, 2, 3, 64}).Draw(t, "Window"),
		}
		before := rapid.SampledFrom([]int{0, 1, 300, 600}).Draw(t, "before")
		arrivals := slices.Repeat([]arrival{{step: 1}}, before)
		arrivals = append(arrivals, rapid.SliceOfN(drawArrival, 0, 60).Draw(t, "arrivals")...)
		base := drawBase(t)
		if rapid.Bool().Draw(t, "soon") { // the wrap is just ahead of the first that is not in order
			base = -uint32(before + rapid.IntRange(0, 20).Draw(t, "left"))
		}
		require.Equal(t, run(cfg, 5000, arrivals), run(cfg, base, arrivals))
	})
}

// run returns all that can be seen of a Receiver, with numbers less base.
func run(cfg ReceiverConfig, base uint32, arrivals []arrival) (seen []any) {
	r := NewReceiver(cfg)
	now, last := time.Unix(1000, 0), base
	note := func(packets []Packet) {
		for _, p := range packets {
			seen = append(seen, p.Sequence-base, p.Missing, binary.BigEndian.Uint32(p.Payload)-base)
		}
		seen = append(seen, r.Deadline().Sub(now), r.AckDue(now))
	}
	for _, a := range arrivals {
		if a.after > 0 {
			now = now.Add(a.after)
			note(r.Tick(nil, now))
		}
		seq := last + uint32(a.step)
		if !a.stray {
			last = seq
		}
		note(r.Push(nil, seq, binary.BigEndian.AppendUint32(nil, seq), now))
		if a.ack {
			ack, ok := r.TakeAck()
			if ok {
				ack -= base
			}
			seen = append(seen, ack, ok)
		}
	}
	return append(seen, r.Counters())
}

// TestReorderProperty: packets that overtake each other by less than what may be
// held, and are not late by more than they may, all come, each once and in order.
// If some are lost, the others do.
func TestReorderProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := drawBase(t)
		n := rapid.IntRange(1, 100).Draw(t, "packets")
		// Each is moved back by a few places at the most.
		const most = DefaultReorder / 2
		type sent struct{ number, place int }
		packets := []sent{{0, 0}} // the first sets the base
		lost := map[int]bool{}
		copies := map[int]int{0: 1}
		for i := 1; i < n; i++ {
			copies[i] = rapid.SampledFrom([]int{1, 1, 1, 1, 2, 0}).Draw(t, "copies")
			lost[i] = copies[i] == 0
			for range copies[i] {
				packets = append(packets, sent{i, i + rapid.IntRange(0, most-1).Draw(t, "back")})
			}
		}
		slices.SortStableFunc(packets, func(a, b sent) int { return a.place - b.place })

		r := NewReceiver(ReceiverConfig{Reorder: 2 * DefaultReorder})
		now := time.Unix(1000, 0)
		var got []uint32
		take := func(out []Packet) {
			for _, p := range out {
				got = append(got, p.Sequence-base)
			}
		}
		for _, p := range packets {
			take(r.Push(nil, base+uint32(p.number), nil, now))
			now = now.Add(DefaultHold / (2 * most))
			take(r.Tick(nil, now))
		}
		take(r.Tick(nil, now.Add(DefaultHold)))
		var want []uint32
		for i := range n {
			if !lost[i] {
				want = append(want, uint32(i))
			}
		}
		require.Equal(t, want, got)
		c := r.Counters()
		require.EqualValues(t, len(want), c.Packets)
		require.Zero(t, c.Late+c.OutOfRange+c.Resyncs)
		require.EqualValues(t, len(packets)-len(want), c.Duplicates)
	})
}

// TestSenderProperty compares a Sender with one that counts without end.
func TestSenderProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := drawBase(t)
		s := NewSender(first)
		sent, acked := int64(0), int64(0) // how many
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "send") {
				require.Equal(t, first+uint32(sent), s.Next())
				sent++
			} else {
				n := rapid.OneOf(
					rapid.Int64Range(acked-3, sent+3), // one more than the number
					rapid.SampledFrom([]int64{sent, acked, sent + 1<<31, acked - 1<<31}),
				).Draw(t, "acked")
				fresh := n > acked && n <= sent
				require.Equal(t, fresh, s.Ack(first+uint32(n-1)))
				if fresh {
					acked = n
				}
			}
			require.EqualValues(t, sent-acked, s.Unacked())
		}
		c := s.Counters()
		require.EqualValues(t, sent, c.Packets)
	})
}
