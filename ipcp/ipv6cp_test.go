package ipcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

var (
	id1 = InterfaceID{0, 0, 0, 0, 0, 0, 0, 1}
	id2 = InterfaceID{0, 0, 0, 0, 0, 0, 0, 2}
	id3 = InterfaceID{0, 0, 0, 0, 0, 0, 0, 3}
)

// peer6 drives an IPV6CP by hand: the test plays the other side.
type peer6 struct {
	*IPV6CP
	*ppptest.Hand
}

func newPeer6(t testing.TB, cfg IPV6CPConfig) *peer6 {
	l := NewIPV6CP(cfg)
	return &peer6{l, ppptest.NewHand(ppptest.NewSide(t, l))}
}

// say has it hear a packet and returns the one that it answers.
func (p *peer6) say(code ppp.Code, id uint8, opts ...ppp.Option) ppp.Packet {
	p.T.Helper()
	return p.only(p.SayOptions(code, id, opts...))
}

// request asks for opts and returns the one packet that it answers.
func (p *peer6) request(opts ...ppp.Option) ppp.Packet {
	p.T.Helper()
	return p.only(p.Request(opts...))
}

func (p *peer6) only(got []ppp.Packet) ppp.Packet {
	p.T.Helper()
	require.Len(p.T, got, 1)
	return got[0]
}

// asked returns the identifier in a Configure-Request.
func (p *peer6) asked(pkt ppp.Packet) InterfaceID {
	p.T.Helper()
	require.Equal(p.T, ppp.ConfigureRequest, pkt.Code)
	opts := ppptest.Options(p.T, pkt)
	require.Len(p.T, opts, 1)
	require.EqualValues(p.T, optionInterfaceID, opts[0].Type)
	return InterfaceID(opts[0].Data)
}

func TestInterfaceID(t *testing.T) {
	id := InterfaceID{0x02, 0x00, 0x5e, 0xfe, 0x0a, 0x00, 0x00, 0x01}
	require.Equal(t, netip.MustParseAddr("fe80::200:5efe:a00:1"), id.LinkLocal())
	require.Equal(t, "0200:5efe:0a00:0001", id.String())
}

// RFC 5072 §4.1: the four ways to answer a request.
func TestIPV6CPJudge(t *testing.T) {
	p := newPeer6(t, IPV6CPConfig{Local: id1, Peer: id2})
	require.Equal(t, id1, p.asked(p.Said()[0]))

	answer := p.request(encodeID(id3))
	require.Equal(t, ppp.ConfigureAck, answer.Code, "another than ours stays as it is")
	require.Equal(t, id3, p.Peer())

	answer = p.request(encodeID(InterfaceID{}))
	require.Equal(t, ppp.ConfigureNak, answer.Code, "none: one is suggested")
	require.Equal(t, ppp.Options{encodeID(id2)}, ppptest.Options(t, answer))

	answer = p.request(encodeID(id1))
	require.Equal(t, ppp.ConfigureNak, answer.Code, "ours: another is suggested")
	require.Equal(t, ppp.Options{encodeID(id2)}, ppptest.Options(t, answer))

	answer = p.request()
	require.Equal(t, ppp.ConfigureNak, answer.Code, "the option is appended, once")
	require.Equal(t, ppp.Options{encodeID(id2)}, ppptest.Options(t, answer))
	answer = p.request()
	require.Equal(t, ppp.ConfigureAck, answer.Code, "it does not know the option")
	require.Zero(t, p.Peer())
}

func TestIPV6CPRejects(t *testing.T) {
	p := newPeer6(t, IPV6CPConfig{Local: id1})
	p.Said()
	compression := ppptest.Raw(2, 0, 0x61)
	for name, c := range map[string]struct{ asked, rejected ppp.Options }{
		"header compression": {ppp.Options{encodeID(id2), compression}, ppp.Options{compression}},
		"too short":          {ppp.Options{ppptest.Raw(1, 1, 2, 3)}, ppp.Options{ppptest.Raw(1, 1, 2, 3)}},
		"twice":              {ppp.Options{encodeID(id2), encodeID(id3)}, ppp.Options{encodeID(id3)}},
	} {
		answer := p.request(c.asked...)
		require.Equal(t, ppp.ConfigureReject, answer.Code, name)
		require.Equal(t, c.rejected, ppptest.Options(t, answer), name)
	}
}

