package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"errors"
	"slices"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// Request is what to ask. It does not change while it is asked, so it may be repeated to
// several servers, each of which has an identifier, authenticator and secret of its own.
type Request struct {
	Code radius.Code
	// Attributes go as they are, in order. Message-Authenticator, where the code has one,
	// goes before them.
	Attributes radius.Attributes
	// Password is sent as User-Password, which the secret hides; nil: none.
	Password []byte
	// Server is who must be asked, as only it knows the State; nil: any.
	Server *Server
}

// Reply is an answer that is authentic.
type Reply struct {
	*radius.Packet
	// Request is what this server was asked, whose authenticator some attributes of the
	// answer are hidden with.
	Request *radius.Packet
	Server  *Server
}

const (
	headerSize = 20
	// authenticatorAt is where the authenticator begins; that of the attribute
	// Message-Authenticator begins signatureAt, if it is the first.
	authenticatorAt = 4
	signatureAt     = headerSize + 2
	signatureSize   = md5.Size
)

// signs reports whether requests of the code carry a Message-Authenticator. Those of
// accounting are signed as a whole already.
func signs(c radius.Code) bool {
	return c == radius.CodeAccessRequest || c == radius.CodeStatusServer
}

// seal makes the packet of a request to one server.
func (r *Request) seal(id uint8, secret []byte) (p *radius.Packet, wire []byte, err error) {
	p = &radius.Packet{Code: r.Code, Identifier: id, Secret: secret}
	if signs(r.Code) {
		rand.Read(p.Authenticator[:])
		p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, signatureSize))
	}
	if r.Password != nil {
		hidden, err := radius.NewUserPassword(r.Password, secret, p.Authenticator[:])
		if err != nil {
			return nil, nil, err
		}
		p.Add(rfc2865.UserPassword_Type, hidden)
	}
	p.Attributes = append(p.Attributes, r.Attributes...)
	if wire, err = p.Encode(); err != nil {
		return nil, nil, err
	}
	if signs(r.Code) {
		mac := hmac.New(md5.New, secret)
		mac.Write(wire)
		mac.Sum(wire[signatureAt:signatureAt])
	}
	copy(p.Authenticator[:], wire[authenticatorAt:headerSize])
	return p, wire, nil
}

// Why an answer is not taken.
var (
	errMalformed  = errors.New("malformed")
	errForged     = errors.New("the response authenticator is wrong: another secret, or forged")
	errUnsigned   = errors.New("there is no Message-Authenticator, and require_message_authenticator is set: have the server send one")
	errUnexpected = errors.New("not an answer to what was asked")
)

// open checks the answer to a request. Nothing in the reply aliases wire.
func open(wire []byte, request *radius.Packet, signed bool) (*radius.Packet, error) {
	p, err := radius.Parse(wire, request.Secret)
	if err != nil {
		return nil, errMalformed
	}
	wire = wire[:int(wire[2])<<8|int(wire[3])]
	if !authentic(wire, request.Authenticator, request.Secret) {
		return nil, errForged
	}
	switch ok, present := checkSignature(wire, request.Authenticator, request.Secret); {
	case present && !ok:
		return nil, errForged
	case !present && signed:
		return nil, errUnsigned
	}
	if !answers(p.Code, request.Code) {
		return nil, errUnexpected
	}
	return p, nil
}

// authentic checks the authenticator of a packet, as computed with another one in its
// place: that of the request, or zero (RFC 2865 §3).
func authentic(wire []byte, authenticator [16]byte, secret []byte) bool {
	sum := md5.New()
	sum.Write(wire[:authenticatorAt])
	sum.Write(authenticator[:])
	sum.Write(wire[headerSize:])
	sum.Write(secret)
	return hmac.Equal(sum.Sum(nil), wire[authenticatorAt:headerSize])
}

// checkSignature checks the Message-Authenticator of a packet that radius.Parse took, as
// computed with the given authenticator in the header. Two of them are as bad as a wrong one.
func checkSignature(wire []byte, authenticator [16]byte, secret []byte) (ok, present bool) {
	plain := slices.Clone(wire)
	copy(plain[authenticatorAt:], authenticator[:])
	var signature []byte
	for at := headerSize; at < len(wire); at += int(wire[at+1]) {
		if wire[at] != byte(rfc2869.MessageAuthenticator_Type) {
			continue
		}
		if signature != nil || wire[at+1] != 2+signatureSize {
			return false, true
		}
		signature = wire[at+2:][:signatureSize]
		clear(plain[at+2:][:signatureSize])
	}
	if signature == nil {
		return false, false
	}
	mac := hmac.New(md5.New, secret)
	mac.Write(plain)
	return hmac.Equal(mac.Sum(nil), signature), true
}

// answers reports whether a code is one that a request may be answered with.
func answers(answer, request radius.Code) bool {
	switch request {
	case radius.CodeAccessRequest:
		return answer == radius.CodeAccessAccept || answer == radius.CodeAccessReject || answer == radius.CodeAccessChallenge
	case radius.CodeAccountingRequest:
		return answer == radius.CodeAccountingResponse
	case radius.CodeStatusServer:
		return answer == radius.CodeAccessAccept || answer == radius.CodeAccountingResponse
	}
	return false
}
