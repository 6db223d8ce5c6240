package ipcp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

func TestRequest(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		want ppp.Options
	}{
		"zero value": {Config{}, ppp.Options{ip(zero)}},
		"server":     {server(), ppp.Options{ip(gateway)}},
		"client":     {client(), ppp.Options{ip(zero), pdns(zero), pnbns(zero), sdns(zero), snbns(zero)}},
		"DNS":        {Config{RequestDNS: true, Local: alice}, ppp.Options{ip(alice), pdns(zero), sdns(zero)}},
		"NBNS":       {Config{RequestNBNS: true}, ppp.Options{ip(zero), pnbns(zero), snbns(zero)}},
		"no host's": {
			Config{Local: netip.MustParseAddr("127.0.0.1")}, ppp.Options{ip(zero)},
		},
		"IPv6": {Config{Local: netip.MustParseAddr("2001:db8::1")}, ppp.Options{ip(zero)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, c.cfg)
			require.Equal(t, c.want, ppptest.Options(t, p.One(ppp.ConfigureRequest, p.Said())))
		})
	}
}

func TestJudge(t *testing.T) {
	type opts = ppp.Options
	vj := ppptest.Raw(2, 0, 0x2d, 15, 1)
	addresses := ppptest.Raw(1, 10, 0, 0, 2, 10, 0, 0, 1)
	two := server()
	two.DNS[1], two.NBNS[0] = zero, zero
	for name, c := range map[string]struct {
		cfg   Config
		req   opts
		code  ppp.Code
		reply opts       // nil with an Ack: as requested
		peer  netip.Addr // after an Ack
	}{
		"its address":                {server(), opts{ip(alice)}, ppp.ConfigureAck, nil, alice},
		"asks for one":               {server(), opts{ip(zero)}, ppp.ConfigureNak, opts{ip(alice)}, zero},
		"another address":            {server(), opts{ip(other)}, ppp.ConfigureNak, opts{ip(alice)}, zero},
		"our own address":            {server(), opts{ip(gateway)}, ppp.ConfigureNak, opts{ip(alice)}, zero},
		"names none":                 {server(), nil, ppp.ConfigureNak, opts{ip(alice)}, zero}, // RFC 1332 §3.3
		"names servers only":         {server(), opts{pdns(zero)}, ppp.ConfigureNak, opts{pdns(dns1), ip(alice)}, zero},
		"address malformed":          {server(), opts{ppptest.Raw(3, 10, 0)}, ppp.ConfigureNak, opts{ip(alice)}, zero},
		"address twice":              {server(), opts{ip(alice), ip(other)}, ppp.ConfigureReject, opts{ip(other)}, zero},
		"says itself":                {client(), opts{ip(gateway)}, ppp.ConfigureAck, nil, gateway},
		"says nothing":               {client(), nil, ppp.ConfigureAck, nil, zero},
		"wants one that we lack":     {client(), opts{ip(zero)}, ppp.ConfigureReject, opts{ip(zero)}, zero},
		"says multicast":             {client(), opts{ppptest.Raw(3, 224, 0, 0, 1)}, ppp.ConfigureReject, opts{ppptest.Raw(3, 224, 0, 0, 1)}, zero},
		"says broadcast":             {client(), opts{ppptest.Raw(3, 255, 255, 255, 255)}, ppp.ConfigureReject, opts{ppptest.Raw(3, 255, 255, 255, 255)}, zero},
		"says loopback":              {client(), opts{ppptest.Raw(3, 127, 0, 0, 1)}, ppp.ConfigureReject, opts{ppptest.Raw(3, 127, 0, 0, 1)}, zero},
		"says too little":            {client(), opts{ppptest.Raw(3, 10, 0, 0)}, ppp.ConfigureReject, opts{ppptest.Raw(3, 10, 0, 0)}, zero},
		"says too much":              {client(), opts{ppptest.Raw(3, 10, 0, 0, 1, 1)}, ppp.ConfigureReject, opts{ppptest.Raw(3, 10, 0, 0, 1, 1)}, zero},
		"Van Jacobson":               {server(), opts{ip(alice), vj}, ppp.ConfigureReject, opts{vj}, zero},
		"IP-Addresses":               {server(), opts{addresses}, ppp.ConfigureReject, opts{addresses}, zero},
		"Mobile IPv4":                {server(), opts{ppptest.Raw(4, 1, 2, 3, 4), ip(alice)}, ppp.ConfigureReject, opts{ppptest.Raw(4, 1, 2, 3, 4)}, zero},
		"all name servers":           {server(), opts{ip(alice), pdns(zero), pnbns(zero), sdns(zero), snbns(zero)}, ppp.ConfigureNak, opts{pdns(dns1), pnbns(nbns1), sdns(dns2), snbns(nbns2)}, zero},
		"the right ones":             {server(), opts{ip(alice), snbns(nbns2), sdns(dns2), pnbns(nbns1), pdns(dns1)}, ppp.ConfigureAck, nil, alice},
		"one wrong":                  {server(), opts{ip(alice), pdns(dns1), sdns(other)}, ppp.ConfigureNak, opts{sdns(dns2)}, zero},
		"server malformed":           {server(), opts{ip(alice), ppptest.Raw(129, 1)}, ppp.ConfigureNak, opts{pdns(dns1)}, zero},
		"servers that we lack":       {two, opts{ip(zero), pdns(zero), pnbns(zero), sdns(zero), snbns(zero)}, ppp.ConfigureReject, opts{pnbns(zero), sdns(zero)}, zero},
		"then those that we have":    {two, opts{ip(zero), pdns(zero), snbns(zero)}, ppp.ConfigureNak, opts{ip(alice), pdns(dns1), snbns(nbns2)}, zero},
		"a client has none":          {client(), opts{ip(gateway), pdns(zero)}, ppp.ConfigureReject, opts{pdns(zero)}, zero},
		"unknown":                    {server(), opts{ip(alice), ppptest.Raw(128, 1, 2, 3, 4), ppptest.Raw(133), ppptest.Raw(0)}, ppp.ConfigureReject, opts{ppptest.Raw(128, 1, 2, 3, 4), ppptest.Raw(133), ppptest.Raw(0)}, zero},
		"what Windows asks for":      {two, opts{ip(zero), pdns(zero), pnbns(zero), sdns(zero), snbns(zero), vj}, ppp.ConfigureReject, opts{pnbns(zero), sdns(zero), vj}, zero},
		"rejecting before naking":    {server(), opts{ip(other), vj}, ppp.ConfigureReject, opts{vj}, zero},
		"peer unknown, DNS is there": {Config{Local: gateway, DNS: [2]netip.Addr{dns1}}, opts{ip(alice), pdns(zero)}, ppp.ConfigureNak, opts{pdns(dns1)}, zero},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, c.cfg)
			p.Said()
			got := p.One(c.code, p.SayOptions(ppp.ConfigureRequest, 0, c.req...)) // Windows begins with zero
			require.Zero(t, got.ID)
			if c.code == ppp.ConfigureAck {
				c.reply = c.req
				require.Equal(t, c.peer, p.Peer())
			} else {
				require.Equal(t, c.cfg.Peer, p.Peer())
			}
			require.Equal(t, c.reply.Append(nil), append([]byte(nil), got.Data...))
		})
	}
}

