package conversation

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"github.com/google/gopacket"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// authentication is what is heard of it, and what the given password makes of it.
type authentication struct {
	method   string
	demanded bool // LCP agreed on one
	peer     Side // who proves itself, once it has said something
	name     string

	challenges, responses int
	challenge             []byte
	nextChallenge         []byte // that a Failure names
	response              []byte // the last, to see a repeated one

	succeeded   bool
	succeededAt time.Time
	failure     *chap.FailureError // of MS-CHAP
	failed      bool
	message     string

	// With a password: whether the last response was made with it, and the
	// server's proof.
	checked, matches bool
	unproven         bool
	proof            string     // that the server owes, of MS-CHAPv2
	candidate        *mppe.Keys // that the last response leads to
	keys             *mppe.Keys // once it was accepted; as the one that proved itself has them
}

// begin starts the phase, with what LCP has agreed on.
func (u *authentication) begin(k *call) {
	u.demanded = false
	for s := range k.lcp.side {
		o, ok := k.lcp.side[s].agreed.Get(3)
		if !ok || len(o.Data) < 2 {
			continue
		}
		m := ppp.AuthMethod{Protocol: ppp.Protocol(binary.BigEndian.Uint16(o.Data))}
		if m.Protocol == ppp.ProtocolCHAP && len(o.Data) > 2 {
			m.Algorithm = o.Data[2]
		}
		u.demanded, u.method = true, m.String()
	}
	u.succeeded, u.failed = false, false
}

// pending reports whether the phase is not over.
func (u *authentication) pending() bool { return u.demanded && !u.succeeded }

// input takes a packet, and reports whether it repeats an earlier one.
func (u *authentication) input(k *call, side Side, protocol ppp.Protocol, payload []byte, at time.Time) (again bool) {
	if protocol == ppp.ProtocolPAP {
		return u.pap(side, payload, at)
	}
	var c layers.CHAP
	if c.DecodeFromBytes(payload, gopacket.NilDecodeFeedback) != nil {
		return false
	}
	switch c.Code {
	case layers.CHAPChallenge:
		u.challenges++
		again = bytes.Equal(u.challenge, c.Value.Value)
		u.challenge = bytes.Clone(c.Value.Value)
		u.peer = side.other()
	case layers.CHAPResponse:
		u.responses++
		again = bytes.Equal(u.response, payload)
		u.response = bytes.Clone(payload)
		u.peer, u.name, u.failed = side, string(c.Name), false
		if u.nextChallenge != nil && !again {
			u.challenge, u.nextChallenge = u.nextChallenge, nil
		}
		u.check(k, &c)
	case layers.CHAPSuccess:
		again = u.succeeded
		u.success(string(c.Message), at)
	case layers.CHAPFailure:
		again = u.failed
		u.failed, u.message, u.failure = true, string(c.Message), c.MSCHAPFailure()
		u.nextChallenge = challengeOf(c.Message)
	}
	return again
}

func (u *authentication) pap(side Side, payload []byte, at time.Time) (again bool) {
	var a layers.PAP
	if a.DecodeFromBytes(payload, gopacket.NilDecodeFeedback) != nil {
		return false
	}
	switch a.Code {
	case layers.PAPRequest:
		// Kept without its password, so one that is sent again with another
		// counts as repeated.
		again = u.responses > 0 && u.name == string(a.PeerID) && !u.failed
		u.responses++
		u.peer, u.name, u.failed = side, string(a.PeerID), false
		if u.method == "" {
			u.method = ppp.AuthPAP.String()
		}
	case layers.PAPAck:
		again = u.succeeded
		u.success("", at)
	case layers.PAPNak:
		u.failed, u.message = true, string(a.Message)
	}
	return again
}

func (u *authentication) success(message string, at time.Time) {
	if !u.succeeded && u.succeededAt.IsZero() {
		u.succeededAt = at
	}
	u.succeeded, u.failed = true, false
	if u.candidate == nil {
		return
	}
	u.unproven = u.proof != "" && !strings.Contains(strings.ToUpper(message), u.proof)
	if u.keys == nil { // RFC 3079 §2, §3: those of the first
		u.keys = u.candidate
	}
}

// check compares a response with the password.
func (u *authentication) check(k *call, c *layers.CHAP) {
	u.checked, u.matches, u.candidate, u.proof = false, false, nil, ""
	hash := k.conn.a.opts.NTHash
	peer, response, ok := c.MSCHAPv2()
	if hash == nil || !ok {
		return
	}
	req := ppp.AuthRequest{ID: c.ID, Name: string(c.Name), Challenge: u.challenge, Response: response}
	switch len(u.challenge) {
	case 16:
		u.checked = true
		req.Method, req.PeerChallenge = ppp.AuthMSCHAPv2, peer
		if r, ok := chap.VerifyMSCHAPv2(&req, *hash); ok {
			keys := mppe.DeriveKeys(r.HashHash, r.NTResponse, mppe.Client)
			u.matches, u.candidate, u.proof = true, &keys, r.AuthenticatorResponse
		}
	case 8: // MS-CHAPv1, whose NT-Response is in the same place
		u.checked = true
		req.Method = ppp.AuthMSCHAPv1
		if r, ok := chap.VerifyMSCHAPv1(&req, *hash); ok {
			keys := mppe.DeriveKeysV1(nil, r.HashHash, r.Challenge)
			u.matches, u.candidate = true, &keys
		}
	}
}

// challengeOf finds the next challenge in the text of a Failure, of 16 octets, or
// of 8 with MS-CHAPv1.
func challengeOf(message []byte) []byte {
	_, digits, ok := bytes.Cut(message, []byte("C="))
	if !ok {
		return nil
	}
	digits, _, _ = bytes.Cut(digits, []byte(" "))
	challenge, err := hex.DecodeString(string(digits))
	if err != nil || len(challenge) != 16 && len(challenge) != 8 {
		return nil
	}
	return challenge
}
