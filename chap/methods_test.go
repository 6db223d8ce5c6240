package chap

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

var methods = []ppp.AuthMethod{ppp.AuthCHAPMD5, ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2}

// eachMethod runs a test for every method.
func eachMethod(t *testing.T, f func(t *testing.T, m ppp.AuthMethod)) {
	for _, m := range methods {
		t.Run(m.String(), func(t *testing.T) { f(t, m) })
	}
}

// verify is the verdict on a request by who knows the password.
func verify(req *ppp.AuthRequest, password string) ppp.AuthVerdict {
	v := ppp.AuthVerdict{ID: req.ID}
	switch req.Method {
	case ppp.AuthCHAPMD5:
		v.Accepted = VerifyMD5(req, ppp.Secret(password))
	case ppp.AuthMSCHAPv1:
		_, v.Accepted = VerifyMSCHAPv1(req, NTPasswordHash(password))
	default:
		var r *MSCHAPv2Result
		if r, v.Accepted = VerifyMSCHAPv2(req, NTPasswordHash(password)); v.Accepted {
			v.AuthenticatorResponse = r.AuthenticatorResponse
		}
	}
	return v
}

// newMethodExchange is an exchange of any method; change may edit its
// configuration.
func newMethodExchange(t *testing.T, m ppp.AuthMethod, password string, change func(*AuthenticatorConfig, *PeerConfig)) *exchange {
	e := newExchange(password)
	ac := AuthenticatorConfig{Method: m, Name: "gateway"}
	pc := PeerConfig{Method: m, Name: "alice", NTHash: NTPasswordHash(password), Secret: ppp.Secret(password)}
	if change != nil {
		change(&ac, &pc)
	}
	e.Auth, e.Peer = NewAuthenticator(ac), NewPeer(pc)
	require.Equal(t, e.Auth.Method(), e.Peer.Method())
	e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict { return verify(&req, "right") }
	return e
}

func TestMethods(t *testing.T) {
	eachMethod(t, func(t *testing.T, m ppp.AuthMethod) {
		for lost := -1; lost < 5; lost++ {
			e := newMethodExchange(t, m, "right", nil)
			e.Lose = func(n int) bool { return n == lost }
			e.Run(2 * time.Second)
			require.Equal(t, ppp.SignalUp, e.AuthSig, lost)
			require.Equal(t, ppp.SignalUp, e.PeerSig, lost)
			require.Len(t, e.Requests, 1)
			req := e.Requests[0]
			require.Equal(t, m, req.Method)
			require.Equal(t, "alice", req.Name)
			require.Len(t, req.Challenge, algorithmOf(m).challengeLen)
			require.False(t, req.Reauthentication)
			require.Nil(t, req.LMResponse)
			require.True(t, e.Auth.Deadline().IsZero(), "nothing is pending")

			hashHash, response, ok := e.Peer.KeyMaterial()
			hashHash1, challenge, ok1 := e.Peer.KeyMaterialV1()
			require.Equal(t, m == ppp.AuthMSCHAPv2, ok)
			require.Equal(t, m == ppp.AuthMSCHAPv1, ok1)
			if ok {
				r, _ := VerifyMSCHAPv2(&req, NTPasswordHash("right"))
				require.Equal(t, r.HashHash, hashHash)
				require.Equal(t, r.NTResponse, response)
			}
			if ok1 {
				r, _ := VerifyMSCHAPv1(&req, NTPasswordHash("right"))
				require.Equal(t, *r, MSCHAPv1Result{HashHash: hashHash1, Challenge: challenge})
			}
			e.Peer.Wipe()
			_, _, ok = e.Peer.KeyMaterial()
			_, _, ok1 = e.Peer.KeyMaterialV1()
			require.False(t, ok || ok1)
			require.Zero(t, [16]byte(e.Peer.hash))
		}
	})
}

func TestMethodsRefuse(t *testing.T) {
	eachMethod(t, func(t *testing.T, m ppp.AuthMethod) {
		e := newMethodExchange(t, m, "wrong", nil)
		e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
			v := verify(&req, "right")
			v.Message = "Go away"
			return v
		}
		e.Run(time.Second)
		require.Equal(t, ppp.SignalFinished, e.AuthSig)
		require.ErrorIs(t, e.Auth.Err(), ErrRefused)
		var f *FailureError
		require.ErrorAs(t, e.Peer.Err(), &f)
		want := FailureError{Code: AuthenticationFailure, Message: "Go away"}
		if m == ppp.AuthCHAPMD5 {
			want.Code = 0
		}
		require.Equal(t, want, *f)
	})
}

