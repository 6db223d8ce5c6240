package lcp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// RFC 1661 §5.6 and §5.7: what is rejected is cut to the MRU that the peer has
// asked for.
func TestRejectsFitThePeersMRU(t *testing.T) {
	for _, mru := range []int{MinMRU, 200, 1400} {
		p := newPeer(t, client())
		p.establish(encodeMRU(mru))
		got := p.One(ppp.CodeReject, p.Say(99, 1, make([]byte, 1496)))
		require.LessOrEqual(t, len(got.Append(nil)), mru)
		require.Equal(t, []byte{99, 1, 0x05, 0xdc}, got.Data[:4], "it begins as the packet did")
		p.RejectProtocol(0x1235, make([]byte, 1496), &p.Out)
		got = p.One(ppp.ProtocolReject, p.Said())
		require.LessOrEqual(t, len(got.Append(nil)), mru)
	}
}

// RFC 1661 §5.8: the identifier of an Echo-Request comes back, and each of ours
// has its own.
func TestEchoIdentifiers(t *testing.T) {
	p := newPeer(t, server())
	p.establish(encodeMagic(5))
	for _, id := range []uint8{0, 7, 255, 7} {
		got := p.One(ppp.EchoReply, p.Say(ppp.EchoRequest, id, []byte{0, 0, 0, 5}))
		require.Equal(t, id, got.ID)
	}
	p = echoing(t)
	first := p.One(ppp.EchoRequest, p.tickAt(10*time.Second))
	second := p.One(ppp.EchoRequest, p.tickAt(20*time.Second))
	require.NotEqual(t, first.ID, second.ID)
}

// RFC 1661 §5.1 and §6: what is the default anyway is not asked for.
func TestDefaultsAreNotAskedFor(t *testing.T) {
	p := newPeer(t, Config{NoHeaderCompression: true})
	req := p.One(ppp.ConfigureRequest, p.Said())
	require.Equal(t, ppp.Options{ppptest.Raw(optionMagic, 1, 2, 3, 4)}, ppptest.Options(t, req))

	p = newPeer(t, Config{MRU: 1460})
	req = p.One(ppp.ConfigureRequest, p.Said())
	_, ok := ppptest.Options(t, req).Get(optionMRU)
	require.True(t, ok)
	got := p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, encodeMRU(DefaultMRU)))
	_, ok = ppptest.Options(t, got).Get(optionMRU)
	require.False(t, ok, "nor when the peer suggests it")
}

// RFC 1661 §5.8: neither is sent unless LCP is open.
func TestNoEchoesUnlessOpen(t *testing.T) {
	cfg := server()
	cfg.EchoInterval = time.Millisecond
	p := newPeer(t, cfg)
	p.Say(ppp.EchoRequest, 1, []byte{0, 0, 0, 5})
	p.Advance(time.Second)
	for _, got := range p.Said() {
		require.Equal(t, ppp.ConfigureRequest, got.Code)
	}
}

// RFC 1661 §6.1 to §6.6 and RFC 1994 §3: the options as they are on the wire.
func TestOptionsOnTheWire(t *testing.T) {
	p := newPeer(t, server())
	require.Equal(t, []byte{
		1, 4, 0x05, 0xb4,
		3, 5, 0xc2, 0x23, 0x81,
		5, 6, 1, 2, 3, 4,
		7, 2,
		8, 2,
	}, p.One(ppp.ConfigureRequest, p.Said()).Data)
}
