package eap

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

type exchange struct {
	*ppptest.Exchange[*Authenticator, *Peer]
	mschapv2 *MSCHAPv2 // of the peer
	backend  *backend
}

// newExchange offers EAP-MSCHAPv2 and MD5, the server begins with method.
func newExchange(method Type, password string) *exchange {
	m := NewMSCHAPv2(chap.PeerConfig{Name: "alice", NTHash: chap.NTPasswordHash(password)})
	e := &exchange{
		ppptest.NewExchange(
			NewAuthenticator(AuthenticatorConfig{Prompt: "Who?"}),
			NewPeer(PeerConfig{Name: "alice", Methods: []Method{m, NewMD5("alice", ppp.Secret(password))}}),
		),
		m,
		&backend{method: method, password: "right"},
	}
	e.Judge = e.backend.answer
	return e
}

func TestMessages(t *testing.T) {
	var m Message
	_, err := m.Decode(nil)
	require.ErrorIs(t, err, ErrNoType)
	n, err := m.Decode([]byte{1, 'a', 'b'})
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, Message{Type: TypeIdentity, Data: []byte("ab")}, m)
	require.Equal(t, []byte{1, 'a', 'b'}, m.Append(nil))
	for typ := range Type(30) {
		require.NotEmpty(t, typ.String())
	}
}

func TestMethods(t *testing.T) {
	for method, packets := range map[Type]int{TypeMSCHAPv2: 7, TypeMD5: 5} {
		for lost := -1; lost < packets; lost++ {
			e := newExchange(method, "right")
			e.Lose = func(n int) bool { return n == lost }
			e.Run(2 * time.Second)
			require.Equal(t, ppp.SignalUp, e.AuthSig, "%v without packet %d", method, lost)
			if lost == packets-1 {
				// The Success is not repeated.
				require.Zero(t, e.PeerSig)
				require.Equal(t, ppp.SignalUp, e.Peer.Presume(e.Now, &e.PeerOut))
				require.Zero(t, e.Peer.Presume(e.Now, &e.PeerOut), "once")
			} else {
				require.Equal(t, ppp.SignalUp, e.PeerSig, "%v without packet %d", method, lost)
			}
			require.Len(t, e.Requests, packets/2, "nothing is asked twice")
			for _, req := range e.Requests {
				require.Equal(t, ppp.AuthEAP, req.Method)
				require.Equal(t, "alice", req.Name)
				require.Equal(t, req.ID, req.EAP[1])
			}
			if lost < 0 {
				require.Equal(t, packets, e.Sent)
			}
			require.True(t, e.Auth.Deadline().IsZero())
			hashHash, _, ok := e.mschapv2.KeyMaterial()
			require.Equal(t, method == TypeMSCHAPv2, ok)
			if ok {
				require.Equal(t, chap.NTPasswordHash("right").HashHash(), hashHash)
				e.mschapv2.Wipe()
				_, _, ok = e.mschapv2.KeyMaterial()
				require.False(t, ok)
			}
		}
	}
}

func TestWrongPassword(t *testing.T) {
	e := newExchange(TypeMSCHAPv2, "wrong")
	e.Run(time.Second)
	require.Equal(t, ppp.SignalFinished, e.AuthSig)
	require.ErrorIs(t, e.Auth.Err(), ErrRefused)
	require.Equal(t, ppp.SignalFinished, e.PeerSig)
	var f *chap.FailureError
	require.ErrorAs(t, e.Peer.Err(), &f)
	require.Equal(t, "No", f.Message)

	e = newExchange(TypeMD5, "wrong")
	e.Run(time.Second)
	require.Equal(t, ppp.SignalFinished, e.AuthSig)
	require.Equal(t, ppp.SignalFinished, e.PeerSig)
	require.ErrorIs(t, e.Peer.Err(), ErrRefused)
}

func TestServerMustProveItself(t *testing.T) {
	e := newExchange(TypeMSCHAPv2, "right")
	e.backend.impostor = true
	e.Run(time.Second)
	require.Equal(t, ppp.SignalFinished, e.PeerSig)
	require.ErrorIs(t, e.Peer.Err(), chap.ErrAuthenticatorResponse)
	require.Zero(t, e.Peer.Presume(e.Now, &e.PeerOut))
}

// A server that prefers what we do not have is told what we do.
func TestNak(t *testing.T) {
	e := newExchange(TypeTLS, "right")
	e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		if len(e.Requests) > 1 {
			require.Equal(t, len(e.Requests)-1, req.State)
		} else {
			require.Nil(t, req.State)
		}
		v := e.backend.answer(req)
		v.State = len(e.Requests)
		return v
	}
	e.Run(time.Second)
	require.Equal(t, []byte{26, 4}, e.backend.naks)
	require.Equal(t, ppp.SignalUp, e.AuthSig)
	require.Equal(t, ppp.SignalUp, e.PeerSig)

	e = newExchange(TypeTLS, "right")
	e.Peer = NewPeer(PeerConfig{Name: "alice"})
	e.Run(time.Second)
	require.Equal(t, []byte{0}, e.backend.naks)
	require.Equal(t, ppp.SignalFinished, e.AuthSig)
	require.Equal(t, ppp.SignalFinished, e.PeerSig)
}