func TestLongMessageIsCut(t *testing.T) {
	eachMethod(t, func(t *testing.T, m ppp.AuthMethod) {
		for _, accept := range []bool{true, false} {
			e := newMethodExchange(t, m, "right", nil)
			e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
				v := verify(&req, "right")
				v.Accepted, v.Message = accept, string(make([]byte, 70000))
				return v
			}
			e.Run(time.Second)
			require.NotZero(t, e.PeerSig)
			require.Less(t, len(e.Auth.verdict), 400)
		}
	})
}

func TestNoSuchMethod(t *testing.T) {
	require.Panics(t, func() { NewAuthenticator(AuthenticatorConfig{Method: ppp.AuthPAP}) })
	require.Panics(t, func() { NewPeer(PeerConfig{Method: ppp.AuthMethod{Protocol: ppp.ProtocolCHAP, Algorithm: 6}}) })
}

// A peer of MS-CHAPv1 that has a LAN Manager response only.
func TestLMResponse(t *testing.T) {
	a := NewAuthenticator(AuthenticatorConfig{Method: ppp.AuthMSCHAPv1})
	var out ppp.Output
	a.Start(ppptest.Start, &out)
	value := make([]byte, valueLen)
	respond := func() {
		v := Value{Value: value, Name: []byte("old")}
		p := ppp.Packet{Code: codeResponse, ID: a.id, Data: v.Append(nil)}
		require.Zero(t, a.Input(p.Append(nil), ppptest.Start, &out))
	}
	respond()
	require.Equal(t, 1, out.Len(), "there is nothing in it")
	value[0], value[24] = 1, 2
	respond()
	req := out.At(1).Event.(ppp.AuthRequest)
	require.Nil(t, req.Response, "the flag does not vouch for it")
	require.Equal(t, value[:24], req.LMResponse)
}

// Retry: the server has another challenge, the user another password, and each
// packet may be lost.
func TestPeerRetries(t *testing.T) {
	for _, m := range []ppp.AuthMethod{ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2} {
		for lost := -1; lost < 7; lost++ {
			t.Run(fmt.Sprint(m, lost), func(t *testing.T) {
				e := newMethodExchange(t, m, "wrong", func(_ *AuthenticatorConfig, p *PeerConfig) { p.Prompt = true })
				e.Lose = func(n int) bool { return n == lost }
				e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
					require.Equal(t, len(e.Requests) > 1, req.State != nil)
					v := verify(&req, "right")
					v.Retry, v.Message, v.State = !v.Accepted, "Again", "tried"
					return v
				}
				passwords := []string{"wronger", "right"}
				e.Told = func(ev ppp.Event) {
					require.Equal(t, CredentialsNeeded{Failure: FailureError{Code: 691, Retry: true, Message: "Again"}}, ev)
					require.ErrorIs(t, e.Peer.ChangePassword("x", e.Now, &e.PeerOut), ErrNotInvited)
					require.NoError(t, e.Peer.Retry(NTPasswordHash(passwords[0]), e.Now, &e.PeerOut))
					require.ErrorIs(t, e.Peer.Retry(NTHash{}, e.Now, &e.PeerOut), ErrNotInvited, "once")
					passwords = passwords[1:]
				}
				e.Run(3 * time.Second)
				require.Equal(t, ppp.SignalUp, e.AuthSig)
				require.Equal(t, ppp.SignalUp, e.PeerSig)
				require.Len(t, e.Requests, 3)
				require.Len(t, e.Events, 2)
				require.NotEqual(t, e.Requests[0].Challenge, e.Requests[1].Challenge)
				require.Equal(t, e.Requests[0].ID+2, e.Requests[2].ID, "counted up (RFC 2759 §9.1.4)")
				hashHash := e.Peer.material.hashHash
				require.Equal(t, NTPasswordHash("right").HashHash(), hashHash)

				// If the link is renegotiated, the password is the one that worked.
				e.Peer.Start(e.Now, &e.PeerOut)
				require.Equal(t, [16]byte(NTPasswordHash("right")), [16]byte(e.Peer.hash))
			})
		}
	}
}

