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
	if l.Wait(b, now) > 0 {
		return false
	}
	l.Charge(b, 1, now)
	return true
}

// Wait returns how long it is until there is room for an event.
func (l Limit) Wait(b *Bucket, now time.Time) time.Duration {
	if !b.due.After(now) {
		return 0 // the first may be so far back that it has no difference
	}
	return max(0, b.due.Sub(now)-l.slack)
}

// Charge counts n events, whether there is room for them or not.
func (l Limit) Charge(b *Bucket, n int, now time.Time) {
	if b.due.Before(now) {
		b.due = now
	}
	b.due = b.due.Add(time.Duration(n) * l.interval)
}

// Quiet reports whether there is room for all events at once again.
func (l Limit) Quiet(b *Bucket, now time.Time) bool { return !b.due.After(now) }
