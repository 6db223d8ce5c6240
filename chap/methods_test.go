package chap

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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
	e := newExchange(t, password)
	ac := AuthenticatorConfig{Method: m, Name: "gateway"}
	pc := PeerConfig{Method: m, Name: "alice", NTHash: NTPasswordHash(password), Secret: ppp.Secret(password)}
	if change != nil {
		change(&ac, &pc)
	}
	e.auth, e.peer = NewAuthenticator(ac), NewPeer(pc)
	require.Equal(t, e.auth.Method(), e.peer.Method())
	e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict { return verify(&req, "right") }
	return e
}

func TestMethods(t *testing.T) {
	eachMethod(t, func(t *testing.T, m ppp.AuthMethod) {
		for lost := -1; lost < 5; lost++ {
			e := newMethodExchange(t, m, "right", nil)
			e.lose = func(n int) bool { return n == lost }
			e.run(2 * time.Second)
			require.Equal(t, ppp.SignalUp, e.aSig, lost)
			require.Equal(t, ppp.SignalUp, e.pSig, lost)
			require.Len(t, e.requests, 1)
			req := e.requests[0]
			require.Equal(t, m, req.Method)
			require.Equal(t, "alice", req.Name)
			require.Len(t, req.Challenge, algorithmOf(m).challengeLen)
			require.False(t, req.Reauthentication)
			require.Nil(t, req.LMResponse)
			require.True(t, e.auth.Deadline().IsZero(), "nothing is pending")

			hashHash, response, ok := e.peer.KeyMaterial()
			hashHash1, challenge, ok1 := e.peer.KeyMaterialV1()
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
			e.peer.Wipe()
			_, _, ok = e.peer.KeyMaterial()
			_, _, ok1 = e.peer.KeyMaterialV1()
			require.False(t, ok || ok1)
			require.Zero(t, [16]byte(e.peer.hash))
		}
	})
}

func TestMethodsRefuse(t *testing.T) {
	eachMethod(t, func(t *testing.T, m ppp.AuthMethod) {
		e := newMethodExchange(t, m, "wrong", nil)
		e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
			v := verify(&req, "right")
			v.Message = "Go away"
			return v
		}
		e.run(time.Second)
		require.Equal(t, ppp.SignalFinished, e.aSig)
		require.ErrorIs(t, e.auth.Err(), ErrRefused)
		var f *FailureError
		require.ErrorAs(t, e.peer.Err(), &f)
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
			e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
				v := verify(&req, "right")
				v.Accepted, v.Message = accept, string(make([]byte, 70000))
				return v
			}
			e.run(time.Second)
			require.NotZero(t, e.pSig)
			require.Less(t, len(e.auth.verdict), 400)
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
	a.Start(start, &out)
	value := make([]byte, valueLen)
	respond := func() {
		v := Value{Value: value, Name: []byte("old")}
		p := ppp.Packet{Code: codeResponse, ID: a.id, Data: v.Append(nil)}
		require.Zero(t, a.Input(p.Append(nil), start, &out))
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
				e.lose = func(n int) bool { return n == lost }
				e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
					require.Equal(t, len(e.requests) > 1, req.State != nil)
					v := verify(&req, "right")
					v.Retry, v.Message, v.State = !v.Accepted, "Again", "tried"
					return v
				}
				passwords := []string{"wronger", "right"}
				e.prompt = func(ev CredentialsNeeded) {
					require.Equal(t, CredentialsNeeded{Failure: FailureError{Code: 691, Retry: true, Message: "Again"}}, ev)
					require.ErrorIs(t, e.peer.ChangePassword("x", e.now, &e.pOut), ErrNotInvited)
					require.NoError(t, e.peer.Retry(NTPasswordHash(passwords[0]), e.now, &e.pOut))
					require.ErrorIs(t, e.peer.Retry(NTHash{}, e.now, &e.pOut), ErrNotInvited, "once")
					passwords = passwords[1:]
				}
				e.run(3 * time.Second)
				require.Equal(t, ppp.SignalUp, e.aSig)
				require.Equal(t, ppp.SignalUp, e.pSig)
				require.Len(t, e.requests, 3)
				require.Len(t, e.prompted, 2)
				require.NotEqual(t, e.requests[0].Challenge, e.requests[1].Challenge)
				require.Equal(t, e.requests[0].ID+2, e.requests[2].ID, "counted up (RFC 2759 §9.1.4)")
				hashHash := e.peer.material.hashHash
				require.Equal(t, NTPasswordHash("right").HashHash(), hashHash)

				// If the link is renegotiated, the password is the one that worked.
				e.peer.Start(e.now, &e.pOut)
				require.Equal(t, [16]byte(NTPasswordHash("right")), [16]byte(e.peer.hash))
			})
		}
	}
}

