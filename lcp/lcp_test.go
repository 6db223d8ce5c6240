package lcp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

var (
	v2Only  = []ppp.AuthMethod{ppp.AuthMSCHAPv2}
	several = []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthCHAPMD5, ppp.AuthPAP}
)

func server() Config {
	return Config{MRU: 1460, PeerAuth: v2Only, EchoInterval: 10 * time.Second, EchoFailures: 3}
}

func client() Config { return Config{MRU: 1400, OwnAuth: v2Only} }

func TestTwoSides(t *testing.T) {
	both := ppp.HeaderCompression{Protocol: true, AddressControl: true}
	for name, c := range map[string]struct {
		a, b         Config
		aAuth, bAuth ppp.AuthMethod // how each proves itself
		header       ppp.HeaderCompression
		mruA, mruB   int // what each hears of the other
	}{
		"server and client": {server(), client(), ppp.AuthMethod{}, ppp.AuthMSCHAPv2, both, 1400, 1460},
		"no authentication": {Config{}, Config{}, ppp.AuthMethod{}, ppp.AuthMethod{}, both, 1500, 1500},
		"both ways": {
			Config{PeerAuth: v2Only, OwnAuth: several}, Config{PeerAuth: []ppp.AuthMethod{ppp.AuthPAP}, OwnAuth: v2Only},
			ppp.AuthPAP, ppp.AuthMSCHAPv2, both, 1500, 1500,
		},
		"a common method is found": {
			Config{PeerAuth: several}, Config{OwnAuth: []ppp.AuthMethod{ppp.AuthPAP, ppp.AuthCHAPMD5}},
			ppp.AuthMethod{}, ppp.AuthPAP, both, 1500, 1500,
		},
		"no header compression": {
			Config{NoHeaderCompression: true}, Config{},
			ppp.AuthMethod{}, ppp.AuthMethod{}, ppp.HeaderCompression{}, 1500, 1500,
		},
		"small": {Config{MRU: 1}, Config{MRU: 1 << 20}, ppp.AuthMethod{}, ppp.AuthMethod{}, both, MaxMRU, MinMRU},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newSide(t, c.a), newSide(t, c.b)
			l := ppptest.NewLine(a.Side, b.Side)
			l.Begin()
			took := l.Run(time.Minute, l.BothOpen)
			require.True(t, l.BothOpen())
			require.Less(t, took, 20*time.Millisecond, "nothing was waited for")
			require.Equal(t, c.aAuth, a.OwnAuth())
			require.Equal(t, c.aAuth, b.PeerAuth())
			require.Equal(t, c.bAuth, b.OwnAuth())
			require.Equal(t, c.bAuth, a.PeerAuth())
			require.Equal(t, c.mruA, a.PeerMRU())
			require.Equal(t, c.mruB, b.PeerMRU())
			require.Equal(t, c.header, a.HeaderCompression())
			require.Equal(t, c.header, b.HeaderCompression())
			for _, s := range []*side{a, b} {
				require.Equal(t, ppp.SignalStarted|ppp.SignalUp, s.Sig)
				require.NoError(t, s.Err())
				require.Zero(t, s.Dropped())
				require.NotZero(t, s.ownMagic)
			}
			require.NotEqual(t, a.ownMagic, b.ownMagic)
		})
	}
}

func TestEachPacketLostOnce(t *testing.T) {
	for lost := range 6 {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			a, b := newSide(t, server()), newSide(t, client())
			l := ppptest.NewLine(a.Side, b.Side)
			l.Lose = func(n int) bool { return n == lost }
			l.Begin()
			took := l.Run(time.Minute, l.BothOpen)
			require.True(t, l.BothOpen())
			require.Less(t, took, time.Second)
			l.Run(10*time.Second, nil)
			require.True(t, l.BothOpen(), "and it stays so")
			require.Equal(t, ppp.AuthMSCHAPv2, a.PeerAuth())
			require.Equal(t, ppp.AuthMSCHAPv2, b.OwnAuth())
		})
	}
}

func TestImpairedLine(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			a, b := newSide(t, Config{PeerAuth: several}), newSide(t, Config{OwnAuth: []ppp.AuthMethod{ppp.AuthPAP}})
			l := ppptest.NewLine(a.Side, b.Side)
			l.Delay = 40 * time.Millisecond
			l.Lose = ppptest.Share(seed, 4)
			l.Begin()
			l.Run(20*time.Second, l.BothOpen)
			l.Lose = nil
			l.Run(20*time.Second, nil)
			require.True(t, l.BothOpen(), "%v %v", a.State(), b.State())
			require.Equal(t, ppp.AuthPAP, a.PeerAuth())
			require.Equal(t, ppp.AuthPAP, b.OwnAuth())
		})
	}
}

