package chap

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	require.NoError(t, err)
	return b
}

func TestRFC2759Section9_2(t *testing.T) {
	authChallenge := unhex(t, "5B 5D 7C 7D 7B 3F 2F 3E 3C 2C 60 21 32 26 26 28")
	peerChallenge := unhex(t, "21 40 23 24 25 5E 26 2A 28 29 5F 2B 3A 33 7C 7E")

	challenge := challengeHash(peerChallenge, authChallenge, "User")
	require.Equal(t, unhex(t, "D0 2E 43 86 BC E9 12 26"), challenge[:])

	hash := NTPasswordHash("clientPass")
	require.Equal(t, unhex(t, "44 EB BA 8D 53 12 B8 D6 11 47 44 11 F5 69 89 AE"), hash[:])

	response := ntResponse(authChallenge, peerChallenge, "User", hash)
	require.Equal(t, unhex(t, "82 30 9E CD 8D 70 8B 5E A0 8F AA 39 81 CD 83 54 42 33 11 4A 3D 85 D6 DF"), response[:])

	hashHash := hash.HashHash()
	require.Equal(t, unhex(t, "41 C0 0C 58 4B D2 D9 1C 40 17 A2 A1 2F A5 9F 3F"), hashHash[:])

	require.Equal(t, "S=407A5589115FD0D6209F510FE9C04566932CDA56",
		authenticatorResponse(hashHash, response, peerChallenge, authChallenge, "User"))

	// The name is hashed without its domain (§8.2).
	require.Equal(t, response, ntResponse(authChallenge, peerChallenge, `BIGCO\User`, hash))

	result, ok := VerifyMSCHAPv2(&ppp.AuthRequest{
		Method: ppp.AuthMSCHAPv2, Name: `BIGCO\User`,
		Challenge: authChallenge, PeerChallenge: peerChallenge, Response: response[:],
	}, hash)
	require.True(t, ok)
	require.Equal(t, "S=407A5589115FD0D6209F510FE9C04566932CDA56", result.AuthenticatorResponse)
	require.Equal(t, hashHash, result.HashHash)
	require.Equal(t, response, result.NTResponse)
}

func TestRFC2759Section9_3(t *testing.T) {
	password := NTPasswordHash("MyPw")
	require.Equal(t, unhex(t, "FC 15 6A F7 ED CD 6C 0E DD E3 33 7D 42 7F 4E AC"), password[:])
	for i, want := range []string{"FD 0B 5B 5E 7F 6E 34 D9", "0E 6E 79 67 37 EA 08 FE", "4F 57"} {
		var padded [21]byte
		copy(padded[:], password[:])
		key := desKey([7]byte(padded[7*i:]))
		require.Equal(t, unhex(t, want), key[:len(unhex(t, want))])
	}
}

func TestVerifyRefuses(t *testing.T) {
	hash := NTPasswordHash("secret")
	c, p := make([]byte, 16), make([]byte, 16)
	r := ntResponse(c, p, "alice", hash)
	good := ppp.AuthRequest{Method: ppp.AuthMSCHAPv2, Name: "alice", Challenge: c, PeerChallenge: p, Response: r[:]}
	_, ok := VerifyMSCHAPv2(&good, hash)
	require.True(t, ok)
	for name, spoil := range map[string]func(*ppp.AuthRequest){
		"method":         func(q *ppp.AuthRequest) { q.Method = ppp.AuthMSCHAPv1 },
		"name":           func(q *ppp.AuthRequest) { q.Name = "Alice" },
		"challenge":      func(q *ppp.AuthRequest) { q.Challenge = append([]byte{1}, c[1:]...) },
		"peer challenge": func(q *ppp.AuthRequest) { q.PeerChallenge = append([]byte{1}, c[1:]...) },
		"short":          func(q *ppp.AuthRequest) { q.Response = r[:23] },
		"none":           func(q *ppp.AuthRequest) { q.Challenge, q.PeerChallenge, q.Response = nil, nil, nil },
	} {
		bad := good
		spoil(&bad)
		_, ok := VerifyMSCHAPv2(&bad, hash)
		require.False(t, ok, name)
	}
	_, ok = VerifyMSCHAPv2(&good, NTHash{})
	require.False(t, ok)
}

