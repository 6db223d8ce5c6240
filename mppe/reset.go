package mppe

import (
	"time"

	"github.com/gopptp/gopptp/ppp"
)

const (
	// resetRepeat is how long a Reset-Request waits for its Reset-Ack before
	// there may be another. RFC 3078 §8.2 has peers that send none.
	resetRepeat = 300 * time.Millisecond
	// resetSpacing is the least time from one to the next in any case, and from
	// a Reset-Ack.
	resetSpacing = 20 * time.Millisecond
)

// reset is what a CCP knows about its Reset-Requests.
type reset struct {
	id   uint8
	open bool      // sent, and not answered
	sent time.Time // the last one, or its answer; zero: none
}

// RequestReset asks the peer to begin its key stream anew. It is called when
// Decryptor.Open says ErrReset, and again while it goes on saying so: there is
// no other sign that the request or what answers it was lost. Requests are sent
// no faster than makes sense; the calls between are ignored, as are those in
// stateless mode. It reports whether one was sent.
func (c *CCP) RequestReset(now time.Time, out *ppp.Output) bool {
	if a, ok := c.Recv(); !ok || !a.Stateful {
		return false
	}
	r, wait := &c.reset, resetSpacing
	if r.open {
		wait = resetRepeat
	}
	if !r.sent.IsZero() && now.Sub(r.sent) < wait {
		return false
	}
	if !r.open { // a repetition keeps its identifier (RFC 1962 §3.1)
		r.id, r.open = c.NextID(), true
	}
	r.sent = now
	out.Send(ppp.ProtocolCCP, ppp.Packet{Code: ppp.ResetRequest, ID: r.id})
	return true
}

// extension handles CCP's own codes (RFC 1962 §3).
type extension CCP

func (*extension) Knows(code ppp.Code) bool {
	return code == ppp.ResetRequest || code == ppp.ResetAck
}

func (c *extension) Receive(p ppp.Packet, opened bool, now time.Time, out *ppp.Output) {
	switch {
	case !opened:
	case p.Code == ppp.ResetRequest:
		// MPPE needs no answer (RFC 3078 §8.2), but pppd and the kernel below
		// it wait for one.
		out.Send(ppp.ProtocolCCP, ppp.Packet{Code: ppp.ResetAck, ID: p.ID, Data: p.Data})
		out.Emit(ResetRequested{})
	case c.reset.open && p.ID == c.reset.id:
		// Packets that left before it was heeded may still be refused.
		c.reset.open, c.reset.sent = false, now
	}
}