// A peer that names no address although it is asked to has ours for it.
func TestPeerNamesNoAddress(t *testing.T) {
	p := newPeer(t, server())
	req := p.One(ppp.ConfigureRequest, p.Said())
	p.Say(ppp.ConfigureAck, req.ID, req.Data)
	for range ppp.DefaultMaxFailure {
		got := p.One(ppp.ConfigureNak, p.Request())
		require.Equal(t, ppp.Options{ip(alice)}, ppptest.Options(t, got))
	}
	p.One(ppp.ConfigureAck, p.Request())
	require.True(t, p.Opened())
	require.Equal(t, alice, p.Peer())
}

func TestPeerInsistsOnItsAddress(t *testing.T) {
	p := newPeer(t, server())
	req := p.One(ppp.ConfigureRequest, p.Said())
	p.Say(ppp.ConfigureAck, req.ID, req.Data)
	for range ppp.DefaultMaxFailure {
		p.One(ppp.ConfigureNak, p.Request(ip(other)))
	}
	for range maxInsists - 1 {
		got := p.One(ppp.ConfigureReject, p.Request(ip(other)))
		require.Equal(t, ppp.Options{ip(other)}, ppptest.Options(t, got))
	}
	got := p.Request(ip(other))
	require.Equal(t, ppp.TerminateRequest, got[len(got)-1].Code)
	require.ErrorIs(t, p.Err(), ppp.ErrNoAgreement)
	require.ErrorContains(t, p.Err(), "192.0.2.9")
	require.Zero(t, p.Sig&ppp.SignalUp)
	p.Say(ppp.TerminateAck, got[len(got)-1].ID, nil)
	require.NotZero(t, p.Sig&ppp.SignalFinished)
}

