package eap

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// exchange runs both roles against each other, a millisecond each way.
type exchange struct {
	t          *testing.T
	auth       *Authenticator
	peer       *Peer
	mschapv2   *MSCHAPv2
	out        [2]ppp.Output // authenticator's, peer's
	seen       [2]int
	aSig, pSig ppp.Signal
	now        time.Time
	backend    *backend
	judge      func(ppp.AuthRequest) ppp.AuthVerdict
	requests   []ppp.AuthRequest
	events     []ppp.Event
	lose       func(n int) bool
	sent       int
}

// newExchange offers EAP-MSCHAPv2 and MD5, the server begins with method.
func newExchange(t *testing.T, method Type, password string) *exchange {
	e := &exchange{
		t:        t,
		auth:     NewAuthenticator(AuthenticatorConfig{Prompt: "Who?"}),
		mschapv2: NewMSCHAPv2(chap.PeerConfig{Name: "alice", NTHash: chap.NTPasswordHash(password)}),
		now:      start,
		backend:  &backend{method: method, password: "right"},
		lose:     func(int) bool { return false },
	}
	e.judge = e.backend.answer
	e.peer = NewPeer(PeerConfig{Name: "alice", Methods: []Method{e.mschapv2, NewMD5("alice", ppp.Secret(password))}})
	return e
}

func (e *exchange) run(limit time.Duration) {
	e.auth.Start(e.now, &e.out[0])
	e.peer.Start(e.now, &e.out[1])
	e.goOn(limit)
}

func (e *exchange) goOn(limit time.Duration) {
	for e.now.Sub(start) < limit {
		e.now = e.now.Add(time.Millisecond)
		for end := e.out[0].Len(); e.seen[0] < end; e.seen[0]++ {
			a := e.out[0].At(e.seen[0])
			if req, ok := a.Event.(ppp.AuthRequest); ok {
				e.requests = append(e.requests, req)
				if e.judge != nil {
					e.aSig |= e.auth.Verdict(e.judge(req), e.now, &e.out[0])
				}
			} else if e.sent++; !e.lose(e.sent - 1) {
				e.pSig |= e.peer.Input(a.Frame[2:], e.now, &e.out[1])
			}
		}
		for end := e.out[1].Len(); e.seen[1] < end; e.seen[1]++ {
			a := e.out[1].At(e.seen[1])
			if a.Event != nil {
				e.events = append(e.events, a.Event)
			} else if e.sent++; !e.lose(e.sent - 1) {
				e.aSig |= e.auth.Input(a.Frame[2:], e.now, &e.out[0])
			}
		}
		if at := e.auth.Deadline(); !at.IsZero() && !e.now.Before(at) {
			e.aSig |= e.auth.Tick(e.now, &e.out[0])
		}
	}
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
			e := newExchange(t, method, "right")
			e.lose = func(n int) bool { return n == lost }
			e.run(2 * time.Second)
			require.Equal(t, ppp.SignalUp, e.aSig, "%v without packet %d", method, lost)
			if lost == packets-1 {
				// The Success is not repeated.
				require.Zero(t, e.pSig)
				require.Equal(t, ppp.SignalUp, e.peer.Presume(e.now, &e.out[1]))
				require.Zero(t, e.peer.Presume(e.now, &e.out[1]), "once")
			} else {
				require.Equal(t, ppp.SignalUp, e.pSig, "%v without packet %d", method, lost)
			}
			require.Len(t, e.requests, packets/2, "nothing is asked twice")
			for _, req := range e.requests {
				require.Equal(t, ppp.AuthEAP, req.Method)
				require.Equal(t, "alice", req.Name)
				require.Equal(t, req.ID, req.EAP[1])
			}
			if lost < 0 {
				require.Equal(t, packets, e.sent)
			}
			require.True(t, e.auth.Deadline().IsZero())
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
	e := newExchange(t, TypeMSCHAPv2, "wrong")
	e.run(time.Second)
	require.Equal(t, ppp.SignalFinished, e.aSig)
	require.ErrorIs(t, e.auth.Err(), ErrRefused)
	require.Equal(t, ppp.SignalFinished, e.pSig)
	var f *chap.FailureError
	require.ErrorAs(t, e.peer.Err(), &f)
	require.Equal(t, "No", f.Message)

	e = newExchange(t, TypeMD5, "wrong")
	e.run(time.Second)
	require.Equal(t, ppp.SignalFinished, e.aSig)
	require.Equal(t, ppp.SignalFinished, e.pSig)
	require.ErrorIs(t, e.peer.Err(), ErrRefused)
}

