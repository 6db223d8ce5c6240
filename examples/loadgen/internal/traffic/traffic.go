package traffic

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/gopptp/gopptp/examples/loadgen/internal/stats"
)

// Sender sends IP packets into the tunnels. Each slice begins Headroom octets before
// its packet; Send may change it and does not keep it.
type Sender interface {
	Send(packets [][]byte)
}

// Headroom is what Send wants in front of a packet, and maxSize the largest.
const (
	Headroom = 32
	maxSize  = 1500
	batch    = 64
)

// Totals are the figures of a kind, or of all.
type Totals struct {
	Sent, SentOctets         uint64
	Received, ReceivedOctets uint64 // each once
	Lost                     uint64
	Reordered, Duplicates    uint64
	InFlight                 uint64 // neither back nor lost when the session was hung up
}

// Odd are packets that are of no session, or not as they were sent.
type Odd struct {
	Damaged      uint64 // the checksum is wrong
	Misdelivered uint64 // came to another session's address, or were never sent
	Foreign      uint64 // not made here
}

// Traffic is that of all sessions.
type Traffic struct {
	mix   Mix
	began time.Time
	send  Sender
	wake  chan struct{}
	quit  chan struct{}
	done  chan struct{}

	mu      sync.Mutex
	flows   []*Flow // by number; nil: none now
	due     flowHeap
	totals  [Kinds]Totals // of sessions that are over
	odd     Odd
	rtt     [Kinds]stats.Histogram
	quiet   bool // no more is sent
	slipped time.Duration
}

// Flow is the traffic of one session.
type Flow struct {
	number, epoch uint32
	kind          Kind
	way           way
	size          int
	every         time.Duration
	at            time.Time // of the next packet
	index         int       // in the heap; -1: not in it
	track         tracker
	last          time.Time // when a packet was sent
	octets        uint64    // received
}

// New returns the traffic of n sessions, which Start begins.
func New(mix Mix, n int) *Traffic {
	return &Traffic{
		mix: mix, flows: make([]*Flow, n), began: time.Now(),
		wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// Start begins to send.
func (t *Traffic) Start(s Sender) {
	t.send = s
	go t.run()
}

// Close ends it.
func (t *Traffic) Close() {
	close(t.quit)
	<-t.done
}

// Up says that session number number is up, with these addresses in the tunnel. epoch
// is another one each time.
func (t *Traffic) Up(number int, epoch uint32, local, peer netip.Addr, mtu int) {
	kind := t.mix.KindOf(number)
	if t.mix.To.IsValid() {
		peer = t.mix.To
	}
	f := &Flow{
		number: uint32(number), epoch: epoch, kind: kind, index: -1,
		way: way{t.mix.Via, netip.AddrPortFrom(local, sourcePort), netip.AddrPortFrom(peer, t.mix.Port)},
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flows[number] = f
	if kind == Idle || t.quiet {
		return
	}
	f.size, f.every = t.mix.pace(kind, min(mtu, maxSize))
	// Sessions that come up together do not all send at once.
	f.at = time.Now().Add(time.Duration(rand.Float64() * float64(f.every)))
	heap.Push(&t.due, f)
	if f.index == 0 {
		t.rouse()
	}
}

func (t *Traffic) rouse() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Down says that a session is no longer up. What is then on its way is not lost.
func (t *Traffic) Down(number int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.flows[number]
	if f == nil {
		return
	}
	t.flows[number] = nil
	if f.index >= 0 {
		heap.Remove(&t.due, f.index)
	}
	t.add(&t.totals[f.kind], f, time.Now())
}

// Quiet ends the sending of packets. Those on their way may still arrive.
func (t *Traffic) Quiet() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.quiet = true
	for _, f := range t.due {
		f.index = -1
	}
	t.due = nil
}

// Grace is how long a packet may be on its way before it counts as lost.
const Grace = time.Second

// add adds the figures of f.
func (t *Traffic) add(sum *Totals, f *Flow, now time.Time) {
	between, after := f.track.missing()
	sum.Sent += uint64(f.track.sent)
	sum.SentOctets += uint64(f.track.sent) * uint64(f.size)
	sum.Received += uint64(f.track.received)
	sum.ReceivedOctets += f.octets
	sum.Reordered += uint64(f.track.reordered)
	sum.Duplicates += uint64(f.track.duplicates)
	switch {
	case t.mix.Via == Sink:
	case now.Sub(f.last) >= Grace:
		sum.Lost += uint64(between) + uint64(after)
	default:
		sum.Lost += uint64(between)
		sum.InFlight += uint64(after)
	}
}

// Sum is what there was of each kind, up to now.
func (t *Traffic) Sum() (kinds [Kinds]Totals, odd Odd) {
	t.mu.Lock()
	defer t.mu.Unlock()
	kinds = t.totals
	now := time.Now()
	for _, f := range t.flows {
		if f != nil {
			t.add(&kinds[f.kind], f, now)
		}
	}
	return kinds, t.odd
}

// RTT has the round trips of a kind.
func (t *Traffic) RTT(k Kind) stats.Histogram {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rtt[k]
}

// Slipped is by how much the sender was ever behind. It is this machine that is too
// slow then.
func (t *Traffic) Slipped() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.slipped
}

// run sends what is due.
func (t *Traffic) run() {
	defer close(t.done)
	memory := make([]byte, batch*(Headroom+maxSize))
	packets := make([][]byte, 0, batch)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var wait time.Duration
		if packets, wait = t.collect(packets[:0], memory); len(packets) > 0 {
			t.send.Send(packets)
			select {
			case <-t.quit:
				return
			default:
				continue
			}
		}
		timer.Reset(wait)
		select {
		case <-t.quit:
			return
		case <-t.wake:
		case <-timer.C:
		}
	}
}

