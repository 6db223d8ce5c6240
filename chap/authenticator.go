package chap

import (
	"bytes"
	"errors"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// ErrRefused: the verdict on the peer was no, and it has no further attempt.
var ErrRefused = errors.New("chap: peer refused")

// DefaultMaxAttempts is how many responses a peer may try where verdicts allow
// a retry.
const DefaultMaxAttempts = 3

// AuthenticatorConfig describes an Authenticator.
type AuthenticatorConfig struct {
	// Name is ours, sent with the challenge. At most 255 octets.
	Name string
	// MaxAttempts bounds the responses of a peer. Default 3.
	MaxAttempts int
	// FirstTimeout is when a challenge is repeated first; the interval
	// doubles up to 3 s, ten times in all. Default 500 ms.
	FirstTimeout time.Duration
	// Rand fills a challenge. Default crypto/rand.
	Rand func([]byte)
}

// Authenticator has the peer prove itself by MS-CHAPv2. It implements
// ppp.Authenticator.
type Authenticator struct {
	cfg AuthenticatorConfig

	id        uint8 // of the challenge, and so of the response
	challenge [challengeLen]byte
	retry     retry
	attempts  int
	pending   bool   // a verdict is awaited
	answered  []byte // the response that was judged last
	verdict   []byte // the packet that told the peer, to be repeated
	retrying  bool   // a Failure has invited another response
	err       error
}

var _ ppp.Authenticator = (*Authenticator)(nil)

// NewAuthenticator returns an Authenticator that has not started.
func NewAuthenticator(cfg AuthenticatorConfig) *Authenticator {
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = DefaultMaxAttempts
	}
	return &Authenticator{cfg: cfg}
}

// Method implements ppp.Auth.
func (*Authenticator) Method() ppp.AuthMethod { return ppp.AuthMSCHAPv2 }

// Err implements ppp.Auth.
func (a *Authenticator) Err() error { return a.err }

// Deadline implements ppp.Auth.
func (a *Authenticator) Deadline() time.Time { return a.retry.deadline }

// Start implements ppp.Auth: it sends the challenge.
func (a *Authenticator) Start(now time.Time, out *ppp.Output) ppp.Signal {
	*a = Authenticator{cfg: a.cfg, id: a.id + 1, challenge: random(a.cfg.Rand)}
	v := Value{Value: a.challenge[:], Name: []byte(a.cfg.Name)[:min(len(a.cfg.Name), maxName)]}
	p := ppp.Packet{Code: codeChallenge, ID: a.id, Data: v.Append(nil)}
	out.Send(ppp.ProtocolCHAP, p)
	a.retry.begin(p.Append(nil), a.cfg.FirstTimeout, now)
	return 0
}

// Tick implements ppp.Auth.
func (a *Authenticator) Tick(now time.Time, out *ppp.Output) ppp.Signal {
	again, err := a.retry.due(now)
	if err != nil {
		a.err = err
		return ppp.SignalFinished
	}
	if again {
		resend(a.retry.packet, out)
	}
	return 0
}

// resend sends a packet that was sent before.
func resend(packet []byte, out *ppp.Output) {
	var p ppp.Packet
	if _, err := p.Decode(packet); err == nil { // it is ours, so it is well formed
		out.Send(ppp.ProtocolCHAP, p)
	}
}

// Input implements ppp.Auth.
func (a *Authenticator) Input(b []byte, _ time.Time, out *ppp.Output) ppp.Signal {
	var (
		p ppp.Packet
		v Value
		r response
	)
	if _, err := p.Decode(b); err != nil || p.Code != codeResponse {
		return 0
	}
	if _, err := v.Decode(p.Data); err != nil || r.decode(v.Value) != nil || len(v.Name) > maxName {
		return 0
	}
	// After a Failure that invites a retry, RFC 2759 §5 has the identifier
	// counted up; some peers keep it.
	if p.ID != a.id && !(a.retrying && p.ID == a.id+1) {
		return 0
	}
	switch {
	case a.pending:
		return 0 // it is being judged
	case a.verdict != nil && bytes.Equal(p.Data, a.answered):
		resend(a.verdict, out) // the peer has not heard it
		return 0
	case a.verdict != nil && !a.retrying:
		return 0 // the verdict stands
	}
	a.id, a.retrying, a.pending = p.ID, false, true
	a.attempts++
	a.answered, a.verdict = bytes.Clone(p.Data), nil
	a.retry.stop()
	out.Emit(ppp.AuthRequest{
		Method:        ppp.AuthMSCHAPv2,
		ID:            p.ID,
		Name:          string(v.Name),
		Challenge:     bytes.Clone(a.challenge[:]),
		PeerChallenge: bytes.Clone(r.peerChallenge[:]),
		Response:      bytes.Clone(r.ntResponse[:]),
	})
	return 0
}

// Verdict implements ppp.Authenticator.
func (a *Authenticator) Verdict(v ppp.AuthVerdict, now time.Time, out *ppp.Output) ppp.Signal {
	if !a.pending || v.ID != a.id {
		return 0
	}
	a.pending = false
	p := ppp.Packet{Code: codeSuccess, ID: a.id}
	if v.Accepted {
		p.Data = []byte(v.AuthenticatorResponse)
		if v.Message != "" {
			p.Data = append(append(p.Data, " M="...), v.Message...)
		}
		a.verdict = p.Append(nil)
		out.Send(ppp.ProtocolCHAP, p)
		return ppp.SignalUp
	}
	f := failure{FailureError: FailureError{Code: ErrorCode(v.ErrorCode), Message: v.Message}}
	if f.Code == 0 {
		f.Code = AuthenticationFailure
	}
	f.Retry = v.Retry && a.attempts < a.cfg.MaxAttempts
	if f.Retry {
		a.challenge = random(a.cfg.Rand)
		a.retrying = true
		a.retry.wait(retryWait, now)
	}
	f.challenge = a.challenge[:]
	p.Code, p.Data = codeFailure, f.append(nil)
	a.verdict = p.Append(nil)
	out.Send(ppp.ProtocolCHAP, p)
	if f.Retry {
		return 0
	}
	a.err = ErrRefused
	return ppp.SignalFinished
}
