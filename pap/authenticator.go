package pap

import (
	"crypto/sha256"
	"errors"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// Why either role gives up.
var (
	// ErrTimeout: the other end did not say anything.
	ErrTimeout = errors.New("pap: no answer")
	// ErrRefused: the verdict on the peer was no, and it has no further attempt.
	ErrRefused = errors.New("pap: peer refused")
)

// Defaults of an Authenticator.
const (
	DefaultTimeout     = 30 * time.Second
	DefaultMaxAttempts = 3
)

// AuthenticatorConfig describes an Authenticator.
type AuthenticatorConfig struct {
	// MaxAttempts bounds the passwords of a peer, where verdicts allow a
	// retry. Default 3.
	MaxAttempts int
	// Timeout is how long the peer may take to name itself, and to do so
	// again where it may retry. Default 30 s.
	Timeout time.Duration
}

// Authenticator has the peer prove itself. It implements ppp.Authenticator.
type Authenticator struct {
	cfg AuthenticatorConfig

	asked    uint8 // identifier of the request that is judged
	latest   uint8 // of the last one heard: a repetition may have its own
	asks     [sha256.Size]byte
	attempts int
	state    authState
	owners   any        // state of the verdict that let the peer try again
	answer   ppp.Packet // after a verdict
	deadline time.Time
	err      error
}

type authState uint8

const (
	authIdle    authState = iota // nothing has come
	authPending                  // a verdict is awaited
	authRetry                    // a Nak has let the peer try again
	authDone
)

var _ ppp.Authenticator = (*Authenticator)(nil)

// NewAuthenticator returns an Authenticator that has not started.
func NewAuthenticator(cfg AuthenticatorConfig) *Authenticator {
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = DefaultMaxAttempts
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	return &Authenticator{cfg: cfg}
}

// Method implements ppp.Auth.
func (*Authenticator) Method() ppp.AuthMethod { return ppp.AuthPAP }

// Err implements ppp.Auth: ErrTimeout or ErrRefused.
func (a *Authenticator) Err() error { return a.err }

// Deadline implements ppp.Auth.
func (a *Authenticator) Deadline() time.Time { return a.deadline }

// Start implements ppp.Auth: it is for the peer to begin.
func (a *Authenticator) Start(now time.Time, _ *ppp.Output) ppp.Signal {
	*a = Authenticator{cfg: a.cfg, deadline: now.Add(a.cfg.Timeout)}
	return 0
}

// Tick implements ppp.Auth.
func (a *Authenticator) Tick(now time.Time, _ *ppp.Output) ppp.Signal {
	if a.deadline.IsZero() || now.Before(a.deadline) {
		return 0
	}
	return a.finish(ErrTimeout)
}

func (a *Authenticator) finish(err error) ppp.Signal {
	a.state, a.deadline, a.err = authDone, time.Time{}, err
	return ppp.SignalFinished
}

// Input implements ppp.Auth.
func (a *Authenticator) Input(b []byte, _ time.Time, out *ppp.Output) ppp.Signal {
	var (
		p ppp.Packet
		r Request
	)
	if _, err := p.Decode(b); err != nil || p.Code != codeRequest {
		return 0
	}
	if _, err := r.Decode(p.Data); err != nil {
		return 0
	}
	// The password itself is not kept.
	asks := sha256.Sum256(r.Append(nil))
	switch again := asks == a.asks; {
	case a.state == authPending:
		if again {
			a.latest = p.ID
		}
	case a.state == authDone && a.answer.Code == 0:
		// It came too late.
	case a.state == authDone, a.state == authRetry && again:
		// RFC 1334 §2.2.1: the answer stands, whatever is asked now.
		a.latest = p.ID
		a.reply(out)
	default:
		a.asks, a.asked, a.latest = asks, p.ID, p.ID
		a.attempts++
		a.state, a.deadline = authPending, time.Time{}
		out.Emit(ppp.AuthRequest{
			Method:   ppp.AuthPAP,
			ID:       p.ID,
			Name:     string(r.PeerID),
			State:    a.owners,
			Password: append(ppp.Secret{}, r.Password...),
		})
	}
	return 0
}

// reply sends the answer to the latest request.
func (a *Authenticator) reply(out *ppp.Output) {
	a.answer.ID = a.latest
	out.Send(ppp.ProtocolPAP, a.answer)
}

// Verdict implements ppp.Authenticator.
func (a *Authenticator) Verdict(v ppp.AuthVerdict, now time.Time, out *ppp.Output) ppp.Signal {
	if a.state != authPending || v.ID != a.asked {
		return 0
	}
	a.owners = v.State
	m := Message{Text: []byte(v.Message)}
	a.answer = ppp.Packet{Code: codeNak, Data: m.Append(nil)}
	if v.Accepted {
		a.answer.Code, a.state = codeAck, authDone
		a.reply(out)
		return ppp.SignalUp
	}
	a.reply(out)
	if v.Retry && a.attempts < a.cfg.MaxAttempts {
		a.state, a.deadline = authRetry, now.Add(a.cfg.Timeout)
		return 0
	}
	return a.finish(ErrRefused)
}