// A Success is worth nothing before the method's own.
func TestCannedSuccess(t *testing.T) {
	e := newExchange(TypeMSCHAPv2, "right")
	e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict { return ppp.AuthVerdict{ID: req.ID, Accepted: true} }
	e.Run(time.Second)
	require.Equal(t, ppp.SignalUp, e.AuthSig)
	require.Zero(t, e.PeerSig)
	require.Zero(t, e.Peer.Presume(e.Now, &e.PeerOut))

	// Within the method neither; nor may the server change to a weaker one.
	e = newExchange(TypeMSCHAPv2, "right")
	e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		v := e.backend.answer(req)
		if e.backend.requests == 2 {
			e.backend.method, e.backend.id = TypeMD5, req.ID
			v.EAP = e.backend.first()
		}
		return v
	}
	e.Run(2 * time.Second)
	require.Len(t, e.Requests, 2)
	success := ppp.Packet{Code: CodeSuccess, ID: e.Peer.id}
	require.Zero(t, e.Peer.Input(success.Append(nil), e.Now, &e.PeerOut))
	require.Zero(t, e.PeerSig)
}

// Identifiers of the end: of the response, or counted on.
func TestSuccessIdentifier(t *testing.T) {
	for offset := range uint8(4) {
		e := newExchange(TypeMD5, "right")
		e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
			v := e.backend.answer(req)
			if v.Accepted {
				p := ppp.Packet{Code: CodeSuccess, ID: req.ID + offset}
				v.EAP = p.Append(nil)
			}
			return v
		}
		e.Run(time.Second)
		require.Equal(t, offset < 2, e.PeerSig == ppp.SignalUp, offset)
	}
}

// The verdict decides what is told, whatever its packet says.
func TestVerdictPackets(t *testing.T) {
	request := packet(CodeRequest, 77, TypeMD5, []byte{1, 2})
	end := func(code ppp.Code, id uint8) []byte { return (&ppp.Packet{Code: code, ID: id}).Append(nil) }
	for name, c := range map[string]struct {
		v    ppp.AuthVerdict
		want []byte
		sig  ppp.Signal
	}{
		"accepted":                    {ppp.AuthVerdict{Accepted: true}, end(CodeSuccess, 1), ppp.SignalUp},
		"accepted, its own":           {ppp.AuthVerdict{Accepted: true, EAP: end(CodeSuccess, 9)}, end(CodeSuccess, 9), ppp.SignalUp},
		"accepted, but a Failure":     {ppp.AuthVerdict{Accepted: true, EAP: end(CodeFailure, 9)}, end(CodeSuccess, 1), ppp.SignalUp},
		"accepted, but a Request":     {ppp.AuthVerdict{Accepted: true, EAP: request}, end(CodeSuccess, 1), ppp.SignalUp},
		"refused":                     {ppp.AuthVerdict{}, end(CodeFailure, 1), ppp.SignalFinished},
		"refused, its own":            {ppp.AuthVerdict{EAP: end(CodeFailure, 9)}, end(CodeFailure, 9), ppp.SignalFinished},
		"refused, but a Success":      {ppp.AuthVerdict{EAP: end(CodeSuccess, 9)}, end(CodeFailure, 1), ppp.SignalFinished},
		"refused, nonsense":           {ppp.AuthVerdict{EAP: []byte{1, 2, 3}}, end(CodeFailure, 1), ppp.SignalFinished},
		"refused, an untyped Request": {ppp.AuthVerdict{EAP: end(CodeRequest, 9)}, end(CodeFailure, 1), ppp.SignalFinished},
		"going on":                    {ppp.AuthVerdict{EAP: append(bytes.Clone(request), "padding"...)}, request, 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := NewAuthenticator(AuthenticatorConfig{})
			var out ppp.Output
			a.Start(ppptest.Start, &out)
			a.Input(packet(CodeResponse, a.id, TypeIdentity, []byte("alice")), ppptest.Start, &out)
			c.v.ID = a.id
			stale := c.v
			stale.ID++
			require.Zero(t, a.Verdict(stale, ppptest.Start, &out))
			require.Equal(t, c.sig, a.Verdict(c.v, ppptest.Start, &out))
			require.Equal(t, 3, out.Len())
			require.Equal(t, c.want, out.At(2).Frame[2:])
			require.Zero(t, a.Verdict(c.v, ppptest.Start, &out), "once")

			// The peer that repeats itself hears the end again.
			a.Input(packet(CodeResponse, 1, TypeIdentity, []byte("alice")), ppptest.Start, &out)
			require.Equal(t, c.sig != 0, out.Len() == 4)
		})
	}
}

