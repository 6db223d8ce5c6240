package pap

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// RFC 1334 §2.2, built by hand.
func TestPackets(t *testing.T) {
	wire := []byte("\x05alice\x06secret")
	r := Request{PeerID: []byte("alice"), Password: ppp.Secret("secret")}
	require.Equal(t, wire, r.Append(nil))
	var got Request
	n, err := got.Decode(append(wire[:len(wire):len(wire)], "padding"...))
	require.NoError(t, err)
	require.Equal(t, len(wire), n)
	require.Equal(t, r, got)
	for i := range len(wire) {
		_, err := got.Decode(wire[:i])
		require.ErrorIs(t, err, ErrLength, i)
		require.Zero(t, got)
	}

	var m Message
	for _, c := range []struct {
		in, text string
		n        int
	}{{"", "", 0}, {"\x00", "", 1}, {"\x02hi", "hi", 3}, {"\x02hi!", "hi", 3}} {
		n, err := m.Decode([]byte(c.in))
		require.NoError(t, err)
		require.Equal(t, c.n, n)
		require.Equal(t, c.text, string(m.Text))
	}
	_, err = m.Decode([]byte("\x03hi"))
	require.ErrorIs(t, err, ErrLength)
	m.Text = make([]byte, 300)
	require.Len(t, m.Append(nil), 256)
}

type exchange = ppptest.Exchange[*Authenticator, *Peer]

func newExchange() *exchange {
	e := ppptest.NewExchange(
		NewAuthenticator(AuthenticatorConfig{}),
		NewPeer(PeerConfig{Name: "alice", Password: ppp.Secret("secret")}),
	)
	e.Judge = func(req ppp.AuthRequest) ppp.AuthVerdict {
		return ppp.AuthVerdict{ID: req.ID, Accepted: req.Name == "alice" && string(req.Password) == "secret", Message: "Hm"}
	}
	return e
}

func TestBothRolesAgree(t *testing.T) {
	for lost := -1; lost < 4; lost++ {
		e := newExchange()
		e.Lose = func(n int) bool { return n == lost }
		e.Run(2 * time.Second)
		require.Equal(t, ppp.SignalUp, e.AuthSig, lost)
		require.Equal(t, ppp.SignalUp, e.PeerSig, lost)
		require.Len(t, e.Requests, 1)
		require.Equal(t, ppp.AuthRequest{Method: ppp.AuthPAP, ID: e.Requests[0].ID, Name: "alice", Password: ppp.Secret("secret")}, e.Requests[0])
		require.True(t, e.Auth.Deadline().IsZero())
		require.True(t, e.Peer.Deadline().IsZero())
		if lost < 0 {
			require.Equal(t, 2, e.Sent)
		}
	}
}

func TestRefused(t *testing.T) {
	e := newExchange()
	e.Peer.cfg.Password = ppp.Secret("guess")
	e.Run(time.Second)
	require.Equal(t, ppp.SignalFinished, e.AuthSig)
	require.ErrorIs(t, e.Auth.Err(), ErrRefused)
	require.Equal(t, ppp.SignalFinished, e.PeerSig)
	var refused *RefusedError
	require.ErrorAs(t, e.Peer.Err(), &refused)
	require.Equal(t, "Hm", refused.Message)
	require.Equal(t, `pap: refused by the server: "Hm"`, refused.Error())
	require.Equal(t, "pap: refused by the server", (&RefusedError{}).Error())
}

// The verdict takes long: repetitions ask nothing twice, and the answer has the
// identifier of the last.
func TestSlowVerdict(t *testing.T) {
	e := newExchange()
	judge := e.Judge
	e.Judge = nil
	e.Run(8 * time.Second)
	require.Len(t, e.Requests, 1)
	require.Zero(t, e.AuthSig|e.PeerSig)
	v := judge(e.Requests[0])
	stale := v
	stale.ID--
	require.Zero(t, e.Auth.Verdict(stale, e.Now, &e.AuthOut))
	require.Equal(t, ppp.SignalUp, e.Auth.Verdict(v, e.Now, &e.AuthOut))
	require.Zero(t, e.Auth.Verdict(v, e.Now, &e.AuthOut), "once")
	require.Equal(t, e.Peer.id, e.AuthOut.At(e.AuthOut.Len() - 1).Frame[3])
	e.GoOn(9 * time.Second)
	require.Equal(t, ppp.SignalUp, e.PeerSig)
}