func TestNTHash(t *testing.T) {
	hash := NTPasswordHash("pässwörd🔑")
	parsed, err := ParseNTHash(hex.EncodeToString(hash[:]))
	require.NoError(t, err)
	require.Equal(t, [16]byte(hash), [16]byte(parsed))
	for _, bad := range []string{"", "00", strings.Repeat("0", 31), strings.Repeat("0", 34), strings.Repeat("g", 32)} {
		_, err := ParseNTHash(bad)
		require.ErrorIs(t, err, ErrNTHash)
	}

	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "hash", hash, "config", PeerConfig{NTHash: hash})
	fmt.Fprintf(&out, "%v %+v %#v %s", hash, PeerConfig{NTHash: hash}, PeerConfig{NTHash: hash}, hash)
	require.NotContains(t, strings.ToLower(out.String()), hex.EncodeToString(hash[:2]))
	require.NotContains(t, out.String(), fmt.Sprintf("%d %d", hash[0], hash[1]))
	require.NotContains(t, out.String(), fmt.Sprintf("%#x", hash[0]))
}

func TestSplitDomain(t *testing.T) {
	for in, want := range map[string][2]string{
		"alice": {"", "alice"}, `A\alice`: {"A", "alice"}, `A\B\c`: {`A\B`, "c"}, `\x`: {"", "x"}, "a@b": {"", "a@b"}, "": {},
	} {
		d, u := SplitDomain(in)
		require.Equal(t, want, [2]string{d, u}, in)
	}
}

func TestParseFailure(t *testing.T) {
	c := "00112233445566778899AABBCCDDEEFF"
	for in, want := range map[string]FailureError{
		"E=691 R=1 C=" + c + " V=3 M=Authentication failed": {691, true, "Authentication failed"},
		"E=691 R=0":              {691, false, ""},
		"  R=1   E=648  M=a=b c": {648, true, "a=b c"},
		"M=E=691 R=1":            {0, false, "E=691 R=1"},
		"Access denied":          {0, false, "Access denied"},
		"E=99999999999999 R=1":   {4294967295, true, ""},
		"E= R= C= V=":            {},
		"E=x C=zz":               {},
		"":                       {},
		"E=691 R=1 C=" + c[:30] + " V=3 M=\x00\xff": {691, true, "\x00\xff"},
	} {
		var f failure
		f.parse([]byte(in))
		require.Equal(t, want, f.FailureError, "%q", in)
		require.Equal(t, &want, ParseFailure([]byte(in)))
	}
	var f failure
	f.parse([]byte("E=691 R=1 C=" + c + " V=3"))
	require.Equal(t, unhex(t, c), f.challenge)
	require.Equal(t, `chap: refused by the server: authentication failure (691): "no\nway"`,
		(&FailureError{Code: 691, Message: "no\nway"}).Error())
	for _, code := range []ErrorCode{646, 647, 648, 649, 691, 709} {
		require.NotContains(t, code.String(), "error 6")
	}
}

func TestParseSuccess(t *testing.T) {
	s := "S=407A5589115FD0D6209F510FE9C04566932CDA56"
	for _, in := range []string{s, s + " M=Welcome", strings.ToLower(s[2:]), "E=0 " + s} {
		if !strings.Contains(in, "S=") {
			in = "S=" + in
		}
		got, ok := parseSuccess([]byte(in))
		require.True(t, ok, in)
		require.Equal(t, s, got)
	}
	for _, in := range []string{"", "S=", "M=hello", s[:41]} {
		_, ok := parseSuccess([]byte(in))
		require.False(t, ok, in)
	}
}

func TestValueRoundTrip(t *testing.T) {
	for _, b := range [][]byte{{1, 0}, {2, 1, 2, 'a'}, append([]byte{255}, make([]byte, 300)...)} {
		var v Value
		n, err := v.Decode(b)
		require.NoError(t, err)
		require.Equal(t, len(b), n)
		require.Equal(t, b, v.Append(nil))
	}
	for _, b := range [][]byte{nil, {0}, {0, 1}, {1}, {255, 1, 2}} {
		_, err := new(Value).Decode(b)
		require.ErrorIs(t, err, ErrValueSize, "% x", b)
	}
}