// rejected faces a server that has come to reject the address a of its peer.
func rejected(t *testing.T, a netip.Addr) *peer {
	p := newPeer(t, server())
	req := p.One(ppp.ConfigureRequest, p.Said())
	p.Say(ppp.ConfigureAck, req.ID, req.Data)
	for range ppp.DefaultMaxFailure {
		p.One(ppp.ConfigureNak, p.Request(ip(a)))
	}
	p.One(ppp.ConfigureReject, p.Request(ip(a)))
	return p
}

// A peer may give in at the last moment.
func TestPeerGivesIn(t *testing.T) {
	p := rejected(t, other)
	p.One(ppp.ConfigureAck, p.Request(ip(alice)))
	require.True(t, p.Opened())
	require.Equal(t, alice, p.Peer())
}

// One that only did not understand has our address, as if it had named none.
func TestPeerAsksForEverAndThenNot(t *testing.T) {
	p := rejected(t, zero)
	p.One(ppp.ConfigureAck, p.Request())
	require.True(t, p.Opened())
	require.Equal(t, alice, p.Peer())
}

// One that claims an address and then says nothing of it still means it.
func TestPeerClaimsInSilence(t *testing.T) {
	p := rejected(t, other)
	p.One(ppp.TerminateRequest, p.Request())
	require.ErrorIs(t, p.Err(), ppp.ErrNoAgreement)
	require.ErrorContains(t, p.Err(), "192.0.2.9")
	require.Zero(t, p.Sig&ppp.SignalUp)
}

// A peer that will not take our name servers is told to leave them out.
func TestPeerInsistsOnItsNameServers(t *testing.T) {
	p := newPeer(t, server())
	p.Said()
	for range ppp.DefaultMaxFailure {
		p.One(ppp.ConfigureNak, p.Request(ip(alice), pdns(other)))
	}
	got := p.One(ppp.ConfigureReject, p.Request(ip(alice), pdns(other)))
	require.Equal(t, ppp.Options{pdns(other)}, ppptest.Options(t, got))
	p.One(ppp.ConfigureAck, p.Request(ip(alice)))
	require.NoError(t, p.Err())
}

func TestNaked(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		nak  ppp.Options
		want ppp.Options // asked for next
	}{
		"an address":                 {Config{}, ppp.Options{ip(alice)}, ppp.Options{ip(alice)}},
		"all":                        {client(), ppp.Options{snbns(nbns2), ip(alice), pdns(dns1), pnbns(nbns1), sdns(dns2)}, ppp.Options{ip(alice), pdns(dns1), pnbns(nbns1), sdns(dns2), snbns(nbns2)}},
		"servers we do not want":     {Config{}, ppp.Options{ip(alice), pdns(dns1)}, ppp.Options{ip(alice)}},
		"no address":                 {Config{}, ppp.Options{ip(zero)}, ppp.Options{ip(zero)}},
		"an address of no host":      {Config{}, ppp.Options{ppptest.Raw(3, 240, 0, 0, 1)}, ppp.Options{ip(zero)}},
		"malformed":                  {client(), ppp.Options{ppptest.Raw(3, 1), ppptest.Raw(129, 1)}, ppp.Options{ip(zero), pnbns(zero), sdns(zero), snbns(zero)}},
		"a server that is none":      {client(), ppp.Options{pdns(zero), sdns(dns2)}, ppp.Options{ip(zero), pnbns(zero), sdns(dns2), snbns(zero)}},
		"twice":                      {Config{}, ppp.Options{ip(alice), ip(other)}, ppp.Options{ip(alice)}},
		"unknown":                    {Config{}, ppp.Options{ppptest.Raw(2, 0, 0x2d), ppptest.Raw(1)}, ppp.Options{ip(zero)}},
		"ours stands":                {server(), ppp.Options{ip(other)}, ppp.Options{ip(gateway)}},
		"a wish gives way":           {Config{Local: other, AcceptLocal: true}, ppp.Options{ip(alice)}, ppp.Options{ip(alice)}},
		"but not to an address less": {Config{Local: other, AcceptLocal: true}, ppp.Options{ip(zero)}, ppp.Options{ip(other)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, c.cfg)
			req := p.One(ppp.ConfigureRequest, p.Said())
			got := p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, c.nak...))
			require.Equal(t, c.want, ppptest.Options(t, got))
			require.NoError(t, p.Err())
		})
	}
}

