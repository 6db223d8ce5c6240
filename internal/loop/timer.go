package loop

import "time"

// Timer calls its function on the loop at a deadline that can be moved. Its
// methods may be called on the loop goroutine only.
type Timer struct {
	loop   *Loop
	f      func(now time.Time)
	index  int  // in the heap; -1 when not set
	firing bool // it is due in this round, and was not set since
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
	h := &t.loop.timers
	t.firing = false
	if at.IsZero() {
		if t.index >= 0 {
			h.remove(t.index)
		}
		return
	}
	due := at.Sub(t.loop.born)
	if at.Sub(t.loop.now) > far {
		due += grain - 1 - (due-1)%grain
	}
	if t.index < 0 {
		h.push(t, due)
	} else if due != (*h)[t.index].due {
		h.move(t.index, due)
	}
}

// timerHeap is a min-heap by deadline, of which each has four children: those share a line
// of the cache, so that of very many timers few have to be fetched. Each timer knows its
// place, so that moving a deadline costs O(log n).
type timerHeap []timerEntry

type timerEntry struct {
	due   time.Duration // since the loop began
	timer *Timer
}

const children = 4

// next is when the first timer is due, the zero time if none is set.
func (l *Loop) next() time.Time {
	if len(l.timers) == 0 {
		return time.Time{}
	}
	return l.born.Add(l.timers[0].due)
}

// fire runs every timer that is due at now, each at most once: one that sets
// itself again for a time already past waits for the next round.
func (l *Loop) fire(now time.Time) {
	due, at := l.due[:0], now.Sub(l.born)
	for len(l.timers) > 0 && l.timers[0].due <= at {
		t := l.timers[0].timer
		l.timers.remove(0)
		t.firing = true
		due = append(due, t)
	}
	for i, t := range due {
		// One of those before may have stopped or moved it.
		if t.firing {
			t.firing = false
			t.f(now)
		}
		due[i] = nil // or it would live until overwritten
		l.breathe()
	}
	l.due = due
}

func (h *timerHeap) push(t *Timer, due time.Duration) {
	*h = append(*h, timerEntry{})
	h.up(len(*h)-1, timerEntry{due, t})
}

func (h *timerHeap) remove(i int) {
	last := len(*h) - 1
	(*h)[i].timer.index = -1
	e := (*h)[last]
	(*h)[last] = timerEntry{}
	*h = (*h)[:last]
	if i < last {
		h.place(i, e)
	}
}

// move changes a deadline.
func (h timerHeap) move(i int, due time.Duration) { h.place(i, timerEntry{due, h[i].timer}) }

// place puts e where it belongs, with the place i to be filled.
func (h timerHeap) place(i int, e timerEntry) {
	if i > 0 && e.due < h[(i-1)/children].due {
		h.up(i, e)
	} else {
		h.down(i, e)
	}
}

// up and down move others into the place i, until e can have theirs.
func (h timerHeap) up(i int, e timerEntry) {
	for i > 0 {
		parent := (i - 1) / children
		if e.due >= h[parent].due {
			break
		}
		h.put(i, h[parent])
		i = parent
	}
	h.put(i, e)
}

func (h timerHeap) down(i int, e timerEntry) {
	for {
		first := children*i + 1
		if first >= len(h) {
			break
		}
		child := first
		for other := first + 1; other < min(first+children, len(h)); other++ {
			if h[other].due < h[child].due {
				child = other
			}
		}
		if h[child].due >= e.due {
			break
		}
		h.put(i, h[child])
		i = child
	}
	h.put(i, e)
}

func (h timerHeap) put(i int, e timerEntry) {
	h[i] = e
	e.timer.index = i
}