func TestNobodyAnswers(t *testing.T) {
	e := newExchange()
	e.Lose = func(int) bool { return true }
	e.Run(40 * time.Second)
	require.Equal(t, DefaultMaxTransmit, e.Sent)
	require.Equal(t, ppp.SignalFinished, e.AuthSig)
	require.ErrorIs(t, e.Auth.Err(), ErrTimeout)
	require.Equal(t, ppp.SignalFinished, e.PeerSig)
	require.ErrorIs(t, e.Peer.Err(), ErrTimeout)

	var out ppp.Output
	r := Request{PeerID: []byte("alice"), Password: ppp.Secret("secret")}
	p := ppp.Packet{Code: codeRequest, Data: r.Append(nil)}
	require.Zero(t, e.Auth.Input(p.Append(nil), e.Now, &out))
	require.Zero(t, out.Len(), "too late")
}

func TestRetry(t *testing.T) {
	a := NewAuthenticator(AuthenticatorConfig{})
	var out ppp.Output
	a.Start(ppptest.Start, &out)
	ask := func(id uint8, password string) {
		r := Request{PeerID: []byte("alice"), Password: ppp.Secret(password)}
		p := ppp.Packet{Code: codeRequest, ID: id, Data: r.Append(nil)}
		out.Reset()
		require.Zero(t, a.Input(p.Append(nil), ppptest.Start, &out))
	}
	for i, password := range []string{"one", "two", "three"} {
		ask(uint8(10*i), password)
		req := out.At(0).Event.(ppp.AuthRequest)
		require.Equal(t, password, string(req.Password))
		require.Equal(t, i > 0, req.State != nil)
		sig := a.Verdict(ppp.AuthVerdict{ID: uint8(10 * i), Retry: true, State: i}, ppptest.Start, &out)
		require.Equal(t, i == 2, sig == ppp.SignalFinished)
		ask(uint8(10*i+1), password)
		require.Equal(t, []byte{0xc0, 0x23, byte(codeNak), byte(10*i + 1), 0, 5, 0}, out.At(0).Frame, "it has not heard")
	}
	require.ErrorIs(t, a.Err(), ErrRefused)

	a.Start(ppptest.Start, &out)
	ask(1, "one")
	a.Verdict(ppp.AuthVerdict{ID: 1, Retry: true}, ppptest.Start, &out)
	require.Equal(t, ppptest.Start.Add(DefaultTimeout), a.Deadline())
	require.Equal(t, ppp.SignalFinished, a.Tick(a.Deadline(), &out))
	require.ErrorIs(t, a.Err(), ErrTimeout)

	// RFC 1334 §2.2.1: once in, the answer is the same.
	a.Start(ppptest.Start, &out)
	ask(1, "one")
	require.Equal(t, ppp.SignalUp, a.Verdict(ppp.AuthVerdict{ID: 1, Accepted: true}, ppptest.Start, &out))
	ask(2, "whatever")
	require.Equal(t, byte(codeAck), out.At(0).Frame[2])
}

func TestPeerIsStrict(t *testing.T) {
	p := NewPeer(PeerConfig{Name: strings.Repeat("x", 256)})
	var out ppp.Output
	require.Equal(t, ppp.SignalFinished, p.Start(ppptest.Start, &out))
	require.ErrorIs(t, p.Err(), ErrTooLong)
	require.Zero(t, out.Len())

	p = NewPeer(PeerConfig{Name: "alice", Password: ppp.Secret("secret")})
	p.Start(ppptest.Start, &out)
	ack := ppp.Packet{Code: codeAck, ID: p.id - 1}
	require.Zero(t, p.Input(ack.Append(nil), ppptest.Start, &out))
	ack.ID = p.id + 1
	require.Zero(t, p.Input(ack.Append(nil), ppptest.Start, &out))
	p.Tick(ppptest.Start.Add(time.Second), &out)
	ack.ID = p.id - 1
	require.Equal(t, ppp.SignalUp, p.Input(ack.Append(nil), ppptest.Start, &out), "any of ours, and without a message")
	require.Zero(t, p.Input(ack.Append(nil), ppptest.Start, &out), "once")
	p.Wipe()
	require.Equal(t, make([]byte, 6), []byte(p.cfg.Password))
}