func TestNameServersRejected(t *testing.T) {
	p := newPeer(t, client())
	req := p.One(ppp.ConfigureRequest, p.Said())
	// Windows and others know no NBNS; pppd rejects a secondary that it lacks.
	req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureReject, req.ID, pnbns(zero), snbns(zero)))
	require.Equal(t, ppp.Options{ip(zero), pdns(zero), sdns(zero)}, ppptest.Options(t, req))
	req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, ip(alice), pdns(dns1), sdns(dns2)))
	req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureReject, req.ID, sdns(dns2)))
	require.Equal(t, ppp.Options{ip(alice), pdns(dns1)}, ppptest.Options(t, req))
	p.Say(ppp.ConfigureAck, req.ID, req.Data)
	p.Request(ip(gateway))
	require.True(t, p.Opened())
	require.Equal(t, []netip.Addr{dns1}, p.DNS())
	require.Empty(t, p.NBNS())
}

// A server that changes its mind has none either.
func TestNameServerWithdrawn(t *testing.T) {
	p := newPeer(t, Config{Local: alice, RequestDNS: true})
	req := p.One(ppp.ConfigureRequest, p.Said())
	req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, pdns(dns1), sdns(dns2)))
	req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, pdns(zero)))
	require.Equal(t, ppp.Options{ip(alice), sdns(dns2)}, ppptest.Options(t, req))
	p.Say(ppp.ConfigureAck, req.ID, req.Data)
	require.Equal(t, []netip.Addr{dns2}, p.DNS())
}

// A server that acks 0.0.0.0 for a name server has none.
func TestNameServersAckedAsZero(t *testing.T) {
	p := newPeer(t, client())
	req := p.One(ppp.ConfigureRequest, p.Said())
	req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, ip(alice)))
	p.Say(ppp.ConfigureAck, req.ID, req.Data)
	p.Request()
	require.True(t, p.Opened())
	require.Empty(t, p.DNS())
	require.Empty(t, p.NBNS())
	require.Equal(t, zero, p.Peer(), "it named none")
}

func TestNoAddress(t *testing.T) {
	for name, answer := range map[string]func(p *peer, req ppp.Packet){
		"rejects the option": func(p *peer, req ppp.Packet) {
			p.SayOptions(ppp.ConfigureReject, req.ID, ip(zero))
		},
		"acks 0.0.0.0, then asks": func(p *peer, req ppp.Packet) {
			p.Say(ppp.ConfigureAck, req.ID, req.Data)
			p.Request(ip(gateway))
		},
		"asks, then acks 0.0.0.0": func(p *peer, req ppp.Packet) {
			p.Request(ip(gateway))
			p.Say(ppp.ConfigureAck, req.ID, req.Data)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, Config{})
			p.Sig = 0
			answer(p, p.One(ppp.ConfigureRequest, p.Said()))
			require.ErrorIs(t, p.Err(), ErrNoAddress)
			require.False(t, p.Opened())
			require.Zero(t, p.Sig&(ppp.SignalUp|ppp.SignalDown), "nobody hears that it was open")
			p.Advance(10 * time.Second)
			require.Equal(t, ppp.SignalFinished, p.Sig)
			require.ErrorIs(t, p.Err(), ErrNoAddress)
		})
	}
}

