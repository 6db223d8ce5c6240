package chap

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/mutate"
	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// sentPackets empties an Output and returns the packets, and the last request.
func sentPackets(t *testing.T, out *ppp.Output) (packets [][]byte, req *ppp.AuthRequest) {
	for i := range out.Len() {
		a := out.At(i)
		if r, ok := a.Event.(ppp.AuthRequest); ok {
			req = &r
		}
		if a.Event != nil {
			continue
		}
		var p ppp.Packet
		_, err := p.Decode(a.Frame[2:])
		require.NoError(t, err)
		packets = append(packets, bytes.Clone(a.Frame[2:]))
	}
	out.Reset()
	return packets, req
}

// TestMutatedValue decodes what is nearly the content of a Challenge.
func TestMutatedValue(t *testing.T) {
	valid := Value{Value: []byte("sixteen octets.."), Name: []byte("gateway")}
	for name, b := range mutate.Of(valid.Append(nil)) {
		var v Value
		n, err := v.Decode(b)
		if err != nil {
			require.ErrorIs(t, err, ErrValueSize, name)
			continue
		}
		require.Equal(t, len(b), n, name)
		require.NotEmpty(t, v.Value, name)
		require.Equal(t, b, v.Append(nil), name)
	}
}

// TestMutatedResponse gives an authenticator what is nearly the right response. It
// is accepted only if what proves knowledge of the password is the same; and the
// right one is accepted after it.
func TestMutatedResponse(t *testing.T) {
	eachMethod(t, func(t *testing.T, m ppp.AuthMethod) {
		fixed := func(b []byte) { copy(b, "a challenge like any other") }
		var out ppp.Output
		challenged := func() *Authenticator {
			a := NewAuthenticator(AuthenticatorConfig{Method: m, Name: "gateway", Rand: fixed})
			a.Start(ppptest.Start, &out)
			return a
		}
		challenged()
		challenge, _ := sentPackets(t, &out)
		p := NewPeer(PeerConfig{Method: m, Name: "alice", NTHash: NTPasswordHash("right"), Secret: ppp.Secret("right"), Rand: fixed})
		p.Start(ppptest.Start, &out)
		p.Input(challenge[0], ppptest.Start, &out)
		response, _ := sentPackets(t, &out)
		require.Len(t, response, 1)
		a := challenged()
		out.Reset()
		a.Input(response[0], ppptest.Start, &out)
		_, right := sentPackets(t, &out)
		require.NotNil(t, right)
		require.True(t, verify(right, "right").Accepted)

		for name, b := range mutate.Of(response[0]) {
			a := challenged()
			out.Reset()
			was := bytes.Clone(b)
			require.Zero(t, a.Input(b, ppptest.Start, &out), name)
			require.Equal(t, was, b, name)
			packets, req := sentPackets(t, &out)
			require.Empty(t, packets, name)
			if req != nil {
				require.Equal(t, m, req.Method, name)
				require.Equal(t, right.Challenge, req.Challenge, name)
				require.LessOrEqual(t, len(req.Name), maxName, name)
				if v := verify(req, "right"); v.Accepted {
					require.Equal(t, right.ID, req.ID, name)
					require.Equal(t, right.Response, req.Response, name)
					require.Equal(t, right.PeerChallenge, req.PeerChallenge, name)
					// Others do not hash the name, which they leave to whoever
					// looks the password up.
					require.True(t, m != ppp.AuthMSCHAPv2 || req.Name == right.Name, name)
				} else {
					require.Equal(t, ppp.SignalFinished, a.Verdict(v, ppptest.Start, &out), name)
					require.ErrorIs(t, a.Err(), ErrRefused, name)
				}
				continue
			}
			require.NoError(t, a.Err(), name)
			a.Input(response[0], ppptest.Start, &out)
			_, req = sentPackets(t, &out)
			require.NotNil(t, req, name)
			require.True(t, verify(req, "right").Accepted, name)
		}
	})
}

