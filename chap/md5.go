package chap

import (
	"crypto/md5"
	"crypto/subtle"

	"github.com/gopptp/gopptp/ppp"
)

// md5Algorithm is that of RFC 1994 §2.
var md5Algorithm = algorithm{
	method:       ppp.AuthCHAPMD5,
	challengeLen: 16,
	decode: func(value []byte, req *ppp.AuthRequest) bool {
		if len(value) != md5.Size {
			return false
		}
		req.Response = value
		return true
	},
	respond: func(q *query) answer {
		sum := MD5Response(q.id, q.secret, q.challenge)
		return answer{value: sum[:]}
	},
}

// MD5Response is the value of a response (RFC 1994 §4.1): the digest of
// identifier, secret and challenge. EAP has it too (RFC 2284 §3.4).
func MD5Response(id uint8, secret ppp.Secret, challenge []byte) (sum [16]byte) {
	h := md5.New()
	h.Write([]byte{id})
	h.Write(secret)
	h.Write(challenge)
	h.Sum(sum[:0])
	return sum
}

// VerifyMD5 checks a CHAP-MD5 response against the secret of the user that it
// names, in constant time. It yields no keys for MPPE.
func VerifyMD5(req *ppp.AuthRequest, secret ppp.Secret) bool {
	if req.Method != ppp.AuthCHAPMD5 || len(req.Challenge) == 0 {
		return false
	}
	want := MD5Response(req.ID, secret, req.Challenge)
	return subtle.ConstantTimeCompare(want[:], req.Response) == 1
}
