package chap

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

func FuzzValue(f *testing.F) {
	v := Value{Value: make([]byte, 16), Name: []byte("gateway")}
	f.Add(v.Append(nil))
	f.Add([]byte{0})
	f.Add([]byte{255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var v Value
		n, err := v.Decode(b)
		if err != nil {
			return
		}
		require.Equal(t, len(b), n)
		require.Equal(t, b, v.Append(nil))
	})
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte("E=691 R=1 C=00112233445566778899AABBCCDDEEFF V=3 M=No"))
	f.Add([]byte("S=407A5589115FD0D6209F510FE9C04566932CDA56 M=Welcome"))
	f.Add([]byte("E=1 =  R"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var fail failure
		fail.parse(b)
		_ = fail.Error()
		var again failure
		again.parse(fail.append(nil))
		require.Equal(t, fail.Code, again.Code)
		require.Equal(t, fail.Retry, again.Retry)
		require.Equal(t, fail.challenge, again.challenge)
		require.Equal(t, fail.Message, again.Message)
		if s, ok := parseSuccess(b); ok {
			require.Len(t, s, 42)
		}
	})
}

// FuzzRoles gives both roles anything, in any order.
func FuzzRoles(f *testing.F) {
	challenge := ppp.Packet{Code: codeChallenge, ID: 1, Data: (&Value{Value: make([]byte, 16)}).Append(nil)}
	answer := ppp.Packet{Code: codeResponse, ID: 1, Data: (&Value{Value: make([]byte, valueLen), Name: []byte("a")}).Append(nil)}
	f.Add(challenge.Append(nil), answer.Append(nil), true)
	f.Add(answer.Append(nil), []byte{3, 1, 0, 4}, false)
	f.Fuzz(func(t *testing.T, first, second []byte, accept bool) {
		a := NewAuthenticator(AuthenticatorConfig{Name: "gateway"})
		p := NewPeer(PeerConfig{Name: "alice"})
		var out ppp.Output
		now := ppptest.Start
		a.Start(now, &out)
		p.Start(now, &out)
		for range 3 {
			for _, b := range [][]byte{first, second} {
				up := a.Input(b, now, &out)
				require.Zero(t, up, "nobody gets in without a verdict")
				require.Zero(t, p.Input(b, now, &out)&ppp.SignalUp, "no guess is a proof")
			}
			a.Verdict(ppp.AuthVerdict{ID: 1, Accepted: accept, Retry: true}, now, &out)
			now = now.Add(DefaultMaxTimeout)
			a.Tick(now, &out)
			p.Tick(now, &out)
		}
		require.Less(t, out.Len(), 100)
	})
}

// FuzzPasswordChange opens what a peer may send as a Change-Password, and finds
// only what one who knows the old password has made.
func FuzzPasswordChange(f *testing.F) {
	for _, g := range []*algorithm{&mschapv1, &mschapv2} {
		change, err := newPasswordChange("fresh", NTPasswordHash("old"), func(b []byte) { clear(b) })
		require.NoError(f, err)
		a := g.respond(&query{challenge: make([]byte, g.challengeLen), name: "alice", hash: NTPasswordHash("fresh"), random: func(b []byte) { clear(b) }})
		f.Add(g == &mschapv1, g.appendChange(nil, change, a.value))
	}
	f.Add(true, []byte{})
	f.Fuzz(func(t *testing.T, v1 bool, b []byte) {
		g := &mschapv2
		if v1 {
			g = &mschapv1
		}
		req := ppp.AuthRequest{Method: g.method, Name: "alice", Challenge: make([]byte, g.challengeLen)}
		if !g.decodeChange(b, &req) {
			return
		}
		if n, ok := VerifyPasswordChange(&req, NTPasswordHash("old")); ok {
			require.True(t, verify(&req, string(n.Password)).Accepted)
		}
	})
}

