package gre

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A model of what a Receiver must be to whoever looks at it from outside,
// however the packets come: it knows nothing of held packets and timers.
type model struct {
	t       testing.TB
	r       *Receiver
	out     []Packet
	pushes  uint64
	started bool
	last    uint32 // delivered last
	count   ReceiverCounters
	missing uint64
	seen    map[uint32]int // how often each number was delivered
}

func newModel(t testing.TB, cfg ReceiverConfig) *model {
	r := NewReceiver(cfg)
	return &model{t: t, r: &r, seen: make(map[uint32]int)}
}

func (m *model) push(seq uint32, now time.Time) []Packet {
	m.pushes++
	payload := binary.BigEndian.AppendUint32(nil, seq)
	return m.check(m.r.Push(m.out[:0], seq, payload, now), now)
}

func (m *model) tick(now time.Time) []Packet { return m.check(m.r.Tick(m.out[:0], now), now) }

// check is the property: numbers rise strictly from one to the next, none is
// delivered twice, Missing is exactly the step, the payload belongs to the
// number, and the counters add up.
func (m *model) check(out []Packet, now time.Time) []Packet {
	m.out = out
	c := m.r.Counters()
	resyncs := c.Resyncs - m.count.Resyncs
	if resyncs > 1 {
		m.t.Fatal("more than one resync at once")
	}
	for i, p := range out {
		if len(p.Payload) != 4 || binary.BigEndian.Uint32(p.Payload) != p.Sequence {
			m.t.Fatalf("number %d came with payload %x", p.Sequence, p.Payload)
		}
		switch {
		case !m.started:
			if p.Missing != 0 {
				m.t.Fatal("missing before the first")
			}
		case resyncs == 1 && i == len(out)-1:
			if p.Missing != 0 {
				m.t.Fatal("missing at a resync")
			}
			clear(m.seen) // numbers may be used again
		default:
			step := p.Sequence - m.last
			if step == 0 || step > 1<<31 {
				m.t.Fatalf("%d after %d", p.Sequence, m.last)
			}
			if p.Missing != step-1 {
				m.t.Fatalf("%d after %d, and %d missing", p.Sequence, m.last, p.Missing)
			}
		}
		if m.seen[p.Sequence]++; m.seen[p.Sequence] > 1 {
			m.t.Fatalf("%d delivered twice", p.Sequence)
		}
		m.started, m.last = true, p.Sequence
		m.missing += uint64(p.Missing)
	}
	if c.Packets != m.count.Packets+uint64(len(out)) || c.Lost != m.missing {
		m.t.Fatalf("%+v does not fit %d more packets, %d missing in all", c, len(out), m.missing)
	}
	if dropped := c.Late + c.Duplicates + c.OutOfRange; c.Packets+dropped+uint64(len(m.r.held)) != m.pushes {
		m.t.Fatalf("%+v and %d held of %d", c, len(m.r.held), m.pushes)
	}
	m.count = c

	if n := len(m.r.held); n > max(m.r.reorder, 0) || n == 0 && m.r.held != nil {
		m.t.Fatalf("%d held", n)
	}
	for i, h := range m.r.held {
		if ahead := h.seq - m.r.next; ahead == 0 || ahead > maxAhead {
			m.t.Fatalf("%d held, next is %d", h.seq, m.r.next)
		}
		if i > 0 && int32(h.seq-m.r.held[i-1].seq) <= 0 {
			m.t.Fatal("held packets out of order")
		}
		if !now.Before(h.until) || h.until.Sub(now) > m.r.hold {
			m.t.Fatal("held too long")
		}
	}
	if at := m.r.Deadline(); !at.IsZero() && at.Before(now) && !m.r.AckDue(now) {
		m.t.Fatal("a deadline that has passed, and nothing is due")
	}
	return out
}

// ack takes an acknowledgement: it is of the packet delivered last.
func (m *model) ack() {
	if ack, ok := m.r.TakeAck(); ok && ack != m.last {
		m.t.Fatalf("acknowledged %d, delivered %d", ack, m.last)
	}
	m.count = m.r.Counters()
}

