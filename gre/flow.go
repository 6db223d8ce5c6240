package gre

import (
	"math"
	"time"
)

// Defaults and limits of [FlowConfig].
const (
	// DefaultMinTimeout is longer than peers let an acknowledgement wait for a
	// packet to ride on.
	DefaultMinTimeout = 500 * time.Millisecond
	DefaultMaxTimeout = 4 * time.Second
	DefaultPatience   = 3

	// MaxFlowWindow is the largest window that a Flow keeps, in packets. Who
	// tells a larger one does not mean to hold anybody back.
	MaxFlowWindow = 1024
)

// The gains of RFC 2637 section 4.4: alpha and beta as what to divide by, chi
// and delta as factors.
const (
	flowAlpha = 8
	flowBeta  = 4
	flowChi   = 4
	flowDelta = 2
)

// FlowConfig configures a [Flow].
type FlowConfig struct {
	// Window is the receive window that the peer has told when the call was set
	// up, in packets. With zero the Flow is off from the start.
	Window int
	// ProcessingDelay is the packet processing delay that the peer has told. It
	// is where the estimate of the round-trip time begins.
	ProcessingDelay time.Duration
	// MinTimeout and MaxTimeout bound how long an acknowledgement is waited
	// for. Zero is DefaultMinTimeout and DefaultMaxTimeout.
	MinTimeout, MaxTimeout time.Duration
	// Patience is after how many time-outs, with less than two windows in a row
	// acknowledged between one and the next, the peer is taken for one that
	// does not keep a window. Zero is DefaultPatience.
	Patience int
}

// Flow is the flow control of RFC 2637 sections 4.2 and 4.4: the transmit
// window of one direction of a call, and the adaptive time-out after which
// packets are taken for lost. Nothing is ever sent again. It stands beside a
// [Sender]:
//
//	if flow.Room() == 0 {
//		// keep the packet, or drop it
//	}
//	seq := sender.Next()
//	flow.Sent(seq, now)
//
// and for each acknowledgement that comes, Sender.Ack and Flow.Ack. Tick is to be
// called when the Deadline has come; after that and after Ack there may be room
// for what was kept. How much is kept, and whether what keeps the call itself
// alive has to wait at all, is for the owner to say: packets may be sent without
// room, and count.
//
// Many peers acknowledge only with data of their own, or never, and a window would
// slow them down to a packet now and then. So a Flow that sees little but
// time-outs switches itself off, for good: from then on there is always room.
// And whatever a peer does, there is room again after MaxTimeout at the latest.
//
// The zero Flow is off. It allocates nothing but a ring of times in [NewFlow].
type Flow struct {
	epoch time.Time
	sent  []int64 // when, in nanoseconds since epoch, by number modulo its length

	next  uint32 // the number to be sent next
	first uint32 // the oldest that is waited for; next if there is none
	acked uint32 // one more than the highest number acknowledged
	// recovery is the number that was next at the last time-out. Packets before
	// it that are lost too are no reason for another.
	recovery uint32

	window, max int
	good        int // packets acknowledged since the window was last changed
	windows     int // acknowledged in a row, without a time-out

	rtt, dev, ato     time.Duration
	minAto, maxAto    time.Duration
	silence, patience int // time-outs that count against the peer, and how many at most
	count             FlowCounters
}

// FlowCounters count since the call began. They never decrease.
type FlowCounters struct {
	Timeouts uint64 // that have made the window smaller
	Lost     uint64 // packets given up
	Late     uint64 // acknowledgements of packets that had been given up
	Stale    uint64 // acknowledgements that told nothing new, or of what was never sent
}

// NewFlow returns a Flow for a call that begins.
func NewFlow(cfg FlowConfig) Flow {
	if cfg.Window <= 0 {
		return Flow{}
	}
	f := Flow{
		max:      min(cfg.Window, MaxFlowWindow),
		minAto:   cfg.MinTimeout,
		maxAto:   cfg.MaxTimeout,
		patience: cfg.Patience,
	}
	if f.minAto <= 0 {
		f.minAto = DefaultMinTimeout
	}
	if f.maxAto <= 0 {
		f.maxAto = DefaultMaxTimeout
	}
	f.maxAto = max(f.maxAto, f.minAto)
	if f.patience <= 0 {
		f.patience = DefaultPatience
	}
	size := 1 // a power of two, so that positions stay distinct across the wrap
	for size < f.max {
		size *= 2
	}
	f.sent = make([]int64, size)
	f.window = max(f.max/2, 1) // section 4.2.1
	f.rtt = min(max(cfg.ProcessingDelay, 0), f.maxAto)
	f.timeout()
	return f
}

