package gre

import (
	"bytes"
	"slices"
	"time"
)

// Defaults of [ReceiverConfig].
const (
	DefaultReorder  = 16
	DefaultHold     = 20 * time.Millisecond
	DefaultAckDelay = 100 * time.Millisecond
	DefaultWindow   = 64
)

const (
	// history is how many numbers behind the next one the Receiver remembers
	// one by one, to tell a duplicate from a packet that is late. A power of
	// two, so that positions stay distinct across the wrap.
	history = 256

	// maxAhead is the furthest that one packet may run ahead and be taken as
	// what it says, the first after so many losses: more than ten seconds at
	// 100,000 packets a second, beyond what an echo of LCP survives.
	maxAhead = 1 << 20

	// suspicion is how long packets that fit nowhere must have been all that
	// comes before the Receiver believes them. Longer than a burst of old
	// packets from a path that was just left can last.
	suspicion = time.Second
)

// ReceiverConfig configures a [Receiver]. The zero value is what most want.
type ReceiverConfig struct {
	// Reorder is how many packets that came too early are held at most until
	// those before them come. Zero is DefaultReorder; a negative number holds
	// none, so that what comes after a gap is delivered at once, and what was
	// overtaken is dropped.
	Reorder int
	// Hold is how long a packet is held at most. Zero is DefaultHold.
	Hold time.Duration
	// AckDelay is how long an acknowledgement waits at most for a packet to
	// ride on. Zero is DefaultAckDelay.
	AckDelay time.Duration
	// Window is the receive window that we have advertised, in packets. When
	// half of it is unacknowledged, an acknowledgement is due at once, so that
	// a peer that keeps the window never stalls. Zero is DefaultWindow.
	Window int
}

// Packet is what a [Receiver] delivers.
type Packet struct {
	// Sequence is the packet's sequence number.
	Sequence uint32
	// Missing is how many numbers directly before this one were given up:
	// packets that are lost, or may yet come and are then dropped. It is what
	// mppe.Decryptor.Open wants.
	Missing uint32
	// Payload is the slice that was given to Push, or a copy of it if the
	// packet had to be held. A copy belongs to whom it is delivered to.
	Payload []byte
}

// ReceiverCounters count since the call began. They never decrease. Lost less
// Late is the number of packets that never came.
type ReceiverCounters struct {
	Packets    uint64 // delivered
	Reordered  uint64 // came after one with a higher number, in time to be put right
	Lost       uint64 // sequence numbers given up
	Late       uint64 // came after they had been given up, and were dropped
	Duplicates uint64 // came twice, and were dropped
	OutOfRange uint64 // too far ahead or behind to be believed, and were dropped
	Resyncs    uint64 // jumps of the sequence that were followed in the end
	Acks       uint64 // acknowledgements taken to be sent
}

// Receiver puts the packets of a call that come from the peer in order, counts
// what goes wrong on the way, and says when an acknowledgement is due.
//
// The first packet sets the base, whatever its number: peers begin with 0 or 1.
// From then on packets are delivered in strictly rising order (modulo 2^32),
// each at most once. In order, a packet passes straight through. One that comes
// too early is copied and held until those before it have come, its time is
// up, or too many are held; then the gap is given up.
//
// Packets out of any sensible order are strays of an earlier call, or forged,
// or the peer has restarted its numbers. The first two must not move the
// sequence, the last must not leave us deaf. So:
//   - A gap of more than 256 is not given up if packets from before it came
//     after the one behind it: the sequence goes on elsewhere, and that one is
//     dropped.
//   - A packet behind the sequence, or more than 2^20 ahead, is dropped. But
//     when such packets have been all that came for a second, and their
//     numbers rise, the sequence is taken up from them.
type Receiver struct {
	// What a packet that comes in order needs is together, as memory that has long
	// not been used is slow.
	started  bool
	suspect  bool   // a packet was out of place, and none was delivered since
	next     uint32 // the number to deliver next
	depth    uint32 // how many numbers came tells of, at most history
	unacked  uint32 // packets delivered since the last acknowledgement
	ackEvery uint32
	ackDelay time.Duration
	ackAt    time.Time            // when an acknowledgement is due, if unacked is not 0
	arrivals uint64               // packets that came, dropped ones too
	latest   uint64               // of those delivered, the one that came last
	held     []heldPacket         // sorted by number; nil while all is in order
	came     [history / 64]uint64 // which of those just before next have come, by number modulo history
	count    ReceiverCounters

	reorder int
	hold    time.Duration

	suspectSeq   uint32
	suspectSince time.Time
}

// heldPacket is a packet that came too early.
type heldPacket struct {
	seq     uint32
	arrival uint64 // of all packets that came, the how manyth
	until   time.Time
	payload []byte
}

// NewReceiver returns a Receiver that waits for the first packet of a call.
func NewReceiver(cfg ReceiverConfig) Receiver {
	r := Receiver{reorder: cfg.Reorder, hold: cfg.Hold, ackDelay: cfg.AckDelay}
	if r.reorder == 0 {
		r.reorder = DefaultReorder
	}
	if r.hold <= 0 {
		r.hold = DefaultHold
	}
	if r.ackDelay <= 0 {
		r.ackDelay = DefaultAckDelay
	}
	window := cfg.Window
	if window <= 0 {
		window = DefaultWindow
	}
	r.ackEvery = uint32(min(window, 1<<16)+1) / 2
	return r
}

