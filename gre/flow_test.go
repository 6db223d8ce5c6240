package gre

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// flowEnd is a Sender with its Flow, and an owner who sends as much as there is
// room for.
type flowEnd struct {
	Flow
	sender Sender
	now    time.Time
	last   uint32 // the number sent last
}

func newFlowEnd(first uint32, cfg FlowConfig) *flowEnd {
	return &flowEnd{Flow: NewFlow(cfg), sender: NewSender(first), now: epoch}
}

func (e *flowEnd) send(n int) {
	for range n {
		e.last = e.sender.Next()
		e.Sent(e.last, e.now)
	}
}

// fill sends all there is room for, or nothing where that has no bounds.
func (e *flowEnd) fill() (n int) {
	if e.Off() {
		return 0
	}
	n = e.Room()
	e.send(n)
	return n
}

func (e *flowEnd) ack(n uint32) {
	e.sender.Ack(n)
	e.Ack(n, e.now)
}

func (e *flowEnd) wait(d time.Duration) { e.now = e.now.Add(d) }

// timeout lets the time pass to the deadline.
func (e *flowEnd) timeout() {
	e.now = e.Deadline()
	e.Tick(e.now)
}

func TestFlowInitialWindow(t *testing.T) {
	for told, want := range map[int]int{1: 1, 2: 1, 3: 1, 4: 2, 64: 32, 1 << 16: MaxFlowWindow / 2} {
		f := NewFlow(FlowConfig{Window: told})
		require.Equal(t, want, f.Window(), "half of what the receiver said, one at least (RFC 2637 section 4.2.1)")
		require.Equal(t, want, f.Room())
		require.False(t, f.Off())
		require.Zero(t, f.Deadline())
	}
}

func TestFlowOff(t *testing.T) {
	for _, f := range []Flow{{}, NewFlow(FlowConfig{}), NewFlow(FlowConfig{Window: -1})} {
		require.True(t, f.Off())
		f.Sent(5, epoch)
		f.Ack(5, epoch)
		f.Tick(epoch.Add(time.Hour))
		require.Equal(t, math.MaxInt, f.Room())
		require.Zero(t, f.Deadline())
		require.Zero(t, f.InFlight())
		require.Zero(t, f.Counters())
	}
	e := newFlowEnd(0, FlowConfig{Window: 2})
	e.fill()
	require.Zero(t, e.Room())
	e.SwitchOff()
	require.True(t, e.Off())
	require.Equal(t, math.MaxInt, e.Room())
	require.Zero(t, e.Deadline())
	e.ack(0)
	e.send(3)
}

// The sender stops when as many packets wait for acknowledgement as the window
// has (section 4.2.1), and one acknowledgement stands for all before it
// (section 4.2.5).
func TestFlowCloses(t *testing.T) {
	e := newFlowEnd(0, FlowConfig{Window: 8})
	require.Equal(t, 4, e.fill())
	require.Zero(t, e.Room())
	require.Equal(t, 4, e.InFlight())
	e.ack(1)
	require.Equal(t, 2, e.Room())
	e.ack(3)
	require.Equal(t, 5, e.Room(), "and one more, for a window that was acknowledged")
	require.Zero(t, e.Deadline())
}

// With each window that is acknowledged it grows by one, up to what the peer
// said (section 4.2.3).
func TestFlowGrows(t *testing.T) {
	for _, one := range []bool{false, true} {
		e := newFlowEnd(math.MaxUint32-20, FlowConfig{Window: 8}) // across the wrap
		for _, want := range []int{5, 6, 7, 8, 8, 8, 8, 8, 8} {
			n := e.fill()
			e.wait(20 * time.Millisecond)
			if one {
				for i := range uint32(n) {
					e.ack(e.last - uint32(n) + 1 + i)
				}
			} else {
				e.ack(e.last)
			}
			require.Equal(t, want, e.Window())
			require.Zero(t, e.InFlight())
		}
		require.Zero(t, e.Counters())
	}
}

// After a time-out it is half of what it was, rounded up, one at least (section
// 4.2.2), and grows again from there.
func TestFlowShrinks(t *testing.T) {
	e := newFlowEnd(0, FlowConfig{Window: 22, Patience: 10})
	for _, want := range []int{6, 3, 2, 1, 1} {
		e.fill()
		e.timeout()
		require.Equal(t, want, e.Window())
		require.Zero(t, e.InFlight())
		require.Equal(t, want, e.Room())
	}
	require.Equal(t, FlowCounters{Timeouts: 5, Lost: 11 + 6 + 3 + 2 + 1}, e.Counters())
	for _, want := range []int{2, 3, 4} {
		e.fill()
		e.ack(e.last)
		require.Equal(t, want, e.Window())
	}
}