func TestRenegotiation(t *testing.T) {
	p := newPeer(t, Config{PeerAuth: v2Only, OwnAuth: v2Only})
	p.establish(encodeMRU(1400), encodeAuth(ppp.AuthMSCHAPv2), ppptest.Raw(optionPFC), ppptest.Raw(optionACFC))
	require.Equal(t, 1400, p.PeerMRU())
	require.Equal(t, ppp.AuthMSCHAPv2, p.OwnAuth())
	require.Equal(t, ppp.AuthMSCHAPv2, p.PeerAuth())
	require.Equal(t, ppp.HeaderCompression{Protocol: true, AddressControl: true}, p.HeaderCompression())
	before := p.ownMagic
	require.NotZero(t, before)

	p.Sig = 0
	got := p.Request(encodeMRU(1300))
	require.Equal(t, ppp.SignalDown, p.Sig)
	require.Len(t, got, 2)
	require.Equal(t, ppp.ConfigureRequest, got[0].Code)
	require.Equal(t, ppp.ConfigureAck, got[1].Code)
	require.False(t, p.Opened())
	require.Equal(t, ppp.AuthMethod{}, p.PeerAuth(), "void until it is agreed on again")
	require.Equal(t, ppp.AuthMethod{}, p.OwnAuth())
	require.Equal(t, ppp.HeaderCompression{}, p.HeaderCompression())
	require.Equal(t, 1300, p.PeerMRU())

	p.Say(ppp.ConfigureAck, got[0].ID, got[0].Data)
	require.True(t, p.Opened())
	require.Equal(t, ppp.AuthMSCHAPv2, p.PeerAuth())
	require.NotEqual(t, before, p.ownMagic, "a new negotiation, a new number")
}

// What was given up in one negotiation is asked for again in the next.
func TestBeginAsksForEverythingAgain(t *testing.T) {
	p := newPeer(t, Config{PeerAuth: several, MRU: 1400})
	first := p.One(ppp.ConfigureRequest, p.Said())
	all := ppptest.Options(t, first)
	nak := p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, first.ID, encodeAuth(ppp.AuthPAP), encodeMRU(1200)))
	nak = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, nak.ID, encodeAuth(ppp.AuthCHAPMD5)))
	rest := p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureReject, nak.ID,
		encodeMRU(1200), encodeMagic(p.sentMagic), ppptest.Raw(optionPFC), ppptest.Raw(optionACFC)))
	require.Equal(t, ppp.Options{encodeAuth(ppp.AuthCHAPMD5)}, ppptest.Options(t, rest))

	p.Down(p.Now, &p.Out)
	p.Up(p.Now, &p.Out)
	req := p.One(ppp.ConfigureRequest, p.Said())
	again := ppptest.Options(t, req)
	require.Len(t, again, len(all))
	got := p.SayOptions(ppp.ConfigureNak, req.ID, encodeAuth(ppp.AuthPAP))
	o, _ := ppptest.Options(t, p.One(ppp.ConfigureRequest, got)).Get(optionAuth)
	require.Equal(t, encodeAuth(ppp.AuthPAP), o, "what was refused then may do now")
	for i, o := range again {
		if o.Type == optionMagic {
			require.NotEqual(t, all[i], o)
		} else {
			require.Equal(t, all[i], o)
		}
	}
}

func TestCloseAndPeerCloses(t *testing.T) {
	a, b := newSide(t, server()), newSide(t, client())
	l := ppptest.NewLine(a.Side, b.Side)
	l.Begin()
	l.Run(time.Second, l.BothOpen)
	a.Sig, b.Sig = 0, 0
	a.Sig |= a.Close(l.Now, &a.Out)
	l.Run(5*time.Second, nil)
	require.Equal(t, ppp.SignalDown|ppp.SignalFinished, a.Sig)
	require.NoError(t, a.Err())
	require.NotZero(t, b.Sig&ppp.SignalDown)
	require.ErrorIs(t, b.Err(), ppp.ErrTerminated)
	require.True(t, a.Deadline().IsZero(), "no echo to a peer that is gone")
}

