package eap

import (
	"crypto/rand"
	"slices"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

// User is what a Server is told of a user.
type User struct {
	// NTHash is what EAP-MSCHAPv2 needs. Zero is none: no response is right.
	NTHash chap.NTHash
	// Secret is the password in clear, for MD5-Challenge only. Nil is none: no
	// response is right.
	Secret ppp.Secret
	// Refusal refuses whoever knows the password, as chap.PasswordExpired
	// does. Zero does not. Message is for the user's eyes then.
	Refusal chap.ErrorCode
	Message string
}

// judge is the refusal of a user whose proof was good or not, zero if there is
// none.
func (u *User) judge(good bool) chap.ErrorCode {
	if !good {
		return chap.AuthenticationFailure
	}
	return u.Refusal
}

// ServerMethod is an EAP method in the role of the server. It is used for any
// number of peers at once: what it must remember of one travels in the State of
// a Step.
type ServerMethod interface {
	Type() Type
	// Begin makes the first Request, whose identifier will be id.
	Begin(id uint8) Step
	// Respond judges a Response of the method's type.
	Respond(r *Response) Step
}

// Response is one that a ServerMethod is to judge.
type Response struct {
	ID    uint8 // of the Response, and of the Request that it answers
	Data  []byte
	State any // of the Step that made that Request
	// User is never nil. What a user does not have is random in it, as all of
	// an unknown user is.
	User *User
}

// Step is what a ServerMethod does: a Request, a success or a refusal.
type Step struct {
	Request []byte // the data of the next one; nil: it is over
	State   any    // comes back with the Response
	// Accepted is the good end. Proof is there if it yields keys for MPPE.
	Accepted bool
	Proof    *chap.MSCHAPv2Result
	// ErrorCode is why the peer is refused; zero means 691.
	ErrorCode chap.ErrorCode
}

// Server is the far end of the methods, for an owner that has the users in a
// store of its own: it answers the AuthRequests of an Authenticator. It keeps
// nothing between them but what is in AuthVerdict.State, which holds no secret,
// so one Server does for all peers and from any goroutine.
type Server struct {
	// Methods are proposed in this order, to every user alike, each to a peer
	// that named it when it refused the one before. Empty: EAP-MSCHAPv2 and
	// then MD5-Challenge.
	Methods []ServerMethod
}

var defaultMethods = []ServerMethod{new(MSCHAPv2Server), new(MD5Server)}

// Verdict is a Server's answer to an AuthRequest.
type Verdict struct {
	ppp.AuthVerdict
	// Continue says that there is no decision yet: the answer to the Request
	// in EAP is another AuthRequest.
	Continue bool
	// Proof is of an accepted peer, what MPPE keys are derived from. It is nil
	// after MD5-Challenge, which gives none.
	Proof *chap.MSCHAPv2Result
}

// serverState is the State of a Verdict.
type serverState struct {
	method int // its index
	begun  bool
	inner  any // the method's own
}

// Next answers a request. user is the one whom req.Name names, in every round;
// nil is no such user, which the peer cannot tell from a wrong password.
func (s *Server) Next(req *ppp.AuthRequest, user *User) Verdict {
	var p ppp.Packet
	var m Message
	refusal := Verdict{AuthVerdict: ppp.AuthVerdict{
		ID: req.ID, ErrorCode: int(chap.AuthenticationFailure), Message: chap.AuthenticationFailure.String(),
	}}
	if _, err := p.Decode(req.EAP); err != nil || p.Code != CodeResponse {
		return refusal
	}
	if _, err := m.Decode(p.Data); err != nil {
		return refusal
	}
	state, running := req.State.(serverState)
	methods := s.Methods
	if len(methods) == 0 {
		methods = defaultMethods
	}
	next := -1 // the method to begin
	switch {
	case !running && m.Type == TypeIdentity:
		next = 0
	case !running || state.method >= len(methods):
		return refusal
	case m.Type == TypeNak && !state.begun:
		// RFC 3748 §5.3.1: that is for the first Request of a method only.
		next = slices.IndexFunc(methods[state.method+1:], func(o ServerMethod) bool {
			return slices.Contains(m.Data, byte(o.Type()))
		})
		if next < 0 {
			return refusal
		}
		next += state.method + 1
	case m.Type != methods[state.method].Type():
		return refusal
	}
	var step Step
	user = complete(user)
	if next >= 0 {
		state = serverState{method: next}
		step = methods[next].Begin(p.ID + 1)
	} else {
		state.begun = true
		step = methods[state.method].Respond(&Response{ID: p.ID, Data: m.Data, State: state.inner, User: user})
	}
	v := Verdict{AuthVerdict: ppp.AuthVerdict{ID: req.ID}}
	switch {
	case step.Request != nil:
		state.inner = step.State
		v.Continue, v.State = true, state
		v.EAP = packet(CodeRequest, p.ID+1, methods[state.method].Type(), step.Request)
	case step.Accepted:
		v.Accepted, v.Proof = true, step.Proof
	case step.ErrorCode == 0 || step.ErrorCode == chap.AuthenticationFailure:
		return refusal
	default:
		v.ErrorCode, v.Message = int(step.ErrorCode), user.message(step.ErrorCode)
	}
	return v
}

// message is what the user is told about a refusal.
func (u *User) message(code chap.ErrorCode) string {
	if code == u.Refusal && u.Message != "" {
		return u.Message[:min(len(u.Message), maxMessage)]
	}
	return code.String()
}

// maxMessage bounds the text for the user, in octets, so that a packet fits
// wherever EAP does.
const maxMessage = 255

// complete returns a user with random secrets in place of those that there are
// not: nobody proves to know them, and it takes as long to find out.
func complete(user *User) *User {
	var u User
	if user != nil {
		u = *user
	}
	if u.NTHash == (chap.NTHash{}) {
		rand.Read(u.NTHash[:]) // never fails
	}
	if u.Secret == nil {
		u.Secret = random(nil, len(u.NTHash))
	}
	return &u
}

// random returns n octets. fill is for tests; nil is crypto/rand.
func random(fill func([]byte), n int) []byte {
	b := make([]byte, n)
	if fill == nil {
		rand.Read(b) // never fails
	} else {
		fill(b)
	}
	return b
}
