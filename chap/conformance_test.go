package chap

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// packetsOf decodes the packets in an Output.
func packetsOf(t *testing.T, out *ppp.Output) (pkts []ppp.Packet) {
	for i := range out.Len() {
		if a := out.At(i); a.Event == nil {
			require.Equal(t, []byte{0xc2, 0x23}, a.Frame[:2], "RFC 1994 §4")
			var p ppp.Packet
			n, err := p.Decode(bytes.Clone(a.Frame[2:]))
			require.NoError(t, err)
			require.Equal(t, len(a.Frame)-2, n)
			pkts = append(pkts, p)
		}
	}
	return pkts
}

// RFC 1994 §2.3 and §4.1, RFC 2759 §3: a new challenge has another identifier and
// another value, of the size that the method wants, and nothing follows our name.
func TestChallengesDiffer(t *testing.T) {
	eachMethod(t, func(t *testing.T, m ppp.AuthMethod) {
		a := NewAuthenticator(AuthenticatorConfig{Method: m, Name: "gateway"})
		values, last := make(map[string]bool), uint8(0)
		for range 100 {
			var out ppp.Output
			a.Start(ppptest.Start, &out)
			p := packetsOf(t, &out)[0]
			require.Equal(t, codeChallenge, p.Code)
			var v Value
			_, err := v.Decode(p.Data)
			require.NoError(t, err)
			require.Len(t, v.Value, map[ppp.AuthMethod]int{ppp.AuthCHAPMD5: 16, ppp.AuthMSCHAPv1: 8, ppp.AuthMSCHAPv2: 16}[m])
			require.Equal(t, "gateway", string(v.Name))
			require.NotEqual(t, last, p.ID)
			require.False(t, values[string(v.Value)])
			values[string(v.Value)], last = true, p.ID
		}
	})
}

// RFC 1994 §4.1: a Response that comes again has the same reply, and no other one
// to the same challenge has a reply that would tell names or secrets apart.
func TestOneReplyToAChallenge(t *testing.T) {
	eachMethod(t, func(t *testing.T, m ppp.AuthMethod) {
		for _, accept := range []bool{true, false} {
			a := NewAuthenticator(AuthenticatorConfig{Method: m})
			var out ppp.Output
			a.Start(ppptest.Start, &out)
			answer := func(name string) []ppp.Packet {
				out.Reset()
				value := make([]byte, map[bool]int{true: 16, false: valueLen}[m == ppp.AuthCHAPMD5])
				for i := 24; i < 48 && i < len(value); i++ {
					value[i] = 1
				}
				if m == ppp.AuthMSCHAPv1 {
					value[48] = 1
				}
				v := Value{Value: value, Name: []byte(name)}
				p := ppp.Packet{Code: codeResponse, ID: a.id, Data: v.Append(nil)}
				a.Input(p.Append(nil), ppptest.Start, &out)
				return packetsOf(t, &out)
			}
			require.Empty(t, answer("alice"))
			sig := a.Verdict(ppp.AuthVerdict{ID: a.id, Accepted: accept}, ppptest.Start, &out)
			require.Equal(t, accept, sig == ppp.SignalUp)
			first := packetsOf(t, &out)
			require.Len(t, first, 1)
			require.Equal(t, a.id, first[0].ID, "§4.2: the identifier of the Response")
			require.Equal(t, first, answer("alice"))
			require.Empty(t, answer("bob"))
		}
	})
}

// RFC 1994 §4 and RFC 2759 §7: the numbers on the wire.
func TestCodes(t *testing.T) {
	require.Equal(t, []ppp.Code{1, 2, 3, 4, 7}, []ppp.Code{codeChallenge, codeResponse, codeSuccess, codeFailure, codeChangePasswordV2})
}

// RFC 2759 §4: the parts of a Response.
func TestResponseLayout(t *testing.T) {
	seen := make(map[string]bool)
	for range 20 {
		p := NewPeer(PeerConfig{Name: `BIGCO\alice`, NTHash: NTPasswordHash("x")})
		var out ppp.Output
		p.Start(ppptest.Start, &out)
		challenge := ppp.Packet{Code: codeChallenge, ID: 77, Data: (&Value{Value: make([]byte, 16)}).Append(nil)}
		p.Input(challenge.Append(nil), ppptest.Start, &out)
		got := packetsOf(t, &out)[0]
		require.Equal(t, codeResponse, got.Code)
		require.Equal(t, uint8(77), got.ID, "RFC 1994 §4.1: copied from the Challenge")
		require.Equal(t, byte(49), got.Data[0])
		v := got.Data[1:50]
		require.False(t, seen[string(v[:16])], "the peer's challenge is random")
		seen[string(v[:16])] = true
		require.Equal(t, make([]byte, 8), v[16:24], "reserved")
		require.Equal(t, p.answer.ntResponse[:], v[24:48])
		require.Zero(t, v[48], "flags")
		require.Equal(t, `BIGCO\alice`, string(got.Data[50:]))
	}
}

// RFC 2759 §5 and §6: the texts that are part of the protocol.
func TestMessages(t *testing.T) {
	for _, v := range []ppp.AuthVerdict{
		{}, {Message: "No"}, {ErrorCode: 647}, {Retry: true, Message: "Again"}, {ChangePassword: true},
	} {
		e := newExchange("wrong")
		e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict { v.ID = req.ID; return v }
		e.Run(10 * time.Millisecond)
		pkts := packetsOf(t, &e.AuthOut)
		text := string(pkts[len(pkts)-1].Data)
		require.Regexp(t, regexp.MustCompile(`^E=\d{1,10} R=[01] C=[0-9A-F]{32} V=3( M=.*)?$`), text)
		require.Equal(t, v.Retry, strings.Contains(text, " R=1 "))
	}
	e := newExchange("right")
	e.Run(10 * time.Millisecond)
	pkts := packetsOf(t, &e.AuthOut)
	require.Regexp(t, regexp.MustCompile(`^S=[0-9A-F]{40} M=Welcome$`), string(pkts[len(pkts)-1].Data))
}

// RFC 2759 §7: the parts of a Change-Password packet.
func TestChangePasswordLayout(t *testing.T) {
	p := NewPeer(PeerConfig{Name: "alice", NTHash: NTPasswordHash("old"), Prompt: true})
	var out ppp.Output
	p.Start(ppptest.Start, &out)
	challenge := ppp.Packet{Code: codeChallenge, ID: 5, Data: (&Value{Value: make([]byte, 16)}).Append(nil)}
	p.Input(challenge.Append(nil), ppptest.Start, &out)
	next := strings.Repeat("0123456789ABCDEF", 2)
	failed := ppp.Packet{Code: codeFailure, ID: 5, Data: fmt.Appendf(nil, "E=648 R=0 C=%s V=3 M=Expired", next)}
	p.Input(failed.Append(nil), ppptest.Start, &out)
	out.Reset()
	require.NoError(t, p.ChangePassword("new", ppptest.Start, &out))
	got := packetsOf(t, &out)[0]
	require.EqualValues(t, 7, got.Code)
	require.Equal(t, uint8(6), got.ID, "that of the Failure, plus 1")
	require.Len(t, got.Append(nil), 586)
	d := got.Data[516+16:]
	require.Equal(t, make([]byte, 8), d[16:24], "reserved")
	want := ntResponse(unhex(t, next), d[:16], "alice", NTPasswordHash("new"))
	require.Equal(t, want[:], d[24:48], "by the new password and the challenge of the Failure")
	require.Equal(t, []byte{0, 0}, d[48:], "flags")
}
