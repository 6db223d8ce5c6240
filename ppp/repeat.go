package ppp

import "time"

// Repeat times the repetition of a packet until it is answered: the intervals
// double up to a limit. The zero value repeats nothing.
type Repeat struct {
	// Limit is the longest interval, Max how often the packet is sent in all.
	Limit time.Duration
	Max   int

	sent     int
	interval time.Duration
	deadline time.Time
}

// Begin notes that the packet was sent for the first time, and that it is due
// again after first.
func (r *Repeat) Begin(first time.Duration, now time.Time) {
	r.sent, r.interval, r.deadline = 1, first, now.Add(first)
}

// Due reports whether the packet is to be sent now, or that it has been often
// enough and nothing is pending any more.
func (r *Repeat) Due(now time.Time) (again, over bool) {
	if r.deadline.IsZero() || now.Before(r.deadline) {
		return false, false
	}
	if r.sent >= r.Max {
		r.Stop()
		return false, true
	}
	r.sent++
	r.interval = min(2*r.interval, r.Limit)
	r.deadline = now.Add(r.interval)
	return true, false
}

// Stop ends the repetition.
func (r *Repeat) Stop() { r.sent, r.deadline = 0, time.Time{} }

// Deadline is when Due has something to say; zero when nothing is pending.
func (r *Repeat) Deadline() time.Time { return r.deadline }