func TestOddPacketsAreIgnored(t *testing.T) {
	a := NewAuthenticator(AuthenticatorConfig{})
	var out ppp.Output
	a.Start(ppptest.Start, &out)
	for _, b := range [][]byte{
		{},
		{2, 1, 0},
		(&ppp.Packet{Code: CodeResponse, ID: 1}).Append(nil),
		packet(CodeRequest, 1, TypeIdentity, nil),
		packet(CodeResponse, 2, TypeIdentity, nil),
		packet(CodeResponse, 1, TypeMD5, []byte{1, 1}),
		packet(CodeResponse, 1, TypeIdentity, make([]byte, 256)),
		{3, 1, 0, 4},
	} {
		require.Zero(t, a.Input(b, ppptest.Start, &out))
	}
	require.Equal(t, 1, out.Len())
	require.Zero(t, a.Verdict(ppp.AuthVerdict{ID: 1, Accepted: true}, ppptest.Start, &out))

	e := newExchange(TypeMD5, "right")
	p := e.Peer
	p.Start(ppptest.Start, &out)
	out.Reset()
	for _, b := range [][]byte{
		{},
		{1, 1, 0},
		(&ppp.Packet{Code: CodeRequest, ID: 1}).Append(nil),
		(&ppp.Packet{Code: CodeSuccess, ID: 0}).Append(nil),
		packet(CodeRequest, 1, TypeNak, []byte{4}),
		packet(CodeRequest, 1, TypeMD5, nil),
		packet(CodeRequest, 1, TypeMSCHAPv2, []byte{1, 2}),
		packet(CodeRequest, 1, TypeMSCHAPv2, []byte{1, 2, 0, 4}),
		packet(CodeRequest, 1, TypeMSCHAPv2, []byte("\x03\x02\x00\x2eS=407A5589115FD0D6209F510FE9C04566932CDA56")),
		packet(CodeResponse, 1, TypeIdentity, nil),
	} {
		require.Zero(t, p.Input(b, ppptest.Start, &out), "% x", b)
	}
	require.Zero(t, out.Len())

	// A refusal may come before anything else.
	require.Equal(t, ppp.SignalFinished, p.Input([]byte{4, 9, 0, 4}, ppptest.Start, &out))
	require.ErrorIs(t, p.Err(), ErrRefused)
}

// The length in EAP-MSCHAPv2 is not always right.
func TestMSCHAPv2Length(t *testing.T) {
	for _, length := range []byte{0, 5, 255} {
		m := NewMSCHAPv2(chap.PeerConfig{Name: "alice"})
		m.Start()
		response, err := m.Request(1, append([]byte{1, 7, 0, length, 16}, "0123456789abcdefserver"...))
		require.NoError(t, err)
		require.Equal(t, []byte{2, 7, 0, 59, 49}, response[:5])
		require.Equal(t, "alice", string(response[54:]))
	}
}

// pppd counts the method's own identifier on with EAP's, where the verdict should
// have that of the challenge.
func TestMSCHAPv2IdentifierOfPPPD(t *testing.T) {
	for _, password := range []string{"right", "wrong"} {
		server, user := &MSCHAPv2Server{Name: "pptpd"}, account("right")
		m := NewMSCHAPv2(chap.PeerConfig{Name: "alice", NTHash: chap.NTPasswordHash(password)})
		m.Start()
		begun := server.Begin(0xa0)
		response, err := m.Request(0xa0, begun.Request)
		require.NoError(t, err)
		verdict := server.Respond(&Response{Data: response, User: user, State: begun.State}).Request
		verdict[1]++
		response, err = m.Request(0xa1, verdict)
		require.NoError(t, err)
		if password == "right" {
			require.Equal(t, []byte{opSuccess}, response)
			require.True(t, m.Succeeded())
			continue
		}
		require.Equal(t, []byte{opFailure}, response)
		var refusal *chap.FailureError
		require.ErrorAs(t, m.Err(), &refusal)
	}
}

func TestNotification(t *testing.T) {
	e := newExchange(TypeMD5, "right")
	e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		if len(e.Requests) == 1 {
			return ppp.AuthVerdict{ID: req.ID, EAP: packet(CodeRequest, req.ID+1, TypeNotification, []byte("Soon"))}
		}
		if len(e.Requests) == 2 {
			require.Equal(t, packet(CodeResponse, req.ID, TypeNotification, nil), req.EAP)
			req.EAP = packet(CodeResponse, req.ID, TypeIdentity, nil)
		}
		return e.backend.answer(req)
	}
	e.Run(time.Second)
	require.Equal(t, []ppp.Event{Notification{Message: "Soon"}}, e.Events)
	require.Equal(t, ppp.SignalUp, e.PeerSig)
}

