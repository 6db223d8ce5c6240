package eap

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

func account(password string) *User {
	return &User{NTHash: chap.NTPasswordHash(password), Secret: ppp.Secret(password)}
}

// serverExchange is an exchange whose other end is a Server.
type serverExchange struct {
	*exchange
	server   *Server
	users    map[string]*User
	verdicts []Verdict
}

func newServerExchange(t *testing.T, password string, methods ...ServerMethod) *serverExchange {
	e := &serverExchange{
		exchange: newExchange(0, password),
		server:   &Server{Methods: methods},
		users:    map[string]*User{"alice": account("right")},
	}
	e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		v := e.server.Next(&req, e.users[req.Name])
		require.False(t, v.Continue && v.Accepted)
		e.verdicts = append(e.verdicts, v)
		return v.AuthVerdict
	}
	return e
}

// last is the verdict that ended it.
func (e *serverExchange) last() Verdict { return e.verdicts[len(e.verdicts)-1] }

// framesOf lists what a role has sent, in hexadecimal.
func framesOf(out *ppp.Output) (list []string) {
	for i := range out.Len() {
		if a := out.At(i); a.Event == nil {
			list = append(list, fmt.Sprintf("%x", a.Frame))
		}
	}
	return list
}

// Each method, when any one packet is lost.
func TestServer(t *testing.T) {
	for _, c := range []struct {
		method  ServerMethod
		packets int
	}{{&MSCHAPv2Server{Name: "gateway"}, 7}, {&MD5Server{Name: "gateway"}, 5}} {
		for lost := -1; lost < c.packets; lost++ {
			e := newServerExchange(t, "right", c.method)
			e.Lose = func(n int) bool { return n == lost }
			e.Run(2 * time.Second)
			require.Equal(t, ppp.SignalUp, e.AuthSig, "%T without packet %d", c.method, lost)
			if lost == c.packets-1 { // the Success, which is not repeated
				require.Equal(t, ppp.SignalUp, e.Peer.Presume(e.Now, &e.PeerOut))
			} else {
				require.Equal(t, ppp.SignalUp, e.PeerSig, "%T without packet %d", c.method, lost)
			}
			require.Len(t, e.verdicts, c.packets/2)
			for _, v := range e.verdicts[:len(e.verdicts)-1] {
				require.True(t, v.Continue)
				require.Nil(t, v.Proof)
			}
			hashHash, response, ok := e.mschapv2.KeyMaterial()
			require.Equal(t, ok, e.last().Proof != nil)
			require.Equal(t, c.method.Type() == TypeMSCHAPv2, ok)
			if ok {
				require.Equal(t, hashHash, e.last().Proof.HashHash)
				require.Equal(t, response, e.last().Proof.NTResponse)
			}
		}
	}
}

// The name of the server is in its challenges, as far as it fits.
func TestServerName(t *testing.T) {
	for _, m := range []ServerMethod{
		&MSCHAPv2Server{Name: strings.Repeat("n", 300)}, &MD5Server{Name: strings.Repeat("n", 300)},
	} {
		data := m.Begin(1).Request
		require.True(t, bytes.HasSuffix(data, bytes.Repeat([]byte("n"), 255)))
		require.Less(t, len(data), 255+30)
		other := m.Begin(1).Request
		require.NotEqual(t, data, other, "challenges differ")
	}
}

func TestServerRefuses(t *testing.T) {
	e := newServerExchange(t, "wrong")
	e.Run(time.Second)
	require.ErrorIs(t, e.Auth.Err(), ErrRefused)
	var f *chap.FailureError
	require.ErrorAs(t, e.Peer.Err(), &f)
	require.Equal(t, chap.FailureError{Code: 691, Message: "authentication failure"}, *f)
	require.Equal(t, 691, e.last().ErrorCode)
	require.Equal(t, 7, e.Sent, "the Failure is confirmed, then there is EAP's")

	e = newServerExchange(t, "wrong", new(MD5Server))
	e.Run(time.Second)
	require.ErrorIs(t, e.Auth.Err(), ErrRefused)
	require.ErrorIs(t, e.Peer.Err(), ErrRefused)
	require.Equal(t, 691, e.last().ErrorCode)

	// A right password does not help whom the owner refuses.
	for _, m := range []ServerMethod{new(MSCHAPv2Server), new(MD5Server)} {
		for password, code := range map[string]chap.ErrorCode{"right": chap.PasswordExpired, "wrong": chap.AuthenticationFailure} {
			e = newServerExchange(t, password, m)
			e.users["alice"].Refusal, e.users["alice"].Message = chap.PasswordExpired, "Too old"
			e.Run(time.Second)
			require.Equal(t, ppp.SignalFinished, e.AuthSig&ppp.SignalFinished)
			require.Equal(t, int(code), e.last().ErrorCode)
			require.Equal(t, code == chap.PasswordExpired, e.last().Message == "Too old")
			if m.Type() == TypeMSCHAPv2 {
				require.ErrorAs(t, e.Peer.Err(), &f)
				require.Equal(t, code, f.Code)
				require.False(t, f.Retry)
			}
		}
	}
}

