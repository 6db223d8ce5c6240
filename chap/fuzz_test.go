package chap

import (
	"testing"

	"github.com/stretchr/testify/require"

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
		now := start
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
