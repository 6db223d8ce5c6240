package pap

import (
	"errors"
	"fmt"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// ErrTooLong: a name or a password does not fit a request.
var ErrTooLong = errors.New("pap: name and password have at most 255 octets each")

// RefusedError is an Authenticate-Nak as it came.
type RefusedError struct {
	Message string // for the user; from the network, so quote it
}

func (e *RefusedError) Error() string {
	if e.Message == "" {
		return "pap: refused by the server"
	}
	return fmt.Sprintf("pap: refused by the server: %q", e.Message)
}

// Defaults of a Peer's timer.
const (
	DefaultFirstTimeout = 500 * time.Millisecond
	DefaultMaxTimeout   = 3 * time.Second
	DefaultMaxTransmit  = 10
)

// PeerConfig describes a Peer.
type PeerConfig struct {
	// Name and Password are the user's, at most 255 octets each. Password is
	// not copied.
	Name     string
	Password ppp.Secret
	// FirstTimeout is when a request is repeated first; the interval doubles
	// up to 3 s, ten times in all. Default 500 ms.
	FirstTimeout time.Duration
}

// Peer proves us to a server. It implements ppp.Auth.
type Peer struct {
	cfg PeerConfig

	id     uint8 // of the last request
	sent   uint8 // how many there are, each with an identifier of its own
	repeat ppp.Repeat
	done   bool
	err    error
}

var _ ppp.Auth = (*Peer)(nil)

// NewPeer returns a Peer that has not started.
func NewPeer(cfg PeerConfig) *Peer {
	if cfg.FirstTimeout == 0 {
		cfg.FirstTimeout = DefaultFirstTimeout
	}
	return &Peer{cfg: cfg}
}

// Method implements ppp.Auth.
func (*Peer) Method() ppp.AuthMethod { return ppp.AuthPAP }

// Err implements ppp.Auth: a *RefusedError, ErrTimeout or ErrTooLong.
func (p *Peer) Err() error { return p.err }

// Deadline implements ppp.Auth.
func (p *Peer) Deadline() time.Time { return p.repeat.Deadline() }

// Wipe overwrites the octets of the password. The Peer is of no use then.
func (p *Peer) Wipe() { p.cfg.Password.Wipe() }

// Start implements ppp.Auth: it sends the request.
func (p *Peer) Start(now time.Time, out *ppp.Output) ppp.Signal {
	*p = Peer{cfg: p.cfg, id: p.id, repeat: ppp.Repeat{Limit: DefaultMaxTimeout, Max: DefaultMaxTransmit}}
	if len(p.cfg.Name) > maxField || len(p.cfg.Password) > maxField {
		return p.finish(ErrTooLong)
	}
	p.send(out)
	p.repeat.Begin(p.cfg.FirstTimeout, now)
	return 0
}

func (p *Peer) send(out *ppp.Output) {
	p.id++ // RFC 1334 §2.2.1: with each request
	p.sent++
	r := Request{PeerID: []byte(p.cfg.Name), Password: p.cfg.Password}
	out.Send(ppp.ProtocolPAP, ppp.Packet{Code: codeRequest, ID: p.id, Data: r.Append(nil)})
}

// Tick implements ppp.Auth.
func (p *Peer) Tick(now time.Time, out *ppp.Output) ppp.Signal {
	again, over := p.repeat.Due(now)
	if over {
		return p.finish(ErrTimeout)
	}
	if again {
		p.send(out)
	}
	return 0
}

func (p *Peer) finish(err error) ppp.Signal {
	p.done, p.err = true, err
	p.repeat.Stop()
	return ppp.SignalFinished
}

// Input implements ppp.Auth. An answer to any of our requests will do.
func (p *Peer) Input(b []byte, _ time.Time, _ *ppp.Output) ppp.Signal {
	var pkt ppp.Packet
	if _, err := pkt.Decode(b); err != nil || p.done || p.id-pkt.ID >= p.sent {
		return 0
	}
	switch pkt.Code {
	case codeAck:
		p.done = true
		p.repeat.Stop()
		return ppp.SignalUp
	case codeNak:
		var m Message
		_, _ = m.Decode(pkt.Data) // it is only for the user
		return p.finish(&RefusedError{Message: string(m.Text)})
	}
	return 0
}
