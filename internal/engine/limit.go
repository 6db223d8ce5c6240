package engine

import (
	"math"
	"time"

	"github.com/gopptp/gopptp"
)

// limit keeps one direction of a call to a rate. It is a token bucket in units of
// time: what has passed is due at a time, and the bucket is empty when that is ahead
// by a burst. A packet passes if the bucket is not empty, whatever its size, so that
// small bursts let large packets pass, and pays later.
type limit struct {
	rate  gopptp.BitRate
	burst time.Duration // what a burst takes at the rate
	due   time.Time     // when all that has passed would have, without bursts
}

// newLimit returns the limit for a rate, nil if that is none. It goes on with old, which
// may be nil.
func newLimit(old *limit, rate gopptp.BitRate) *limit {
	switch {
	case !rate.Limited():
		return nil
	case old != nil && old.rate == rate:
		return old
	}
	l := &limit{rate: rate}
	l.burst = max(1, l.cost(rate.BurstOctets()))
	return l
}

// cost is how long so many octets take at the rate.
func (l *limit) cost(octets int) time.Duration {
	const perOctet = 8 * uint64(time.Second)
	return time.Duration(min(min(uint64(octets), math.MaxInt32)*perOctet/l.rate.BitsPerSecond, maxCost))
}

// maxCost is longer than anybody waits, so that sums do not overflow.
const maxCost = uint64(1000 * time.Hour)

// allow lets a packet pass, or not.
func (l *limit) allow(octets int, now time.Time) bool {
	if l.due.Before(now) {
		l.due = now
	} else if l.due.Sub(now) >= l.burst {
		return false
	}
	l.due = l.due.Add(l.cost(octets))
	return true
}

// clock reads the time once a batch, and only if somebody asks.
type clock struct{ at time.Time }

func (c *clock) now() time.Time {
	if c.at.IsZero() {
		c.at = time.Now()
	}
	return c.at
}
