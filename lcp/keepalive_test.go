package lcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// echoing faces an LCP that is open and asks after 10 s, three times.
func echoing(t *testing.T) *peer {
	p := newPeer(t, server())
	p.establish(encodeMagic(5))
	p.Said()
	p.Sig = 0
	return p
}

// tickAt ticks at the given time after the ppptest.Start and returns what is sent.
func (p *peer) tickAt(after time.Duration) []ppp.Packet {
	p.T.Helper()
	p.Now = ppptest.Start.Add(after)
	p.Sig |= p.Tick(p.Now, &p.Out)
	return p.Said()
}

func (p *peer) deadline() time.Duration { return p.Deadline().Sub(ppptest.Start) }

func TestDeadPeer(t *testing.T) {
	p := echoing(t)
	for i := range 3 {
		at := time.Duration(i+1) * 10 * time.Second
		require.Equal(t, at, p.deadline())
		require.Empty(t, p.tickAt(at-1), "not a nanosecond early")
		echo := p.One(ppp.EchoRequest, p.tickAt(at))
		require.Equal(t, []byte{1, 2, 3, 4}, echo.Data, "our magic number")
	}
	require.Equal(t, 40*time.Second, p.deadline())
	require.Empty(t, p.tickAt(40*time.Second-1))
	require.Zero(t, p.Sig)
	p.One(ppp.TerminateRequest, p.tickAt(40*time.Second))
	require.Equal(t, ppp.SignalDown, p.Sig)
	require.ErrorIs(t, p.Err(), ErrPeerDead)
	require.Equal(t, 40*time.Second+ppp.DefaultFirstTimeout, p.deadline(), "of the automaton from here")
	p.Advance(10 * time.Second)
	require.Equal(t, ppp.SignalDown|ppp.SignalFinished, p.Sig)
	require.ErrorIs(t, p.Err(), ErrPeerDead)
	require.True(t, p.Deadline().IsZero())
}

// Who has patience asks later, but no less often once it has begun.
func TestEchoPatience(t *testing.T) {
	cfg := server()
	cfg.EchoPatience = time.Second
	p := newPeer(t, cfg)
	p.establish(encodeMagic(5))
	p.Said()
	require.Empty(t, p.tickAt(11*time.Second-1))
	p.One(ppp.EchoRequest, p.tickAt(11*time.Second))
	p.One(ppp.EchoRequest, p.tickAt(21*time.Second))
	p.Now = ppptest.Start.Add(25 * time.Second)
	p.Heard(p.Now)
	require.Equal(t, 36*time.Second, p.deadline())
}

func TestDefaultFailures(t *testing.T) {
	p := newPeer(t, Config{EchoInterval: time.Second})
	p.establish()
	p.Advance(time.Hour)
	require.ErrorIs(t, p.Err(), ErrPeerDead)
	echoes := 0
	for _, pkt := range p.Said() {
		if pkt.Code == ppp.EchoRequest {
			echoes++
		}
	}
	require.Equal(t, DefaultEchoFailures, echoes)
}

func TestEchoReplyRevives(t *testing.T) {
	p := echoing(t)
	p.One(ppp.EchoRequest, p.tickAt(10*time.Second))
	second := p.One(ppp.EchoRequest, p.tickAt(20*time.Second))
	p.Now = ppptest.Start.Add(21 * time.Second)
	require.Empty(t, p.Say(ppp.EchoReply, second.ID, []byte{0, 0, 0, 5}))
	require.Equal(t, 31*time.Second, p.deadline())
	for i := range 3 {
		p.One(ppp.EchoRequest, p.tickAt(time.Duration(31+10*i)*time.Second))
	}
	require.Equal(t, 61*time.Second, p.deadline(), "it starts from none again")
}

func TestEchoReplyToAnEarlierRequest(t *testing.T) {
	p := echoing(t)
	first := p.One(ppp.EchoRequest, p.tickAt(10*time.Second))
	p.One(ppp.EchoRequest, p.tickAt(20*time.Second))
	require.Empty(t, p.Say(ppp.EchoReply, first.ID, []byte{0, 0, 0, 5}))
	require.Equal(t, 30*time.Second, p.deadline(), "late, but it lives")
}

func TestEchoRepliesThatAreNone(t *testing.T) {
	p := echoing(t)
	require.Empty(t, p.Say(ppp.EchoReply, 1, []byte{0, 0, 0, 5}), "nothing was asked")
	require.EqualValues(t, 1, p.Dropped())
	echo := p.One(ppp.EchoRequest, p.tickAt(10*time.Second))
	p.Now = ppptest.Start.Add(12 * time.Second)
	for _, c := range []struct {
		id   uint8
		data []byte
	}{
		{echo.ID + 1, []byte{0, 0, 0, 5}}, // another identifier
		{echo.ID - 1, []byte{0, 0, 0, 5}},
		{echo.ID, []byte{1, 2, 3, 4}}, // our own magic number
		{echo.ID, []byte{0, 0, 5}},    // no magic number
		{echo.ID, nil},
	} {
		before := p.Dropped()
		require.Empty(t, p.Say(ppp.EchoReply, c.id, c.data))
		require.Equal(t, before+1, p.Dropped(), "%+v", c)
		require.Equal(t, 20*time.Second, p.deadline())
		require.EqualValues(t, 1, p.keepalive.pending)
	}
	require.True(t, p.Opened())
}

