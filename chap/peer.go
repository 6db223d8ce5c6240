package chap

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

var (
	// ErrAuthenticatorResponse: the server accepted us without a proof that it
	// knows the password. It may be an impostor.
	ErrAuthenticatorResponse = errors.New("chap: the server did not prove that it knows the password")
	// ErrNotInvited is returned by Retry and ChangePassword where the server
	// has not offered it.
	ErrNotInvited = errors.New("chap: the server has not invited that")
)

// PeerConfig describes a Peer.
type PeerConfig struct {
	// Method is AuthMSCHAPv2, which is the default, AuthMSCHAPv1 or
	// AuthCHAPMD5. There is one Peer for each method that is accepted.
	Method ppp.AuthMethod
	// Name is the user's, with a domain if the server wants one. At most 255
	// octets.
	Name string
	// NTHash is the hash of the password; MS-CHAP needs no more.
	NTHash NTHash
	// Secret is the password itself, or whatever secret is shared, for
	// CHAP-MD5. It is not copied.
	Secret ppp.Secret
	// Prompt has the Peer ask its owner, by CredentialsNeeded, where the
	// server lets us try again or change the password. Otherwise each refusal
	// is the end.
	Prompt bool
	// PromptTimeout is how long the owner may take. Default 60 s.
	PromptTimeout time.Duration
	// FirstTimeout is when a response is repeated first; the interval doubles
	// up to 3 s, ten times in all. Default 500 ms.
	FirstTimeout time.Duration
	// Rand fills a challenge. Default crypto/rand.
	Rand func([]byte)
}

// CredentialsNeeded is the Event by which a Peer asks how to go on after a
// refusal: by Retry if Failure.Retry is set, by ChangePassword if ChangePassword
// is. An owner that has nothing to try closes the link; PromptTimeout finishes
// the Peer with the refusal.
type CredentialsNeeded struct {
	Failure        FailureError
	ChangePassword bool
}

// Peer proves us to a server, and with MS-CHAPv2 has the server prove itself. It
// implements ppp.Auth.
type Peer struct {
	cfg       PeerConfig
	algorithm *algorithm

	hash      NTHash // in use
	id        uint8  // of the challenge that was answered
	challenge []byte // that challenge
	retry     *retry // nil when nothing is repeated

	answerID uint8  // of our last answer, which may count on from id
	using    []byte // the challenge that it answers, which may be a Failure's
	answer   answer
	packet   []byte // the answer, from its code on
	state    peerState
	refusal  failure   // while prompted
	changed  bool      // the answer changes the password
	until    time.Time // the end of the prompt

	accepted bool // since Start
	material keyMaterial
	err      error
}

type peerState uint8

const (
	peerIdle     peerState = iota // no challenge has come
	peerAnswered                  // an answer waits for success or failure
	peerPrompted                  // the owner is asked
	peerVerified
	peerFailed
)

// keyMaterial is what MPPE keys are derived from.
type keyMaterial struct {
	hashHash   [16]byte
	ntResponse [responseLen]byte
	challenge  [8]byte // MS-CHAPv1
}

var _ ppp.Auth = (*Peer)(nil)

// NewPeer returns a Peer that has not started. It panics if cfg.Method is none
// of CHAP's.
func NewPeer(cfg PeerConfig) *Peer {
	if cfg.PromptTimeout == 0 {
		cfg.PromptTimeout = DefaultPromptTimeout
	}
	return &Peer{cfg: cfg, algorithm: algorithmOf(cfg.Method), hash: cfg.NTHash}
}

// Method implements ppp.Auth.
func (p *Peer) Method() ppp.AuthMethod { return p.algorithm.method }

// Err implements ppp.Auth: a *FailureError, ErrAuthenticatorResponse or
// ErrTimeout.
func (p *Peer) Err() error { return p.err }

// Deadline implements ppp.Auth.
func (p *Peer) Deadline() time.Time { return earliest(p.retry.Deadline(), p.until) }