// The packets of one burst that are lost are one time-out, though their times
// are up one after the other.
func TestFlowOneTimeoutForABurst(t *testing.T) {
	e := newFlowEnd(0, FlowConfig{Window: 64})
	for range 32 {
		e.send(1)
		e.wait(10 * time.Millisecond)
	}
	e.timeout()
	require.Equal(t, 16, e.Window())
	require.Equal(t, 31, e.InFlight(), "the others are not as old yet")
	require.Zero(t, e.Room())
	for e.InFlight() > 0 {
		e.timeout()
	}
	require.Equal(t, 16, e.Window())
	require.Equal(t, FlowCounters{Timeouts: 1, Lost: 32}, e.Counters())
	e.fill()
	e.timeout()
	require.Equal(t, 8, e.Window(), "what was sent after it counts anew")
}

// A lost acknowledgement does no harm if another follows.
func TestFlowLostAcks(t *testing.T) {
	e := newFlowEnd(0, FlowConfig{Window: 8})
	for i := range 200 {
		e.fill()
		e.wait(30 * time.Millisecond)
		e.Tick(e.now)
		if i%4 == 3 {
			e.ack(e.last)
		}
	}
	require.Zero(t, e.Counters())
	require.Equal(t, 8, e.Window())
}

func TestFlowStaleAcks(t *testing.T) {
	e := newFlowEnd(math.MaxUint32-1, FlowConfig{Window: 8})
	e.ack(3)
	e.ack(math.MaxUint32 - 2) // before anything was sent
	require.EqualValues(t, 2, e.Counters().Stale)
	e.send(4)
	e.ack(0)
	for _, n := range []uint32{0, math.MaxUint32, 2, 3, 1 << 31, 1<<31 - 1, math.MaxUint32 - 5, math.MaxUint32 - 200} {
		e.ack(n)
		require.Equal(t, 1, e.InFlight(), "%d", n)
	}
	require.EqualValues(t, 10, e.Counters().Stale)
	require.Zero(t, e.Counters().Late)
}

// An acknowledgement that comes after the time-out is measured too: there is
// nothing sent again that it could be for. So a time-out that is too short
// grows until it is not.
func TestFlowLateAcks(t *testing.T) {
	e := newFlowEnd(0, FlowConfig{Window: 2, MinTimeout: 100 * time.Millisecond, Patience: 100})
	for range 20 {
		e.send(1)
		sent := e.now
		for e.InFlight() > 0 && e.Deadline().Sub(sent) < 900*time.Millisecond {
			e.timeout()
		}
		e.now = sent.Add(900 * time.Millisecond)
		e.Tick(e.now)
		e.ack(e.last)
	}
	require.NotZero(t, e.Counters().Late)
	late := e.Counters().Late
	require.InDelta(t, 900, e.RTT().Milliseconds(), 100)
	require.Greater(t, e.Timeout(), 900*time.Millisecond)
	for range 20 {
		e.send(1)
		e.wait(900 * time.Millisecond)
		e.Tick(e.now)
		e.ack(e.last)
	}
	require.Equal(t, late, e.Counters().Late)
}

// The formulas of sections 4.4.1 and 4.4.2, against floating point.
func TestFlowEstimate(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 4))
	const ppd = 0.8
	e := newFlowEnd(0, FlowConfig{
		Window: 64, ProcessingDelay: 800 * time.Millisecond,
		MinTimeout: 100 * time.Millisecond, MaxTimeout: 6 * time.Second, Patience: 1000,
	})
	rtt, dev := ppd, 0.0
	ato := func() float64 { return max(0.1, min(rtt+4*dev, 6)) }
	require.InDelta(t, ato(), e.Timeout().Seconds(), 1e-6)
	for i := range 300 {
		e.send(1)
		if i%17 == 16 {
			e.timeout()
			rtt = min(2*max(rtt, 0.1), 6)
		} else {
			sample := e.Timeout().Seconds() * rnd.Float64() * 0.99
			e.wait(time.Duration(sample * float64(time.Second)))
			e.ack(e.last)
			diff := sample - rtt
			dev += 0.25 * (math.Abs(diff) - dev)
			rtt += 0.125 * diff
		}
		require.InDelta(t, rtt, e.RTT().Seconds(), 1e-5)
		require.InDelta(t, ato(), e.Timeout().Seconds(), 1e-5)
	}
}

// The time is that of the packet with the highest number acknowledged (section
// 4.2.5).
func TestFlowSampleOfHighest(t *testing.T) {
	e := newFlowEnd(0, FlowConfig{Window: 64, ProcessingDelay: 80 * time.Millisecond})
	e.send(1)
	e.wait(300 * time.Millisecond)
	e.send(1)
	e.wait(80 * time.Millisecond)
	e.ack(1)
	require.Equal(t, 80*time.Millisecond, e.RTT())
}

