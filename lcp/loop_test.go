package lcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// reflect gives an LCP everything that it sends, after delay each way, until it
// has finished.
func reflect(t *testing.T, cfg Config, delay time.Duration) (s *side, took time.Duration) {
	s = newSide(t, cfg)
	l := ppptest.NewLine(s.Side, s.Side)
	l.Delay = delay
	s.Begin(l.Now)
	took = l.Run(time.Minute, l.BothFinished)
	require.True(t, l.BothFinished(), "stuck in %v", s.State())
	return s, took
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
				require.Zero(t, s.Sig&ppp.SignalUp, "it never opens")
				require.Less(t, took, 12*time.Second)
			})
		}
	}
}

// Two ends that draw the same numbers part as soon as one draws another.
func TestEqualMagicNumbersDiverge(t *testing.T) {
	a, b := newSide(t, Config{Rand: magicFrom(7)}), newSide(t, Config{Rand: magicFrom(7)})
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
	l := ppptest.NewLine(a.Side, b.Side)
	l.Begin()
	require.Equal(t, a.sentMagic, b.sentMagic)
	took := l.Run(time.Minute, l.BothOpen)
	require.True(t, l.BothOpen())
	require.Less(t, took, 20*time.Millisecond)
	require.NotEqual(t, a.ownMagic, b.ownMagic)
	require.NoError(t, a.Err())
}

func TestOwnMagicNumberIsNaked(t *testing.T) {
	p := newPeer(t, client())
	p.Said()
	own := encodeMagic(p.sentMagic)
	for range maxLoops - 1 {
		got := p.One(ppp.ConfigureNak, p.Request(encodeMRU(1), own, ppptest.Raw(99)))
		opts := ppptest.Options(t, got)
		require.Len(t, opts, 1, "the magic number alone")
		require.EqualValues(t, optionMagic, opts[0].Type)
		require.NotEqual(t, own, opts[0])
	}
	// A request with another number proves that there is no loop.
	p.One(ppp.ConfigureAck, p.Request(encodeMagic(5)))
	for range maxLoops - 1 {
		p.One(ppp.ConfigureNak, p.Request(own))
	}
	require.NoError(t, p.Err())
	p.Request(own)
	require.ErrorIs(t, p.Err(), ErrLoopback)
}

func TestNakedMagicNumberIsDrawnAnew(t *testing.T) {
	p := newPeer(t, Config{})
	req := p.One(ppp.ConfigureRequest, p.Said())
	got := p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, ppptest.Raw(optionMagic, 1, 1, 1, 1)))
	o, ok := ppptest.Options(t, got).Get(optionMagic)
	require.True(t, ok)
	require.Equal(t, ppptest.Raw(optionMagic, 1, 2, 3, 5), o)
	p.Say(ppp.ConfigureAck, got.ID, got.Data)
	require.EqualValues(t, 0x01020305, p.ownMagic)
}

// A line that is looped back while LCP is open shows by our own Echo-Request.
func TestLoopWhileOpen(t *testing.T) {
	p := newPeer(t, server())
	p.establish(encodeMagic(5))
	p.Said()
	p.Sig = 0
	p.Advance(10 * time.Second)
	echo := p.One(ppp.EchoRequest, p.Said())
	p.Say(echo.Code, echo.ID, echo.Data)
	require.ErrorIs(t, p.Err(), ErrLoopback)
	require.Equal(t, ppp.SignalDown, p.Sig)
}

// And while it opens anew.
func TestLoopInRenegotiation(t *testing.T) {
	p := newPeer(t, Config{})
	p.establish(encodeMagic(5))
	p.Said()
	got := p.Request(encodeMagic(p.sentMagic))
	require.Equal(t, ppp.ConfigureNak, got[len(got)-1].Code)
}

// Two ends without a number have none in common.
func TestZeroIsNoLoop(t *testing.T) {
	p := newPeer(t, Config{})
	req := p.One(ppp.ConfigureRequest, p.Said())
	p.SayOptions(ppp.ConfigureReject, req.ID, encodeMagic(p.sentMagic))
	for range maxLoops + 1 {
		p.One(ppp.ConfigureNak, p.Request(encodeMagic(0)))
	}
	require.NoError(t, p.Err())
	p.One(ppp.ConfigureAck, p.Request())
}

func TestWithoutMagicNumber(t *testing.T) {
	p := newPeer(t, server())
	req := p.One(ppp.ConfigureRequest, p.Said())
	got := p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureReject, req.ID, encodeMagic(p.sentMagic)))
	_, ok := ppptest.Options(t, got).Get(optionMagic)
	require.False(t, ok)
	p.Say(ppp.ConfigureAck, got.ID, got.Data)
	p.Request()
	require.True(t, p.Opened())
	p.Said()

	p.Advance(10 * time.Second)
	echo := p.One(ppp.EchoRequest, p.Said())
	require.Equal(t, []byte{0, 0, 0, 0}, echo.Data, "RFC 1661 §5.8: zero without a number")
	require.Empty(t, p.Say(ppp.EchoReply, echo.ID, []byte{0, 0, 0, 0}))
	require.Zero(t, p.keepalive.pending)
	reply := p.One(ppp.EchoReply, p.Say(ppp.EchoRequest, 9, []byte{0, 0, 0, 0, 'x'}))
	require.Equal(t, []byte{0, 0, 0, 0, 'x'}, reply.Data)
}
