package ipcp

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

func server() Config {
	return Config{
		Local: gateway, Peer: alice,
		DNS: [2]netip.Addr{dns1, dns2}, NBNS: [2]netip.Addr{nbns1, nbns2},
	}
}

func client() Config { return Config{RequestDNS: true, RequestNBNS: true} }

func TestTwoSides(t *testing.T) {
	oneEach := server()
	oneEach.DNS[1], oneEach.NBNS[1] = zero, zero
	twice := server()
	twice.DNS[1] = dns1
	none := Config{Local: gateway, Peer: alice}
	second := Config{Local: gateway, Peer: alice, DNS: [2]netip.Addr{zero, dns2}}
	all := []netip.Addr{dns1, dns2}
	for name, c := range map[string]struct {
		server, client Config
		dns, nbns      []netip.Addr
	}{
		"all there is":               {server(), client(), all, []netip.Addr{nbns1, nbns2}},
		"name servers nobody wants":  {server(), Config{}, nil, nil},
		"DNS only":                   {server(), Config{RequestDNS: true}, all, nil},
		"NBNS only":                  {server(), Config{RequestNBNS: true}, nil, []netip.Addr{nbns1, nbns2}},
		"one of each":                {oneEach, client(), []netip.Addr{dns1}, []netip.Addr{nbns1}},
		"the same twice":             {twice, client(), []netip.Addr{dns1}, []netip.Addr{nbns1, nbns2}},
		"a secondary only":           {second, client(), []netip.Addr{dns2}, nil},
		"none to give":               {none, client(), nil, nil},
		"client knows its address":   {server(), Config{Local: alice}, nil, nil},
		"client wishes for another":  {server(), Config{Local: other, AcceptLocal: true}, nil, nil},
		"client knows both":          {server(), Config{Local: alice, Peer: gateway}, nil, nil},
		"addresses in the long form": {Config{Local: netip.AddrFrom16(gateway.As16()), Peer: netip.AddrFrom16(alice.As16())}, Config{}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s, c2 := newSide(t, c.server), newSide(t, c.client)
			l := ppptest.NewLine(s.Side, c2.Side)
			l.Begin()
			took := l.Run(time.Minute, l.BothOpen)
			require.True(t, l.BothOpen())
			require.Less(t, took, 10*time.Millisecond, "nothing was waited for")
			require.Equal(t, gateway, s.Local())
			require.Equal(t, alice, s.Peer())
			require.Equal(t, alice, c2.Local())
			require.Equal(t, gateway, c2.Peer())
			require.Equal(t, c.dns, c2.DNS())
			require.Equal(t, c.nbns, c2.NBNS())
			require.Empty(t, s.DNS())
			require.Empty(t, s.NBNS())
			for _, x := range []*side{s, c2} {
				require.Equal(t, ppp.SignalStarted|ppp.SignalUp, x.Sig)
				require.NoError(t, x.Err())
				require.Zero(t, x.Dropped())
			}
		})
	}
}

func TestEachPacketLostOnce(t *testing.T) {
	for lost := range 10 {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			few := server()
			few.NBNS = [2]netip.Addr{}
			s, c := newSide(t, few), newSide(t, client())
			l := ppptest.NewLine(s.Side, c.Side)
			l.Lose = func(n int) bool { return n == lost }
			l.Begin()
			took := l.Run(time.Minute, l.BothOpen)
			require.True(t, l.BothOpen())
			require.Less(t, took, time.Second)
			l.Run(10*time.Second, nil)
			require.True(t, l.BothOpen(), "and it stays so")
			require.Equal(t, alice, c.Local())
			require.Equal(t, []netip.Addr{dns1, dns2}, c.DNS())
			require.Empty(t, c.NBNS())
		})
	}
}

