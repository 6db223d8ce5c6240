package radius

import (
	"encoding/json"
	"sync/atomic"
	"time"
)

// ServerStats are the figures of one server. The counters only grow.
type ServerStats struct {
	Server   string `json:"server"`
	Priority int    `json:"priority"`
	Alive    bool   `json:"alive"`
	Links    int    `json:"links"`   // sockets, or connections that are there or being made
	Waiting  int    `json:"waiting"` // requests that wait for an answer now

	Requests          uint64    `json:"requests"` // probes not included
	Retransmits       uint64    `json:"retransmits"`
	Accepts           uint64    `json:"accepts"`
	Rejects           uint64    `json:"rejects"`
	Challenges        uint64    `json:"challenges"`
	AccountingReplies uint64    `json:"accounting_replies"`
	Timeouts          uint64    `json:"timeouts"`           // requests that were not answered before another server was asked, or nobody
	BadAuthenticators uint64    `json:"bad_authenticators"` // answers that are forged, or from one who has another secret
	Unsigned          uint64    `json:"unsigned"`           // answers without the Message-Authenticator that is required
	Malformed         uint64    `json:"malformed"`          // answers that are not RADIUS, or not for what was asked
	Unexpected        uint64    `json:"unexpected"`         // answers that nobody waits for any more
	Probes            uint64    `json:"probes"`             // Status-Server requests
	LinkFailures      uint64    `json:"link_failures"`      // sockets and connections that could not be made, or broke
	Latency           Histogram `json:"latency"`
}

// ClientStats are the figures of a Client.
type ClientStats struct {
	InFlight    int           `json:"in_flight"`     // requests now
	MaxInFlight int           `json:"max_in_flight"` // the bound of these
	Waiting     int           `json:"waiting"`       // that wait for one of these to end
	Busy        uint64        `json:"busy"`          // that waited in vain
	Unanswered  uint64        `json:"unanswered"`    // that no server answered
	Servers     []ServerStats `json:"servers"`
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

// MarshalJSON says how many answers took no longer than each bound, in seconds.
func (h Histogram) MarshalJSON() ([]byte, error) {
	type bucket struct {
		Bound float64 `json:"le_seconds"`
		Count uint64  `json:"count"` // those of the buckets before included
	}
	buckets := make([]bucket, len(LatencyBounds))
	below := uint64(0)
	for i, bound := range LatencyBounds {
		below += h.Counts[i]
		buckets[i] = bucket{bound.Seconds(), below}
	}
	return json.Marshal(struct {
		Count   uint64   `json:"count"`
		Sum     float64  `json:"sum_seconds"`
		Buckets []bucket `json:"buckets"`
	}{h.Count, h.Sum.Seconds(), buckets})
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
