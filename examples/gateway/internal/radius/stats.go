package radius

import (
	"sync/atomic"
	"time"
)

// ServerStats are the figures of one server. The counters only grow.
type ServerStats struct {
	Server   string
	Priority int
	Alive    bool
	Links    int // sockets, or connections that are there or being made
	Waiting  int // requests that wait for an answer now

	Requests          uint64 // probes not included
	Retransmits       uint64
	Accepts           uint64
	Rejects           uint64
	Challenges        uint64
	AccountingReplies uint64
	Timeouts          uint64 // requests that were not answered before another server was asked, or nobody
	BadAuthenticators uint64 // answers that are forged, or from one who has another secret
	Unsigned          uint64 // answers without the Message-Authenticator that is required
	Malformed         uint64 // answers that are not RADIUS, or not for what was asked
	Unexpected        uint64 // answers that nobody waits for any more
	Probes            uint64 // Status-Server requests
	LinkFailures      uint64 // sockets and connections that could not be made, or broke
	Latency           Histogram
}

// ClientStats are the figures of a Client.
type ClientStats struct {
	InFlight    int    // requests now
	MaxInFlight int    // the bound of these
	Waiting     int    // that wait for one of these to end
	Busy        uint64 // that waited in vain
	Unanswered  uint64 // that no server answered
	Servers     []ServerStats
}

// LatencyBounds are the upper bounds of the buckets of a Histogram. One more has the rest.
var LatencyBounds = [...]time.Duration{
	time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
}

// Histogram is how long answers took, from the first packet to a server on.
type Histogram struct {
	Counts [len(LatencyBounds) + 1]uint64 // each of its bucket alone
	Count  uint64
	Sum    time.Duration
}

// histogram is one that is counted in by many at once.
type histogram struct {
	counts [len(LatencyBounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(LatencyBounds) && d > LatencyBounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) snapshot() (s Histogram) {
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
		s.Count += s.Counts[i]
	}
	s.Sum = time.Duration(h.sum.Load())
	return s
}

// counters are those of a server.
type counters struct {
	requests, retransmits, accepts, rejects, challenges, accounting, timeouts atomic.Uint64
	forged, unsigned, malformed, unexpected, probes, linkFailures             atomic.Uint64
	latency                                                                   histogram
}
