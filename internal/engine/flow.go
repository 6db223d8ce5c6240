package engine

import (
	"bytes"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
)

// maxWaiting bounds the users' packets of a call that wait for room in the
// peer's window. They are few, as what waits long is of no use when it arrives.
const maxWaiting = 32

// waitingPacket is a copy of a packet, with its headroom.
type waitingPacket struct {
	family family
	buf    []byte
}

// noFlow is the flow control of all calls that have none. One that is off does not
// change.
var noFlow gre.Flow

// newFlow returns the flow control of a call that is connected.
func (e *Engine) newFlow(peer gopptp.PeerCall) *gre.Flow {
	if !e.cfg.FlowControl {
		return &noFlow
	}
	f := gre.NewFlow(gre.FlowConfig{Window: int(peer.Window), ProcessingDelay: peer.Delay})
	return &f
}

// hasRoom reports whether a user's packet may be sent now. Control frames do not
// ask: they keep the call alive.
func (c *call) hasRoom() bool {
	c.num.mu.Lock()
	defer c.num.mu.Unlock()
	return c.num.flow.Room() > 0
}

// wait keeps a packet for which there is no room, or which must not overtake
// those that wait already. It reports false if there is room. c.out.mu is held.
func (c *call) wait(f family, buf []byte) bool {
	if len(c.out.waiting) == 0 && c.hasRoom() {
		return false
	}
	if len(c.out.waiting) == maxWaiting {
		c.rare.queue.Add(1)
		return true
	}
	c.out.waiting = append(c.out.waiting, waitingPacket{f, bytes.Clone(buf)})
	c.num.mu.Lock()
	c.num.waiting = true
	c.goOn() // there may be room by now
	c.num.mu.Unlock()
	return true
}

// goOn has the packets sent that wait, if there is room for any. c.num.mu is
// held.
func (c *call) goOn() {
	if c.num.waiting && !c.num.goingOn && c.num.flow.Room() > 0 {
		c.num.goingOn = c.engine.deadlines.Post(c.sendWaiting)
	}
}

// sendWaiting runs on the goroutine of the deadlines, which holds no lock: who
// brings the acknowledgement that makes room has those of the other direction.
func (c *call) sendWaiting() {
	b := c.engine.outbound.get()
	b.enter(c)
	sent := 0
	for _, w := range c.out.waiting {
		if !c.hasRoom() {
			break
		}
		sent++
		if n := c.out.network; n != nil && n.ip[w.family].there {
			c.forward(b, n, w.family, w.buf)
		} else {
			c.rare.network.Add(1)
		}
	}
	c.out.waiting = c.out.waiting[sent:]
	if len(c.out.waiting) == 0 {
		c.out.waiting = nil
	}
	c.num.mu.Lock()
	c.num.waiting, c.num.goingOn = len(c.out.waiting) > 0, false
	c.goOn()
	c.num.mu.Unlock()
	b.flush()
	c.engine.outbound.put(b)
}

// deadline is when fire has work to do; zero if it has none. c.num.mu is held.
func (n *numbers) deadline() time.Time {
	at := n.receiver.Deadline()
	if f := n.flow.Deadline(); at.IsZero() || !f.IsZero() && f.Before(at) {
		return f
	}
	return at
}
