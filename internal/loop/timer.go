package loop

import "time"

// Timer calls its function on the loop at a deadline that can be moved. Its
// methods may be called on the loop goroutine only.
type Timer struct {
	loop  *Loop
	f     func(now time.Time)
	at    time.Time
	index int // in the heap; -1 when not set
}

// NewTimer returns a Timer that is not set. It may be called from any
// goroutine.
func (l *Loop) NewTimer(f func(now time.Time)) *Timer {
	return &Timer{loop: l, f: f, index: -1}
}

// Deadlines that are far away fall on a common grid, so that ten thousand sessions which
// ask their peers for a sign of life wake the loop twenty times a second, and not at each
// one's own moment.
const (
	far   = time.Second
	grain = 50 * time.Millisecond
)

// Set moves the deadline; the zero time stops the timer. A timer fires once for
// each Set, and up to 50 ms late if that is more than a second away.
func (t *Timer) Set(at time.Time) {
	if at.Sub(t.loop.now) > far {
		at = at.Add(grain - 1 - (at.Sub(t.loop.born)-1)%grain)
	}
	switch {
	case at.IsZero():
		if t.index >= 0 {
			t.loop.timers.remove(t.index)
		}
		t.at = at
	case t.index < 0:
		t.at = at
		t.loop.timers.push(t)
	case !at.Equal(t.at):
		t.at = at
		t.loop.timers.fix(t.index)
	}
}

// timerHeap is a binary min-heap by deadline in which each timer knows its
// place, so that moving a deadline costs O(log n).
type timerHeap []*Timer

func (h timerHeap) next() time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	return h[0].at
}

// fire runs every timer that is due at now, each at most once: one that sets
// itself again for a time already past waits for the next round.
func (l *Loop) fire(now time.Time) {
	due := l.due[:0]
	for len(l.timers) > 0 && !l.timers[0].at.After(now) {
		t := l.timers[0]
		l.timers.remove(0)
		due = append(due, t)
	}
	for i, t := range due {
		// One of those before may have stopped or moved it.
		if t.index < 0 && !t.at.IsZero() {
			t.f(now)
		}
		due[i] = nil // or it would live until overwritten
		l.breathe()
	}
	l.due = due
}

func (h *timerHeap) push(t *Timer) {
	t.index = len(*h)
	*h = append(*h, t)
	h.up(t.index)
}

func (h *timerHeap) remove(i int) {
	last := len(*h) - 1
	(*h)[i].index = -1
	if i != last {
		(*h)[i] = (*h)[last]
		(*h)[i].index = i
	}
	(*h)[last] = nil
	*h = (*h)[:last]
	if i < last {
		h.fix(i)
	}
}

func (h timerHeap) fix(i int) {
	if !h.up(i) {
		h.down(i)
	}
}

func (h timerHeap) up(i int) (moved bool) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h[i].at.Before(h[parent].at) {
			break
		}
		h.swap(i, parent)
		i, moved = parent, true
	}
	return moved
}

func (h timerHeap) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if right := child + 1; right < len(h) && h[right].at.Before(h[child].at) {
			child = right
		}
		if !h[child].at.Before(h[i].at) {
			return
		}
		h.swap(i, child)
		i = child
	}
}

func (h timerHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
