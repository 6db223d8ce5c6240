package engine

import (
	"time"

	"github.com/gopptp/gopptp/gre"
)

// A call's deadline is looked after lazily, since it moves with nearly every
// packet: the timer is set only if it would fire too late, and one that fires
// too early finds out and is set again. A busy call in good order touches its
// timer once in an AckDelay.

// arm sets the timer if it would miss the call's deadline. c.num.mu is held.
func (c *call) arm() {
	d := c.num.deadline()
	if d.IsZero() || !c.num.armed.IsZero() && !d.Before(c.num.armed) {
		return
	}
	c.num.armed = d
	c.postTimer()
}

// postTimer lets the timer follow c.num.armed. c.num.mu is held.
func (c *call) postTimer() {
	if !c.num.posted {
		c.num.posted = c.engine.deadlines.Post(c.setTimer)
	}
}

// setTimer runs on the goroutine of the deadlines.
func (c *call) setTimer() {
	c.num.mu.Lock()
	defer c.num.mu.Unlock()
	c.num.posted = false
	c.timer.Set(c.num.armed)
}

// fire does what is due: gives up gaps and acknowledgements that do not come, and
// sends one that found no packet to ride on.
func (c *call) fire(now time.Time) {
	b := c.engine.inbound.get()
	b.enter(c)
	c.num.mu.Lock()
	if c.num.closed {
		c.num.mu.Unlock()
		b.flush(c.engine)
		c.engine.inbound.put(b)
		return
	}
	b.ready = c.num.receiver.Tick(b.ready[:0], now)
	c.acknowledge(b, now)
	c.num.flow.Tick(now)
	c.goOn()
	d := c.num.deadline()
	if !d.IsZero() && !d.After(now) {
		// An acknowledgement that cannot be sent before Connect.
		d = now.Add(gre.DefaultAckDelay)
	}
	c.num.armed = d
	c.num.mu.Unlock()
	c.timer.Set(d)

	c.frames(b)
	b.flush(c.engine)
	c.engine.inbound.put(b)
}