type exchange = ppptest.Exchange[*Authenticator, *Peer]

func newExchange(password string) *exchange {
	e := ppptest.NewExchange(
		NewAuthenticator(AuthenticatorConfig{Name: "gateway"}),
		NewPeer(PeerConfig{Name: "alice", NTHash: NTPasswordHash(password)}),
	)
	e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		if r, ok := VerifyMSCHAPv2(&req, NTPasswordHash("right")); ok {
			return ppp.AuthVerdict{ID: req.ID, Accepted: true, AuthenticatorResponse: r.AuthenticatorResponse, Message: "Welcome"}
		}
		return ppp.AuthVerdict{ID: req.ID, Message: "No"}
	}
	return e
}

func TestBothRolesAgree(t *testing.T) {
	e := newExchange("right")
	e.Run(10 * time.Second)
	require.Equal(t, ppp.SignalUp, e.AuthSig)
	require.Equal(t, ppp.SignalUp, e.PeerSig)
	require.Len(t, e.Requests, 1)
	require.Equal(t, "alice", e.Requests[0].Name)
	require.Equal(t, 3, e.Sent, "nothing is repeated without need")

	hashHash, response, ok := e.Peer.KeyMaterial()
	require.True(t, ok)
	result, ok := VerifyMSCHAPv2(&e.Requests[0], NTPasswordHash("right"))
	require.True(t, ok)
	require.Equal(t, result.HashHash, hashHash)
	require.Equal(t, result.NTResponse, response)
}

func TestEachPacketLostOnce(t *testing.T) {
	for lost := range 5 {
		e := newExchange("right")
		e.Lose = func(n int) bool { return n == lost }
		e.Run(2 * time.Second)
		require.Equal(t, ppp.SignalUp, e.AuthSig, lost)
		require.Equal(t, ppp.SignalUp, e.PeerSig, lost)
		require.Len(t, e.Requests, 1)
	}
}

func TestWrongPassword(t *testing.T) {
	e := newExchange("wrong")
	e.Run(5 * time.Second)
	require.Equal(t, ppp.SignalFinished, e.AuthSig)
	require.ErrorIs(t, e.Auth.Err(), ErrRefused)
	require.Equal(t, ppp.SignalFinished, e.PeerSig)
	var f *FailureError
	require.ErrorAs(t, e.Peer.Err(), &f)
	require.Equal(t, FailureError{Code: 691, Message: "No"}, *f)
	_, _, ok := e.Peer.KeyMaterial()
	require.False(t, ok)
}

func TestServerMustProveItself(t *testing.T) {
	for _, text := range []string{"", "M=Welcome", "S=0000000000000000000000000000000000000000"} {
		e := newExchange("right")
		e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
			return ppp.AuthVerdict{ID: req.ID, Accepted: true, AuthenticatorResponse: text}
		}
		e.Run(time.Second)
		require.Equal(t, ppp.SignalFinished, e.PeerSig)
		require.ErrorIs(t, e.Peer.Err(), ErrAuthenticatorResponse)
		_, _, ok := e.Peer.KeyMaterial()
		require.False(t, ok)
	}
}

func TestNobodyAnswers(t *testing.T) {
	e := newExchange("right")
	e.Lose = func(int) bool { return true }
	e.Run(40 * time.Second)
	require.Equal(t, ppp.SignalFinished, e.AuthSig)
	require.ErrorIs(t, e.Auth.Err(), ErrTimeout)
	require.Equal(t, DefaultMaxTransmit, e.Sent)
	require.True(t, e.Auth.Deadline().IsZero())
	require.Zero(t, e.PeerSig, "the peer waits for the server to begin")

	e = newExchange("right")
	e.Lose = func(n int) bool { return n > 0 }
	e.Run(40 * time.Second)
	require.Equal(t, ppp.SignalFinished, e.PeerSig)
	require.ErrorIs(t, e.Peer.Err(), ErrTimeout)
}