func TestImpairedLine(t *testing.T) {
	for seed := range uint64(50) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s, c := newSide(t, server()), newSide(t, client())
			l := ppptest.NewLine(s.Side, c.Side)
			l.Lose = ppptest.Share(seed, 4)
			l.Begin()
			l.Run(20*time.Second, l.BothOpen)
			l.Lose = nil
			l.Run(20*time.Second, nil)
			require.True(t, l.BothOpen(), "%v %v", s.State(), c.State())
			require.Equal(t, alice, c.Local())
			require.Equal(t, gateway, c.Peer())
			require.Equal(t, []netip.Addr{nbns1, nbns2}, c.NBNS())
		})
	}
}

// The server's addresses come with the user, after New.
func TestConfigure(t *testing.T) {
	s, c := newSide(t, Config{}), newSide(t, client())
	s.Configure(server())
	l := ppptest.NewLine(s.Side, c.Side)
	l.Begin()
	l.Run(time.Second, l.BothOpen)
	require.True(t, l.BothOpen())
	require.Equal(t, alice, c.Local())
	require.Equal(t, []netip.Addr{dns1, dns2}, c.DNS())

	// What is open is not touched.
	next := server()
	next.Local, next.Peer = dns1, other
	s.Configure(next)
	require.Equal(t, gateway, s.Local())
	require.Equal(t, alice, s.Peer())
	// The next negotiation goes by it.
	for _, x := range []*side{s, c} {
		x.Sig |= x.Down(l.Now, &x.Out)
		x.Sig |= x.Up(l.Now, &x.Out)
	}
	l.Run(time.Second, l.BothOpen)
	require.True(t, l.BothOpen())
	require.Equal(t, other, c.Local())
	require.Equal(t, dns1, c.Peer())
	require.Equal(t, other, s.Peer())
}

func TestConfigureDuringNegotiation(t *testing.T) {
	p := newPeer(t, server())
	next := server()
	next.Peer = other
	p.Configure(next)
	got := p.Said()
	require.Equal(t, ppp.Options{ip(gateway)}, ppptest.Options(t, got[0]))
	p.One(ppp.ConfigureAck, p.Request(ip(alice)))
	require.Equal(t, alice, p.Peer())
}

func TestRenegotiation(t *testing.T) {
	p := newPeer(t, client())
	p.Configure(Config{RequestDNS: true})
	p.Down(p.Now, &p.Out)
	p.Said()
	p.Up(p.Now, &p.Out)
	req := p.One(ppp.ConfigureRequest, p.Said())
	require.Equal(t, ppp.Options{ip(zero), pdns(zero), sdns(zero)}, ppptest.Options(t, req))
	req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, ip(alice), pdns(dns1), sdns(dns2)))
	p.Say(ppp.ConfigureAck, req.ID, req.Data)
	p.Request(ip(gateway))
	require.True(t, p.Opened())
	require.Equal(t, alice, p.Local())
	require.Len(t, p.DNS(), 2)

	p.Sig = 0
	got := p.Request(ip(other))
	require.Equal(t, ppp.SignalDown, p.Sig)
	require.Equal(t, ppp.ConfigureRequest, got[0].Code)
	require.Equal(t, ppp.Options{ip(zero), pdns(zero), sdns(zero)}, ppptest.Options(t, got[0]), "all is void")
	require.Equal(t, zero, p.Local())
	require.Empty(t, p.DNS())
	require.Equal(t, other, p.Peer())
	req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, got[0].ID, ip(alice)))
	p.Say(ppp.ConfigureAck, req.ID, req.Data)
	require.True(t, p.Opened())
	require.Equal(t, other, p.Peer())
}

// An end without an address faces one that has none to give.
func TestTwoClients(t *testing.T) {
	a, b := newSide(t, Config{}), newSide(t, Config{})
	l := ppptest.NewLine(a.Side, b.Side)
	l.Begin()
	took := l.Run(time.Minute, l.BothFinished)
	require.Less(t, took, 5*time.Second)
	require.ErrorIs(t, a.Err(), ErrNoAddress)
	require.Error(t, b.Err())
	require.Zero(t, (a.Sig|b.Sig)&ppp.SignalUp)
}

