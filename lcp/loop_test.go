package lcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/ppp"
)

// reflect gives an LCP everything that it sends, after delay each way, until it
// has finished.
func reflect(t *testing.T, cfg Config, delay time.Duration) (s *side, took time.Duration) {
	s = newSide(cfg)
	now := start
	s.open(now)
	var air []flight
	for s.sig&ppp.SignalFinished == 0 {
		for _, b := range s.take() {
			air = append(air, flight{s, b, now.Add(delay)})
		}
		at := s.Deadline()
		require.False(t, at.IsZero() && len(air) == 0, "stuck in %v", s.State())
		require.Less(t, now.Sub(start), time.Minute)
		if len(air) > 0 && (at.IsZero() || !air[0].at.After(at)) {
			now = air[0].at
			s.sig |= s.Input(air[0].b, now, &s.out)
			air = air[1:]
			continue
		}
		now = at
		s.sig |= s.Tick(now, &s.out)
	}
	return s, now.Sub(start)
}

func TestLoopedBackLine(t *testing.T) {
	for name, cfg := range map[string]Config{
		"zero value": {},
		"server":     server(), // its own demand must not hide the loop
		"client":     client(),
		"both":       {PeerAuth: v2Only, OwnAuth: v2Only},
	} {
		for _, delay := range []time.Duration{0, time.Millisecond, 400 * time.Millisecond} {
			t.Run(name+" "+delay.String(), func(t *testing.T) {
				s, took := reflect(t, cfg, delay)
				require.ErrorIs(t, s.Err(), ErrLoopback)
				require.Zero(t, s.sig&ppp.SignalUp, "it never opens")
				require.Less(t, took, 12*time.Second)
			})
		}
	}
}

// Two ends that draw the same numbers part as soon as one draws another.
func TestEqualMagicNumbersDiverge(t *testing.T) {
	a, b := newSide(Config{Rand: magicFrom(7)}), newSide(Config{Rand: magicFrom(7)})
	// Both nak with 8; a then takes 9 and, as b has drawn once more, they differ.
	once := magicFrom(7)
	skip := false
	b.cfg.Rand = func(p []byte) {
		once(p)
		if skip {
			once(p)
		}
		skip = true
	}
	l := newLine(a, b)
	l.open()
	require.Equal(t, a.sentMagic, b.sentMagic)
	took := l.run(time.Minute, l.bothOpen)
	require.True(t, l.bothOpen())
	require.Less(t, took, 20*time.Millisecond)
	require.NotEqual(t, a.ownMagic, b.ownMagic)
	require.NoError(t, a.Err())
}

func TestOwnMagicNumberIsNaked(t *testing.T) {
	p := newPeer(t, client())
	p.heard()
	own := encodeMagic(p.sentMagic)
	for range maxLoops - 1 {
		got := p.one(ppp.ConfigureNak, p.request(encodeMRU(1), own, raw(99)))
		opts := options(t, got)
		require.Len(t, opts, 1, "the magic number alone")
		require.EqualValues(t, optionMagic, opts[0].Type)
		require.NotEqual(t, own, opts[0])
	}
	// A request with another number proves that there is no loop.
	p.one(ppp.ConfigureAck, p.request(encodeMagic(5)))
	for range maxLoops - 1 {
		p.one(ppp.ConfigureNak, p.request(own))
	}
	require.NoError(t, p.Err())
	p.request(own)
	require.ErrorIs(t, p.Err(), ErrLoopback)
}

func TestNakedMagicNumberIsDrawnAnew(t *testing.T) {
	p := newPeer(t, Config{})
	req := p.one(ppp.ConfigureRequest, p.heard())
	got := p.one(ppp.ConfigureRequest, p.sayOptions(ppp.ConfigureNak, req.ID, raw(optionMagic, 1, 1, 1, 1)))
	o, ok := options(t, got).Get(optionMagic)
	require.True(t, ok)
	require.Equal(t, raw(optionMagic, 1, 2, 3, 5), o)
	p.say(ppp.ConfigureAck, got.ID, got.Data)
	require.EqualValues(t, 0x01020305, p.ownMagic)
}

// A line that is looped back while LCP is open shows by our own Echo-Request.
func TestLoopWhileOpen(t *testing.T) {
	p := newPeer(t, server())
	p.establish(encodeMagic(5))
	p.heard()
	p.sig = 0
	p.advance(10 * time.Second)
	echo := p.one(ppp.EchoRequest, p.heard())
	p.say(echo.Code, echo.ID, echo.Data)
	require.ErrorIs(t, p.Err(), ErrLoopback)
	require.Equal(t, ppp.SignalDown, p.sig)
}

// And while it opens anew.
func TestLoopInRenegotiation(t *testing.T) {
	p := newPeer(t, Config{})
	p.establish(encodeMagic(5))
	p.heard()
	got := p.request(encodeMagic(p.sentMagic))
	require.Equal(t, ppp.ConfigureNak, got[len(got)-1].Code)
}

// Two ends without a number have none in common.
func TestZeroIsNoLoop(t *testing.T) {
	p := newPeer(t, Config{})
	req := p.one(ppp.ConfigureRequest, p.heard())
	p.sayOptions(ppp.ConfigureReject, req.ID, encodeMagic(p.sentMagic))
	for range maxLoops + 1 {
		p.one(ppp.ConfigureNak, p.request(encodeMagic(0)))
	}
	require.NoError(t, p.Err())
	p.one(ppp.ConfigureAck, p.request())
}

func TestWithoutMagicNumber(t *testing.T) {
	p := newPeer(t, server())
	req := p.one(ppp.ConfigureRequest, p.heard())
	got := p.one(ppp.ConfigureRequest, p.sayOptions(ppp.ConfigureReject, req.ID, encodeMagic(p.sentMagic)))
	_, ok := options(t, got).Get(optionMagic)
	require.False(t, ok)
	p.say(ppp.ConfigureAck, got.ID, got.Data)
	p.request()
	require.True(t, p.Opened())
	p.heard()

	p.advance(10 * time.Second)
	echo := p.one(ppp.EchoRequest, p.heard())
	require.Equal(t, []byte{0, 0, 0, 0}, echo.Data, "RFC 1661 §5.8: zero without a number")
	require.Empty(t, p.say(ppp.EchoReply, echo.ID, []byte{0, 0, 0, 0}))
	require.Zero(t, p.keepalive.pending)
	reply := p.one(ppp.EchoReply, p.say(ppp.EchoRequest, 9, []byte{0, 0, 0, 0, 'x'}))
	require.Equal(t, []byte{0, 0, 0, 0, 'x'}, reply.Data)
}