// settle lets time pass until nothing is pending.
func (m *model) settle(now time.Time) time.Time {
	for range 1000 {
		at := m.r.Deadline()
		if at.IsZero() {
			if m.r.held != nil {
				m.t.Fatal("held without a deadline")
			}
			return now
		}
		if at.After(now) {
			now = at
		}
		m.tick(now)
		if m.r.AckDue(now) {
			m.ack()
		}
	}
	m.t.Fatal("no end of deadlines")
	return now
}

// A network that loses, doubles and delays, by a seeded random walk.
func TestReceiverRandomWalk(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		cfg := ReceiverConfig{Reorder: []int{0, -1, 1, 3, 64}[seed%5], Window: int(seed % 9)}
		m := newModel(t, cfg)
		loss, double, delay := rnd.Float64()*0.2, rnd.Float64()*0.1, rnd.IntN(60)
		base := rnd.Uint32()
		if seed%3 == 0 {
			base = math.MaxUint32 - rnd.Uint32N(2000) // cross the wrap
		}

		const n = 3000
		type flight struct {
			seq uint32
			at  int // milliseconds
		}
		air := make(map[int][]flight)
		came := make(map[uint32]bool)
		end := 0
		for i := range n {
			seq := base + uint32(i)
			// The first arrives first, or it is not the base.
			copies, late := 1, rnd.IntN(delay+1)
			switch p := rnd.Float64(); {
			case i == 0:
				late = 0
			case p < loss:
				copies = 0
			case p < loss+double:
				copies = 2
			}
			for range copies {
				at := i/2 + late
				if i == 0 {
					at = 0
				} else {
					at++
				}
				air[at] = append(air[at], flight{seq, at})
				end = max(end, at)
				late = rnd.IntN(delay + 1)
			}
		}
		unique := 0
		for ms := range end + 1 {
			now := epoch.Add(time.Duration(ms) * time.Millisecond)
			for _, f := range air[ms] {
				if !came[f.seq] {
					came[f.seq] = true
					unique++
				}
				m.push(f.seq, now)
			}
			m.tick(now)
			if rnd.IntN(3) == 0 || m.r.AckDue(now) {
				m.ack()
			}
		}
		m.settle(epoch.Add(time.Duration(end) * time.Millisecond))

		// What came is delivered or was late; what did not is lost.
		c := m.r.Counters()
		require.EqualValues(t, unique, c.Packets+c.Late, "seed %d: %+v", seed, c)
		require.Zero(t, c.OutOfRange, "seed %d", seed)
		require.Zero(t, c.Resyncs, "seed %d", seed)
		total := uint64(m.last-base) + 1
		require.Equal(t, total, c.Packets+c.Lost, "seed %d: %+v", seed, c)
		if delay <= 19 && cfg.Reorder == 64 {
			// Nothing was delayed beyond what is waited for.
			require.Zero(t, c.Late, "seed %d", seed)
			require.Equal(t, total-uint64(unique), c.Lost, "seed %d", seed)
		}
	}
}

// Numbers without any sense, near each other and far, never break the model.
func TestReceiverWildWalk(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		m := newModel(t, ReceiverConfig{Reorder: rnd.IntN(20) - 1})
		now := epoch
		seq := rnd.Uint32()
		for range 3000 {
			switch rnd.IntN(10) {
			case 0:
				seq = rnd.Uint32()
			case 1:
				seq += rnd.Uint32N(2 * maxAhead)
			case 2:
				seq -= rnd.Uint32N(2 * history)
			case 3:
				seq += rnd.Uint32N(2 * history)
			case 4:
				now = now.Add(time.Duration(rnd.IntN(1500)) * time.Millisecond)
				m.tick(now)
			case 5:
				m.ack()
			default:
				seq++
			}
			m.push(seq, now)
		}
		m.settle(now)
	}
}