// A slow verdict: repeated responses ask nothing twice, and a verdict on
// another exchange means nothing.
func TestSlowVerdict(t *testing.T) {
	e := newExchange("right")
	judge := e.Judge
	e.Judge = nil
	e.Run(8 * time.Second)
	require.Len(t, e.Requests, 1)
	require.Zero(t, e.AuthSig|e.PeerSig)
	v := judge(e.Requests[0])
	stale := v
	stale.ID++
	require.Zero(t, e.Auth.Verdict(stale, e.Now, &e.AuthOut))
	require.Equal(t, ppp.SignalUp, e.Auth.Verdict(v, e.Now, &e.AuthOut))
	require.Zero(t, e.Auth.Verdict(v, e.Now, &e.AuthOut), "once")
	e.Deliver()
	require.Equal(t, ppp.SignalUp, e.PeerSig)
}

// client is a peer that retries with another password, as Windows does.
func TestRetry(t *testing.T) {
	a := NewAuthenticator(AuthenticatorConfig{})
	var out ppp.Output
	seen := 0
	next := func() (p ppp.Packet, ev ppp.Event) {
		t.Helper()
		require.Less(t, seen, out.Len())
		act := out.At(seen)
		seen++
		if act.Event == nil {
			_, err := p.Decode(act.Frame[2:])
			require.NoError(t, err)
		}
		return p, act.Event
	}
	respond := func(id uint8, challenge []byte, password string) {
		var r response
		r.ntResponse = ntResponse(challenge, r.peerChallenge[:], "alice", NTPasswordHash(password))
		v := Value{Value: r.append(nil), Name: []byte("alice")}
		p := ppp.Packet{Code: codeResponse, ID: id, Data: v.Append(nil)}
		require.Zero(t, a.Input(p.Append(nil), ppptest.Start, &out))
	}
	a.Start(ppptest.Start, &out)
	p, _ := next()
	var v Value
	_, err := v.Decode(p.Data)
	require.NoError(t, err)
	challenge := v.Value
	for attempt := 1; attempt <= DefaultMaxAttempts; attempt++ {
		id := p.ID + uint8(attempt%2) // the same identifier or the next
		if attempt == 1 {
			id = p.ID
		}
		respond(id, challenge, "guess")
		_, ev := next()
		req := ev.(ppp.AuthRequest)
		require.Equal(t, challenge, req.Challenge)
		_, ok := VerifyMSCHAPv2(&req, NTPasswordHash("guess"))
		require.True(t, ok, "the challenge of the Failure counts")
		sig := a.Verdict(ppp.AuthVerdict{ID: req.ID, ErrorCode: 691, Retry: true}, ppptest.Start, &out)
		p, _ = next()
		require.Equal(t, codeFailure, p.Code)
		var f failure
		f.parse(p.Data)
		require.Equal(t, attempt < DefaultMaxAttempts, f.Retry)
		require.NotEqual(t, attempt < DefaultMaxAttempts, sig == ppp.SignalFinished)
		if f.Retry {
			require.NotEqual(t, challenge, f.challenge)
		}
		challenge = f.challenge
	}
	respond(p.ID, challenge, "guess")
	require.Equal(t, out.Len(), seen+1, "only the Failure again")
}

// A peer that is invited to try again and does not is not waited for for ever.
func TestRetryIsNotTaken(t *testing.T) {
	e := newExchange("wrong")
	judge := e.Judge
	e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		v := judge(req)
		v.Retry = true
		return v
	}
	e.Run(time.Second)
	require.Zero(t, e.AuthSig)
	require.Len(t, e.Requests, 1)
	sent := e.AuthOut.Len()
	at := e.Auth.Deadline()
	require.InDelta(t, retryWait, at.Sub(ppptest.Start), float64(time.Second))
	require.Zero(t, e.Auth.Tick(at.Add(-1), &e.AuthOut))
	require.Equal(t, ppp.SignalFinished, e.Auth.Tick(at, &e.AuthOut))
	require.ErrorIs(t, e.Auth.Err(), ErrTimeout)
	require.Equal(t, sent, e.AuthOut.Len(), "nothing is repeated meanwhile")
	require.True(t, e.Auth.Deadline().IsZero())
}

