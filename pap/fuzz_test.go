package pap

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

func FuzzRequest(f *testing.F) {
	r := Request{PeerID: []byte("alice"), Password: ppp.Secret("secret")}
	f.Add(r.Append(nil))
	f.Add([]byte{0, 0})
	f.Add([]byte{255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		n, err := r.Decode(b)
		if err == nil {
			require.Equal(t, b[:n], r.Append(nil))
		}
		var m Message
		if n, err := m.Decode(b); err == nil && n > 0 {
			require.Equal(t, b[:n], m.Append(nil))
		}
	})
}

// FuzzStream gives both roles packets, verdicts and time, in any order.
func FuzzStream(f *testing.F) {
	r := Request{PeerID: []byte("alice"), Password: ppp.Secret("secret")}
	p := ppp.Packet{Code: codeRequest, ID: 1, Data: r.Append(nil)}
	request := append([]byte{0, 18}, p.Append(nil)...)
	f.Add(append(request, 1, 1, 2))
	f.Add(append(request, 3, 1, 2, 2))
	f.Add([]byte{0, 4, 2, 1, 0, 4, 0, 4, 3, 1, 0, 4, 2, 2, 2})
	f.Fuzz(func(t *testing.T, ops []byte) {
		a := NewAuthenticator(AuthenticatorConfig{})
		p := NewPeer(PeerConfig{Name: "alice", Password: ppp.Secret("secret")})
		var out ppp.Output
		now := ppptest.Start
		a.Start(now, &out)
		p.Start(now, &out)
		ups := 0
		for len(ops) > 1 {
			op, arg := ops[0]%4, ops[1]
			ops = ops[2:]
			switch op {
			case 0:
				n := min(int(arg), len(ops))
				require.Zero(t, a.Input(ops[:n], now, &out), "nobody gets in without a verdict")
				if p.Input(ops[:n], now, &out) == ppp.SignalUp {
					ups++
				}
				ops = ops[n:]
			case 1, 3:
				v := ppp.AuthVerdict{ID: arg, Accepted: op == 1, Retry: true}
				pending := a.state == authPending
				require.True(t, a.Verdict(v, now, &out) == 0 || pending)
			case 2:
				for _, auth := range []ppp.Auth{a, p} {
					if at := auth.Deadline(); !at.IsZero() {
						now = at
						auth.Tick(now, &out)
					}
				}
			}
		}
		require.LessOrEqual(t, ups, 1)
		for range 20 {
			a.Tick(now, &out)
			p.Tick(now, &out)
			now = now.Add(DefaultTimeout)
		}
		require.True(t, a.Deadline().IsZero())
		require.True(t, p.Deadline().IsZero())
	})
}