func TestServerMustProveItself(t *testing.T) {
	e := newExchange(t, TypeMSCHAPv2, "right")
	e.backend.impostor = true
	e.run(time.Second)
	require.Equal(t, ppp.SignalFinished, e.pSig)
	require.ErrorIs(t, e.peer.Err(), chap.ErrAuthenticatorResponse)
	require.Zero(t, e.peer.Presume(e.now, &e.out[1]))
}

// A server that prefers what we do not have is told what we do.
func TestNak(t *testing.T) {
	e := newExchange(t, TypeTLS, "right")
	e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		if len(e.requests) > 1 {
			require.Equal(t, len(e.requests)-1, req.State)
		} else {
			require.Nil(t, req.State)
		}
		v := e.backend.answer(req)
		v.State = len(e.requests)
		return v
	}
	e.run(time.Second)
	require.Equal(t, []byte{26, 4}, e.backend.naks)
	require.Equal(t, ppp.SignalUp, e.aSig)
	require.Equal(t, ppp.SignalUp, e.pSig)

	e = newExchange(t, TypeTLS, "right")
	e.peer = NewPeer(PeerConfig{Name: "alice"})
	e.run(time.Second)
	require.Equal(t, []byte{0}, e.backend.naks)
	require.Equal(t, ppp.SignalFinished, e.aSig)
	require.Equal(t, ppp.SignalFinished, e.pSig)
}

// A Success is worth nothing before the method's own.
func TestCannedSuccess(t *testing.T) {
	e := newExchange(t, TypeMSCHAPv2, "right")
	e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict { return ppp.AuthVerdict{ID: req.ID, Accepted: true} }
	e.run(time.Second)
	require.Equal(t, ppp.SignalUp, e.aSig)
	require.Zero(t, e.pSig)
	require.Zero(t, e.peer.Presume(e.now, &e.out[1]))

	// Within the method neither; nor may the server change to a weaker one.
	e = newExchange(t, TypeMSCHAPv2, "right")
	e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		v := e.backend.answer(req)
		if e.backend.requests == 2 {
			e.backend.method, e.backend.id = TypeMD5, req.ID
			v.EAP = e.backend.first()
		}
		return v
	}
	e.run(2 * time.Second)
	require.Len(t, e.requests, 2)
	success := ppp.Packet{Code: CodeSuccess, ID: e.peer.id}
	require.Zero(t, e.peer.Input(success.Append(nil), e.now, &e.out[1]))
	require.Zero(t, e.pSig)
}

// Identifiers of the end: of the response, or counted on.
func TestSuccessIdentifier(t *testing.T) {
	for offset := range uint8(4) {
		e := newExchange(t, TypeMD5, "right")
		e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
			v := e.backend.answer(req)
			if v.Accepted {
				p := ppp.Packet{Code: CodeSuccess, ID: req.ID + offset}
				v.EAP = p.Append(nil)
			}
			return v
		}
		e.run(time.Second)
		require.Equal(t, offset < 2, e.pSig == ppp.SignalUp, offset)
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
			a.Start(start, &out)
			a.Input(packet(CodeResponse, a.id, TypeIdentity, []byte("alice")), start, &out)
			c.v.ID = a.id
			stale := c.v
			stale.ID++
			require.Zero(t, a.Verdict(stale, start, &out))
			require.Equal(t, c.sig, a.Verdict(c.v, start, &out))
			require.Equal(t, 3, out.Len())
			require.Equal(t, c.want, out.At(2).Frame[2:])
			require.Zero(t, a.Verdict(c.v, start, &out), "once")

			// The peer that repeats itself hears the end again.
			a.Input(packet(CodeResponse, 1, TypeIdentity, []byte("alice")), start, &out)
			require.Equal(t, c.sig != 0, out.Len() == 4)
		})
	}
}

func TestOddPacketsAreIgnored(t *testing.T) {
	a := NewAuthenticator(AuthenticatorConfig{})
	var out ppp.Output
	a.Start(start, &out)
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
		require.Zero(t, a.Input(b, start, &out))
	}
	require.Equal(t, 1, out.Len())
	require.Zero(t, a.Verdict(ppp.AuthVerdict{ID: 1, Accepted: true}, start, &out))

	e := newExchange(t, TypeMD5, "right")
	p := e.peer
	p.Start(start, &out)
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
		require.Zero(t, p.Input(b, start, &out), "% x", b)
	}
	require.Zero(t, out.Len())

	// A refusal may come before anything else.
	require.Equal(t, ppp.SignalFinished, p.Input([]byte{4, 9, 0, 4}, start, &out))
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
	e := newExchange(t, TypeMD5, "right")
	e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		if len(e.requests) == 1 {
			return ppp.AuthVerdict{ID: req.ID, EAP: packet(CodeRequest, req.ID+1, TypeNotification, []byte("Soon"))}
		}
		if len(e.requests) == 2 {
			require.Equal(t, packet(CodeResponse, req.ID, TypeNotification, nil), req.EAP)
			req.EAP = packet(CodeResponse, req.ID, TypeIdentity, nil)
		}
		return e.backend.answer(req)
	}
	e.run(time.Second)
	require.Equal(t, []ppp.Event{Notification{Message: "Soon"}}, e.events)
	require.Equal(t, ppp.SignalUp, e.pSig)
}