func TestNobodyAnswers(t *testing.T) {
	e := newExchange(TypeMD5, "right")
	e.Lose = func(int) bool { return true }
	e.Run(60 * time.Second)
	require.Equal(t, DefaultMaxTransmit, e.Sent)
	require.Equal(t, ppp.SignalFinished, e.AuthSig)
	require.ErrorIs(t, e.Auth.Err(), ErrTimeout)
	require.Zero(t, e.Auth.Input(packet(CodeResponse, e.Auth.id, TypeIdentity, nil), e.Now, &e.AuthOut))
	require.Len(t, e.Requests, 0, "too late")
	require.True(t, e.Peer.Deadline().IsZero())
}

func TestSlowVerdict(t *testing.T) {
	e := newExchange(TypeMD5, "right")
	judge := e.Judge
	e.Judge = nil
	e.Run(10 * time.Second)
	require.Len(t, e.Requests, 1)
	require.Equal(t, 2, e.Sent, "no request is out, so none is repeated")
	e.Judge = judge
	e.AuthSig |= e.Auth.Verdict(judge(e.Requests[0]), e.Now, &e.AuthOut)
	e.GoOn(11 * time.Second)
	require.Equal(t, ppp.SignalUp, e.AuthSig)
	require.Equal(t, ppp.SignalUp, e.PeerSig)
}

func TestReauthentication(t *testing.T) {
	newReauth := func(method Type) *exchange {
		e := newExchange(method, "right")
		e.Auth.cfg.Reauthenticate = 10 * time.Second
		e.Run(time.Second)
		require.Equal(t, ppp.SignalUp, e.AuthSig)
		require.Equal(t, ppp.SignalUp, e.PeerSig)
		e.AuthSig, e.PeerSig = 0, 0
		return e
	}
	for _, method := range []Type{TypeMSCHAPv2, TypeMD5} {
		e := newReauth(method)
		n := len(e.Requests)
		at := e.Auth.Deadline()
		require.WithinDuration(t, ppptest.Start.Add(10*time.Second), at, 20*time.Millisecond)
		e.GoOn(at.Sub(ppptest.Start) + time.Second)
		require.Equal(t, ppp.SignalUp, e.AuthSig)
		require.Equal(t, ppp.SignalUp, e.PeerSig)
		require.Len(t, e.Requests, 2*n)
		require.False(t, e.Requests[n-1].Reauthentication)
		require.True(t, e.Requests[n].Reauthentication)
	}

	e := newReauth(TypeMSCHAPv2)
	e.backend.refuse = true
	e.GoOn(12 * time.Second)
	require.Equal(t, ppp.SignalFinished, e.AuthSig)
	require.Equal(t, ppp.SignalFinished, e.PeerSig)

	e = newReauth(TypeMSCHAPv2)
	e.Peer.cfg.Name = "bob"
	n := len(e.Requests)
	e.GoOn(12 * time.Second)
	require.Len(t, e.Requests, n, "nobody is asked")
	require.Equal(t, ppp.SignalFinished, e.AuthSig)
	require.ErrorIs(t, e.Auth.Err(), ErrNameChanged)
	require.Equal(t, ppp.SignalFinished, e.PeerSig)

	e = newReauth(TypeMD5)
	e.Lose = func(int) bool { return true }
	e.GoOn(60 * time.Second)
	require.ErrorIs(t, e.Auth.Err(), ErrTimeout)
}

// A server that asks for the identity once more begins anew.
func TestIdentityAgain(t *testing.T) {
	e := newExchange(TypeMSCHAPv2, "right")
	again := false
	e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		if e.backend.requests == 2 && !again {
			again = true
			return ppp.AuthVerdict{ID: req.ID, EAP: packet(CodeRequest, req.ID+1, TypeIdentity, []byte("Again"))}
		}
		return e.backend.answer(req)
	}
	e.Run(time.Second)
	require.True(t, again)
	require.Equal(t, ppp.SignalUp, e.AuthSig)
	require.Equal(t, ppp.SignalUp, e.PeerSig)
}

func TestLongNameIsCut(t *testing.T) {
	e := newExchange(TypeMD5, "right")
	e.Peer.cfg.Name = strings.Repeat("x", 300)
	e.Run(time.Second)
	require.Len(t, e.Requests[0].Name, 255)
}

func TestSecretsAreWiped(t *testing.T) {
	secret := ppp.Secret("right")
	NewMD5("alice", secret).Wipe()
	require.Equal(t, make([]byte, 5), []byte(secret))
}
