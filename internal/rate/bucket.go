package rate

import (
	"math"
	"time"
)

// Limit is so many events a second, and so many at once. The zero Limit is none.
type Limit struct {
	interval time.Duration // between events
	slack    time.Duration // how far ahead of that they may be: those at once, but for one
}

// New returns a Limit of perSecond events a second, and of burst, which is at least 1,
// at once. There is none if perSecond is not positive, or infinite.
func New(perSecond float64, burst int) Limit {
	if !(perSecond > 0) || math.IsInf(perSecond, 1) {
		return Limit{}
	}
	interval := max(1, time.Duration(min(float64(time.Second)/perSecond, float64(24*time.Hour))))
	most := math.MaxInt64 / 4 / interval
	return Limit{interval, interval * min(time.Duration(max(burst, 1)-1), most)}
}

// Bucket counts the events of one source of them. The zero Bucket has seen none.
type Bucket struct {
	due time.Time // when all that has come would have come, one by one
}

// Allow counts an event, if there is room for it.
func (l Limit) Allow(b *Bucket, now time.Time) bool {
	if b.due.Sub(now) > l.slack {
		return false
	}
	l.Charge(b, 1, now)
	return true
}

// Charge counts n events that cannot be undone, and returns for how long there should
// be no other.
func (l Limit) Charge(b *Bucket, n int, now time.Time) (wait time.Duration) {
	if l.interval == 0 {
		return 0
	}
	if b.due.Before(now) {
		b.due = now
	}
	b.due = b.due.Add(time.Duration(n) * l.interval)
	return max(0, b.due.Sub(now)-l.slack)
}

// Quiet reports whether there is room for all events at once again.
func (l Limit) Quiet(b *Bucket, now time.Time) bool { return !b.due.After(now) }
