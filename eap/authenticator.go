package eap

import (
	"bytes"
	"errors"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// Why either role gives up.
var (
	// ErrTimeout: the peer did not answer.
	ErrTimeout = errors.New("eap: no answer")
	// ErrRefused: the answer was no.
	ErrRefused = errors.New("eap: refused")
	// ErrNameChanged: a peer that had been accepted came back under another
	// identity.
	ErrNameChanged = errors.New("eap: peer came back under another identity")
)

// Defaults of an Authenticator's timer.
const (
	DefaultFirstTimeout = 500 * time.Millisecond
	DefaultMaxTimeout   = 6 * time.Second // RFC 2284 §2.2.1
	DefaultMaxTransmit  = 10
)

// AuthenticatorConfig describes an Authenticator.
type AuthenticatorConfig struct {
	// Prompt is sent with the request for the identity; some peers show it.
	Prompt string
	// FirstTimeout is when a request is repeated first; the interval doubles
	// up to 6 s, ten times in all. Default 500 ms.
	FirstTimeout time.Duration
	// Reauthenticate begins anew with an accepted peer at this interval. Zero
	// does not.
	Reauthenticate time.Duration
}

// Authenticator has the peer prove itself to whoever answers its AuthRequests.
// It implements ppp.Authenticator.
//
// The first AuthRequest has the peer's identity as Name and, like all that
// follow, the peer's packet as EAP. The verdict carries the next Request on, with
// the identifier that it has, or ends the exchange; its State comes back, for
// the State of a RADIUS server. Message and Retry mean nothing here: an owner
// that wants another attempt makes another Request.
type Authenticator struct {
	cfg AuthenticatorConfig

	id       uint8 // of the request that is out
	request  []byte
	repeat   ppp.Repeat
	identity string
	started  bool   // the identity is known
	pending  bool   // a verdict is awaited
	state    any    // of the last verdict
	response []byte // what was judged last
	end      []byte // Success or Failure, when it has been sent
	accepted string // the identity under which the peer was accepted
	wasIn    bool   // it was
	due      time.Time
	err      error
}

var _ ppp.Authenticator = (*Authenticator)(nil)

// NewAuthenticator returns an Authenticator that has not started.
func NewAuthenticator(cfg AuthenticatorConfig) *Authenticator {
	if cfg.FirstTimeout == 0 {
		cfg.FirstTimeout = DefaultFirstTimeout
	}
	return &Authenticator{cfg: cfg}
}

// Method implements ppp.Auth.
func (*Authenticator) Method() ppp.AuthMethod { return ppp.AuthEAP }

// Err implements ppp.Auth: ErrRefused, ErrNameChanged or ErrTimeout.
func (a *Authenticator) Err() error { return a.err }

// Deadline implements ppp.Auth. A request and the next beginning are never out
// together.
func (a *Authenticator) Deadline() time.Time {
	if !a.due.IsZero() {
		return a.due
	}
	return a.repeat.Deadline()
}

// Start implements ppp.Auth: it asks for the identity.
func (a *Authenticator) Start(now time.Time, out *ppp.Output) ppp.Signal {
	*a = Authenticator{cfg: a.cfg, id: a.id, repeat: ppp.Repeat{Limit: DefaultMaxTimeout, Max: DefaultMaxTransmit}}
	a.begin(now, out)
	return 0
}

func (a *Authenticator) begin(now time.Time, out *ppp.Output) {
	a.started, a.response, a.end, a.due, a.state = false, nil, nil, time.Time{}, nil
	a.ask(packet(CodeRequest, a.id+1, TypeIdentity, []byte(a.cfg.Prompt)), now, out)
}

// ask sends a Request, and repeats it until it is answered.
func (a *Authenticator) ask(request []byte, now time.Time, out *ppp.Output) {
	a.id, a.request = request[1], request
	send(request, out)
	a.repeat.Begin(a.cfg.FirstTimeout, now)
}

// Tick implements ppp.Auth.
func (a *Authenticator) Tick(now time.Time, out *ppp.Output) ppp.Signal {
	if !a.due.IsZero() {
		if !now.Before(a.due) {
			a.begin(now, out)
		}
		return 0
	}
	again, over := a.repeat.Due(now)
	if over {
		return a.fail(ErrTimeout)
	}
	if again {
		send(a.request, out)
	}
	return 0
}

func (a *Authenticator) fail(err error) ppp.Signal {
	a.err = err
	a.repeat.Stop()
	return ppp.SignalFinished
}

// Input implements ppp.Auth.
func (a *Authenticator) Input(b []byte, _ time.Time, out *ppp.Output) ppp.Signal {
	var (
		p ppp.Packet
		m Message
	)
	n, err := p.Decode(b)
	if err != nil || p.Code != CodeResponse || p.ID != a.id || a.pending || a.err != nil && a.end == nil {
		return 0
	}
	if _, err := m.Decode(p.Data); err != nil {
		return 0
	}
	if bytes.Equal(b[:n], a.response) {
		if a.end != nil {
			send(a.end, out) // the peer has not heard it
		}
		return 0
	}
	if a.end != nil || !a.started && m.Type != TypeIdentity {
		return 0
	}
	if m.Type == TypeIdentity {
		if len(m.Data) > maxIdentity {
			return 0
		}
		a.identity, a.started = string(m.Data), true
	}
	a.response = bytes.Clone(b[:n])
	a.repeat.Stop()
	if a.wasIn && a.identity != a.accepted {
		a.finish(CodeFailure, nil, out)
		return a.fail(ErrNameChanged)
	}
	a.pending = true
	out.Emit(ppp.AuthRequest{
		Method:           ppp.AuthEAP,
		ID:               p.ID,
		Name:             a.identity,
		Reauthentication: a.wasIn,
		State:            a.state,
		EAP:              bytes.Clone(a.response),
	})
	return 0
}

// Verdict implements ppp.Authenticator.
func (a *Authenticator) Verdict(v ppp.AuthVerdict, now time.Time, out *ppp.Output) ppp.Signal {
	if !a.pending || v.ID != a.id {
		return 0
	}
	a.pending, a.state = false, v.State
	var p ppp.Packet
	n, err := p.Decode(v.EAP)
	if err != nil {
		p = ppp.Packet{}
	}
	switch {
	case v.Accepted:
		a.finish(CodeSuccess, v.EAP, out)
		a.accepted, a.wasIn = a.identity, true
		if a.cfg.Reauthenticate > 0 {
			a.due = now.Add(a.cfg.Reauthenticate)
		}
		return ppp.SignalUp
	case p.Code == CodeRequest && len(p.Data) > 0:
		a.ask(bytes.Clone(v.EAP[:n]), now, out)
		return 0
	}
	a.finish(CodeFailure, v.EAP, out)
	return a.fail(ErrRefused)
}

// finish sends a Success or a Failure: the owner's if that is one.
func (a *Authenticator) finish(code ppp.Code, from []byte, out *ppp.Output) {
	var p ppp.Packet
	if _, err := p.Decode(from); err != nil || p.Code != code {
		p.ID = a.id
	}
	p.Code, p.Data = code, nil
	a.end = p.Append(nil)
	out.Send(ppp.ProtocolEAP, p)
}
