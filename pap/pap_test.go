package pap

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/ppp"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

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

// exchange runs both roles against each other, a millisecond each way.
type exchange struct {
	t          *testing.T
	auth       *Authenticator
	peer       *Peer
	out        [2]ppp.Output // authenticator's, peer's
	seen       [2]int
	aSig, pSig ppp.Signal
	now        time.Time
	requests   []ppp.AuthRequest
	judge      func(ppp.AuthRequest) ppp.AuthVerdict
	lose       func(n int) bool
	sent       int
}

func newExchange(t *testing.T) *exchange {
	return &exchange{
		t:    t,
		auth: NewAuthenticator(AuthenticatorConfig{}),
		peer: NewPeer(PeerConfig{Name: "alice", Password: ppp.Secret("secret")}),
		now:  start,
		judge: func(req ppp.AuthRequest) ppp.AuthVerdict {
			return ppp.AuthVerdict{ID: req.ID, Accepted: req.Name == "alice" && string(req.Password) == "secret", Message: "Hm"}
		},
		lose: func(int) bool { return false },
	}
}

func (e *exchange) run(limit time.Duration) {
	e.aSig |= e.auth.Start(e.now, &e.out[0])
	e.pSig |= e.peer.Start(e.now, &e.out[1])
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
			if e.sent++; !e.lose(e.sent - 1) {
				e.aSig |= e.auth.Input(e.out[1].At(e.seen[1]).Frame[2:], e.now, &e.out[0])
			}
		}
		e.aSig |= e.auth.Tick(e.now, &e.out[0])
		e.pSig |= e.peer.Tick(e.now, &e.out[1])
	}
}

func TestBothRolesAgree(t *testing.T) {
	for lost := -1; lost < 4; lost++ {
		e := newExchange(t)
		e.lose = func(n int) bool { return n == lost }
		e.run(2 * time.Second)
		require.Equal(t, ppp.SignalUp, e.aSig, lost)
		require.Equal(t, ppp.SignalUp, e.pSig, lost)
		require.Len(t, e.requests, 1)
		require.Equal(t, ppp.AuthRequest{Method: ppp.AuthPAP, ID: e.requests[0].ID, Name: "alice", Password: ppp.Secret("secret")}, e.requests[0])
		require.True(t, e.auth.Deadline().IsZero())
		require.True(t, e.peer.Deadline().IsZero())
		if lost < 0 {
			require.Equal(t, 2, e.sent)
		}
	}
}

func TestRefused(t *testing.T) {
	e := newExchange(t)
	e.peer.cfg.Password = ppp.Secret("guess")
	e.run(time.Second)
	require.Equal(t, ppp.SignalFinished, e.aSig)
	require.ErrorIs(t, e.auth.Err(), ErrRefused)
	require.Equal(t, ppp.SignalFinished, e.pSig)
	var refused *RefusedError
	require.ErrorAs(t, e.peer.Err(), &refused)
	require.Equal(t, "Hm", refused.Message)
	require.Equal(t, `pap: refused by the server: "Hm"`, refused.Error())
	require.Equal(t, "pap: refused by the server", (&RefusedError{}).Error())
}

// The verdict takes long: repetitions ask nothing twice, and the answer has the
// identifier of the last.
func TestSlowVerdict(t *testing.T) {
	e := newExchange(t)
	judge := e.judge
	e.judge = nil
	e.run(8 * time.Second)
	require.Len(t, e.requests, 1)
	require.Zero(t, e.aSig|e.pSig)
	v := judge(e.requests[0])
	stale := v
	stale.ID--
	require.Zero(t, e.auth.Verdict(stale, e.now, &e.out[0]))
	require.Equal(t, ppp.SignalUp, e.auth.Verdict(v, e.now, &e.out[0]))
	require.Zero(t, e.auth.Verdict(v, e.now, &e.out[0]), "once")
	require.Equal(t, e.peer.id, e.out[0].At(e.out[0].Len() - 1).Frame[3])
	e.goOn(9 * time.Second)
	require.Equal(t, ppp.SignalUp, e.pSig)
}