// pause is the shortest wait of a sender: what falls due meanwhile goes in one batch.
const pause = 500 * time.Microsecond

// collect makes the packets that are due. If there are none it says how long not.
func (t *Traffic) collect(packets [][]byte, memory []byte) ([][]byte, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for len(packets) < batch && len(t.due) > 0 {
		f := t.due[0]
		late := now.Sub(f.at)
		if late < 0 {
			return packets, max(-late, pause)
		}
		t.slipped = max(t.slipped, late)
		at := len(packets) * (Headroom + maxSize)
		b := memory[at : at+Headroom+f.size]
		build(b[Headroom:], f.way, mark{f.number, f.epoch, f.track.sent, now.Sub(t.began)})
		f.track.sent++
		f.last = now
		packets = append(packets, b)
		// What a pause of this machine has made late is left out, not caught up with.
		const maxLate = 100 * time.Millisecond
		f.at = f.at.Add(f.every)
		if now.Sub(f.at) > maxLate {
			f.at = now
		}
		heap.Fix(&t.due, 0)
	}
	return packets, time.Hour
}

// Deliver takes packets out of the tunnels. It may be called by several goroutines.
func (t *Traffic) Deliver(packets [][]byte) {
	now := time.Now()
	for _, p := range packets {
		m, to, err := parse(p)
		t.take(p, m, to, err, now)
	}
}

func (t *Traffic) take(p []byte, m mark, to netip.Addr, err error, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch err {
	case nil:
		t.judge(p, m, to, now)
	case errDamaged:
		t.odd.Damaged++
	default:
		t.odd.Foreign++
	}
}

func (t *Traffic) judge(p []byte, m mark, to netip.Addr, now time.Time) {
	if int(m.flow) >= len(t.flows) {
		t.odd.Misdelivered++
		return
	}
	f := t.flows[m.flow]
	if f == nil || f.epoch != m.epoch {
		return // the answer came too late: its session is over
	}
	if f.way.from.Addr() != to || !f.track.note(m.seq) {
		t.odd.Misdelivered++
		return
	}
	f.octets += uint64(len(p))
	t.rtt[f.kind].Add(now.Sub(t.began) - m.sent)
}

// flowHeap has the flow first whose next packet is due first.
type flowHeap []*Flow

func (h flowHeap) Len() int           { return len(h) }
func (h flowHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h flowHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *flowHeap) Push(x any) {
	f := x.(*Flow)
	f.index = len(*h)
	*h = append(*h, f)
}

func (h *flowHeap) Pop() any {
	last := len(*h) - 1
	f := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	f.index = -1
	return f
}
