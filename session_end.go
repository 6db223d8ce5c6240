package gopptp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ipcp"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/ppp"
)

// authFailed notes why the link is about to end, if it is.
func (s *Session) authFailed(err error, retry bool) {
	l := &s.link
	var refusal *AuthError
	switch {
	case errors.As(err, &refusal):
		if retry {
			return
		}
		l.cause = CauseAuthentication
	case errors.Is(err, ErrPoolExhausted):
		l.cause = CauseNoAddress
	case errors.Is(err, ErrLimit):
		l.cause = CauseLimit
	default:
		l.cause = CauseAuthBackend
	}
	l.ended, l.err = true, err
}

// end begins an orderly end for the given cause. The first cause stands.
func (s *Session) end(cause Cause, err error, now time.Time) {
	l := &s.link
	if l.over {
		return
	}
	if !l.ended {
		l.ended, l.cause, l.err = true, cause, err
	}
	if l.ppp == nil || l.ppp.Phase() == ppp.PhaseDead {
		s.linkOver(now)
		return
	}
	s.run(now, func(out *ppp.Output) { l.ppp.Close(err, now, out) })
}

// causeErrors are what is said of causes for which a caller of End may have no words.
var causeErrors = map[Cause]error{
	CausePeer:           ErrPeerClosed,
	CauseGREBlocked:     ErrGREBlocked,
	CauseTimeout:        ErrSetupTimeout,
	CauseLostCarrier:    ErrLostCarrier,
	CauseSessionTimeout: ErrSessionTimeout,
	CauseIdleTimeout:    ErrIdleTimeout,
	CauseLimit:          ErrLimit,
	CauseShutdown:       ErrServerClosed,
	CauseFlood:          ErrFlood,
	CauseAdmin:          ErrAdmin,
	CauseReplaced:       ErrReplaced,
	CauseQuota:          ErrQuota,
}

// endReason completes what a caller of End has said.
func endReason(cause Cause, err error) (Cause, error) {
	if cause == CauseNone || int(cause) >= len(causeNames) {
		cause = CauseAdmin
	}
	if err == nil && cause != CauseLocal {
		if err = causeErrors[cause]; err == nil {
			err = errors.New("gopptp: ended for " + cause.String())
		}
	}
	return cause, err
}

// giveUp ends the session because whoever wanted it wants it no more. That there
// was no GRE to be heard by then is worth more than the wait being over.
func (s *Session) giveUp(err error, now time.Time) {
	l := &s.link
	switch {
	case l.ppp != nil && !l.heard:
		s.end(CauseGREBlocked, fmt.Errorf("%w: %w", ErrGREBlocked, err), now)
	case errors.Is(err, context.Canceled):
		s.end(CauseLocal, err, now)
	default:
		s.end(CauseTimeout, err, now)
	}
}

// minSilence is how long nothing has come over GRE before a call that the peer
// clears is taken for one whose GRE is blocked.
const minSilence = 2 * time.Second

// drop ends the session at once, without a word to the peer over PPP: the call
// or the control connection is gone.
func (s *Session) drop(cause Cause, err error, now time.Time) {
	l := &s.link
	if l.over {
		return
	}
	if !l.ended {
		if l.ppp != nil && !l.heard && now.Sub(l.connected) >= minSilence {
			// The peer has given up, and most likely for the same reason.
			cause, err = CauseGREBlocked, fmt.Errorf("%w: %w", ErrGREBlocked, err)
		}
		l.ended, l.cause, l.err = true, cause, err
	}
	s.linkOver(now)
}

// linkFinished follows the end of the PPP link.
func (s *Session) linkFinished(err error, now time.Time) {
	s.blame(err)
	s.linkOver(now)
}

// blame notes why the link ends, unless that is known already.
func (s *Session) blame(err error) {
	l := &s.link
	if l.ended {
		return
	}
	l.ended, l.cause, l.err = true, causeOf(err), err
	if errors.Is(err, ppp.ErrNoAnswer) && !l.heard {
		l.cause, l.err = CauseGREBlocked, ErrGREBlocked
	}
}

// causeOf sorts the errors of a link.
func causeOf(err error) Cause {
	var dial *chap.FailureError
	switch {
	case errors.Is(err, ppp.ErrAuthentication), errors.As(err, &dial), errors.Is(err, lcp.ErrAuthRefused):
		return CauseAuthentication
	case errors.Is(err, ppp.ErrCompression):
		return CauseEncryption
	case errors.Is(err, ipcp.ErrNoAddress):
		return CauseNoAddress
	case errors.Is(err, lcp.ErrPeerDead):
		return CauseDeadPeer
	case errors.Is(err, ppp.ErrTerminated):
		return CausePeer
	}
	return CauseNegotiation
}

// linkOver frees what the session holds below the control connection.
func (s *Session) linkOver(now time.Time) {
	l := &s.link
	if l.over {
		return
	}
	l.over = true
	l.endContext()
	l.timer.Set(time.Time{})
	if l.call != nil {
		if err := l.call.Close(); err != nil {
			s.log(slog.LevelWarn, "data plane could not close the call", "error", err)
		}
	}
	l.cfg.role.release(s)
	if l.keys != nil {
		l.keys.Wipe()
	}
	for _, p := range l.proofs {
		if w, ok := p.Auth.(interface{ Wipe() }); ok {
			w.Wipe()
		}
	}
	l.control.linkOver(s, l.cause, now)
}

// abandon is the end of a session that got no call. No observer has heard of it, but
// Server.Sessions may have told of it.
func (s *Session) abandon(err error) {
	s.link.over = true
	s.update(func(i *sessionInfo) {
		i.state, i.err = StateClosed, &SessionError{Stage: StateControl, Cause: CauseDataplane, Err: err}
	})
	s.finish()
}

// closed is the session's last moment.
func (s *Session) closed(now time.Time) {
	l := &s.link
	s.update(func(i *sessionInfo) {
		if l.err != nil {
			i.err = &SessionError{Stage: l.stage, Cause: l.cause, Err: l.err}
		}
	})
	s.enter(StateClosed, now)
	s.finish()
}