func TestTwoServersDoNotAgree(t *testing.T) {
	for name, second := range map[string]Config{
		"of equal mind": {Local: gateway, Peer: alice},
		"of another":    {Local: other, Peer: dns1},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newSide(t, server()), newSide(t, second)
			l := ppptest.NewLine(a.Side, b.Side)
			l.Begin()
			took := l.Run(5*time.Minute, l.BothFinished)
			require.True(t, l.BothFinished())
			require.Less(t, took, 10*time.Second)
			require.True(t, errors.Is(a.Err(), ppp.ErrNoAgreement) || errors.Is(b.Err(), ppp.ErrNoAgreement))
			require.Error(t, a.Err())
			require.Error(t, b.Err())
			require.Zero(t, (a.Sig|b.Sig)&ppp.SignalUp)
			require.Less(t, l.Sent, 100)
		})
	}
}

func TestCloseInOrder(t *testing.T) {
	s, c := newSide(t, server()), newSide(t, client())
	l := ppptest.NewLine(s.Side, c.Side)
	l.Begin()
	l.Run(time.Second, l.BothOpen)
	c.Sig = 0
	c.Sig |= c.Close(l.Now, &c.Out)
	l.Run(5*time.Second, nil)
	require.Equal(t, ppp.SignalDown|ppp.SignalFinished, c.Sig)
	require.NoError(t, c.Err())
	require.ErrorIs(t, s.Err(), ppp.ErrTerminated)
	require.True(t, s.Deadline().IsZero() && c.Deadline().IsZero())
}

// No peer keeps an IPCP busy for ever.
func TestEndlessPeers(t *testing.T) {
	nak := func(opts ...ppp.Option) func(*peer, ppp.Packet) {
		return func(p *peer, got ppp.Packet) { p.SayOptions(ppp.ConfigureNak, got.ID, opts...) }
	}
	insist := func(opts ...ppp.Option) func(*peer, ppp.Packet) {
		return func(p *peer, got ppp.Packet) {
			p.Say(ppp.ConfigureAck, got.ID, got.Data)
			p.Request(opts...)
		}
	}
	for name, c := range map[string]struct {
		cfg    Config
		answer func(p *peer, got ppp.Packet)
		err    error
	}{
		"naks our address for ever": {server(), nak(ip(other)), ppp.ErrNoAgreement},
		"naks with nothing":         {client(), nak(), ppp.ErrNoAgreement},
		"offers no address":         {client(), nak(ip(zero)), ErrNoAddress},
		"offers another each time": {client(), func(p *peer, got ppp.Packet) {
			p.SayOptions(ppp.ConfigureNak, got.ID, ip(netip.AddrFrom4([4]byte{10, 1, 1, got.ID})))
		}, ppp.ErrNoAgreement},
		"insists on compression":      {server(), insist(ip(alice), ppptest.Raw(2, 0, 0x2d, 15, 1)), ppp.ErrNoAgreement},
		"insists on its own address":  {server(), insist(ip(other)), ppp.ErrNoAgreement},
		"is silent":                   {server(), func(*peer, ppp.Packet) {}, ppp.ErrNoAnswer},
		"asks and does not answer us": {server(), func(p *peer, _ ppp.Packet) { p.Request(ip(alice)) }, ppp.ErrNoAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, c.cfg)
			requests := 0
			for p.Sig&ppp.SignalFinished == 0 && requests < 1000 {
				for _, got := range p.Said() {
					if got.Code == ppp.ConfigureRequest {
						requests++
						c.answer(p, got)
					}
				}
				p.Advance(p.Deadline().Sub(p.Now))
			}
			require.NotZero(t, p.Sig&ppp.SignalFinished)
			require.Zero(t, p.Sig&ppp.SignalUp)
			require.ErrorIs(t, p.Err(), c.err)
			require.LessOrEqual(t, requests, 31)
			require.Less(t, p.Now.Sub(ppptest.Start), 2*time.Minute)
			require.True(t, p.Deadline().IsZero())
		})
	}
}
