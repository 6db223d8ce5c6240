package chap

import (
	"bytes"
	"fmt"

	"github.com/gopptp/gopptp/ppp"
)

// algorithm is what distinguishes the algorithms of CHAP; all else they share.
type algorithm struct {
	method ppp.AuthMethod
	// challengeLen is the length of our challenges, in octets, and with
	// MS-CHAP of the other end's.
	challengeLen int
	// version is the V= of a Failure: that of the password change. It is zero
	// with CHAP-MD5, where a Failure has no form and allows nothing.
	version int
	// decode reads the Value of a Response.
	decode func(value []byte, req *ppp.AuthRequest) bool
	// respond makes one.
	respond func(q *query) answer
	// changeCode and changePad tell the Change-Password packets apart: the
	// latter counts the octets for LAN Manager hashes, never used.
	changeCode ppp.Code
	changePad  int
}

// query is what a response is made of.
type query struct {
	id        uint8
	challenge []byte
	name      string
	hash      NTHash
	secret    ppp.Secret
	random    func([]byte)
}

// answer is a response.
type answer struct {
	value      []byte
	ntResponse [responseLen]byte
	expect     string // what an MS-CHAPv2 authenticator must prove itself by
}

var algorithms = []*algorithm{&mschapv2, &mschapv1, &md5Algorithm}

// algorithmOf returns the algorithm of a method; the zero method is MS-CHAPv2.
// It panics if m is no CHAP, since that is not for a program to find out later.
func algorithmOf(m ppp.AuthMethod) *algorithm {
	if m == (ppp.AuthMethod{}) {
		m = ppp.AuthMSCHAPv2
	}
	for _, g := range algorithms {
		if g.method == m {
			return g
		}
	}
	panic(fmt.Sprintf("chap: no such method: %v", m))
}

// accepts reports whether a challenge of the other end has the right length.
func (g *algorithm) accepts(challenge []byte) bool {
	return g.version == 0 || len(challenge) == g.challengeLen
}

// decodeChange reads a Change-Password packet of MS-CHAPv1 (RFC 2433 §10) or
// MS-CHAPv2 (RFC 2759 §7): what is new, then a response whose flag has become
// two octets.
func (g *algorithm) decodeChange(data []byte, req *ppp.AuthRequest) bool {
	const flagsLen = 2
	body := passwordBlockLen + hashLen + g.changePad
	if len(data) != body+valueLen-1+flagsLen {
		return false
	}
	req.PasswordChange = &ppp.PasswordChange{
		EncryptedPassword: [passwordBlockLen]byte(data),
		EncryptedHash:     [hashLen]byte(data[passwordBlockLen:]),
	}
	value := bytes.Clone(data[body : body+valueLen])
	value[valueLen-1] = data[len(data)-1]
	return g.decode(value, req)
}

// appendChange is the other way round.
func (g *algorithm) appendChange(dst []byte, c *ppp.PasswordChange, value []byte) []byte {
	dst = append(dst, c.EncryptedPassword[:]...)
	dst = append(dst, c.EncryptedHash[:]...)
	dst = append(dst, make([]byte, g.changePad)...)
	dst = append(dst, value[:valueLen-1]...)
	return append(dst, 0, value[valueLen-1])
}