func TestNobodyAnswers(t *testing.T) {
	e := newExchange(t, TypeMD5, "right")
	e.lose = func(int) bool { return true }
	e.run(60 * time.Second)
	require.Equal(t, DefaultMaxTransmit, e.sent)
	require.Equal(t, ppp.SignalFinished, e.aSig)
	require.ErrorIs(t, e.auth.Err(), ErrTimeout)
	require.Zero(t, e.auth.Input(packet(CodeResponse, e.auth.id, TypeIdentity, nil), e.now, &e.out[0]))
	require.Len(t, e.requests, 0, "too late")
	require.True(t, e.peer.Deadline().IsZero())
}

func TestSlowVerdict(t *testing.T) {
	e := newExchange(t, TypeMD5, "right")
	judge := e.judge
	e.judge = nil
	e.run(10 * time.Second)
	require.Len(t, e.requests, 1)
	require.Equal(t, 2, e.sent, "no request is out, so none is repeated")
	e.judge = judge
	e.aSig |= e.auth.Verdict(judge(e.requests[0]), e.now, &e.out[0])
	e.goOn(11 * time.Second)
	require.Equal(t, ppp.SignalUp, e.aSig)
	require.Equal(t, ppp.SignalUp, e.pSig)
}

func TestReauthentication(t *testing.T) {
	newReauth := func(method Type) *exchange {
		e := newExchange(t, method, "right")
		e.auth.cfg.Reauthenticate = 10 * time.Second
		e.run(time.Second)
		require.Equal(t, ppp.SignalUp, e.aSig)
		require.Equal(t, ppp.SignalUp, e.pSig)
		e.aSig, e.pSig = 0, 0
		return e
	}
	for _, method := range []Type{TypeMSCHAPv2, TypeMD5} {
		e := newReauth(method)
		n := len(e.requests)
		at := e.auth.Deadline()
		require.WithinDuration(t, start.Add(10*time.Second), at, 20*time.Millisecond)
		e.goOn(at.Sub(start) + time.Second)
		require.Equal(t, ppp.SignalUp, e.aSig)
		require.Equal(t, ppp.SignalUp, e.pSig)
		require.Len(t, e.requests, 2*n)
		require.False(t, e.requests[n-1].Reauthentication)
		require.True(t, e.requests[n].Reauthentication)
	}

	e := newReauth(TypeMSCHAPv2)
	e.backend.refuse = true
	e.goOn(12 * time.Second)
	require.Equal(t, ppp.SignalFinished, e.aSig)
	require.Equal(t, ppp.SignalFinished, e.pSig)

	e = newReauth(TypeMSCHAPv2)
	e.peer.cfg.Name = "bob"
	n := len(e.requests)
	e.goOn(12 * time.Second)
	require.Len(t, e.requests, n, "nobody is asked")
	require.Equal(t, ppp.SignalFinished, e.aSig)
	require.ErrorIs(t, e.auth.Err(), ErrNameChanged)
	require.Equal(t, ppp.SignalFinished, e.pSig)

	e = newReauth(TypeMD5)
	e.lose = func(int) bool { return true }
	e.goOn(60 * time.Second)
	require.ErrorIs(t, e.auth.Err(), ErrTimeout)
}

// A server that asks for the identity once more begins anew.
func TestIdentityAgain(t *testing.T) {
	e := newExchange(t, TypeMSCHAPv2, "right")
	again := false
	e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		if e.backend.requests == 2 && !again {
			again = true
			return ppp.AuthVerdict{ID: req.ID, EAP: packet(CodeRequest, req.ID+1, TypeIdentity, []byte("Again"))}
		}
		return e.backend.answer(req)
	}
	e.run(time.Second)
	require.True(t, again)
	require.Equal(t, ppp.SignalUp, e.aSig)
	require.Equal(t, ppp.SignalUp, e.pSig)
}

func TestLongNameIsCut(t *testing.T) {
	e := newExchange(t, TypeMD5, "right")
	e.peer.cfg.Name = strings.Repeat("x", 300)
	e.run(time.Second)
	require.Len(t, e.requests[0].Name, 255)
}

func TestSecretsAreWiped(t *testing.T) {
	secret := ppp.Secret("right")
	NewMD5("alice", secret).Wipe()
	require.Equal(t, make([]byte, 5), []byte(secret))
}
