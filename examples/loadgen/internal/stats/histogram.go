// Package stats sums up durations in little memory.
package stats

import (
	"math/bits"
	"time"
)

// Histogram counts durations. Its buckets are a microsecond wide up to 64 µs, and
// from there a thirty-second of a power of two, so that a quantile is at most three
// percent too large. The zero value is empty and ready.
type Histogram struct {
	counts [buckets]uint64
	count  uint64
	max    time.Duration
}

const (
	fine    = 6               // bits of a value that is counted as it is
	octave  = 1 << (fine - 1) // buckets of a power of two
	most    = 40              // bits of the largest value, in microseconds: 12 days
	buckets = 2*octave + (most-fine)*octave
)

// Add counts d; a negative one as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(d)]++
	h.count++
	h.max = max(h.max, d)
}

func bucket(d time.Duration) int {
	us := min(uint64(d/time.Microsecond), 1<<most-1)
	shift := max(bits.Len64(us)-fine, 0)
	return shift*octave + int(us>>shift)
}

// upper is the largest duration in a bucket.
func upper(i int) time.Duration {
	shift := max(i/octave-1, 0)
	us := uint64(i-shift*octave+1)<<shift - 1
	return time.Duration(us)*time.Microsecond + time.Microsecond - 1
}

// Merge adds what o has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.count += o.count
	h.max = max(h.max, o.max)
}

// Count is how many were added.
func (h *Histogram) Count() uint64 { return h.count }

// Max is the largest, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns a duration that a share q of all, 0 to 1, does not exceed; zero of
// none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(q * float64(h.count))
	if float64(rank) < q*float64(h.count) || rank == 0 {
		rank++
	}
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(upper(i), h.max)
		}
	}
	return h.max
}
