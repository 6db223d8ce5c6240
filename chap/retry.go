package chap

import (
	"crypto/rand"
	"errors"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// ErrTimeout: the other end did not answer.
var ErrTimeout = errors.New("chap: no answer")

// Defaults of the timers of both roles.
const (
	DefaultFirstTimeout = 500 * time.Millisecond
	DefaultMaxTimeout   = 3 * time.Second
	DefaultMaxTransmit  = 10

	// DefaultPromptTimeout is how long a refused user may think of another
	// password; short timeouts do not apply then (RFC 2759 §6).
	DefaultPromptTimeout = 60 * time.Second
)

// retryWait is how long a peer has for another response after a Failure that
// invites one: somebody may have to type a password.
const retryWait = time.Minute

// retry repeats a packet until it is answered, at growing intervals. A nil one repeats
// nothing: most of the time there is nothing to be repeated.
type retry struct {
	ppp.Repeat
	packet []byte // from the code on
}

// newRetry notes that packet was sent for the first time.
func newRetry(packet []byte, first time.Duration, now time.Time) *retry {
	if first == 0 {
		first = DefaultFirstTimeout
	}
	r := &retry{packet: packet, Repeat: ppp.Repeat{Limit: DefaultMaxTimeout, Max: DefaultMaxTransmit}}
	r.Begin(first, now)
	return r
}

// Deadline is when the packet is due; zero if nothing is.
func (r *retry) Deadline() time.Time {
	if r == nil {
		return time.Time{}
	}
	return r.Repeat.Deadline()
}

// due sends the packet again if it is time; err is ErrTimeout when that has been
// done often enough.
func (r *retry) due(now time.Time, out *ppp.Output) error {
	if r == nil {
		return nil
	}
	again, over := r.Due(now)
	if over {
		return ErrTimeout
	}
	if again {
		resend(r.packet, out)
	}
	return nil
}

// resend sends a packet that was sent before.
func resend(packet []byte, out *ppp.Output) {
	var p ppp.Packet
	if _, err := p.Decode(packet); err == nil { // it is ours, so it is well formed
		out.Send(ppp.ProtocolCHAP, p)
	}
}

// random returns n octets. fill is for tests; nil is crypto/rand.
func random(fill func([]byte), n int) []byte {
	c := make([]byte, n)
	if fill == nil {
		rand.Read(c) // never fails
	} else {
		fill(c)
	}
	return c
}

// earliest is the one of two deadlines that comes first; zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
