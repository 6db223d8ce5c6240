package engine

import (
	"sync"
	"time"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/internal/loop"
)

// A call's deadline is looked after lazily, since it moves with nearly every
// packet: an alarm is set only if none would come in time, and one that comes too
// early finds out and is set again. A busy call in good order sets one in an
// AckDelay.
//
// With many calls that is still an alarm for each few packets. So they are in one
// heap that holds no pointers but the calls, nothing but the first moves a timer,
// and those that are due together are one batch, which leaves in one piece.

// alarm is when a call wants attention.
type alarm struct {
	at   time.Duration // since Engine.epoch
	call *call
}

// alarms are those of all calls. An alarm cannot be taken back: its call no longer
// knows of it, and finds nothing to do.
type alarms struct {
	mu     sync.Mutex
	heap   []alarm // the first is at the root
	posted bool    // setTimer is about to run

	// They belong to the goroutine of the deadlines.
	timer *loop.Timer
	due   []alarm
}

// degree is how many children an alarm has in the heap: as many as there are to a
// line of the cache.
const degree = 4

// maxDue is how many alarms are a batch. Where more are set, one that is due may
// wait for crowdPause, so that there are some to a batch.
const (
	maxDue     = lookahead
	crowdPause = time.Millisecond
)

// add puts in an alarm, and reports whether it is the first.
func (a *alarms) add(n alarm) (first bool) {
	a.heap = append(a.heap, n)
	i := len(a.heap) - 1
	for i > 0 {
		parent := (i - 1) / degree
		if a.heap[parent].at <= n.at {
			break
		}
		a.heap[i] = a.heap[parent]
		i = parent
	}
	a.heap[i] = n
	return i == 0
}

// pop takes out the first.
func (a *alarms) pop() alarm {
	first, last := a.heap[0], len(a.heap)-1
	n := a.heap[last]
	a.heap[last] = alarm{}
	a.heap = a.heap[:last]
	i := 0
	for {
		child := degree*i + 1
		if child >= last {
			break
		}
		for k, end := child+1, min(child+degree, last); k < end; k++ {
			if a.heap[k].at < a.heap[child].at {
				child = k
			}
		}
		if n.at <= a.heap[child].at {
			break
		}
		a.heap[i] = a.heap[child]
		i = child
	}
	if last > 0 {
		a.heap[i] = n
	}
	return first
}

// arm sets an alarm if none would come in time for the call's deadline. c.num.mu
// is held.
func (c *call) arm() {
	if d := c.num.deadline(); !d.IsZero() {
		c.armAt(d)
	}
}

func (c *call) armAt(d time.Time) {
	e := c.engine
	at := max(d.Sub(e.epoch), 1)
	if c.num.armed != 0 && at >= c.num.armed {
		return
	}
	c.num.armed = at
	e.alarms.mu.Lock()
	if e.alarms.add(alarm{at, c}) && !e.alarms.posted {
		e.alarms.posted = e.deadlines.Post(e.setTimer)
	}
	e.alarms.mu.Unlock()
}

// setTimer runs on the goroutine of the deadlines.
func (e *Engine) setTimer() { e.setTimerAfter(0) }

// setTimerAfter lets the timer follow the first alarm, of a crowd not before
// earliest.
func (e *Engine) setTimerAfter(earliest time.Duration) {
	a := &e.alarms
	var at time.Time
	a.mu.Lock()
	a.posted = false
	if len(a.heap) > 0 {
		first := a.heap[0].at
		if len(a.heap) > maxDue {
			first = max(first, earliest)
		}
		at = e.epoch.Add(first)
	}
	a.mu.Unlock()
	a.timer.Set(at)
}

// fire runs on the goroutine of the deadlines.
func (e *Engine) fire(now time.Time) {
	a, at := &e.alarms, now.Sub(e.epoch)
	b := e.inbound.get()
	for more := true; more; {
		a.due = a.due[:0]
		a.mu.Lock()
		for len(a.due) < maxDue && len(a.heap) > 0 && a.heap[0].at <= at {
			a.due = append(a.due, a.pop())
		}
		a.mu.Unlock()
		b.warmth += warmAlarms(a.due)
		for i := range a.due {
			a.due[i].call.fire(b, now, at)
		}
		b.flush(e)
		more = len(a.due) == maxDue
		clear(a.due)
	}
	e.inbound.put(b)
	e.setTimerAfter(at + crowdPause)
}

// fire does what is due: gives up gaps and acknowledgements that do not come, and
// sends one that found no packet to ride on. That is nearly all that there is to do,
// and takes no lock of a direction.
func (c *call) fire(b *inBatch, now time.Time, at time.Duration) {
	c.num.mu.Lock()
	defer c.num.mu.Unlock()
	if c.num.closed || c.num.armed == 0 || c.num.armed > at {
		return
	}
	c.acknowledge(b, now)
	if d := c.num.receiver.Deadline(); !d.IsZero() && !d.After(now) {
		c.num.mu.Unlock()
		b.enter(c)
		c.num.mu.Lock()
		if c.num.closed {
			return
		}
		b.ready = c.num.receiver.Tick(b.ready, now)
		b.runs = append(b.runs, run{c, len(b.ready)})
		c.acknowledge(b, now)
	}
	c.num.flow.Tick(now)
	c.goOn()
	d := c.num.deadline()
	if !d.IsZero() && !d.After(now) {
		// An acknowledgement that cannot be sent before Connect.
		d = now.Add(gre.DefaultAckDelay)
	}
	c.num.armed = 0
	if !d.IsZero() {
		c.armAt(d)
	}
}