// FuzzStream runs both roles of every method against each other and against
// what the input makes up, with every verdict and every timer.
func FuzzStream(f *testing.F) {
	f.Add([]byte{0, 1, 1, 2, 1})
	f.Add([]byte{1, 1, 1, 3, 1, 5, 1, 3, 1, 5, 1, 2, 1})
	f.Add([]byte{2, 1, 1, 4, 1, 6, 1, 2, 1, 7, 7})
	f.Add([]byte{8, 1, 1, 2, 1, 7, 1, 1, 3, 1, 9, 4, 3, 3, 0, 4})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) == 0 {
			return
		}
		m := methods[int(ops[0])%len(methods)]
		ac := AuthenticatorConfig{Method: m, Name: "gateway"}
		pc := PeerConfig{Method: m, Name: "alice", NTHash: NTPasswordHash("a"), Secret: ppp.Secret("a"), Prompt: ops[0]&4 == 0}
		if ops[0]&8 != 0 {
			ac.Reauthenticate = time.Hour
		}
		a, p := NewAuthenticator(ac), NewPeer(pc)
		var aOut, pOut ppp.Output
		now := ppptest.Start
		var req *ppp.AuthRequest
		accepted, proved := false, m != ppp.AuthMSCHAPv2
		peerSignal := func(s ppp.Signal) {
			if s&ppp.SignalUp != 0 {
				require.True(t, proved, "no guess is a proof")
			}
		}
		authSignal := func(s ppp.Signal, verdict bool) {
			if s&ppp.SignalUp != 0 {
				require.True(t, verdict && accepted, "nobody gets in without a verdict")
			}
		}
		// deliver gives one end what the other has sent.
		deliver := func() {
			for i := range aOut.Len() {
				if r, ok := aOut.At(i).Event.(ppp.AuthRequest); ok {
					req = &r
				} else {
					peerSignal(p.Input(aOut.At(i).Frame[2:], now, &pOut))
				}
			}
			aOut.Reset()
			for i := range pOut.Len() {
				if pOut.At(i).Event == nil {
					authSignal(a.Input(pOut.At(i).Frame[2:], now, &aOut), false)
				}
			}
			pOut.Reset()
		}
		tick := func() bool {
			at := earliest(a.Deadline(), p.Deadline())
			if at.IsZero() {
				return false
			}
			now = at
			authSignal(a.Tick(now, &aOut), false)
			peerSignal(p.Tick(now, &pOut))
			return true
		}
		a.Start(now, &aOut)
		p.Start(now, &pOut)
		for i := 1; i < len(ops); i++ {
			v := ppp.AuthVerdict{ErrorCode: 691, Message: "m"}
			switch ops[i] % 10 {
			case 0:
				return
			case 1:
				deliver()
				continue
			case 2:
				v.Accepted = true
			case 3:
				v.Retry = true
			case 4:
				v.ErrorCode, v.ChangePassword = 648, true
			case 5:
				_ = p.Retry(NTPasswordHash("b"), now, &pOut)
				continue
			case 6:
				_ = p.ChangePassword("b", now, &pOut)
				continue
			case 7:
				tick()
				continue
			case 8: // no request at all
				authSignal(a.Verdict(ppp.AuthVerdict{ID: ops[i], Accepted: true}, now, &aOut), true)
				continue
			case 9:
				n := 0
				if i+1 < len(ops) {
					n = min(int(ops[i+1]), len(ops)-i-2)
					i++
				}
				b := ops[i+1 : i+1+n]
				i += n
				authSignal(a.Input(b, now, &aOut), false)
				peerSignal(p.Input(b, now, &pOut))
				continue
			}
			if req == nil {
				continue
			}
			v.ID = req.ID
			accepted = accepted || v.Accepted
			if v.Accepted && m == ppp.AuthMSCHAPv2 {
				for _, password := range []string{"a", "b"} {
					if r, ok := VerifyMSCHAPv2(req, NTPasswordHash(password)); ok {
						v.AuthenticatorResponse, proved = r.AuthenticatorResponse, true
					}
				}
			}
			authSignal(a.Verdict(v, now, &aOut), true)
		}
		if ac.Reauthenticate == 0 {
			n := 0
			for ; tick(); n++ {
				aOut.Reset()
				pOut.Reset()
				require.Less(t, n, 100, "no end of timeouts")
			}
		}
	})
}