// With each time-out it is longer, up to its maximum, and shorter again with
// answers that come fast.
func TestFlowBackoff(t *testing.T) {
	e := newFlowEnd(0, FlowConfig{Window: 4, Patience: 100})
	require.Equal(t, DefaultMinTimeout, e.Timeout())
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
		e.send(1)
		e.timeout()
		require.Equal(t, want, e.Timeout())
	}
	for range 100 {
		e.send(1)
		e.wait(10 * time.Millisecond)
		e.ack(e.last)
	}
	require.Equal(t, DefaultMinTimeout, e.Timeout())

	// A peer that says it takes hours is not waited for so long.
	f := NewFlow(FlowConfig{Window: 4, ProcessingDelay: 6553 * time.Second})
	require.Equal(t, DefaultMaxTimeout, f.Timeout())
	f = NewFlow(FlowConfig{Window: 4, ProcessingDelay: -1, MinTimeout: 8 * time.Second})
	require.Equal(t, 8*time.Second, f.Timeout())
	// Nor are a clock that goes back and one that jumps of any weight.
	e = newFlowEnd(0, FlowConfig{Window: 4})
	e.send(2)
	e.wait(-time.Hour)
	e.Tick(e.now)
	e.ack(0)
	require.Zero(t, e.RTT())
	e.wait(1000 * time.Hour)
	e.ack(1)
	require.LessOrEqual(t, e.RTT(), DefaultMaxTimeout)
}

// A peer that never acknowledges costs some seconds, then nothing.
func TestFlowPeerThatNeverAcknowledges(t *testing.T) {
	for _, window := range []int{1, 3, 64, 1024} {
		e := newFlowEnd(0, FlowConfig{Window: window})
		for !e.Off() {
			e.fill()
			e.timeout()
		}
		require.EqualValues(t, DefaultPatience, e.Counters().Timeouts)
		require.Equal(t, (500+1000+2000)*time.Millisecond, e.now.Sub(epoch))
		require.Equal(t, math.MaxInt, e.Room())
		require.Zero(t, e.Deadline())
		e.ack(e.last) // comes too late to change anything
		require.True(t, e.Off())
	}
}

// Linux acknowledges only with data that goes the same way. While there is such
// data the window is kept; where it is rare, a window would let through a packet
// now and then, and is given up.
func TestFlowLinuxAcknowledgesOnlyWithData(t *testing.T) {
	both := newFlowEnd(0, FlowConfig{Window: 64})
	for range 1000 {
		both.fill()
		both.wait(50 * time.Millisecond)
		both.Tick(both.now)
		both.ack(both.last)
	}
	require.False(t, both.Off())
	require.Equal(t, 64, both.Window())

	rare := newFlowEnd(0, FlowConfig{Window: 64})
	for next := epoch.Add(3 * time.Second); !rare.Off(); {
		rare.fill()
		if at := rare.Deadline(); at.Before(next) {
			rare.timeout()
			continue
		}
		rare.now = next
		next = next.Add(3 * time.Second)
		rare.ack(rare.last)
		require.Less(t, rare.now.Sub(epoch), 30*time.Second)
	}
}

// Windows keeps no window of its own and heeds none; it acknowledges what comes.
func TestFlowWindowsKeepsNoWindow(t *testing.T) {
	e := newFlowEnd(0, FlowConfig{Window: 64})
	for range 500 {
		e.fill()
		e.wait(100 * time.Millisecond)
		e.Tick(e.now)
		e.ack(e.last)
	}
	require.False(t, e.Off())
	require.Zero(t, e.Counters())
}

// A time-out now and then is no reason to give up on a peer.
func TestFlowPatience(t *testing.T) {
	e := newFlowEnd(0, FlowConfig{Window: 4})
	for range 100 {
		e.fill()
		e.timeout()
		for range 2 {
			e.fill()
			e.wait(time.Millisecond)
			e.ack(e.last)
		}
	}
	require.False(t, e.Off())
	require.EqualValues(t, 100, e.Counters().Timeouts)
}

// Packets that have to go are sent without room, and count.
func TestFlowBeyondRoom(t *testing.T) {
	e := newFlowEnd(0, FlowConfig{Window: 4})
	e.send(4)
	require.Zero(t, e.Room())
	require.Equal(t, 4, e.InFlight())
	e.send(3) // more than there are times kept of
	require.Equal(t, 4, e.InFlight())
	require.EqualValues(t, 3, e.Counters().Lost)
	e.ack(6)
	require.Zero(t, e.InFlight())
	require.NotZero(t, e.Room())

	// Numbers that do not follow begin anew.
	e.send(2)
	e.Sent(1000, e.now)
	require.Equal(t, 1, e.InFlight())
	e.Ack(7, e.now)
	require.Equal(t, 1, e.InFlight())
	e.Ack(1000, e.now)
	require.Zero(t, e.InFlight())
}