func TestTrafficMakesEchoesNeedless(t *testing.T) {
	p := echoing(t)
	for i := range 100 {
		at := time.Duration(i+1) * 9 * time.Second
		require.Empty(t, p.tickAt(at))
		p.Heard(p.Now)
		require.Equal(t, at+10*time.Second, p.deadline())
	}
	p.One(ppp.EchoRequest, p.tickAt(910*time.Second))
	p.Heard(ppptest.Start.Add(909 * time.Second))
	require.Equal(t, 920*time.Second, p.deadline(), "heard before it was asked: no answer")
	p.Heard(ppptest.Start.Add(910 * time.Second))
	require.Equal(t, 920*time.Second, p.deadline(), "ten seconds from then")
	p.One(ppp.EchoRequest, p.tickAt(920*time.Second))
	require.EqualValues(t, 1, p.keepalive.pending)
	p.Heard(ppptest.Start)
	require.EqualValues(t, 1, p.keepalive.pending)
}

// Whatever LCP itself hears will do as well.
func TestLCPTrafficMakesEchoesNeedless(t *testing.T) {
	for name, say := range map[string]func(p *peer){
		"Echo-Request":    func(p *peer) { p.Say(ppp.EchoRequest, 1, []byte{0, 0, 0, 5}) },
		"Discard-Request": func(p *peer) { p.Say(ppp.DiscardRequest, 1, []byte{0, 0, 0, 5}) },
		"Identification":  func(p *peer) { p.Say(ppp.Identification, 1, []byte("\x00\x00\x00\x05me")) },
		"Code-Reject":     func(p *peer) { p.Say(ppp.CodeReject, 1, []byte{byte(ppp.EchoRequest), 1, 0, 4}) },
		"Protocol-Reject": func(p *peer) { p.Say(ppp.ProtocolReject, 1, []byte{0x80, 0x57}) },
		"unknown code":    func(p *peer) { p.Say(77, 1, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			p := echoing(t)
			p.One(ppp.EchoRequest, p.tickAt(10*time.Second))
			p.Now = ppptest.Start.Add(15 * time.Second)
			say(p)
			require.Equal(t, 25*time.Second, p.deadline())
			require.Zero(t, p.keepalive.pending)
			require.True(t, p.Opened())
		})
	}
}

func TestNoEchoes(t *testing.T) {
	p := newPeer(t, Config{})
	require.False(t, p.Deadline().IsZero(), "of the first request")
	p.establish()
	require.True(t, p.Deadline().IsZero())
	p.Heard(p.Now)
	require.Empty(t, p.tickAt(24*time.Hour))
	require.True(t, p.Opened())
}

// A loop that was held up for long must not take the peer for dead at once.
func TestLateTick(t *testing.T) {
	p := echoing(t)
	p.One(ppp.EchoRequest, p.tickAt(time.Hour))
	require.Equal(t, time.Hour+10*time.Second, p.deadline())
	require.True(t, p.Opened())
}

func TestEchoesStartAnew(t *testing.T) {
	p := echoing(t)
	p.tickAt(10 * time.Second)
	p.tickAt(20 * time.Second)
	p.Now = ppptest.Start.Add(25 * time.Second)
	got := p.Request(encodeMagic(5)) // new negotiation
	require.Equal(t, 25*time.Second+ppp.DefaultFirstTimeout, p.deadline(), "no echo while it is not open")
	p.Now = ppptest.Start.Add(25*time.Second + time.Millisecond)
	p.Say(ppp.ConfigureAck, got[0].ID, got[0].Data)
	require.True(t, p.Opened())
	require.Equal(t, 35*time.Second+time.Millisecond, p.deadline())
	require.Zero(t, p.keepalive.pending)
}

// The identifiers of echoes wrap around.
func TestEchoIdentifiersWrap(t *testing.T) {
	p := echoing(t)
	for i := range 600 {
		at := time.Duration(i+1) * 20 * time.Second
		p.One(ppp.EchoRequest, p.tickAt(at-10*time.Second))
		echo := p.One(ppp.EchoRequest, p.tickAt(at))
		p.Say(ppp.EchoReply, echo.ID, []byte{0, 0, 0, 5})
		require.Zero(t, p.keepalive.pending, i)
		p.Heard(p.Now)
	}
	require.Zero(t, p.Dropped())
}

// Two ends with echoes keep each other alive for days, and notice when the line
// is cut.
func TestCutLine(t *testing.T) {
	cfg := client()
	cfg.EchoInterval, cfg.EchoFailures = 10*time.Second, 3
	a, b := newSide(t, server()), newSide(t, cfg)
	l := ppptest.NewLine(a.Side, b.Side)
	l.Begin()
	l.Run(24*time.Hour, nil)
	require.True(t, l.BothOpen())
	l.Lose = func(int) bool { return true }
	took := l.Run(time.Hour, func() bool { return a.Sig&b.Sig&ppp.SignalFinished != 0 })
	require.ErrorIs(t, a.Err(), ErrPeerDead)
	require.ErrorIs(t, b.Err(), ErrPeerDead)
	require.GreaterOrEqual(t, took, 30*time.Second)
	require.Less(t, took, 45*time.Second)
}