// Start implements ppp.Auth: it is for the server to begin.
func (p *Peer) Start(time.Time, *ppp.Output) ppp.Signal {
	*p = Peer{cfg: p.cfg, algorithm: p.algorithm, hash: p.cfg.NTHash}
	return 0
}

// Tick implements ppp.Auth. A response is repeated although RFC 1994 leaves that
// to the challenge: if it was the Success that was lost, there will be no other
// challenge.
func (p *Peer) Tick(now time.Time, out *ppp.Output) ppp.Signal {
	if err := p.retry.due(now, out); err != nil {
		p.retry = nil
		if p.accepted {
			// Only the answer to a later challenge was not confirmed. It is
			// for the server to end what works.
			p.state = peerVerified
			return 0
		}
		return p.fail(err)
	}
	if !p.until.IsZero() && !now.Before(p.until) {
		return p.fail(&p.refusal.FailureError)
	}
	return 0
}

func (p *Peer) fail(err error) ppp.Signal {
	p.state, p.err, p.until = peerFailed, err, time.Time{}
	p.retry = nil
	return ppp.SignalFinished
}

// KeyMaterial returns what MPPE keys are derived from with MS-CHAPv2 (RFC 3079
// §3): the hash of the NT hash and our NT-Response, of the first authentication
// since Start. ok is false before the server has accepted us and proved itself.
func (p *Peer) KeyMaterial() (hashHash [16]byte, ntResponse [24]byte, ok bool) {
	if !p.accepted || p.algorithm != &mschapv2 {
		return hashHash, ntResponse, false
	}
	return p.material.hashHash, p.material.ntResponse, true
}

// KeyMaterialV1 returns what 128-bit MPPE keys are derived from with MS-CHAPv1
// (RFC 3079 §2.3): the hash of the NT hash and the server's challenge. ok is
// false before the server has accepted us.
func (p *Peer) KeyMaterialV1() (hashHash [16]byte, challenge [8]byte, ok bool) {
	if !p.accepted || p.algorithm != &mschapv1 {
		return hashHash, challenge, false
	}
	return p.material.hashHash, p.material.challenge, true
}

// Wipe overwrites the secrets that the Peer holds, its own copy of NTHash and the
// octets of Secret. The Peer is of no use then.
func (p *Peer) Wipe() {
	p.cfg.Secret.Wipe()
	p.cfg.NTHash.Wipe()
	p.hash.Wipe()
	p.material = keyMaterial{}
	p.accepted = false
}

// Input implements ppp.Auth.
func (p *Peer) Input(b []byte, now time.Time, out *ppp.Output) ppp.Signal {
	var pkt ppp.Packet
	if _, err := pkt.Decode(b); err != nil || p.state == peerFailed {
		return 0
	}
	switch pkt.Code {
	case codeChallenge:
		p.challenged(&pkt, now, out)
	case codeSuccess:
		return p.success(&pkt)
	case codeFailure:
		return p.failure(&pkt, now, out)
	}
	return 0
}

// challenged responds to a challenge: with the same response if it is the same.
func (p *Peer) challenged(pkt *ppp.Packet, now time.Time, out *ppp.Output) {
	var v Value
	if _, err := v.Decode(pkt.Data); err != nil || !p.algorithm.accepts(v.Value) {
		return
	}
	if p.state != peerIdle && pkt.ID == p.id && bytes.Equal(v.Value, p.challenge) {
		switch p.state {
		case peerAnswered:
			p.send(p.packet, now, out)
		case peerVerified:
			resend(p.packet, out)
		}
		return
	}
	p.id, p.challenge = pkt.ID, bytes.Clone(v.Value)
	p.answerID, p.using, p.changed, p.until = p.id, p.challenge, false, time.Time{}
	p.respond(now, out)
}

// respond answers the challenge in use by a Response.
func (p *Peer) respond(now time.Time, out *ppp.Output) {
	p.answer = p.algorithm.respond(p.query())
	v := Value{Value: p.answer.value, Name: []byte(p.cfg.Name)[:min(len(p.cfg.Name), maxName)]}
	reply := ppp.Packet{Code: codeResponse, ID: p.answerID, Data: v.Append(nil)}
	p.send(reply.Append(nil), now, out)
}