func TestRetryEnds(t *testing.T) {
	retry := func(req ppp.AuthRequest) ppp.AuthVerdict { return ppp.AuthVerdict{ID: req.ID, Retry: true} }
	prompt := func(a *AuthenticatorConfig, p *PeerConfig) { p.Prompt = true }

	t.Run("no attempt left", func(t *testing.T) {
		e := newMethodExchange(t, ppp.AuthMSCHAPv2, "wrong", prompt)
		e.judge = retry
		e.prompt = func(CredentialsNeeded) { e.peer.Retry(NTHash{}, e.now, &e.pOut) }
		e.run(time.Second)
		require.Len(t, e.requests, DefaultMaxAttempts)
		require.ErrorIs(t, e.auth.Err(), ErrRefused)
		var f *FailureError
		require.ErrorAs(t, e.peer.Err(), &f)
		require.False(t, f.Retry)
	})
	t.Run("nobody at the keyboard", func(t *testing.T) {
		e := newMethodExchange(t, ppp.AuthMSCHAPv2, "wrong", prompt)
		e.judge = retry
		e.run(59 * time.Second)
		require.Zero(t, e.aSig|e.pSig, "no short timeouts")
		e.goOn(61 * time.Second)
		require.Equal(t, ppp.SignalFinished, e.aSig)
		require.ErrorIs(t, e.auth.Err(), ErrTimeout)
		require.Equal(t, ppp.SignalFinished, e.pSig)
		var f *FailureError
		require.ErrorAs(t, e.peer.Err(), &f)
		require.True(t, e.auth.Deadline().IsZero())
		require.True(t, e.peer.Deadline().IsZero())
	})
	t.Run("an owner that is not asked", func(t *testing.T) {
		e := newMethodExchange(t, ppp.AuthMSCHAPv2, "wrong", nil)
		e.judge = retry
		e.run(time.Second)
		require.Equal(t, ppp.SignalFinished, e.pSig)
		require.ErrorIs(t, e.peer.Retry(NTHash{}, e.now, &e.pOut), ErrNotInvited)
		require.ErrorIs(t, e.peer.ChangePassword("", e.now, &e.pOut), ErrNotInvited)
	})
	t.Run("MD5 has none", func(t *testing.T) {
		e := newMethodExchange(t, ppp.AuthCHAPMD5, "wrong", prompt)
		e.judge = retry
		e.run(time.Second)
		require.Equal(t, ppp.SignalFinished, e.aSig)
		require.Equal(t, ppp.SignalFinished, e.pSig)
	})
}

// RFC 2433 §8: where a Failure has no challenge, the old one counts, plus 23 in
// its first octet.
func TestImpliedChallenge(t *testing.T) {
	p := NewPeer(PeerConfig{Method: ppp.AuthMSCHAPv1, Name: "alice", Prompt: true})
	var out ppp.Output
	p.Start(start, &out)
	v := Value{Value: []byte{250, 2, 3, 4, 5, 6, 7, 8}}
	challenge := ppp.Packet{Code: codeChallenge, ID: 9, Data: v.Append(nil)}
	p.Input(challenge.Append(nil), start, &out)
	for id, first := range []byte{250 + 23 - 256, 250 + 46 - 256} {
		f := ppp.Packet{Code: codeFailure, ID: 9 + uint8(id), Data: []byte("E=691 R=1 C=0011 V=2")}
		require.Zero(t, p.Input(f.Append(nil), start, &out))
		require.NoError(t, p.Retry(NTPasswordHash("right"), start, &out))
		require.Equal(t, []byte{first, 2, 3, 4, 5, 6, 7, 8}, p.using)
		require.Equal(t, challengeResponse([8]byte(p.using), NTPasswordHash("right")), p.answer.ntResponse)
	}
	n := out.Len()
	require.Zero(t, p.Input(challenge.Append(nil), start, &out))
	require.Equal(t, n+1, out.Len(), "the same challenge has the latest answer")
	require.Equal(t, byte(11), out.At(n).Frame[3])
}