// Nothing that a peer is sent tells whether there is a user of its name, nor
// does any secret that it may guess for one that is not there.
func TestServerHidesUsers(t *testing.T) {
	fixed := func(b []byte) { copy(b, "0123456789abcdef") }
	for _, m := range []ServerMethod{&MSCHAPv2Server{Rand: fixed}, &MD5Server{Rand: fixed}} {
		sent := make(map[string][]string)
		for name, u := range map[string]*User{"known": account("right"), "nobody": nil, "no secrets": {}} {
			e := newServerExchange(t, "wrong", m)
			e.users["alice"] = u
			e.Run(time.Second)
			require.Equal(t, ppp.SignalFinished, e.AuthSig)
			sent[name] = framesOf(&e.AuthOut)
		}
		require.Equal(t, sent["known"], sent["nobody"])
		require.Equal(t, sent["known"], sent["no secrets"])
	}
	for _, u := range []*User{nil, {}} {
		e := newServerExchange(t, "")
		e.mschapv2 = NewMSCHAPv2(chap.PeerConfig{Name: "alice", NTHash: chap.NTHash{}})
		e.Peer = NewPeer(PeerConfig{Name: "alice", Methods: []Method{e.mschapv2}})
		e.users["alice"] = u
		e.Run(time.Second)
		require.Equal(t, ppp.SignalFinished, e.AuthSig, "zero is no hash")

		e = newServerExchange(t, "", new(MD5Server))
		e.users["alice"] = u
		e.Run(time.Second)
		require.Equal(t, ppp.SignalFinished, e.AuthSig, "nothing is no secret")
	}
}

// A Nak leads to the next method that the peer names, and to none twice.
func TestServerNak(t *testing.T) {
	only := func(e *serverExchange, m ...Method) { e.Peer = NewPeer(PeerConfig{Name: "alice", Methods: m}) }
	e := newServerExchange(t, "right")
	only(e, NewMD5("alice", ppp.Secret("right")))
	e.Run(time.Second)
	require.Equal(t, ppp.SignalUp, e.AuthSig)
	require.Equal(t, ppp.SignalUp, e.PeerSig)
	require.Equal(t, byte(TypeMSCHAPv2), e.verdicts[0].EAP[4])
	require.Equal(t, byte(TypeMD5), e.verdicts[1].EAP[4])
	require.Nil(t, e.last().Proof)

	e = newServerExchange(t, "right", new(MD5Server), new(MSCHAPv2Server))
	only(e, e.mschapv2)
	e.Run(time.Second)
	require.Equal(t, ppp.SignalUp, e.PeerSig)
	require.NotNil(t, e.last().Proof)

	for _, methods := range [][]Method{nil, {NewMD5("alice", nil)}} {
		e = newServerExchange(t, "right", new(MSCHAPv2Server))
		only(e, methods...)
		e.Run(time.Second)
		require.Len(t, e.verdicts, 2)
		require.ErrorIs(t, e.Auth.Err(), ErrRefused)
		require.ErrorIs(t, e.Peer.Err(), ErrRefused)
	}

	// The types are tried in the server's order, however the peer has them.
	s := &Server{Methods: []ServerMethod{new(MSCHAPv2Server), new(MD5Server), new(MSCHAPv2Server)}}
	v := s.Next(request(1, TypeIdentity, nil, nil), nil)
	v = s.Next(request(2, TypeNak, []byte{26, 13, 4}, v.State), nil)
	require.Equal(t, byte(TypeMD5), v.EAP[4])
	v = s.Next(request(3, TypeNak, []byte{4, 26}, v.State), nil)
	require.Equal(t, byte(TypeMSCHAPv2), v.EAP[4])
	v = s.Next(request(4, TypeNak, []byte{4, 26}, v.State), nil)
	require.False(t, v.Continue)
}

func request(id uint8, typ Type, data []byte, state any) *ppp.AuthRequest {
	return &ppp.AuthRequest{
		Method: ppp.AuthEAP, ID: id, Name: "alice", State: state, EAP: packet(CodeResponse, id, typ, data),
	}
}

// responseTo answers a challenge of MS-CHAPv2.
func responseTo(v Verdict, password string) []byte {
	m := NewMSCHAPv2(chap.PeerConfig{Name: "alice", NTHash: chap.NTPasswordHash(password)})
	m.Start()
	data, _ := m.Request(0, v.EAP[5:])
	return data
}

