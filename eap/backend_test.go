package eap

import (
	"time"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

// backend is the server of a method behind an Authenticator, as a RADIUS server
// would be: packets in, packets out.
type backend struct {
	method   Type
	password string
	id       uint8
	refuse   bool // says no in the end, to a right password too
	impostor bool // does not know the password
	naks     []byte

	chap      *chap.Authenticator
	out       ppp.Output
	challenge []byte
	requests  int
}

func (b *backend) request(typ Type, data []byte) []byte {
	b.id++
	return packet(CodeRequest, b.id, typ, data)
}

// answer is the verdict on a packet of the peer.
func (b *backend) answer(req ppp.AuthRequest) ppp.AuthVerdict {
	b.requests++
	v := ppp.AuthVerdict{ID: req.ID}
	var p ppp.Packet
	var m Message
	if _, err := p.Decode(req.EAP); err != nil {
		return v
	}
	if _, err := m.Decode(p.Data); err != nil {
		return v
	}
	b.id = p.ID
	b.out.Reset()
	switch {
	case m.Type == TypeNak:
		b.naks = append([]byte(nil), m.Data...)
		if len(m.Data) == 0 || m.Data[0] == 0 {
			return v
		}
		b.method = Type(m.Data[0])
		v.EAP = b.first()
	case m.Type == TypeIdentity:
		v.EAP = b.first()
	case m.Type == TypeMD5:
		var value chap.Value
		_, err := value.Decode(m.Data)
		v.Accepted = err == nil && !b.refuse && chap.VerifyMD5(&ppp.AuthRequest{
			Method: ppp.AuthCHAPMD5, ID: p.ID, Challenge: b.challenge, Response: value.Value,
		}, ppp.Secret(b.password))
	case len(m.Data) == 1 && m.Data[0] == opSuccess:
		v.Accepted = true
	case len(m.Data) == 1 && m.Data[0] == opFailure:
		v.EAP = (&ppp.Packet{Code: CodeFailure, ID: p.ID}).Append(nil)
	default: // a Response of MS-CHAPv2
		b.chap.Input(m.Data, time.Time{}, &b.out)
		if b.out.Len() == 0 {
			return v
		}
		inner := b.out.At(0).Event.(ppp.AuthRequest)
		verdict := ppp.AuthVerdict{ID: inner.ID, Message: "No"}
		if r, ok := chap.VerifyMSCHAPv2(&inner, chap.NTPasswordHash(b.password)); ok && !b.refuse {
			verdict.Accepted, verdict.AuthenticatorResponse = true, r.AuthenticatorResponse
		}
		if b.impostor {
			verdict.Accepted, verdict.AuthenticatorResponse = true, "S=0000000000000000000000000000000000000000"
		}
		b.out.Reset()
		b.chap.Verdict(verdict, time.Time{}, &b.out)
		v.EAP = b.request(TypeMSCHAPv2, b.out.At(0).Frame[2:])
	}
	return v
}

// first is the method's first request.
func (b *backend) first() []byte {
	switch b.method {
	case TypeMD5:
		b.challenge = []byte("0123456789abcdef")
		v := chap.Value{Value: b.challenge, Name: []byte("server")}
		return b.request(TypeMD5, v.Append(nil))
	case TypeMSCHAPv2:
		b.chap = chap.NewAuthenticator(chap.AuthenticatorConfig{Name: "server"})
		b.chap.Start(time.Time{}, &b.out)
		return b.request(TypeMSCHAPv2, b.out.At(0).Frame[2:])
	}
	return b.request(b.method, []byte{0x20}) // such as the Start of EAP-TLS
}
