package ppptest

import (
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// Exchange runs both roles of an authentication protocol against each other, a
// millisecond a round trip.
type Exchange[A ppp.Authenticator, P ppp.Auth] struct {
	Auth             A
	Peer             P
	AuthOut, PeerOut ppp.Output
	AuthSig, PeerSig ppp.Signal // all signals so far
	Now              time.Time
	Requests         []ppp.AuthRequest
	Judge            func(ppp.AuthRequest) ppp.AuthVerdict // nil: there is no verdict yet
	Events           []ppp.Event                           // the peer's
	Told             func(ppp.Event)                       // its owner, if it does anything
	Lose             func(n int) bool                      // packet n, counted from zero, does not arrive
	Sent             int

	authSeen, peerSeen int // actions that were carried out
}

// NewExchange makes an Exchange in which nothing is lost.
func NewExchange[A ppp.Authenticator, P ppp.Auth](auth A, peer P) *Exchange[A, P] {
	return &Exchange[A, P]{Auth: auth, Peer: peer, Now: Start, Lose: func(int) bool { return false }}
}

// Run starts both roles and goes on until limit after Start.
func (e *Exchange[A, P]) Run(limit time.Duration) {
	e.AuthSig |= e.Auth.Start(e.Now, &e.AuthOut)
	e.PeerSig |= e.Peer.Start(e.Now, &e.PeerOut)
	e.GoOn(limit)
}

// GoOn goes on until limit after Start.
func (e *Exchange[A, P]) GoOn(limit time.Duration) {
	for e.Now.Sub(Start) < limit {
		e.Now = e.Now.Add(time.Millisecond)
		e.Deliver()
		e.AuthSig |= e.Auth.Tick(e.Now, &e.AuthOut)
		e.PeerSig |= e.Peer.Tick(e.Now, &e.PeerOut)
	}
}

// Deliver carries out what both roles want done so far, the answers of the peer
// included.
func (e *Exchange[A, P]) Deliver() {
	for end := e.AuthOut.Len(); e.authSeen < end; e.authSeen++ {
		a := e.AuthOut.At(e.authSeen)
		if req, ok := a.Event.(ppp.AuthRequest); ok {
			e.Requests = append(e.Requests, req)
			if e.Judge != nil {
				e.AuthSig |= e.Auth.Verdict(e.Judge(req), e.Now, &e.AuthOut)
			}
		} else if e.arrives() {
			e.PeerSig |= e.Peer.Input(a.Frame[2:], e.Now, &e.PeerOut)
		}
	}
	for end := e.PeerOut.Len(); e.peerSeen < end; e.peerSeen++ {
		a := e.PeerOut.At(e.peerSeen)
		if a.Event != nil {
			e.Events = append(e.Events, a.Event)
			if e.Told != nil {
				e.Told(a.Event)
			}
		} else if e.arrives() {
			e.AuthSig |= e.Auth.Input(a.Frame[2:], e.Now, &e.AuthOut)
		}
	}
}

func (e *Exchange[A, P]) arrives() bool {
	e.Sent++
	return !e.Lose(e.Sent - 1)
}
