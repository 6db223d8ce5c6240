package chap

import (
	"crypto/subtle"
	"errors"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// ErrAuthenticatorResponse: the server accepted us without a proof that it knows
// the password. It may be an impostor.
var ErrAuthenticatorResponse = errors.New("chap: the server did not prove that it knows the password")

// PeerConfig describes a Peer.
type PeerConfig struct {
	// Name is the user's, with a domain if the server wants one. At most 255
	// octets.
	Name   string
	NTHash NTHash
	// FirstTimeout is when a response is repeated first; the interval doubles
	// up to 3 s, ten times in all. Default 500 ms.
	FirstTimeout time.Duration
	// Rand fills a challenge. Default crypto/rand.
	Rand func([]byte)
}

// Peer proves us to a server by MS-CHAPv2, and has the server prove itself. It
// implements ppp.Auth.
type Peer struct {
	cfg PeerConfig

	id        uint8 // of the challenge that was answered
	challenge [challengeLen]byte
	response  response
	expect    string // the authenticator response
	retry     retry
	answered  bool // a challenge has been
	verified  bool // the server has proved itself
	err       error
}

var _ ppp.Auth = (*Peer)(nil)

// NewPeer returns a Peer that has not started.
func NewPeer(cfg PeerConfig) *Peer { return &Peer{cfg: cfg} }

// Method implements ppp.Auth.
func (*Peer) Method() ppp.AuthMethod { return ppp.AuthMSCHAPv2 }

// Err implements ppp.Auth: a *FailureError, ErrAuthenticatorResponse or
// ErrTimeout.
func (p *Peer) Err() error { return p.err }

// Deadline implements ppp.Auth.
func (p *Peer) Deadline() time.Time { return p.retry.deadline }

// Start implements ppp.Auth: it is for the server to begin. There is no deadline
// for that; how long a link may take to come up is for its owner to say.
func (p *Peer) Start(time.Time, *ppp.Output) ppp.Signal {
	*p = Peer{cfg: p.cfg}
	return 0
}

// Tick implements ppp.Auth. A response is repeated although RFC 1994 leaves that
// to the challenge: if it was the Success that was lost, there will be no other
// challenge.
func (p *Peer) Tick(now time.Time, out *ppp.Output) ppp.Signal {
	again, err := p.retry.due(now)
	if err != nil {
		p.err = err
		return ppp.SignalFinished
	}
	if again {
		resend(p.retry.packet, out)
	}
	return 0
}

// KeyMaterial returns what the MPPE keys are derived from (RFC 3079 §3): the
// hash of the NT hash and our NT-Response. ok is false before the server has
// accepted us and proved itself.
func (p *Peer) KeyMaterial() (hashHash [16]byte, ntResponse [24]byte, ok bool) {
	if !p.verified {
		return hashHash, ntResponse, false
	}
	return p.cfg.NTHash.HashHash(), p.response.ntResponse, true
}

// Input implements ppp.Auth.
func (p *Peer) Input(b []byte, now time.Time, out *ppp.Output) ppp.Signal {
	var pkt ppp.Packet
	if _, err := pkt.Decode(b); err != nil {
		return 0
	}
	switch pkt.Code {
	case codeChallenge:
		p.answer(pkt, now, out)
	case codeSuccess:
		return p.success(pkt)
	case codeFailure:
		return p.failure(pkt)
	}
	return 0
}

// answer responds to a challenge: with the same response if it is the same.
func (p *Peer) answer(pkt ppp.Packet, now time.Time, out *ppp.Output) {
	var v Value
	if _, err := v.Decode(pkt.Data); err != nil || len(v.Value) != challengeLen || p.err != nil {
		return
	}
	challenge := [challengeLen]byte(v.Value)
	if !p.answered || pkt.ID != p.id || challenge != p.challenge {
		p.answered, p.verified = true, false
		p.id, p.challenge = pkt.ID, challenge
		p.response.peerChallenge = random(p.cfg.Rand)
		p.response.ntResponse = ntResponse(challenge[:], p.response.peerChallenge[:], p.cfg.Name, p.cfg.NTHash)
		p.expect = authenticatorResponse(p.cfg.NTHash.HashHash(), p.response.ntResponse,
			p.response.peerChallenge[:], challenge[:], p.cfg.Name)
	}
	v = Value{Value: p.response.append(nil), Name: []byte(p.cfg.Name)[:min(len(p.cfg.Name), maxName)]}
	reply := ppp.Packet{Code: codeResponse, ID: p.id, Data: v.Append(nil)}
	out.Send(ppp.ProtocolCHAP, reply)
	if !p.verified {
		p.retry.begin(reply.Append(nil), p.cfg.FirstTimeout, now)
	}
}

// expected reports whether an answer to our response is due under this
// identifier.
func (p *Peer) expected(id uint8) bool {
	return p.answered && !p.verified && p.err == nil && id == p.id
}

func (p *Peer) success(pkt ppp.Packet) ppp.Signal {
	if !p.expected(pkt.ID) {
		return 0
	}
	p.retry.stop()
	got, ok := parseSuccess(pkt.Data)
	if !ok || subtle.ConstantTimeCompare([]byte(got), []byte(p.expect)) != 1 {
		p.err = ErrAuthenticatorResponse
		return ppp.SignalFinished
	}
	p.verified = true
	return ppp.SignalUp
}

// failure ends the attempt, even where a retry is invited: there is no other
// password to try.
func (p *Peer) failure(pkt ppp.Packet) ppp.Signal {
	if !p.expected(pkt.ID) {
		return 0
	}
	p.retry.stop()
	var f failure
	f.parse(pkt.Data)
	p.err = &f.FailureError
	return ppp.SignalFinished
}