// Push takes a packet with a sequence number, and appends to out what can be
// delivered now. It allocates only for a packet that comes too early.
func (r *Receiver) Push(out []Packet, seq uint32, payload []byte, now time.Time) []Packet {
	if !r.started {
		r.started = true
		r.next = seq
	}
	r.arrivals++
	switch ahead := seq - r.next; {
	case ahead == 0:
		r.latest = r.arrivals
		out = r.deliver(out, seq, payload, now)
		if r.held == nil {
			return out
		}
		r.count.Reordered++
		out = r.release(out, 0, now)
	case ahead > maxAhead:
		out = r.outOfPlace(out, seq, payload, now)
	case r.reorder < 0:
		out = r.deliver(out, seq, payload, now)
	default:
		out = r.early(out, seq, payload, now)
	}
	return r.Tick(out, now)
}

// Tick appends to out the packets whose time to be held is up, with those
// before and directly after them. It is to be called when the Deadline has
// come; earlier does no harm.
func (r *Receiver) Tick(out []Packet, now time.Time) []Packet {
	for i := len(r.held) - 1; i >= 0; i-- {
		if !now.Before(r.held[i].until) {
			return r.release(out, i+1, now)
		}
	}
	return out
}

// Deadline returns when the Receiver next wants attention: Tick for packets
// that are held, TakeAck for an acknowledgement. The zero time is never.
func (r *Receiver) Deadline() time.Time {
	var t time.Time
	if r.unacked > 0 {
		t = r.ackAt
	}
	for i := range r.held {
		if u := r.held[i].until; t.IsZero() || u.Before(t) {
			t = u
		}
	}
	return t
}

// AckDue reports whether an acknowledgement is to be sent now, in a packet of
// its own if there is no other.
func (r *Receiver) AckDue(now time.Time) bool {
	return r.unacked > 0 && !now.Before(r.ackAt)
}

// TakeAck returns the acknowledgement number for a packet that is about to be
// sent, if there is anything new to acknowledge. It counts as sent.
//
// It is the last number delivered, not the highest one received (RFC 2637
// section 4.1): they differ only while packets are held, and so a number that
// nobody believes is never acknowledged.
func (r *Receiver) TakeAck() (ack uint32, ok bool) {
	if r.unacked == 0 {
		return 0, false
	}
	r.unacked = 0
	r.count.Acks++
	return r.next - 1, true
}

// Counters returns the counters.
func (r *Receiver) Counters() ReceiverCounters { return r.count }

// deliver hands out seq and gives up what is missing before it.
func (r *Receiver) deliver(out []Packet, seq uint32, payload []byte, now time.Time) []Packet {
	missing := seq - r.next
	if missing != 0 {
		r.skip(missing)
	}
	r.came[seq%history/64] |= 1 << (seq % 64)
	r.depth = min(r.depth+1, history)
	r.next = seq + 1
	r.suspect = false
	r.count.Packets++

	r.unacked++
	if r.unacked == r.ackEvery {
		r.ackAt = now
	} else if r.unacked == 1 {
		r.ackAt = now.Add(r.ackDelay)
	}
	return append(out, Packet{Sequence: seq, Missing: missing, Payload: payload})
}

// skip gives up the next n numbers.
func (r *Receiver) skip(n uint32) {
	r.count.Lost += uint64(n)
	r.next += n
	n = min(n, history)
	for i := r.next - n; i != r.next; i++ {
		r.came[i%history/64] &^= 1 << (i % 64)
	}
	r.depth = min(r.depth+n, history)
}

// early holds a packet that came before others that are missing.
func (r *Receiver) early(out []Packet, seq uint32, payload []byte, now time.Time) []Packet {
	i := len(r.held)
	for i > 0 && int32(r.held[i-1].seq-seq) > 0 {
		i--
	}
	if i > 0 && r.held[i-1].seq == seq {
		r.count.Duplicates++
		return out
	}
	if i < len(r.held) {
		r.count.Reordered++
	}
	r.held = slices.Insert(r.held, i, heldPacket{seq, r.arrivals, now.Add(r.hold), bytes.Clone(payload)})
	if len(r.held) > r.reorder {
		out = r.release(out, 1, now)
	}
	return out
}

// release hands out the first n held packets, whatever is missing before them,
// and those that follow directly.
func (r *Receiver) release(out []Packet, n int, now time.Time) []Packet {
	i := 0
	for ; i < len(r.held) && (i < n || r.held[i].seq == r.next); i++ {
		h := &r.held[i]
		if h.seq-r.next > history && r.latest > h.arrival {
			r.count.OutOfRange++ // the sequence went on without it
			continue
		}
		r.latest = max(r.latest, h.arrival)
		out = r.deliver(out, h.seq, h.payload, now)
	}
	if i == len(r.held) {
		r.held = nil // a call whose order is restored holds no memory
	} else {
		r.held = slices.Delete(r.held, 0, i)
	}
	return out
}

// outOfPlace takes a packet that is behind the sequence, or too far ahead.
func (r *Receiver) outOfPlace(out []Packet, seq uint32, payload []byte, now time.Time) []Packet {
	rise := seq - r.suspectSeq
	rising := r.suspect && rise != 0 && rise <= maxAhead
	if rising && now.Sub(r.suspectSince) >= suspicion {
		out = r.release(out, len(r.held), now)
		r.count.Resyncs++
		r.next, r.depth = seq, 0
		return r.deliver(out, seq, payload, now)
	}
	if !rising {
		r.suspect, r.suspectSince = true, now
	}
	r.suspectSeq = seq

	word, bit := &r.came[seq%history/64], uint64(1)<<(seq%64)
	switch behind := r.next - seq; {
	case behind > r.depth:
		r.count.OutOfRange++
	case *word&bit != 0:
		r.count.Duplicates++
	default:
		*word |= bit // once more, and it is a duplicate
		r.count.Late++
	}
	return out
}
