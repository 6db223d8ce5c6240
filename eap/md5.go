package eap

import (
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

// MD5 is MD5-Challenge in the role of the peer (RFC 2284 §3.4): CHAP-MD5, with
// its weakness. It answers any server, which proves nothing.
type MD5 struct {
	name     string
	secret   ppp.Secret
	answered bool
}

var _ Method = (*MD5)(nil)

// NewMD5 returns the method. The secret is not copied.
func NewMD5(name string, secret ppp.Secret) *MD5 { return &MD5{name: name, secret: secret} }

// Type implements Method.
func (*MD5) Type() Type { return TypeMD5 }

// Start implements Method.
func (m *MD5) Start() { m.answered = false }

// Request implements Method.
func (m *MD5) Request(id uint8, data []byte) (response []byte, err error) {
	var v chap.Value
	if _, err := v.Decode(data); err != nil {
		return nil, nil
	}
	sum := chap.MD5Response(id, m.secret, v.Value)
	m.answered = true
	v = chap.Value{Value: sum[:], Name: []byte(m.name)}
	return v.Append(nil), nil
}

// Succeeded implements Method.
func (m *MD5) Succeeded() bool { return m.answered }

// Err implements Method.
func (*MD5) Err() error { return nil }

// Wipe overwrites the octets of the secret.
func (m *MD5) Wipe() { m.secret.Wipe() }

// MD5Server is MD5-Challenge in the role of the server. It yields no keys for
// MPPE.
type MD5Server struct {
	// Name is ours, sent with the challenge. At most 255 octets are sent.
	Name string
	// Rand fills a challenge. Default crypto/rand.
	Rand func([]byte)
}

var _ ServerMethod = (*MD5Server)(nil)

// Type implements ServerMethod.
func (*MD5Server) Type() Type { return TypeMD5 }

// Begin implements ServerMethod.
func (m *MD5Server) Begin(uint8) Step {
	v := chap.Value{Value: random(m.Rand, challengeLen), Name: cut(m.Name)}
	return Step{Request: v.Append(nil), State: v.Value}
}

// Respond implements ServerMethod.
func (*MD5Server) Respond(r *Response) Step {
	var v chap.Value
	challenge, _ := r.State.([]byte)
	_, err := v.Decode(r.Data)
	good := err == nil && chap.VerifyMD5(&ppp.AuthRequest{
		Method: ppp.AuthCHAPMD5, ID: r.ID, Challenge: challenge, Response: v.Value,
	}, r.User.Secret)
	code := r.User.judge(good)
	return Step{Accepted: code == 0, ErrorCode: code}
}
