package chap

import (
	"crypto/rand"
	"errors"
	"time"
)

// ErrTimeout: the other end did not answer.
var ErrTimeout = errors.New("chap: no answer")

// Defaults of the timers of both roles.
const (
	DefaultFirstTimeout = 500 * time.Millisecond
	DefaultMaxTimeout   = 3 * time.Second
	DefaultMaxTransmit  = 10
)

// retryWait is how long a peer has for another response after a Failure that
// invites one: somebody may have to type a password.
const retryWait = time.Minute

// retry repeats a packet until it is answered, at growing intervals.
type retry struct {
	packet   []byte // what is repeated, from the code on; nil when nothing is
	sent     int
	interval time.Duration
	deadline time.Time
}

// begin notes that packet was sent for the first time.
func (r *retry) begin(packet []byte, first time.Duration, now time.Time) {
	if first == 0 {
		first = DefaultFirstTimeout
	}
	*r = retry{packet: packet, sent: 1, interval: first, deadline: now.Add(first)}
}

// due reports whether the packet is to be sent again now; err is ErrTimeout when
// that has been done often enough.
func (r *retry) due(now time.Time) (again bool, err error) {
	if r.deadline.IsZero() || now.Before(r.deadline) {
		return false, nil
	}
	if r.sent >= DefaultMaxTransmit {
		r.stop()
		return false, ErrTimeout
	}
	r.sent++
	r.interval = min(2*r.interval, DefaultMaxTimeout)
	r.deadline = now.Add(r.interval)
	return true, nil
}

// wait gives the other end some time and repeats nothing.
func (r *retry) wait(d time.Duration, now time.Time) {
	*r = retry{sent: DefaultMaxTransmit, deadline: now.Add(d)}
}

func (r *retry) stop() { *r = retry{} }

// random returns a challenge. fill is for tests; nil is crypto/rand.
func random(fill func([]byte)) (c [challengeLen]byte) {
	if fill == nil {
		rand.Read(c[:]) // never fails
		return c
	}
	fill(c[:])
	return c
}
