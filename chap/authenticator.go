package chap

import (
	"bytes"
	"errors"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// Why an Authenticator gives up, beside ErrTimeout.
var (
	// ErrRefused: the verdict on the peer was no, and it has no further attempt.
	ErrRefused = errors.New("chap: peer refused")
	// ErrNameChanged: a peer that had been accepted answered a later challenge
	// under another name.
	ErrNameChanged = errors.New("chap: peer came back under another name")
)

// DefaultMaxAttempts is how many responses a peer may try where verdicts allow
// a retry.
const DefaultMaxAttempts = 3

// maxMessage bounds the text for the user, in octets, so that a packet fits
// wherever CHAP does.
const maxMessage = 255

// AuthenticatorConfig describes an Authenticator.
type AuthenticatorConfig struct {
	// Method is AuthMSCHAPv2, which is the default, AuthMSCHAPv1 or
	// AuthCHAPMD5. There is one Authenticator for each method that is offered.
	Method ppp.AuthMethod
	// Name is ours, sent with the challenge. At most 255 octets.
	Name string
	// MaxAttempts bounds the responses of a peer to one challenge and its
	// successors. Default 3.
	MaxAttempts int
	// FirstTimeout is when a challenge is repeated first; the interval
	// doubles up to 3 s, ten times in all. Default 500 ms.
	FirstTimeout time.Duration
	// PromptTimeout is how long a peer may take after a failure that lets it
	// try again or change its password. Default 60 s.
	PromptTimeout time.Duration
	// Reauthenticate challenges an accepted peer anew at this interval
	// (RFC 1994 §2). Zero does not.
	Reauthenticate time.Duration
	// Rand fills a challenge. Default crypto/rand.
	Rand func([]byte)
}

// Authenticator has the peer prove itself. It implements ppp.Authenticator.
type Authenticator struct {
	cfg       AuthenticatorConfig
	algorithm *algorithm

	id        uint8 // of the challenge, and so of the response
	challenge []byte
	retry     *retry // nil when nothing is repeated
	name      string // as of the last response
	attempts  int
	pending   bool       // a verdict is awaited
	answered  []byte     // what was judged last, from the code on, without its identifier
	verdict   []byte     // the packet that told the peer, to be repeated
	invites   invitation // what that lets the peer try
	changed   bool       // it has tried to change the password
	state     any        // of the verdict that invited it
	accepted  string     // the name under which the peer was accepted
	wasIn     bool       // it was
	due       time.Time  // an invitation's end, or the next challenge
	err       error
}

// invitation is what a Failure lets the peer do.
type invitation uint8

const (
	inviteResponse invitation = 1 << iota
	inviteChange
)

var _ ppp.Authenticator = (*Authenticator)(nil)

// NewAuthenticator returns an Authenticator that has not started. It panics if
// cfg.Method is none of CHAP's.
func NewAuthenticator(cfg AuthenticatorConfig) *Authenticator {
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = DefaultMaxAttempts
	}
	if cfg.PromptTimeout == 0 {
		cfg.PromptTimeout = DefaultPromptTimeout
	}
	return &Authenticator{cfg: cfg, algorithm: algorithmOf(cfg.Method)}
}

// Method implements ppp.Auth.
func (a *Authenticator) Method() ppp.AuthMethod { return a.algorithm.method }

// Err implements ppp.Auth: ErrRefused, ErrNameChanged or ErrTimeout.
func (a *Authenticator) Err() error { return a.err }

// Deadline implements ppp.Auth.
func (a *Authenticator) Deadline() time.Time { return earliest(a.retry.Deadline(), a.due) }

// Start implements ppp.Auth: it sends the challenge.
func (a *Authenticator) Start(now time.Time, out *ppp.Output) ppp.Signal {
	*a = Authenticator{cfg: a.cfg, algorithm: a.algorithm, id: a.id}
	a.ask(now, out)
	return 0
}

// ask sends a new challenge.
func (a *Authenticator) ask(now time.Time, out *ppp.Output) {
	a.id++
	a.challenge = random(a.cfg.Rand, a.algorithm.challengeLen)
	a.attempts, a.answered, a.verdict, a.invites, a.changed, a.state = 0, nil, nil, 0, false, nil
	v := Value{Value: a.challenge, Name: []byte(a.cfg.Name)[:min(len(a.cfg.Name), maxName)]}
	p := ppp.Packet{Code: codeChallenge, ID: a.id, Data: v.Append(nil)}
	out.Send(ppp.ProtocolCHAP, p)
	a.retry = newRetry(p.Append(nil), a.cfg.FirstTimeout, now)
}

// Tick implements ppp.Auth.
func (a *Authenticator) Tick(now time.Time, out *ppp.Output) ppp.Signal {
	if err := a.retry.due(now, out); err != nil {
		return a.fail(err)
	}
	if a.due.IsZero() || now.Before(a.due) {
		return 0
	}
	a.due = time.Time{}
	if a.invites != 0 {
		return a.fail(ErrTimeout)
	}
	a.ask(now, out)
	return 0
}

func (a *Authenticator) fail(err error) ppp.Signal {
	a.invites, a.due, a.err = 0, time.Time{}, err
	a.retry = nil
	return ppp.SignalFinished
}