// With an address of our own a Reject does no harm.
func TestAddressRejected(t *testing.T) {
	p := newPeer(t, server())
	req := p.One(ppp.ConfigureRequest, p.Said())
	req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureReject, req.ID, ip(gateway)))
	require.Empty(t, req.Data)
	// What a peer then suggests all the same is not looked at.
	req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, ip(other)))
	require.Empty(t, req.Data)
	p.Say(ppp.ConfigureAck, req.ID, nil)
	p.Request(ip(alice))
	require.True(t, p.Opened())
	require.Equal(t, gateway, p.Local())
}

// A peer that has argued for another address and then rejects ours has not
// agreed to it.
func TestContestedAddressRejected(t *testing.T) {
	p := newPeer(t, server())
	req := p.One(ppp.ConfigureRequest, p.Said())
	for range ppp.DefaultMaxFailure {
		req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, ip(other)))
		require.Equal(t, ppp.Options{ip(gateway)}, ppptest.Options(t, req))
	}
	p.SayOptions(ppp.ConfigureReject, req.ID, ip(gateway))
	require.ErrorIs(t, p.Err(), ppp.ErrNoAgreement)
	require.ErrorContains(t, p.Err(), "192.0.2.9")
	p.Advance(10 * time.Second)
	require.NotZero(t, p.Sig&ppp.SignalFinished)
}

// What was argued about does not count in another negotiation.
func TestContestsAreForgotten(t *testing.T) {
	p := rejected(t, other)
	p.Down(p.Now, &p.Out)
	p.Up(p.Now, &p.Out)
	req := p.One(ppp.ConfigureRequest, p.Said())
	p.SayOptions(ppp.ConfigureNak, req.ID, ip(other))
	p.Down(p.Now, &p.Out)
	p.Up(p.Now, &p.Out)
	got := p.Said()
	req = got[len(got)-1]
	p.SayOptions(ppp.ConfigureReject, req.ID, ip(gateway))
	for range ppp.DefaultMaxFailure {
		p.One(ppp.ConfigureNak, p.Request())
	}
	p.One(ppp.ConfigureAck, p.Request())
	require.NoError(t, p.Err())
}

// One that gives in has.
func TestContestedAddressAcked(t *testing.T) {
	p := newPeer(t, server())
	req := p.One(ppp.ConfigureRequest, p.Said())
	req = p.One(ppp.ConfigureRequest, p.SayOptions(ppp.ConfigureNak, req.ID, ip(other)))
	p.Say(ppp.ConfigureAck, req.ID, req.Data)
	p.Request(ip(alice))
	require.True(t, p.Opened())
	require.Equal(t, gateway, p.Local())
}

func TestUsable(t *testing.T) {
	for s, want := range map[string]bool{
		"10.0.0.1": true, "192.0.2.1": true, "223.255.255.255": true, "169.254.1.1": true, "1.0.0.0": true,
		"0.0.0.0": false, "0.1.2.3": false, "127.0.0.1": false, "224.0.0.1": false, "239.1.1.1": false,
		"240.0.0.1": false, "255.255.255.255": false, "::1": false, "2001:db8::1": false,
	} {
		require.Equal(t, want, usable(netip.MustParseAddr(s)), s)
	}
	require.False(t, usable(zero))
}

func TestOptionCodec(t *testing.T) {
	for _, a := range []netip.Addr{gateway, netip.AddrFrom4([4]byte{})} {
		got, ok := decodeAddr(ip(a))
		require.True(t, ok)
		require.Equal(t, a, got)
	}
	require.Equal(t, ppptest.Raw(3, 0, 0, 0, 0), ip(zero))
	for _, data := range [][]byte{nil, {1}, {1, 2, 3}, {1, 2, 3, 4, 5}} {
		_, ok := decodeAddr(ppptest.Raw(3, data...))
		require.False(t, ok)
	}
	for typ := range 256 {
		s, ok := serverOf(uint8(typ))
		require.Equal(t, typ >= 129 && typ <= 132, ok)
		if ok {
			require.EqualValues(t, typ, serverOptions[s])
		}
	}
}