func TestRetryEnds(t *testing.T) {
	retry := func(req ppp.AuthRequest) ppp.AuthVerdict { return ppp.AuthVerdict{ID: req.ID, Retry: true} }
	prompt := func(a *AuthenticatorConfig, p *PeerConfig) { p.Prompt = true }

	t.Run("no attempt left", func(t *testing.T) {
		e := newMethodExchange(t, ppp.AuthMSCHAPv2, "wrong", prompt)
		e.Judge = retry
		e.Told = func(ppp.Event) { e.Peer.Retry(NTHash{}, e.Now, &e.PeerOut) }
		e.Run(time.Second)
		require.Len(t, e.Requests, DefaultMaxAttempts)
		require.ErrorIs(t, e.Auth.Err(), ErrRefused)
		var f *FailureError
		require.ErrorAs(t, e.Peer.Err(), &f)
		require.False(t, f.Retry)
	})
	t.Run("nobody at the keyboard", func(t *testing.T) {
		e := newMethodExchange(t, ppp.AuthMSCHAPv2, "wrong", prompt)
		e.Judge = retry
		e.Run(59 * time.Second)
		require.Zero(t, e.AuthSig|e.PeerSig, "no short timeouts")
		e.GoOn(61 * time.Second)
		require.Equal(t, ppp.SignalFinished, e.AuthSig)
		require.ErrorIs(t, e.Auth.Err(), ErrTimeout)
		require.Equal(t, ppp.SignalFinished, e.PeerSig)
		var f *FailureError
		require.ErrorAs(t, e.Peer.Err(), &f)
		require.True(t, e.Auth.Deadline().IsZero())
		require.True(t, e.Peer.Deadline().IsZero())
	})
	t.Run("an owner that is not asked", func(t *testing.T) {
		e := newMethodExchange(t, ppp.AuthMSCHAPv2, "wrong", nil)
		e.Judge = retry
		e.Run(time.Second)
		require.Equal(t, ppp.SignalFinished, e.PeerSig)
		require.ErrorIs(t, e.Peer.Retry(NTHash{}, e.Now, &e.PeerOut), ErrNotInvited)
		require.ErrorIs(t, e.Peer.ChangePassword("", e.Now, &e.PeerOut), ErrNotInvited)
	})
	t.Run("MD5 has none", func(t *testing.T) {
		e := newMethodExchange(t, ppp.AuthCHAPMD5, "wrong", prompt)
		e.Judge = retry
		e.Run(time.Second)
		require.Equal(t, ppp.SignalFinished, e.AuthSig)
		require.Equal(t, ppp.SignalFinished, e.PeerSig)
	})
}

// RFC 2433 §8: where a Failure has no challenge, the old one counts, plus 23 in
// its first octet.
func TestImpliedChallenge(t *testing.T) {
	p := NewPeer(PeerConfig{Method: ppp.AuthMSCHAPv1, Name: "alice", Prompt: true})
	var out ppp.Output
	p.Start(ppptest.Start, &out)
	v := Value{Value: []byte{250, 2, 3, 4, 5, 6, 7, 8}}
	challenge := ppp.Packet{Code: codeChallenge, ID: 9, Data: v.Append(nil)}
	p.Input(challenge.Append(nil), ppptest.Start, &out)
	for id, first := range []byte{250 + 23 - 256, 250 + 46 - 256} {
		f := ppp.Packet{Code: codeFailure, ID: 9 + uint8(id), Data: []byte("E=691 R=1 C=0011 V=2")}
		require.Zero(t, p.Input(f.Append(nil), ppptest.Start, &out))
		require.NoError(t, p.Retry(NTPasswordHash("right"), ppptest.Start, &out))
		require.Equal(t, []byte{first, 2, 3, 4, 5, 6, 7, 8}, p.using)
		require.Equal(t, challengeResponse([8]byte(p.using), NTPasswordHash("right")), p.answer.ntResponse)
	}
	n := out.Len()
	require.Zero(t, p.Input(challenge.Append(nil), ppptest.Start, &out))
	require.Equal(t, n+1, out.Len(), "the same challenge has the latest answer")
	require.Equal(t, byte(11), out.At(n).Frame[3])
}