func (p *Peer) query() *query {
	return &query{
		id:        p.answerID,
		challenge: p.using,
		name:      p.cfg.Name,
		hash:      p.hash,
		secret:    p.cfg.Secret,
		random:    p.cfg.Rand,
	}
}

// send sends an answer, and repeats it until the server says what it thinks.
func (p *Peer) send(packet []byte, now time.Time, out *ppp.Output) {
	p.packet, p.state = packet, peerAnswered
	resend(packet, out)
	p.retry = newRetry(packet, p.cfg.FirstTimeout, now)
}

func (p *Peer) success(pkt *ppp.Packet) ppp.Signal {
	if p.state != peerAnswered || pkt.ID != p.answerID {
		return 0
	}
	p.retry = nil
	if p.algorithm == &mschapv2 {
		got, ok := parseSuccess(pkt.Data)
		if !ok || subtle.ConstantTimeCompare([]byte(got), []byte(p.answer.expect)) != 1 {
			return p.fail(ErrAuthenticatorResponse)
		}
	}
	p.state = peerVerified
	p.cfg.NTHash = p.hash // it may be another password by now
	if !p.accepted {
		// RFC 3079 §2, §3: keys come from the first authentication.
		p.accepted = true
		p.material = keyMaterial{hashHash: p.hash.HashHash(), ntResponse: p.answer.ntResponse}
		copy(p.material.challenge[:], p.using)
	}
	return ppp.SignalUp
}

func (p *Peer) failure(pkt *ppp.Packet, now time.Time, out *ppp.Output) ppp.Signal {
	if p.state != peerAnswered || pkt.ID != p.answerID {
		return 0
	}
	p.retry = nil
	var f failure
	if p.algorithm.version == 0 {
		f.Message = string(pkt.Data)
	} else {
		f.parse(pkt.Data)
	}
	// A server that names no version knows the oldest change only (RFC 2433
	// §8), which is not done here. None is tried twice.
	change := f.Code == PasswordExpired && f.version >= mschapv1.version && !p.changed
	if !p.cfg.Prompt || !f.Retry && !change || p.changed {
		return p.fail(&f.FailureError)
	}
	p.state, p.refusal, p.until = peerPrompted, f, now.Add(p.cfg.PromptTimeout)
	switch {
	case len(f.challenge) == p.algorithm.challengeLen:
		p.using = f.challenge
	case f.Retry:
		// RFC 2433 §8: what is implied where no challenge is given.
		p.using = bytes.Clone(p.using)
		p.using[0] += 23
	}
	out.Emit(CredentialsNeeded{Failure: f.FailureError, ChangePassword: change})
	return 0
}

// Retry answers a refusal with another password.
func (p *Peer) Retry(hash NTHash, now time.Time, out *ppp.Output) error {
	if p.state != peerPrompted || !p.refusal.Retry {
		return ErrNotInvited
	}
	p.hash = hash
	p.until = time.Time{}
	p.answerID++
	p.respond(now, out)
	return nil
}

// ChangePassword answers the refusal of an expired password with a new one. If
// the server accepts it, the Peer uses it from then on.
func (p *Peer) ChangePassword(newPassword string, now time.Time, out *ppp.Output) error {
	if p.state != peerPrompted || p.refusal.Code != PasswordExpired || p.refusal.version < mschapv1.version {
		return ErrNotInvited
	}
	change, err := newPasswordChange(newPassword, p.hash, p.cfg.Rand)
	if err != nil {
		return err
	}
	p.hash = NTPasswordHash(newPassword)
	p.until, p.changed = time.Time{}, true
	p.answerID++
	p.answer = p.algorithm.respond(p.query())
	pkt := ppp.Packet{
		Code: p.algorithm.changeCode,
		ID:   p.answerID,
		Data: p.algorithm.appendChange(nil, change, p.answer.value),
	}
	p.send(pkt.Append(nil), now, out)
	return nil
}
