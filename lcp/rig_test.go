package lcp

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// side is an LCP at one end of a line.
type side struct {
	*LCP
	*ppptest.Side
}

func newSide(t testing.TB, cfg Config) *side {
	l := New(cfg)
	return &side{l, ppptest.NewSide(t, l)}
}

// peer drives an LCP by hand: the test plays the other side.
type peer struct {
	*LCP
	*ppptest.Hand
}

// newPeer faces an LCP that is up and has sent its first request.
func newPeer(t testing.TB, cfg Config) *peer {
	if cfg.Rand == nil {
		cfg.Rand = magicFrom(0x01020304)
	}
	s := newSide(t, cfg)
	return &peer{s.LCP, ppptest.NewHand(s.Side)}
}

// establish opens the LCP: the peer acks what it asks for, and asks for opts.
func (p *peer) establish(opts ...ppp.Option) {
	p.T.Helper()
	req := p.One(ppp.ConfigureRequest, p.Said())
	require.Empty(p.T, p.Say(ppp.ConfigureAck, req.ID, req.Data))
	got := p.Request(opts...)
	require.Equal(p.T, ppp.ConfigureAck, got[0].Code, "% x", got[0].Data)
	require.True(p.T, p.Opened())
}

// magicFrom is a Config.Rand that gives first, then the numbers after it.
func magicFrom(first uint32) func([]byte) {
	return func(b []byte) {
		binary.BigEndian.PutUint32(b, first)
		first++
	}
}