// A password change, each packet lost once.
func TestChangePassword(t *testing.T) {
	for _, m := range []ppp.AuthMethod{ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2} {
		for lost := -1; lost < 6; lost++ {
			t.Run(fmt.Sprint(m, lost), func(t *testing.T) {
				e := newMethodExchange(t, m, "expired", func(_ *AuthenticatorConfig, p *PeerConfig) { p.Prompt = true })
				e.Lose = func(n int) bool { return n == lost }
				e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
					if req.PasswordChange == nil {
						require.True(t, verify(&req, "expired").Accepted)
						return ppp.AuthVerdict{ID: req.ID, ErrorCode: 648, ChangePassword: true}
					}
					n, ok := VerifyPasswordChange(&req, NTPasswordHash("expired"))
					require.True(t, ok)
					require.Equal(t, "fresh", string(n.Password))
					return verify(&req, "fresh")
				}
				e.Told = func(ev ppp.Event) {
					require.Equal(t, CredentialsNeeded{Failure: FailureError{Code: PasswordExpired}, ChangePassword: true}, ev)
					require.ErrorIs(t, e.Peer.Retry(NTHash{}, e.Now, &e.PeerOut), ErrNotInvited)
					require.ErrorIs(t, e.Peer.ChangePassword(string(make([]byte, 300)), e.Now, &e.PeerOut), ErrPasswordLength)
					require.NoError(t, e.Peer.ChangePassword("fresh", e.Now, &e.PeerOut))
				}
				e.Run(3 * time.Second)
				require.Equal(t, ppp.SignalUp, e.AuthSig)
				require.Equal(t, ppp.SignalUp, e.PeerSig)
				require.Len(t, e.Requests, 2)
				require.Equal(t, "alice", e.Requests[1].Name)
				require.Equal(t, e.Requests[0].ID+1, e.Requests[1].ID)
				require.Equal(t, m == ppp.AuthMSCHAPv1, string(e.Requests[0].Challenge) == string(e.Requests[1].Challenge),
					"RFC 2433 §B.1.5, RFC 2759 §7")
				require.Equal(t, NTPasswordHash("fresh").HashHash(), e.Peer.material.hashHash)
			})
		}
	}
}

// RFC 2759 §9.1.7: a retry first. A change that fails is the end (§9.1).
func TestChangePasswordAfterRetry(t *testing.T) {
	e := newMethodExchange(t, ppp.AuthMSCHAPv2, "wrong", func(_ *AuthenticatorConfig, p *PeerConfig) { p.Prompt = true })
	e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		switch v := verify(&req, "expired"); {
		case req.PasswordChange != nil:
			return ppp.AuthVerdict{ID: req.ID, ErrorCode: 709, Retry: true, ChangePassword: true, Message: "Too simple"}
		case v.Accepted:
			return ppp.AuthVerdict{ID: req.ID, ChangePassword: true}
		}
		return ppp.AuthVerdict{ID: req.ID, Retry: true}
	}
	e.Told = func(ev ppp.Event) {
		if ev.(CredentialsNeeded).ChangePassword {
			require.NoError(t, e.Peer.ChangePassword("simple", e.Now, &e.PeerOut))
		} else {
			require.NoError(t, e.Peer.Retry(NTPasswordHash("expired"), e.Now, &e.PeerOut))
		}
	}
	e.Run(time.Second)
	require.Len(t, e.Requests, 3)
	require.ErrorIs(t, e.Auth.Err(), ErrRefused)
	var f *FailureError
	require.ErrorAs(t, e.Peer.Err(), &f)
	require.Equal(t, FailureError{Code: ChangingPassword, Message: "Too simple"}, *f)
}

// Without an invitation, a Change-Password is nothing at all; nor is a 648 from a
// server that does not say which change it knows.
func TestChangePasswordUninvited(t *testing.T) {
	req := changeRequest(t, ppp.AuthMSCHAPv2, "old", "new")
	data := mschapv2.appendChange(nil, req.PasswordChange, make([]byte, valueLen))
	for _, v := range []ppp.AuthVerdict{{ErrorCode: 648}, {ErrorCode: 691, ChangePassword: true}, {Retry: true}, {Accepted: true}} {
		e := newMethodExchange(t, ppp.AuthMSCHAPv2, "old", nil)
		e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict { v.ID = req.ID; return v }
		change := ppp.Packet{Code: codeChangePasswordV2, Data: data}
		send := func() {
			for id := range uint8(255) {
				change.ID = id
				require.Zero(t, e.Auth.Input(change.Append(nil), e.Now, &e.AuthOut))
			}
		}
		e.Auth.Start(e.Now, &e.AuthOut)
		send()
		e.Run(100 * time.Millisecond)
		send()
		require.Len(t, e.Requests, 1)
	}
	for _, text := range []string{"E=648 R=0", "E=648 R=0 V=1"} {
		p := NewPeer(PeerConfig{Name: "alice", Prompt: true})
		var out ppp.Output
		v := Value{Value: make([]byte, 16)}
		challenge := ppp.Packet{Code: codeChallenge, Data: v.Append(nil)}
		p.Input(challenge.Append(nil), ppptest.Start, &out)
		failure := ppp.Packet{Code: codeFailure, Data: []byte(text)}
		require.Equal(t, ppp.SignalFinished, p.Input(failure.Append(nil), ppptest.Start, &out))
	}
}