func TestNobodyAnswers(t *testing.T) {
	e := newExchange(t)
	e.lose = func(int) bool { return true }
	e.run(40 * time.Second)
	require.Equal(t, DefaultMaxTransmit, e.sent)
	require.Equal(t, ppp.SignalFinished, e.aSig)
	require.ErrorIs(t, e.auth.Err(), ErrTimeout)
	require.Equal(t, ppp.SignalFinished, e.pSig)
	require.ErrorIs(t, e.peer.Err(), ErrTimeout)

	var out ppp.Output
	r := Request{PeerID: []byte("alice"), Password: ppp.Secret("secret")}
	p := ppp.Packet{Code: codeRequest, Data: r.Append(nil)}
	require.Zero(t, e.auth.Input(p.Append(nil), e.now, &out))
	require.Zero(t, out.Len(), "too late")
}

func TestRetry(t *testing.T) {
	a := NewAuthenticator(AuthenticatorConfig{})
	var out ppp.Output
	a.Start(start, &out)
	ask := func(id uint8, password string) {
		r := Request{PeerID: []byte("alice"), Password: ppp.Secret(password)}
		p := ppp.Packet{Code: codeRequest, ID: id, Data: r.Append(nil)}
		out.Reset()
		require.Zero(t, a.Input(p.Append(nil), start, &out))
	}
	for i, password := range []string{"one", "two", "three"} {
		ask(uint8(10*i), password)
		req := out.At(0).Event.(ppp.AuthRequest)
		require.Equal(t, password, string(req.Password))
		require.Equal(t, i > 0, req.State != nil)
		sig := a.Verdict(ppp.AuthVerdict{ID: uint8(10 * i), Retry: true, State: i}, start, &out)
		require.Equal(t, i == 2, sig == ppp.SignalFinished)
		ask(uint8(10*i+1), password)
		require.Equal(t, []byte{0xc0, 0x23, byte(codeNak), byte(10*i + 1), 0, 5, 0}, out.At(0).Frame, "it has not heard")
	}
	require.ErrorIs(t, a.Err(), ErrRefused)

	a.Start(start, &out)
	ask(1, "one")
	a.Verdict(ppp.AuthVerdict{ID: 1, Retry: true}, start, &out)
	require.Equal(t, start.Add(DefaultTimeout), a.Deadline())
	require.Equal(t, ppp.SignalFinished, a.Tick(a.Deadline(), &out))
	require.ErrorIs(t, a.Err(), ErrTimeout)

	// RFC 1334 §2.2.1: once in, the answer is the same.
	a.Start(start, &out)
	ask(1, "one")
	require.Equal(t, ppp.SignalUp, a.Verdict(ppp.AuthVerdict{ID: 1, Accepted: true}, start, &out))
	ask(2, "whatever")
	require.Equal(t, byte(codeAck), out.At(0).Frame[2])
}

func TestPeerIsStrict(t *testing.T) {
	p := NewPeer(PeerConfig{Name: strings.Repeat("x", 256)})
	var out ppp.Output
	require.Equal(t, ppp.SignalFinished, p.Start(start, &out))
	require.ErrorIs(t, p.Err(), ErrTooLong)
	require.Zero(t, out.Len())

	p = NewPeer(PeerConfig{Name: "alice", Password: ppp.Secret("secret")})
	p.Start(start, &out)
	ack := ppp.Packet{Code: codeAck, ID: p.id - 1}
	require.Zero(t, p.Input(ack.Append(nil), start, &out))
	ack.ID = p.id + 1
	require.Zero(t, p.Input(ack.Append(nil), start, &out))
	p.Tick(start.Add(time.Second), &out)
	ack.ID = p.id - 1
	require.Equal(t, ppp.SignalUp, p.Input(ack.Append(nil), start, &out), "any of ours, and without a message")
	require.Zero(t, p.Input(ack.Append(nil), start, &out), "once")
	p.Wipe()
	require.Equal(t, make([]byte, 6), []byte(p.cfg.Password))
}
