package gopptp

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// keyedCCP asks for no more than there are keys for, which is known once
// authentication is over.
type keyedCCP struct {
	*mppe.CCP
	session *Session
}

// Up implements ppp.Layer.
func (c keyedCCP) Up(now time.Time, out *ppp.Output) ppp.Signal {
	l := &c.session.link
	l.keys = l.cfg.role.keys(c.session)
	available := mppe.KeyLengths(0)
	if l.keys != nil {
		available = l.keys.Lengths()
	}
	c.Limit(available)
	return c.CCP.Up(now, out)
}

// prepareReceive makes the data plane ready for what the peer may send once it
// acks the CCP request that is about to go out.
func (s *Session) prepareReceive(e mppe.PrepareReceive, now time.Time) {
	l := &s.link
	p, ok := l.keys.RecvParams(mppe.Agreed(e)) // CCP asks for nothing else
	if !ok {
		s.end(CauseEncryption, errNoKeys, now)
		return
	}
	if err := l.call.PrepareReceive(p); err != nil {
		s.end(CauseDataplane, err, now)
	}
}

var errNoKeys = errors.New("gopptp: the authentication gave no keys for MPPE")

// encrypt turns on what CCP has agreed on.
func (s *Session) encrypt(now time.Time) {
	l := &s.link
	l.settled = true
	var e Encryption
	description := "none"
	if send, ok := l.ccp.Send(); ok {
		p, _ := l.keys.SendParams(send)
		e.Send, description = &p, send.String()
	}
	if recv, ok := l.ccp.Recv(); ok {
		p, _ := l.keys.RecvParams(recv)
		e.Receive = &p
	}
	if err := l.call.SetEncryption(e); err != nil {
		s.end(CauseDataplane, err, now)
		return
	}
	s.update(func(i *sessionInfo) { i.encryption = description })
}

// resetCounters are the Reset-Requests of all sessions of a server.
type resetCounters struct{ sent, received atomic.Uint64 }

// requestReset asks the peer to begin its encryption anew.
func (s *Session) requestReset(now time.Time) {
	l := &s.link
	if l.ccp != nil && !l.over {
		s.run(now, func(out *ppp.Output) {
			if l.ccp.RequestReset(now, out) {
				l.cfg.resets.sent.Add(1)
			}
		})
	}
}

// decryptNoMore follows a CCP that went down. Users' packets stop until it has
// settled again.
func (s *Session) decryptNoMore(now time.Time) {
	l := &s.link
	l.settled = false
	l.attaching = false
	l.call.Detach()
	if err := l.call.SetEncryption(Encryption{}); err != nil {
		s.end(CauseDataplane, err, now)
	}
}

// ccpBegun reports whether CCP has been begun and not come to an end. Where MPPE
// is left to the peer, that is the peer's doing, and users' packets must not go in
// clear to one that has asked for encryption.
func (l *sessionLink) ccpBegun() bool {
	if l.ccp == nil {
		return false
	}
	switch l.ccp.State() {
	case ppp.ReqSent, ppp.AckRcvd, ppp.AckSent:
		return true
	}
	return false
}

func (l *sessionLink) ccpSend() (mppe.Agreed, bool) {
	if l.ccp == nil {
		return mppe.Agreed{}, false
	}
	return l.ccp.Send()
}