// TestMutatedChallenge gives a peer that has nothing yet, and one that has answered,
// what is nearly a challenge, and what is nearly the outcome. The proof of an
// MS-CHAPv2 server is believed only as it is.
func TestMutatedChallenge(t *testing.T) {
	eachMethod(t, func(t *testing.T, m ppp.AuthMethod) {
		fixed := func(b []byte) { copy(b, "a challenge like any other") }
		var aOut, pOut ppp.Output
		a := NewAuthenticator(AuthenticatorConfig{Method: m, Name: "gateway", Rand: fixed})
		a.Start(ppptest.Start, &aOut)
		packets, _ := sentPackets(t, &aOut)
		challenge := packets[0]
		fresh := func() *Peer {
			p := NewPeer(PeerConfig{Method: m, Name: "alice", NTHash: NTPasswordHash("right"), Secret: ppp.Secret("right"), Rand: fixed})
			p.Start(ppptest.Start, &pOut)
			return p
		}
		answered := func() *Peer {
			p := fresh()
			require.Zero(t, p.Input(challenge, ppptest.Start, &pOut))
			return p
		}
		answered()
		packets, _ = sentPackets(t, &pOut)
		response := packets[0]
		a.Input(response, ppptest.Start, &aOut)
		_, req := sentPackets(t, &aOut)
		v := verify(req, "right")
		v.Message = "Welcome"
		require.Equal(t, ppp.SignalUp, a.Verdict(v, ppptest.Start, &aOut))
		packets, _ = sentPackets(t, &aOut)
		success := packets[0]
		require.Equal(t, ppp.SignalUp, answered().Input(success, ppptest.Start, &pOut))
		failure := ppp.Packet{Code: codeFailure, ID: success[1], Data: []byte("E=691 R=1 C=" + strings.Repeat("0A", 16) + " V=3 M=No")}

		rest := func(p *Peer, name string) {
			pOut.Reset()
			for i := 0; !p.Deadline().IsZero(); i++ {
				require.Less(t, i, 50, name)
				require.Zero(t, p.Tick(p.Deadline(), &pOut)&ppp.SignalUp, name)
			}
			pOut.Reset()
		}
		for name, b := range mutate.Of(challenge) {
			p := fresh()
			require.Zero(t, p.Input(b, ppptest.Start, &pOut), name)
			packets, _ := sentPackets(t, &pOut)
			require.LessOrEqual(t, len(packets), 1, name)
			rest(p, "challenge "+name)
		}
		for name, b := range mutate.Of(success) {
			p := answered()
			sig := p.Input(b, ppptest.Start, &pOut)
			if sig&ppp.SignalUp != 0 && m == ppp.AuthMSCHAPv2 {
				require.Contains(t, strings.ToUpper(string(b)), v.AuthenticatorResponse, name)
			}
			if sig&ppp.SignalFinished != 0 {
				require.Error(t, p.Err(), name)
			}
			rest(p, "success "+name)
		}
		for name, b := range mutate.Of(failure.Append(nil)) {
			p := answered()
			sig := p.Input(b, ppptest.Start, &pOut)
			if m == ppp.AuthMSCHAPv2 {
				require.Zero(t, sig&ppp.SignalUp, name)
			}
			if sig&ppp.SignalFinished != 0 {
				require.Error(t, p.Err(), name)
			}
			rest(p, "failure "+name)
		}
	})
}

// TestMutatedChange gives an authenticator that has asked for a new password what is
// nearly one.
func TestMutatedChange(t *testing.T) {
	fixed := func(b []byte) { copy(b, "a challenge like any other") }
	var aOut, pOut ppp.Output
	invited := func() (a *Authenticator, change []byte) {
		a = NewAuthenticator(AuthenticatorConfig{Name: "gateway", Rand: fixed})
		p := NewPeer(PeerConfig{Name: "alice", NTHash: NTPasswordHash("old"), Rand: fixed, Prompt: true})
		p.Start(ppptest.Start, &pOut)
		a.Start(ppptest.Start, &aOut)
		packets, _ := sentPackets(t, &aOut)
		p.Input(packets[0], ppptest.Start, &pOut)
		packets, _ = sentPackets(t, &pOut)
		a.Input(packets[0], ppptest.Start, &aOut)
		_, req := sentPackets(t, &aOut)
		a.Verdict(ppp.AuthVerdict{ID: req.ID, ErrorCode: int(PasswordExpired), ChangePassword: true}, ppptest.Start, &aOut)
		packets, _ = sentPackets(t, &aOut)
		p.Input(packets[0], ppptest.Start, &pOut)
		require.NoError(t, p.ChangePassword("fresh", ppptest.Start, &pOut))
		packets, _ = sentPackets(t, &pOut)
		require.Len(t, packets, 1)
		return a, packets[0]
	}
	_, change := invited()
	changed := 0
	i := 0
	for name, b := range mutate.Of(change) {
		// There are thousands, and each takes a whole exchange.
		if i++; i > 40 && i%7 != 0 {
			continue
		}
		a, _ := invited()
		a.Input(b, ppptest.Start.Add(time.Second), &aOut)
		_, req := sentPackets(t, &aOut)
		if req == nil || req.PasswordChange == nil {
			continue
		}
		if n, ok := VerifyPasswordChange(req, NTPasswordHash("old")); ok {
			require.Equal(t, "fresh", string(n.Password), name)
			changed++
		}
	}
	require.Positive(t, changed, "an octet of padding does not matter")
}