// After billions of packets nothing that was remembered is in the way.
func TestFlowFarFromTheLastTimeout(t *testing.T) {
	e := newFlowEnd(0, FlowConfig{Window: 4})
	e.fill()
	e.timeout()
	for range 8 { // each step is what two words of 32 bits can still compare
		e.Flow.first += 1 << 30
		e.Flow.next, e.Flow.acked = e.Flow.first, e.Flow.first
		e.sender = NewSender(e.Flow.next)
		e.send(1)
		e.ack(e.last)
		require.LessOrEqual(t, e.Flow.first-e.Flow.recovery, uint32(1<<30))
	}
	e.fill()
	timeouts := e.Counters().Timeouts
	e.timeout()
	require.Equal(t, timeouts+1, e.Counters().Timeouts)
}

// checkFlow is what holds for a Flow at any time.
func checkFlow(t testing.TB, f *Flow, now time.Time) {
	if f.Off() {
		if f.Room() != math.MaxInt || !f.Deadline().IsZero() || f.InFlight() != 0 {
			t.Fatal("off and not free")
		}
		return
	}
	if f.Window() < 1 || f.Window() > f.max || f.InFlight() < 0 || f.InFlight() > len(f.sent) {
		t.Fatalf("window %d of %d, %d in flight", f.Window(), f.max, f.InFlight())
	}
	if f.Timeout() < f.minAto || f.Timeout() > f.maxAto || f.RTT() < 0 || f.RTT() > f.maxAto {
		t.Fatalf("time-out %v, round-trip time %v", f.Timeout(), f.RTT())
	}
	at := f.Deadline()
	if at.IsZero() != (f.InFlight() == 0) || f.Room() == 0 && at.IsZero() {
		t.Fatal("waits for nothing")
	}
	if at.Sub(now) > f.maxAto {
		t.Fatalf("waits for %v", at.Sub(now))
	}
}

// drive runs a Flow by choices, and checks that an owner never stalls.
func drive(t testing.TB, cfg FlowConfig, first uint32, choose func() (int, bool)) {
	e := newFlowEnd(first, cfg)
	for {
		op, ok := choose()
		if !ok {
			break
		}
		arg := op / 8
		switch op % 8 {
		case 0:
			e.send(min(e.Room(), arg+1))
		case 1:
			e.send(1)
		case 2:
			e.wait(time.Duration(arg) * 10 * time.Millisecond)
			e.Tick(e.now)
		case 3:
			e.ack(e.last)
		case 4:
			e.ack(e.last - uint32(arg))
		case 5:
			e.ack(e.last + uint32(arg)<<27)
		case 6:
			if !e.Deadline().IsZero() && e.Deadline().After(e.now) {
				e.timeout()
			}
		case 7:
			e.Tick(e.now)
		}
		checkFlow(t, &e.Flow, e.now)
	}
	// The peer falls silent for ever: there is room after the longest time-out,
	// and after a few of them always.
	until := e.now.Add(e.maxAto)
	for e.Room() == 0 {
		if at := e.Deadline(); at.After(e.now) {
			e.now = at
		}
		e.Tick(e.now)
		checkFlow(t, &e.Flow, e.now)
		if e.now.After(until) {
			t.Fatal("stalled")
		}
	}
	for rounds := 0; !e.Off(); rounds++ {
		e.fill()
		if at := e.Deadline(); at.After(e.now) {
			e.now = at
		}
		e.Tick(e.now)
		checkFlow(t, &e.Flow, e.now)
		if rounds > 4*MaxFlowWindow {
			t.Fatal("never off")
		}
	}
}

func TestFlowRandomWalk(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		left := 2000
		drive(t, FlowConfig{Window: 1 + rnd.IntN(100), Patience: 1 + rnd.IntN(1000)}, rnd.Uint32(), func() (int, bool) {
			left--
			return rnd.IntN(256), left > 0
		})
	}
}

func TestFlowDoesNotAllocate(t *testing.T) {
	e := newFlowEnd(math.MaxUint32-50, FlowConfig{Window: 64})
	require.Zero(t, testing.AllocsPerRun(200, func() {
		e.fill()
		e.wait(time.Millisecond)
		e.Tick(e.now)
		_ = e.Deadline()
		e.ack(e.last - 3)
		e.ack(e.last)
	}))
	require.False(t, e.Off())
}

func BenchmarkFlow(b *testing.B) {
	e := newFlowEnd(0, FlowConfig{Window: 64})
	b.ReportAllocs()
	for i := range b.N {
		e.send(1)
		if i%16 == 0 {
			e.ack(e.last)
		}
	}
}