// Input implements ppp.Auth.
func (a *Authenticator) Input(b []byte, _ time.Time, out *ppp.Output) ppp.Signal {
	var p ppp.Packet
	if _, err := p.Decode(b); err != nil {
		return 0
	}
	// After a Failure that invites another try, the identifier is counted up
	// (RFC 2759 §9.1); some peers keep it.
	if p.ID != a.id && !(a.invites != 0 && p.ID == a.id+1) {
		return 0
	}
	if a.pending {
		return 0 // it is being judged
	}
	answered := append([]byte{byte(p.Code)}, p.Data...)
	if a.verdict != nil && bytes.Equal(answered, a.answered) {
		resend(a.verdict, out) // the peer has not heard it
		return 0
	}
	req := ppp.AuthRequest{
		Method:           a.algorithm.method,
		ID:               p.ID,
		Reauthentication: a.wasIn,
		State:            a.state,
		Challenge:        bytes.Clone(a.challenge),
	}
	if !a.read(&p, &req) {
		return 0
	}
	a.id, a.name, a.answered, a.verdict = p.ID, req.Name, answered, nil
	a.invites, a.due = 0, time.Time{}
	a.retry = nil
	if a.wasIn && a.name != a.accepted {
		a.tell(codeFailure, a.failure(&ppp.AuthVerdict{}), out)
		return a.fail(ErrNameChanged)
	}
	a.attempts++
	a.pending = true
	out.Emit(req)
	return 0
}

// read takes the part of a packet for a request for a verdict, if it is one that
// the peer may send now.
func (a *Authenticator) read(p *ppp.Packet, req *ppp.AuthRequest) bool {
	data := bytes.Clone(p.Data) // the request keeps it
	switch {
	case p.Code == codeResponse && (a.invites&inviteResponse != 0 || a.verdict == nil && a.challenge != nil):
		var v Value
		if _, err := v.Decode(data); err != nil || len(v.Name) > maxName {
			return false
		}
		req.Name = string(v.Name)
		return a.algorithm.decode(v.Value, req)
	case p.Code == a.algorithm.changeCode && a.invites&inviteChange != 0:
		// It has no name but that of the response before it.
		a.changed = a.algorithm.decodeChange(data, req)
		req.Name = a.name
		return a.changed
	}
	return false
}

// Verdict implements ppp.Authenticator.
func (a *Authenticator) Verdict(v ppp.AuthVerdict, now time.Time, out *ppp.Output) ppp.Signal {
	if !a.pending || v.ID != a.id {
		return 0
	}
	a.pending, a.state = false, v.State
	if v.Accepted {
		a.tell(codeSuccess, a.success(&v), out)
		a.accepted, a.wasIn = a.name, true
		if a.cfg.Reauthenticate > 0 {
			a.due = now.Add(a.cfg.Reauthenticate)
		}
		return ppp.SignalUp
	}
	a.tell(codeFailure, a.failure(&v), out)
	if a.invites == 0 {
		return a.fail(ErrRefused)
	}
	a.due = now.Add(a.cfg.PromptTimeout)
	return 0
}

// tell sends a Success or a Failure.
func (a *Authenticator) tell(code ppp.Code, data []byte, out *ppp.Output) {
	p := ppp.Packet{Code: code, ID: a.id, Data: data}
	a.verdict = p.Append(nil)
	out.Send(ppp.ProtocolCHAP, p)
}

// success is the message of a Success; MS-CHAPv2 has a proof in it.
func (a *Authenticator) success(v *ppp.AuthVerdict) []byte {
	message := v.Message[:min(len(v.Message), maxMessage)]
	if a.algorithm != &mschapv2 {
		return []byte(message)
	}
	data := []byte(v.AuthenticatorResponse)
	if message != "" {
		data = append(append(data, " M="...), message...)
	}
	return data
}

// failure is the message of a Failure. It notes what that invites.
func (a *Authenticator) failure(v *ppp.AuthVerdict) []byte {
	message := v.Message[:min(len(v.Message), maxMessage)]
	if a.algorithm.version == 0 {
		return []byte(message)
	}
	f := failure{version: a.algorithm.version}
	f.Code, f.Message = ErrorCode(v.ErrorCode), message
	switch {
	case f.Code != 0:
	case v.ChangePassword:
		f.Code = PasswordExpired
	default:
		f.Code = AuthenticationFailure
	}
	// RFC 2759 §9.1: nothing may be tried after a change of the password.
	if v.Retry && a.attempts < a.cfg.MaxAttempts && !a.changed {
		f.Retry = true
		a.invites |= inviteResponse
	}
	if v.ChangePassword && f.Code == PasswordExpired && !a.changed {
		a.invites |= inviteChange
	}
	// RFC 2759 §6 always has a challenge, which is a new one where it is of any
	// use; RFC 2433 §9.1 has the change of a password answer the old one.
	if f.Retry || a.algorithm == &mschapv2 && a.invites != 0 {
		a.challenge = random(a.cfg.Rand, a.algorithm.challengeLen)
	}
	if f.Retry || a.algorithm == &mschapv2 {
		f.challenge = a.challenge
	}
	return f.append(nil)
}