// A password change, each packet lost once.
func TestChangePassword(t *testing.T) {
	for _, m := range []ppp.AuthMethod{ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2} {
		for lost := -1; lost < 6; lost++ {
			t.Run(fmt.Sprint(m, lost), func(t *testing.T) {
				e := newMethodExchange(t, m, "expired", func(_ *AuthenticatorConfig, p *PeerConfig) { p.Prompt = true })
				e.lose = func(n int) bool { return n == lost }
				e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
					if req.PasswordChange == nil {
						require.True(t, verify(&req, "expired").Accepted)
						return ppp.AuthVerdict{ID: req.ID, ErrorCode: 648, ChangePassword: true}
					}
					n, ok := VerifyPasswordChange(&req, NTPasswordHash("expired"))
					require.True(t, ok)
					require.Equal(t, "fresh", string(n.Password))
					return verify(&req, "fresh")
				}
				e.prompt = func(ev CredentialsNeeded) {
					require.Equal(t, CredentialsNeeded{Failure: FailureError{Code: PasswordExpired}, ChangePassword: true}, ev)
					require.ErrorIs(t, e.peer.Retry(NTHash{}, e.now, &e.pOut), ErrNotInvited)
					require.ErrorIs(t, e.peer.ChangePassword(string(make([]byte, 300)), e.now, &e.pOut), ErrPasswordLength)
					require.NoError(t, e.peer.ChangePassword("fresh", e.now, &e.pOut))
				}
				e.run(3 * time.Second)
				require.Equal(t, ppp.SignalUp, e.aSig)
				require.Equal(t, ppp.SignalUp, e.pSig)
				require.Len(t, e.requests, 2)
				require.Equal(t, "alice", e.requests[1].Name)
				require.Equal(t, e.requests[0].ID+1, e.requests[1].ID)
				require.Equal(t, m == ppp.AuthMSCHAPv1, string(e.requests[0].Challenge) == string(e.requests[1].Challenge),
					"RFC 2433 §B.1.5, RFC 2759 §7")
				require.Equal(t, NTPasswordHash("fresh").HashHash(), e.peer.material.hashHash)
			})
		}
	}
}

// RFC 2759 §9.1.7: a retry first. A change that fails is the end (§9.1).
func TestChangePasswordAfterRetry(t *testing.T) {
	e := newMethodExchange(t, ppp.AuthMSCHAPv2, "wrong", func(_ *AuthenticatorConfig, p *PeerConfig) { p.Prompt = true })
	e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		switch v := verify(&req, "expired"); {
		case req.PasswordChange != nil:
			return ppp.AuthVerdict{ID: req.ID, ErrorCode: 709, Retry: true, ChangePassword: true, Message: "Too simple"}
		case v.Accepted:
			return ppp.AuthVerdict{ID: req.ID, ChangePassword: true}
		}
		return ppp.AuthVerdict{ID: req.ID, Retry: true}
	}
	e.prompt = func(ev CredentialsNeeded) {
		if ev.ChangePassword {
			require.NoError(t, e.peer.ChangePassword("simple", e.now, &e.pOut))
		} else {
			require.NoError(t, e.peer.Retry(NTPasswordHash("expired"), e.now, &e.pOut))
		}
	}
	e.run(time.Second)
	require.Len(t, e.requests, 3)
	require.ErrorIs(t, e.auth.Err(), ErrRefused)
	var f *FailureError
	require.ErrorAs(t, e.peer.Err(), &f)
	require.Equal(t, FailureError{Code: ChangingPassword, Message: "Too simple"}, *f)
}

// Without an invitation, a Change-Password is nothing at all; nor is a 648 from a
// server that does not say which change it knows.
func TestChangePasswordUninvited(t *testing.T) {
	req := changeRequest(t, ppp.AuthMSCHAPv2, "old", "new")
	data := mschapv2.appendChange(nil, req.PasswordChange, make([]byte, valueLen))
	for _, v := range []ppp.AuthVerdict{{ErrorCode: 648}, {ErrorCode: 691, ChangePassword: true}, {Retry: true}, {Accepted: true}} {
		e := newMethodExchange(t, ppp.AuthMSCHAPv2, "old", nil)
		e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict { v.ID = req.ID; return v }
		change := ppp.Packet{Code: codeChangePasswordV2, Data: data}
		send := func() {
			for id := range uint8(255) {
				change.ID = id
				require.Zero(t, e.auth.Input(change.Append(nil), e.now, &e.aOut))
			}
		}
		e.auth.Start(e.now, &e.aOut)
		send()
		e.run(100 * time.Millisecond)
		send()
		require.Len(t, e.requests, 1)
	}
	for _, text := range []string{"E=648 R=0", "E=648 R=0 V=1"} {
		p := NewPeer(PeerConfig{Name: "alice", Prompt: true})
		var out ppp.Output
		v := Value{Value: make([]byte, 16)}
		challenge := ppp.Packet{Code: codeChallenge, Data: v.Append(nil)}
		p.Input(challenge.Append(nil), start, &out)
		failure := ppp.Packet{Code: codeFailure, Data: []byte(text)}
		require.Equal(t, ppp.SignalFinished, p.Input(failure.Append(nil), start, &out))
	}
}

