// Package latency counts how long answers take, in buckets, by many goroutines at once.
package latency

import (
	"encoding/json"
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of the buckets. One more has the rest.
var Bounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond,
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
}

// Histogram counts. The zero value is ready for use.
type Histogram struct {
	counts [len(Bounds) + 1]atomic.Uint64
	sum    atomic.Int64
}

// Observe counts an answer.
func (h *Histogram) Observe(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot is what a Histogram has counted.
type Snapshot struct {
	Counts [len(Bounds) + 1]uint64 // each of its bucket alone
	Count  uint64
	Sum    time.Duration
}

// Snapshot returns what has been counted so far.
func (h *Histogram) Snapshot() (s Snapshot) {
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
		s.Count += s.Counts[i]
	}
	s.Sum = time.Duration(h.sum.Load())
	return s
}

// MarshalJSON says how many answers took no longer than each bound, in seconds.
func (s Snapshot) MarshalJSON() ([]byte, error) {
	type bucket struct {
		Bound float64 `json:"le_seconds"`
		Count uint64  `json:"count"` // those of the buckets before included
	}
	buckets := make([]bucket, len(Bounds))
	below := uint64(0)
	for i, bound := range Bounds {
		below += s.Counts[i]
		buckets[i] = bucket{bound.Seconds(), below}
	}
	return json.Marshal(struct {
		Count   uint64   `json:"count"`
		Sum     float64  `json:"sum_seconds"`
		Buckets []bucket `json:"buckets"`
	}{s.Count, s.Sum.Seconds(), buckets})
}