// The link composes what this package gives.
func TestInALink(t *testing.T) {
	now := ppptest.Start
	var out ppp.Output
	lcp := New(Config{Rand: magicFrom(1)})
	network := ppp.NewAutomaton(ppp.AutomatonConfig{Protocol: ppp.ProtocolIPCP}, nopPolicy{})
	link := ppp.NewLink(ppp.LinkConfig{Control: lcp, Networks: []ppp.Layer{network}})
	link.Up(now, &out)
	input := func(proto ppp.Protocol, code ppp.Code, id uint8, data []byte) {
		p := ppp.Packet{Code: code, ID: id, Data: data}
		link.Input(p.Append(ppp.AppendProtocol(nil, proto, false)), now, &out)
	}
	var p ppp.Packet
	_, err := p.Decode(out.At(out.Len() - 1).Frame[2:])
	require.NoError(t, err)
	require.Equal(t, ppp.ConfigureRequest, p.Code)
	input(ppp.ProtocolLCP, ppp.ConfigureAck, p.ID, p.Data)
	input(ppp.ProtocolLCP, ppp.ConfigureRequest, 0, nil)
	require.Equal(t, ppp.PhaseNetwork, link.Phase())

	out.Reset()
	input(ppp.ProtocolIPV6CP, ppp.ConfigureRequest, 3, nil)
	require.Equal(t, 1, out.Len())
	_, err = p.Decode(out.At(0).Frame[2:])
	require.NoError(t, err)
	require.Equal(t, ppp.ProtocolReject, p.Code)
	require.Equal(t, []byte{0x80, 0x57, 1, 3, 0, 4}, p.Data)

	out.Reset()
	input(ppp.ProtocolLCP, ppp.ProtocolReject, 9, []byte{0x80, 0x21, 1, 1, 0, 4})
	require.ErrorIs(t, network.Err(), ppp.ErrRejected)
	require.Equal(t, ppp.PhaseTerminate, link.Phase(), "no network is left")
}

// nopPolicy asks for nothing and agrees to everything.
type nopPolicy struct{}

func (nopPolicy) Begin()                                             {}
func (nopPolicy) Request(dst ppp.Options, _ *ppp.Output) ppp.Options { return dst }
func (nopPolicy) Judge(_ ppp.Options, _ bool, dst ppp.Options) (ppp.Code, ppp.Options) {
	return ppp.ConfigureAck, dst
}
func (nopPolicy) Acked(ppp.Options)   {}
func (nopPolicy) Naked(ppp.Options)   {}
func (nopPolicy) Refused(ppp.Options) {}

// A peer of its own mind must not keep an LCP busy for ever.
func TestEndlessPeers(t *testing.T) {
	for name, answer := range map[string]func(p *peer, got ppp.Packet){
		"rejects nothing, naks for ever": func(p *peer, got ppp.Packet) {
			p.SayOptions(ppp.ConfigureNak, got.ID, encodeMRU(1400))
		},
		"naks what was not asked for": func(p *peer, got ppp.Packet) {
			p.SayOptions(ppp.ConfigureNak, got.ID, ppptest.Raw(optionACCM, 0, 0, 0, 0))
		},
		"naks the magic number": func(p *peer, got ppp.Packet) {
			p.SayOptions(ppp.ConfigureNak, got.ID, encodeMagic(7))
		},
		"acks and insists on Multilink": func(p *peer, got ppp.Packet) {
			p.Say(ppp.ConfigureAck, got.ID, got.Data)
			p.Request(ppptest.Raw(17, 5, 220))
		},
		"acks and insists on a small unit": func(p *peer, got ppp.Packet) {
			p.Say(ppp.ConfigureAck, got.ID, got.Data)
			p.Request(encodeMRU(10))
		},
		"is silent": func(*peer, ppp.Packet) {},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, server())
			requests := 0
			for p.Sig&ppp.SignalFinished == 0 && requests < 1000 {
				for _, got := range p.Said() {
					if got.Code == ppp.ConfigureRequest {
						requests++
						answer(p, got)
					}
				}
				p.Advance(p.Deadline().Sub(p.Now))
			}
			require.NotZero(t, p.Sig&ppp.SignalFinished)
			require.Zero(t, p.Sig&ppp.SignalUp)
			require.Error(t, p.Err())
			require.LessOrEqual(t, requests, 31)
			require.Less(t, p.Now.Sub(ppptest.Start), 2*time.Minute)
			require.True(t, p.Deadline().IsZero())
		})
	}
}

func TestConfigLimits(t *testing.T) {
	l := New(Config{MRU: 70000, Identification: strings.Repeat("x", 1000)})
	require.Equal(t, MaxMRU, l.cfg.MRU)
	require.Len(t, l.cfg.Identification, maxIdentification)
	require.Equal(t, DefaultEchoFailures, l.cfg.EchoFailures)
	require.Equal(t, DefaultMRU, l.PeerMRU(), "before anything is agreed on")
	require.True(t, l.Deadline().IsZero())
	require.Equal(t, ppp.ProtocolLCP, l.Protocol())
}