// An identifier that the peer suggests is taken, unless it is the one that we
// have suggested to the peer: two that drew the same would go on in step.
func TestIPV6CPNaked(t *testing.T) {
	p := newPeer6(t, IPV6CPConfig{Local: id1, Peer: id2})
	first := p.Said()[0]
	require.Equal(t, id3, p.asked(p.say(ppp.ConfigureNak, first.ID, encodeID(id3))))

	p = newPeer6(t, IPV6CPConfig{Local: id1, Peer: id2})
	first = p.Said()[0]
	require.Equal(t, ppp.ConfigureNak, p.request(encodeID(id1)).Code)
	got := p.asked(p.say(ppp.ConfigureNak, first.ID, encodeID(id2)))
	require.NotContains(t, []InterfaceID{{}, id1, id2}, got)
	require.Zero(t, got[0]&2, "the u bit")

	// Nothing but an identifier of the right length is taken.
	for _, o := range []ppp.Option{ppptest.Raw(1, 9), ppptest.Raw(7, 1, 2, 3, 4, 5, 6, 7, 8)} {
		p = newPeer6(t, IPV6CPConfig{Local: id1})
		first = p.Said()[0]
		require.Equal(t, id1, p.asked(p.say(ppp.ConfigureNak, first.ID, o)))
	}
}

func TestIPV6CPRefused(t *testing.T) {
	p := newPeer6(t, IPV6CPConfig{Local: id1})
	first := p.Said()[0]
	again := p.say(ppp.ConfigureReject, first.ID, encodeID(id1))
	require.Equal(t, ppp.ConfigureRequest, again.Code)
	require.Empty(t, again.Data)
	require.Equal(t, ppp.ConfigureAck, p.request(encodeID(id2)).Code)
	p.Input((&ppp.Packet{Code: ppp.ConfigureAck, ID: again.ID}).Append(nil), p.Now, &p.Out)
	require.True(t, p.Opened())
	require.Equal(t, id1, p.Local())
}

// Two ends that draw the same numbers must part (RFC 5072 §4.1).
func TestIPV6CPCollision(t *testing.T) {
	for name, cfg := range map[string]IPV6CPConfig{
		"same identifier": {Local: id1},
		"same chances":    {Rand: func(b []byte) { copy(b, "\x10234567\x08") }},
	} {
		t.Run(name, func(t *testing.T) {
			// The numbers that are drawn later differ: chance does not repeat
			// itself for ever.
			cfgs := [2]IPV6CPConfig{cfg, cfg}
			for i := range cfgs {
				n, inner := byte(0), cfg.Rand
				cfgs[i].Rand = func(b []byte) {
					if n++; n == 1 && inner != nil {
						inner(b)
						return
					}
					copy(b, []byte{0, 0, 0, 0, 0, byte(i), n, 9})
				}
			}
			a, b := NewIPV6CP(cfgs[0]), NewIPV6CP(cfgs[1])
			if cfg.Rand != nil {
				require.NotEqual(t, a.Local(), InterfaceID{})
			}
			talk6(t, a, b, nil)
			require.NotEqual(t, a.Local(), b.Local())
			require.Equal(t, a.Local(), b.Peer())
			require.Equal(t, b.Local(), a.Peer())
		})
	}
}

// talk6 lets two ends negotiate until both are open. Packet n is lost if lose
// says so.
func talk6(t *testing.T, a, b *IPV6CP, lose func(n int) bool) {
	t.Helper()
	l := ppptest.NewLine(ppptest.NewSide(t, a), ppptest.NewSide(t, b))
	l.Lose = lose
	l.Begin()
	l.Run(20*time.Second, l.BothOpen)
	l.Run(time.Second, nil)
	require.True(t, l.BothOpen(), "the two do not come to an end")
}

func TestIPV6CPEachPacketLostOnce(t *testing.T) {
	for lost := range 8 {
		a, b := NewIPV6CP(IPV6CPConfig{}), NewIPV6CP(IPV6CPConfig{})
		talk6(t, a, b, func(n int) bool { return n == lost })
		require.Equal(t, a.Local(), b.Peer())
		require.Equal(t, b.Local(), a.Peer())
	}
}

// A new negotiation knows nothing of the last one.
func TestIPV6CPBeginsAnew(t *testing.T) {
	p := newPeer6(t, IPV6CPConfig{Local: id1})
	first := p.Said()[0]
	p.say(ppp.ConfigureReject, first.ID, encodeID(id1))
	p.request(encodeID(id2))
	p.Down(p.Now, &p.Out)
	p.Said()
	p.Up(p.Now, &p.Out)
	require.Equal(t, id1, p.asked(p.Said()[0]))
	require.Zero(t, p.Peer())
}

func FuzzIPV6CP(f *testing.F) {
	f.Add([]byte{1, 1, 0, 14, 1, 10, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{3, 1, 0, 14, 1, 10, 0, 0, 0, 0, 0, 0, 0, 2})
	f.Add([]byte{4, 1, 0, 14, 1, 10, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{1, 1, 0, 8, 1, 4, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := newPeer6(t, IPV6CPConfig{Local: id1})
		p.Said()
		for range 3 {
			p.Forget()
			p.Input(b, p.Now, &p.Out)
			require.LessOrEqual(t, p.Out.Len(), 4)
			require.NotZero(t, p.Local())
			for _, pkt := range p.Said() {
				if pkt.Code == ppp.ConfigureAck {
					require.NotEqual(t, p.Local(), p.Peer())
				}
			}
		}
	})
}