// Room returns how many packets may be sent now. A Flow that is off has room for
// any number.
func (f *Flow) Room() int {
	if f.Off() {
		return math.MaxInt
	}
	return max(f.window-f.InFlight(), 0)
}

// Sent notes that a packet with the number seq is sent, the next after the one
// before.
func (f *Flow) Sent(seq uint32, now time.Time) {
	if f.Off() {
		return
	}
	if f.epoch.IsZero() {
		f.epoch = now
	}
	if seq != f.next {
		f.first, f.acked, f.recovery = seq, seq, seq
	}
	size := uint32(len(f.sent))
	if seq-f.first == size { // sent without room
		f.first++
		f.count.Lost++
	}
	f.sent[seq%size] = int64(now.Sub(f.epoch))
	f.next = seq + 1
}

// Ack takes an acknowledgement number that the peer has sent.
func (f *Flow) Ack(n uint32, now time.Time) {
	if f.Off() {
		return
	}
	if f.next-1-n >= uint32(len(f.sent)) || int32(n-f.acked) < 0 {
		f.count.Stale++
		return
	}
	f.acked = n + 1
	f.measure(f.age(n, now))
	fresh := int32(n + 1 - f.first)
	if fresh <= 0 {
		// The packet is not waited for any more. That is how a time-out that
		// is too short comes to be seen and grows.
		f.count.Late++
		return
	}
	f.first = n + 1
	if int32(f.first-f.recovery) > 0 {
		f.recovery = f.first // never so far behind that it looks ahead
	}
	if f.good += int(fresh); f.good >= f.window { // section 4.2.3
		f.good = 0
		f.window = min(f.window+1, f.max)
		if f.windows++; f.windows > 1 {
			f.silence = 0
		}
	}
}

// Tick gives up the packets whose time is up.
func (f *Flow) Tick(now time.Time) {
	if f.Off() {
		return
	}
	lost, anew := uint64(0), false
	for f.first != f.next && f.age(f.first, now) >= f.ato {
		anew = anew || int32(f.first-f.recovery) >= 0
		f.first++
		lost++
	}
	f.count.Lost += lost
	if !anew {
		return
	}
	f.count.Timeouts++
	f.recovery = f.next
	f.window, f.good, f.windows = (f.window+1)/2, 0, 0 // section 4.2.2
	// Section 4.4.2. An estimate that is far below the least time-out would
	// have to be doubled many times before the time-out grew.
	f.rtt = min(flowDelta*max(f.rtt, f.minAto), f.maxAto)
	f.timeout()
	if f.silence++; f.silence >= f.patience {
		f.SwitchOff()
	}
}

// Deadline returns when Tick is to be called. The zero time is never.
func (f *Flow) Deadline() time.Time {
	if f.first == f.next {
		return time.Time{}
	}
	return f.epoch.Add(time.Duration(f.sent[f.first%uint32(len(f.sent))]) + f.ato)
}

// SwitchOff ends the flow control, for a peer that is known to do without.
func (f *Flow) SwitchOff() {
	f.sent = nil
	f.first = f.next
}

// Off reports whether there is no flow control, or no longer.
func (f *Flow) Off() bool { return f.sent == nil }

// Window returns the size of the transmit window, in packets.
func (f *Flow) Window() int { return f.window }

// InFlight returns how many packets wait for their acknowledgement.
func (f *Flow) InFlight() int { return int(f.next - f.first) }

// RTT returns the estimated time from a packet to its acknowledgement, and
// Timeout how long that is waited for.
func (f *Flow) RTT() time.Duration { return f.rtt }

// Timeout returns the adaptive time-out.
func (f *Flow) Timeout() time.Duration { return f.ato }

// Counters returns the counters.
func (f *Flow) Counters() FlowCounters { return f.count }

// age returns how long ago a packet was sent.
func (f *Flow) age(seq uint32, now time.Time) time.Duration {
	return now.Sub(f.epoch) - time.Duration(f.sent[seq%uint32(len(f.sent))])
}

// measure follows a sample (section 4.4.1).
func (f *Flow) measure(sample time.Duration) {
	// An acknowledgement that took longer than any is waited for says no more.
	sample = min(max(sample, 0), f.maxAto)
	diff := sample - f.rtt
	f.dev += (diff.Abs() - f.dev) / flowBeta
	f.rtt += diff / flowAlpha
	f.timeout()
}

// timeout follows the estimates.
func (f *Flow) timeout() {
	f.ato = max(f.minAto, min(f.rtt+flowChi*f.dev, f.maxAto))
}