func TestReauthentication(t *testing.T) {
	const interval = 10 * time.Second
	newReauth := func(t *testing.T, m ppp.AuthMethod) *exchange {
		return newMethodExchange(t, m, "right", func(a *AuthenticatorConfig, _ *PeerConfig) { a.Reauthenticate = interval })
	}
	eachMethod(t, func(t *testing.T, m ppp.AuthMethod) {
		e := newReauth(t, m)
		e.Run(time.Second)
		require.Equal(t, ppp.SignalUp, e.AuthSig)
		material := e.Peer.material
		for n := 1; n <= 3; n++ {
			require.Equal(t, n*3, e.Sent, "nothing but the challenge in time")
			at := e.Auth.Deadline()
			require.WithinDuration(t, ppptest.Start.Add(time.Duration(n)*interval), at, 20*time.Millisecond)
			e.AuthSig, e.PeerSig = 0, 0
			e.GoOn(at.Sub(ppptest.Start) + time.Second)
			require.Len(t, e.Requests, n+1)
			last := e.Requests[n]
			require.True(t, last.Reauthentication)
			require.Nil(t, last.State)
			require.NotEqual(t, e.Requests[n-1].Challenge, last.Challenge)
			require.NotEqual(t, e.Requests[n-1].ID, last.ID)
			require.Equal(t, ppp.SignalUp, e.AuthSig)
			require.Equal(t, ppp.SignalUp, e.PeerSig)
		}
		require.Equal(t, material, e.Peer.material, "RFC 3079: keys are those of the first authentication")
	})
	t.Run("lost", func(t *testing.T) {
		for lost := 3; lost < 8; lost++ {
			e := newReauth(t, ppp.AuthMSCHAPv2)
			e.Lose = func(n int) bool { return n == lost }
			e.Run(15 * time.Second)
			require.Len(t, e.Requests, 2, lost)
			require.Equal(t, ppp.SignalUp, e.AuthSig)
			require.Equal(t, ppp.SignalUp, e.PeerSig)
		}
	})
	t.Run("refused", func(t *testing.T) {
		e := newReauth(t, ppp.AuthMSCHAPv2)
		e.Run(time.Second)
		e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict { return ppp.AuthVerdict{ID: req.ID} }
		e.AuthSig, e.PeerSig = 0, 0
		e.GoOn(11 * time.Second)
		require.Equal(t, ppp.SignalFinished, e.AuthSig)
		require.ErrorIs(t, e.Auth.Err(), ErrRefused)
		require.Equal(t, ppp.SignalFinished, e.PeerSig)
	})
	t.Run("no answer", func(t *testing.T) {
		e := newReauth(t, ppp.AuthMSCHAPv2)
		e.Run(time.Second)
		e.AuthSig, e.PeerSig = 0, 0
		e.Lose = func(int) bool { return true }
		e.GoOn(40 * time.Second)
		require.Equal(t, ppp.SignalFinished, e.AuthSig)
		require.ErrorIs(t, e.Auth.Err(), ErrTimeout)
	})
	t.Run("no confirmation", func(t *testing.T) {
		// It is for the server to end what works.
		e := newReauth(t, ppp.AuthMSCHAPv2)
		e.Run(time.Second)
		e.Judge, e.PeerSig = nil, 0
		e.GoOn(60 * time.Second)
		require.Zero(t, e.PeerSig)
		require.NoError(t, e.Peer.Err())
	})
	t.Run("another name", func(t *testing.T) {
		e := newReauth(t, ppp.AuthMSCHAPv2)
		e.Run(time.Second)
		e.Peer.cfg.Name = "bob"
		e.AuthSig, e.PeerSig = 0, 0
		e.GoOn(11 * time.Second)
		require.Len(t, e.Requests, 1, "nobody is asked")
		require.Equal(t, ppp.SignalFinished, e.AuthSig)
		require.ErrorIs(t, e.Auth.Err(), ErrNameChanged)
		require.Equal(t, ppp.SignalFinished, e.PeerSig)
	})
	t.Run("an impostor", func(t *testing.T) {
		e := newReauth(t, ppp.AuthMSCHAPv2)
		e.Run(time.Second)
		e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict { return ppp.AuthVerdict{ID: req.ID, Accepted: true} }
		e.PeerSig = 0
		e.GoOn(11 * time.Second)
		require.Equal(t, ppp.SignalFinished, e.PeerSig)
		require.ErrorIs(t, e.Peer.Err(), ErrAuthenticatorResponse)
	})
}