func TestReauthentication(t *testing.T) {
	const interval = 10 * time.Second
	newReauth := func(t *testing.T, m ppp.AuthMethod) *exchange {
		return newMethodExchange(t, m, "right", func(a *AuthenticatorConfig, _ *PeerConfig) { a.Reauthenticate = interval })
	}
	eachMethod(t, func(t *testing.T, m ppp.AuthMethod) {
		e := newReauth(t, m)
		e.run(time.Second)
		require.Equal(t, ppp.SignalUp, e.aSig)
		material := e.peer.material
		for n := 1; n <= 3; n++ {
			require.Equal(t, n*3, e.sent, "nothing but the challenge in time")
			at := e.auth.Deadline()
			require.WithinDuration(t, start.Add(time.Duration(n)*interval), at, 20*time.Millisecond)
			e.aSig, e.pSig = 0, 0
			e.goOn(at.Sub(start) + time.Second)
			require.Len(t, e.requests, n+1)
			last := e.requests[n]
			require.True(t, last.Reauthentication)
			require.Nil(t, last.State)
			require.NotEqual(t, e.requests[n-1].Challenge, last.Challenge)
			require.NotEqual(t, e.requests[n-1].ID, last.ID)
			require.Equal(t, ppp.SignalUp, e.aSig)
			require.Equal(t, ppp.SignalUp, e.pSig)
		}
		require.Equal(t, material, e.peer.material, "RFC 3079: keys are those of the first authentication")
	})
	t.Run("lost", func(t *testing.T) {
		for lost := 3; lost < 8; lost++ {
			e := newReauth(t, ppp.AuthMSCHAPv2)
			e.lose = func(n int) bool { return n == lost }
			e.run(15 * time.Second)
			require.Len(t, e.requests, 2, lost)
			require.Equal(t, ppp.SignalUp, e.aSig)
			require.Equal(t, ppp.SignalUp, e.pSig)
		}
	})
	t.Run("refused", func(t *testing.T) {
		e := newReauth(t, ppp.AuthMSCHAPv2)
		e.run(time.Second)
		e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict { return ppp.AuthVerdict{ID: req.ID} }
		e.aSig, e.pSig = 0, 0
		e.goOn(11 * time.Second)
		require.Equal(t, ppp.SignalFinished, e.aSig)
		require.ErrorIs(t, e.auth.Err(), ErrRefused)
		require.Equal(t, ppp.SignalFinished, e.pSig)
	})
	t.Run("no answer", func(t *testing.T) {
		e := newReauth(t, ppp.AuthMSCHAPv2)
		e.run(time.Second)
		e.aSig, e.pSig = 0, 0
		e.lose = func(int) bool { return true }
		e.goOn(40 * time.Second)
		require.Equal(t, ppp.SignalFinished, e.aSig)
		require.ErrorIs(t, e.auth.Err(), ErrTimeout)
	})
	t.Run("no confirmation", func(t *testing.T) {
		// It is for the server to end what works.
		e := newReauth(t, ppp.AuthMSCHAPv2)
		e.run(time.Second)
		e.judge, e.pSig = nil, 0
		e.goOn(60 * time.Second)
		require.Zero(t, e.pSig)
		require.NoError(t, e.peer.Err())
	})
	t.Run("another name", func(t *testing.T) {
		e := newReauth(t, ppp.AuthMSCHAPv2)
		e.run(time.Second)
		e.peer.cfg.Name = "bob"
		e.aSig, e.pSig = 0, 0
		e.goOn(11 * time.Second)
		require.Len(t, e.requests, 1, "nobody is asked")
		require.Equal(t, ppp.SignalFinished, e.aSig)
		require.ErrorIs(t, e.auth.Err(), ErrNameChanged)
		require.Equal(t, ppp.SignalFinished, e.pSig)
	})
	t.Run("an impostor", func(t *testing.T) {
		e := newReauth(t, ppp.AuthMSCHAPv2)
		e.run(time.Second)
		e.judge = func(req ppp.AuthRequest) ppp.AuthVerdict { return ppp.AuthVerdict{ID: req.ID, Accepted: true} }
		e.pSig = 0
		e.goOn(11 * time.Second)
		require.Equal(t, ppp.SignalFinished, e.pSig)
		require.ErrorIs(t, e.peer.Err(), ErrAuthenticatorResponse)
	})
}
