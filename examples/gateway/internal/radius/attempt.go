package radius

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2869"
)

// attempt is one request to one server.
type attempt struct {
	server  *Server
	request *Request
	answers chan *Reply // of all attempts of an exchange
	trouble chan error  // of this one
	count   *counters   // where it counts

	link   *link // where it waits; nil: it was not sent yet
	waiter *waiter
	wire   []byte
}

func newAttempt(s *Server, r *Request, answers chan *Reply) *attempt {
	return &attempt{server: s, request: r, answers: answers, trouble: make(chan error, 1), count: &s.count}
}

var (
	// errFull: all sockets are.
	errFull = errors.New("no socket has room")
	// errSeal: the request cannot be said in RADIUS, such as one with too long a password.
	errSeal = errors.New("radius: not a possible request")
)

// turn sends the request as often as the server's configuration says, and waits for an
// answer of this server, or of another one that was asked before. When the time is over
// it returns none. The first turn is over at once when the server turns out not to be
// there, as there may be others.
func (a *attempt) turn(ctx context.Context, first bool) (*Reply, error) {
	var trouble error
	began := time.Now()
	for i, wait := range a.server.schedule() {
		if err := a.send(first && i == 0); err != nil {
			trouble = err
			if first || errors.Is(err, errSeal) {
				return nil, err
			}
		}
		timer := time.NewTimer(wait)
	waiting:
		for {
			select {
			case reply := <-a.answers:
				timer.Stop()
				return reply, nil
			case trouble = <-a.trouble:
				if first {
					timer.Stop()
					a.unanswered(began)
					return nil, trouble
				}
			case <-timer.C:
				break waiting
			case <-ctx.Done():
				timer.Stop()
				return nil, trouble
			}
		}
	}
	a.count.timeouts.Add(1)
	a.unanswered(began)
	return nil, trouble
}

var errSilent = errors.New("nothing came for as long as an answer may take")

// unanswered notes that a turn has brought nothing. If nobody else on the link has heard
// of the server either, there may be another way to it: a connection that leads nowhere
// looks like this, and so does a socket of an address that we have not any more, or to one
// that the server has not.
func (a *attempt) unanswered(began time.Time) {
	a.server.silence(began)
	switch {
	case a.link == nil || !a.server.isDead() || !a.link.quiet(began):
	case a.server.reliable():
		a.link.close(errSilent)
	default: // a late answer is welcome
		a.link.retire()
	}
}

// send sends the request, or sends it again.
func (a *attempt) send(first bool) error {
	if a.link != nil && a.link.waits(a.waiter) {
		if !a.server.reliable() {
			a.count.retransmits.Add(1)
			a.link.send(a.wire)
		}
		return nil
	}
	for range 3 { // others may be quicker to take what room there is
		l := a.server.link()
		if l == nil {
			return errFull
		}
		w := &waiter{
			signed: a.signed(), began: time.Now(),
			answer: a.answers, trouble: a.trouble,
		}
		ok, wire, err := l.begin(a.request, w)
		if err != nil {
			return err
		}
		if ok {
			a.link, a.waiter, a.wire = l, w, wire
			if first {
				a.count.requests.Add(1)
			} else {
				a.count.retransmits.Add(1)
			}
			return nil
		}
	}
	return errFull
}

// signed reports whether the answer needs a Message-Authenticator, as that to EAP always
// does (RFC 3579 §3.2). TLS vouches for what comes over it, and an answer to Status-Server
// grants nothing.
func (a *attempt) signed() bool {
	if a.request.Code != radius.CodeAccessRequest || a.server.reliable() {
		return false
	}
	_, isEAP := a.request.Attributes.Lookup(rfc2869.EAPMessage_Type)
	return isEAP || !a.server.client.cfg.AllowUnsigned
}

// end waits no more.
func (a *attempt) end() {
	if a.link != nil {
		a.link.forget(a.waiter.request.Identifier, a.waiter)
	}
}

// schedule returns how long to wait after each packet. The intervals double, differ a
// little, and make up Timeout.
func (s *Server) schedule() []time.Duration {
	tries := s.cfg.Tries
	if s.reliable() {
		tries = 1 // RFC 6614 §2.6: TCP repeats
	}
	unit := s.cfg.Timeout / time.Duration(1<<tries-1)
	waits, left := make([]time.Duration, tries), s.cfg.Timeout
	for i := range tries - 1 {
		waits[i] = time.Duration(float64(unit<<i) * (0.9 + 0.2*rand.Float64()))
		left -= waits[i]
	}
	waits[tries-1] = left
	return waits
}