// What is not the answer to what was asked is refused, whoever it comes from.
func TestServerRefusesNonsense(t *testing.T) {
	s := new(Server)
	user := account("right")
	begun := s.Next(request(1, TypeIdentity, nil, nil), user)
	response := responseTo(begun, "right")
	told := s.Next(request(2, TypeMSCHAPv2, response, begun.State), user)
	require.True(t, told.Continue)
	md5 := (&Server{Methods: []ServerMethod{new(MD5Server)}}).Next(request(1, TypeIdentity, nil, nil), user)
	longName := append(slices.Clone(response), make([]byte, 256)...)
	for name, req := range map[string]*ppp.AuthRequest{
		"no packet":                     {EAP: nil},
		"a Request":                     {EAP: packet(CodeRequest, 1, TypeIdentity, nil)},
		"no type":                       {EAP: []byte{2, 1, 0, 4}},
		"a method before its beginning": request(1, TypeMSCHAPv2, response, nil),
		"a Nak before any method":       request(1, TypeNak, []byte{4}, nil),
		"another's state":               request(1, TypeMSCHAPv2, response, "state"),
		"the identity within a method":  request(2, TypeIdentity, []byte("bob"), begun.State),
		"another method":                request(2, TypeMD5, make([]byte, 17), begun.State),
		"a method that is not there":    request(2, TypeMSCHAPv2, response, serverState{method: 2}),
		"the inner state of another":    request(2, TypeMSCHAPv2, response, serverState{inner: md5.State.(serverState).inner}),
		"no data":                       request(2, TypeMSCHAPv2, nil, begun.State),
		"a short response":              request(2, TypeMSCHAPv2, response[:53], begun.State),
		"no value":                      request(2, TypeMSCHAPv2, response[:4], begun.State),
		"a long name":                   request(2, TypeMSCHAPv2, longName, begun.State),
		"a success before the response": request(2, TypeMSCHAPv2, []byte{opSuccess}, begun.State),
		"a failure after the success":   request(3, TypeMSCHAPv2, []byte{opFailure}, told.State),
		"a Nak within a method":         request(3, TypeNak, []byte{4}, told.State),
		"MD5 without a value":           request(2, TypeMD5, nil, md5.State),
		"MD5 without a challenge":       request(2, TypeMD5, make([]byte, 17), serverState{method: 1}),
	} {
		v := s.Next(req, user)
		require.False(t, v.Continue || v.Accepted, name)
		require.Nil(t, v.EAP, name)
		require.Nil(t, v.Proof, name)
		require.Equal(t, 691, v.ErrorCode, name)
	}

	// What is in a packet twice is taken from EAP.
	odd := slices.Clone(response)
	odd[1], odd[2], odd[3] = 99, 0, 0
	require.True(t, s.Next(request(2, TypeMSCHAPv2, odd, begun.State), user).Continue)
	// A round may be asked about again.
	require.Equal(t, told, s.Next(request(2, TypeMSCHAPv2, response, begun.State), user))
	require.True(t, s.Next(request(3, TypeMSCHAPv2, []byte{opSuccess, 0}, told.State), user).Accepted)
	// A failure stays one.
	failed := s.Next(request(2, TypeMSCHAPv2, responseTo(begun, "wrong"), begun.State), user)
	require.True(t, failed.Continue)
	require.False(t, s.Next(request(3, TypeMSCHAPv2, []byte{opSuccess}, failed.State), user).Accepted)
}

// What becomes of the user between two rounds counts.
func TestServerHeedsChanges(t *testing.T) {
	for name, u := range map[string]*User{
		"is gone": nil, "password": account("another"), "expired": {NTHash: account("right").NTHash, Refusal: 648},
	} {
		e := newServerExchange(t, "right")
		judge := e.Judge
		e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
			if len(e.verdicts) == 2 {
				e.users["alice"] = u
			}
			return judge(req)
		}
		e.Run(time.Second)
		require.Len(t, e.verdicts, 3)
		require.Equal(t, ppp.SignalFinished, e.AuthSig, name)
		require.Nil(t, e.last().Proof, name)
	}
}

func TestServerReauthenticates(t *testing.T) {
	e := newServerExchange(t, "right")
	e.Auth.cfg.Reauthenticate = 10 * time.Second
	e.Run(time.Second)
	for range 3 {
		e.AuthSig, e.PeerSig = 0, 0
		e.GoOn(e.Auth.Deadline().Sub(ppptest.Start) + time.Second)
		require.Equal(t, ppp.SignalUp, e.AuthSig)
		require.Equal(t, ppp.SignalUp, e.PeerSig)
	}
	require.Len(t, e.verdicts, 12)
}

// The state is what was on the wire: a recording of it gives nothing away that
// the wire does not.
func TestServerStateHoldsNoSecret(t *testing.T) {
	user := account("right")
	s := new(Server)
	v := s.Next(request(1, TypeIdentity, nil, nil), user)
	v = s.Next(request(2, TypeMSCHAPv2, responseTo(v, "right"), v.State), user)
	state := v.State.(serverState).inner.(mschapv2State)
	state.told.Challenge, state.told.PeerChallenge, state.told.Response, state.challenge = nil, nil, nil, nil
	require.Equal(t, mschapv2State{id: 2, told: &ppp.AuthRequest{Method: ppp.AuthMSCHAPv2, Name: "alice"}}, state)
}
