package chap

import (
	"crypto/subtle"
	"strings"

	"github.com/gopptp/gopptp/ppp"
)

// mschapv1 is that of RFC 2433.
var mschapv1 = algorithm{
	method:       ppp.AuthMSCHAPv1,
	challengeLen: 8,
	version:      2,
	changeCode:   codeChangePasswordV1,
	changePad:    passwordBlockLen + hashLen,
	decode:       decodeMSCHAPv1,
	respond: func(q *query) (a answer) {
		// RFC 2433 §6: no LAN Manager response, and the flag set.
		a.ntResponse = challengeResponse([8]byte(q.challenge), q.hash)
		a.value = append(make([]byte, responseLen), a.ntResponse[:]...)
		a.value = append(a.value, 1)
		return a
	},
}

// decodeMSCHAPv1 reads the Value of a Response (RFC 2433 §6).
func decodeMSCHAPv1(value []byte, req *ppp.AuthRequest) bool {
	if len(value) != valueLen {
		return false
	}
	if lm := value[:responseLen]; strings.Trim(string(lm), "\x00") != "" {
		req.LMResponse = lm
	}
	if value[valueLen-1]&1 != 0 {
		req.Response = value[responseLen : 2*responseLen]
	}
	return req.Response != nil || req.LMResponse != nil
}

// MSCHAPv1Result is what a verified response is good for.
type MSCHAPv1Result struct {
	// HashHash and Challenge are what 128-bit MPPE keys are derived from
	// (RFC 3079 §2.3). Shorter keys come from the LMHash of the password.
	HashHash  [16]byte
	Challenge [8]byte
}

// VerifyMSCHAPv1 checks the NT-Response of a peer against the NT hash of the
// user that it names, in constant time. ok is false if it does not match, or if
// the peer has a LAN Manager response only, which is worth too little.
func VerifyMSCHAPv1(req *ppp.AuthRequest, hash NTHash) (result *MSCHAPv1Result, ok bool) {
	if req.Method != ppp.AuthMSCHAPv1 || len(req.Challenge) != mschapv1.challengeLen || len(req.Response) != responseLen {
		return nil, false
	}
	r := &MSCHAPv1Result{HashHash: hash.HashHash(), Challenge: [8]byte(req.Challenge)}
	want := challengeResponse(r.Challenge, hash)
	if subtle.ConstantTimeCompare(want[:], req.Response) != 1 {
		return nil, false
	}
	return r, true
}