// The course of the successful and the failed negotiations, as far as they are
// without a change of password.
func TestRFC2759Section9_1(t *testing.T) {
	const right, wrong = true, false
	for _, c := range []struct {
		section  string
		attempts []bool // with the right password or not
		retry    bool   // whether the authenticator lets the peer try again
		codes    []ppp.Code
		up       bool
	}{
		{"9.1.1 successful", []bool{right}, true, []ppp.Code{codeChallenge, codeSuccess}, true},
		{"9.1.3 failed, no retry allowed", []bool{wrong}, false, []ppp.Code{codeChallenge, codeFailure}, false},
		{"9.1.4 successful after retry", []bool{wrong, right}, true, []ppp.Code{codeChallenge, codeFailure, codeSuccess}, true},
		{"9.1.5 three attempts", []bool{wrong, wrong, wrong}, true, []ppp.Code{codeChallenge, codeFailure, codeFailure, codeFailure}, false},
	} {
		t.Run(c.section, func(t *testing.T) {
			a := NewAuthenticator(AuthenticatorConfig{})
			var out ppp.Output
			var sig ppp.Signal
			a.Start(ppptest.Start, &out)
			var v Value
			_, err := v.Decode(out.At(0).Frame[2+ppp.PacketHeader:])
			require.NoError(t, err)
			id, challenge := out.At(0).Frame[3], v.Value
			for _, attempt := range c.attempts {
				var r response
				password := NTPasswordHash("right")
				if !attempt {
					password = NTPasswordHash("wrong")
				}
				r.ntResponse = ntResponse(challenge, r.peerChallenge[:], "User", password)
				p := ppp.Packet{Code: codeResponse, ID: id, Data: (&Value{Value: r.append(nil), Name: []byte("User")}).Append(nil)}
				sig |= a.Input(p.Append(nil), ppptest.Start, &out)
				req := out.At(out.Len() - 1).Event.(ppp.AuthRequest)
				_, ok := VerifyMSCHAPv2(&req, NTPasswordHash("right"))
				require.Equal(t, attempt, ok)
				sig |= a.Verdict(ppp.AuthVerdict{ID: req.ID, Accepted: ok, Retry: c.retry}, ppptest.Start, &out)
				var f failure
				f.parse(out.At(out.Len() - 1).Frame[2+ppp.PacketHeader:])
				id, challenge = id+1, f.challenge
			}
			var codes []ppp.Code
			for i := range out.Len() {
				if act := out.At(i); act.Event == nil {
					codes = append(codes, ppp.Code(act.Frame[2]))
				}
			}
			require.Equal(t, c.codes, codes)
			require.Equal(t, c.up, sig == ppp.SignalUp)
			require.Equal(t, !c.up, sig == ppp.SignalFinished)
			require.True(t, a.Deadline().IsZero())
		})
	}
}

func TestOddPacketsAreIgnored(t *testing.T) {
	e := newExchange("right")
	e.Auth.Start(ppptest.Start, &e.AuthOut)
	var v Value
	long := Value{Value: make([]byte, valueLen), Name: make([]byte, 256)}
	v = Value{Value: make([]byte, valueLen-1)}
	id := e.Auth.id
	for _, p := range []ppp.Packet{
		{Code: codeResponse, ID: id, Data: v.Append(nil)},
		{Code: codeResponse, ID: id, Data: long.Append(nil)},
		{Code: codeResponse, ID: id + 1, Data: (&Value{Value: make([]byte, valueLen)}).Append(nil)},
		{Code: codeResponse, ID: id},
		{Code: codeSuccess, ID: id}, {Code: codeFailure, ID: id}, {Code: codeChallenge, ID: id}, {Code: 99},
	} {
		require.Zero(t, e.Auth.Input(p.Append(nil), ppptest.Start, &e.AuthOut))
	}
	require.Equal(t, 1, e.AuthOut.Len())

	for _, p := range []ppp.Packet{
		{Code: codeChallenge, Data: []byte{8, 1, 2, 3, 4, 5, 6, 7, 8}},
		{Code: codeChallenge}, {Code: codeSuccess}, {Code: codeFailure}, {Code: codeResponse},
	} {
		require.Zero(t, e.Peer.Input(p.Append(nil), ppptest.Start, &e.PeerOut))
	}
	require.Zero(t, e.PeerOut.Len())
	require.Zero(t, e.Peer.Input([]byte{1, 2, 3}, ppptest.Start, &e.PeerOut))
}
