package chap

import (
	"crypto/sha1"
	"crypto/subtle"
	"fmt"
	"math/bits"

	"github.com/gopptp/gopptp/ppp"
)

// Sizes of MS-CHAP, in octets.
const (
	challengeLen = 16 // both challenges of MS-CHAPv2
	responseLen  = 24 // NT-Response
	valueLen     = 49 // the Value field of a Response (RFC 2759 §4, RFC 2433 §6)
	digitsLen    = 40 // hexadecimal digits of the authenticator response
)

// mschapv2 is that of RFC 2759.
var mschapv2 = algorithm{
	method:       ppp.AuthMSCHAPv2,
	challengeLen: challengeLen,
	version:      3,
	changeCode:   codeChangePasswordV2,
	decode: func(value []byte, req *ppp.AuthRequest) bool {
		var r response
		if r.decode(value) != nil {
			return false
		}
		req.PeerChallenge, req.Response = r.peerChallenge[:], r.ntResponse[:]
		return true
	},
	respond: func(q *query) (a answer) {
		r := response{peerChallenge: [challengeLen]byte(random(q.random, challengeLen))}
		r.ntResponse = ntResponse(q.challenge, r.peerChallenge[:], q.name, q.hash)
		a.ntResponse = r.ntResponse
		a.value = r.append(nil)
		a.expect = authenticatorResponse(q.hash.HashHash(), r.ntResponse, r.peerChallenge[:], q.challenge, q.name)
		return a
	},
}

// challengeHash is ChallengeHash (RFC 2759 §8.2).
func challengeHash(peer, authenticator []byte, name string) (c [8]byte) {
	_, user := SplitDomain(name)
	h := sha1.New()
	h.Write(peer)
	h.Write(authenticator)
	h.Write([]byte(user))
	copy(c[:], h.Sum(nil))
	return c
}

// challengeResponse is ChallengeResponse (RFC 2759 §8.5): the challenge,
// encrypted by three keys of DES that the hash is cut into.
func challengeResponse(challenge [8]byte, hash NTHash) (r [responseLen]byte) {
	var padded [21]byte
	copy(padded[:], hash[:])
	for i := range 3 {
		desEncrypt(r[8*i:], challenge[:], [7]byte(padded[7*i:]))
	}
	return r
}

// desKey spreads 56 bits over eight octets, each with an odd parity bit.
func desKey(b [7]byte) (key [8]byte) {
	var v uint64
	for _, x := range b {
		v = v<<8 | uint64(x)
	}
	for i := range key {
		k := byte(v>>(49-7*i)) << 1
		key[i] = k | byte(bits.OnesCount8(k)&1^1)
	}
	return key
}

// ntResponse is GenerateNTResponse (RFC 2759 §8.1).
func ntResponse(authenticator, peer []byte, name string, hash NTHash) [responseLen]byte {
	return challengeResponse(challengeHash(peer, authenticator, name), hash)
}

// The constants of RFC 2759 §8.7.
const (
	magicServer = "Magic server to client signing constant"
	magicPad    = "Pad to make it do more than one iteration"
)

// authenticatorResponse is GenerateAuthenticatorResponse (RFC 2759 §8.7).
func authenticatorResponse(hashHash [16]byte, response [responseLen]byte, peer, authenticator []byte, name string) string {
	h := sha1.New()
	h.Write(hashHash[:])
	h.Write(response[:])
	h.Write([]byte(magicServer))
	sum := h.Sum(nil)

	challenge := challengeHash(peer, authenticator, name)
	h.Reset()
	h.Write(sum)
	h.Write(challenge[:])
	h.Write([]byte(magicPad))
	return fmt.Sprintf("S=%X", h.Sum(nil))
}

// MSCHAPv2Result is what a verified response is good for.
type MSCHAPv2Result struct {
	// AuthenticatorResponse proves to the peer that we know the password.
	AuthenticatorResponse string
	// HashHash and NTResponse are what the MPPE keys are derived from
	// (RFC 3079 §3).
	HashHash   [16]byte
	NTResponse [24]byte
}

// VerifyMSCHAPv2 checks a peer's response against the NT hash of the user that
// it names, in constant time. ok is false if it does not match.
func VerifyMSCHAPv2(req *ppp.AuthRequest, hash NTHash) (result *MSCHAPv2Result, ok bool) {
	if req.Method != ppp.AuthMSCHAPv2 || len(req.Challenge) != challengeLen ||
		len(req.PeerChallenge) != challengeLen || len(req.Response) != responseLen {
		return nil, false
	}
	want := ntResponse(req.Challenge, req.PeerChallenge, req.Name, hash)
	if subtle.ConstantTimeCompare(want[:], req.Response) != 1 {
		return nil, false
	}
	r := &MSCHAPv2Result{HashHash: hash.HashHash(), NTResponse: want}
	r.AuthenticatorResponse = authenticatorResponse(r.HashHash, want, req.PeerChallenge, req.Challenge, req.Name)
	return r, true
}
