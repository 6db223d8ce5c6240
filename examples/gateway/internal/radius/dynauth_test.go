package radius

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3576"
	"layeh.com/radius/rfc5176"
	"layeh.com/radius/vendors/mikrotik"
	"layeh.com/radius/vendors/wispr"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
	"github.com/gopptp/gopptp/ppp"
)

const orderSecret = "do as I say"

// anybody comes in, with the name they give and some limits.
var anybody = gopptp.NewLocalAuthenticator(func(_ context.Context, name string) (*gopptp.LocalUser, error) {
	return &gopptp.LocalUser{NTHash: chap.NTPasswordHash("secret"), Result: gopptp.AuthResult{
		SessionTimeout: time.Hour, IdleTimeout: 10 * time.Minute, Attributes: &grant.Grant{NASPort: 77},
	}}, nil
})

// Orders of a real client are followed.
func TestOrdersOfRadclient(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("radclient"); err != nil {
		t.Skip("needs radclient: scripts/apt.sh freeradius-utils")
	}
	g := startGateway(t, at(netip.MustParseAddrPort("127.0.0.1:9")), func(c *gopptp.ServerConfig) { c.Authenticator = anybody })
	d := NewDynAuth(DynAuthConfig{
		Clients:  []DynAuthClient{{netip.MustParsePrefix("127.0.0.0/8"), orderSecret}},
		Sessions: g.live, Identity: Identity{NAS: "gw1"},
	})
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { assert.NoError(t, d.Serve(socket)) })
	t.Cleanup(func() {
		socket.Close()
		serving.Wait()
	})
	order := func(kind, secret string, attributes ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		attributes = append(attributes, "Message-Authenticator = 0x00", fmt.Sprintf("Event-Timestamp = %d", time.Now().Unix()))
		cmd := exec.CommandContext(ctx, "radclient", "-x", "-r", "1", "-t", "2", socket.LocalAddr().String(), kind, secret)
		cmd.Stdin = strings.NewReader(strings.Join(attributes, "\n"))
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	_, _, alice, err := g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
	require.NoError(t, err)
	_, _, bob, err := g.dial("bob", "secret", ppp.AuthMSCHAPv2, nil)
	require.NoError(t, err)

	out := order("coa", orderSecret, `User-Name = "alice"`, "Session-Timeout = 7200", `Mikrotik-Rate-Limit = "1M/2M"`)
	require.Contains(t, out, "CoA-ACK")
	session, idle := alice.Timeouts()
	assert.Equal(t, 2*time.Hour, session)
	assert.Equal(t, 10*time.Minute, idle)
	assert.Equal(t, gopptp.Rates{FromPeer: gopptp.BitRate{BitsPerSecond: 1e6}, ToPeer: gopptp.BitRate{BitsPerSecond: 2e6}}, alice.Rates())
	assert.Zero(t, bob.Rates())

	out = order("coa", orderSecret, `User-Name = "alice"`, "Session-Timeout = 60", `Filter-Id = "x"`)
	require.Contains(t, out, "CoA-NAK")
	assert.Contains(t, out, "Unsupported-Attribute")
	session, _ = alice.Timeouts()
	assert.Equal(t, 2*time.Hour, session, "nothing of it is done")

	out = order("disconnect", orderSecret, `User-Name = "alice"`, "Framed-IP-Address = "+bob.Peer().String())
	require.Contains(t, out, "Disconnect-NAK")
	assert.Contains(t, out, "Session-Context-Not-Found")

	out = order("disconnect", orderSecret, fmt.Sprintf("Acct-Session-Id = %q", bob.ID()))
	require.Contains(t, out, "Disconnect-ACK")
	<-bob.Done()
	var end *gopptp.SessionError
	require.ErrorAs(t, bob.Err(), &end)
	assert.Equal(t, gopptp.CauseAdmin, end.Cause)
	assert.Equal(t, gopptp.StateUp, alice.State())

	out = order("disconnect", "guess", `User-Name = "alice"`)
	assert.Contains(t, out, "No reply")
	assert.EqualValues(t, 1, d.Stats().Forged)
	assert.Equal(t, DynAuthStats{Disconnects: 1, Changes: 1, Refused: 2, Forged: 1}, d.Stats())
}

// An answer comes from the address that was asked, whatever others the host has.
func TestOrderAnsweredFrom(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs a loopback network, as Linux has it")
	}
	d := NewDynAuth(DynAuthConfig{Clients: []DynAuthClient{{netip.MustParsePrefix("127.0.0.0/8"), orderSecret}}, Sessions: sessions.New()})
	socket, err := net.ListenPacket("udp4", "0.0.0.0:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { assert.NoError(t, d.Serve(socket)) })
	defer serving.Wait()
	defer socket.Close()
	c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.5:%d", socket.LocalAddr().(*net.UDPAddr).Port))
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write(orderWire(t, radius.CodeDisconnectRequest, time.Now(), func(p *radius.Packet) { rfc2865.UserName_AddString(p, "alice") }))
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	b := make([]byte, radius.MaxPacketLength)
	n, err := c.Read(b)
	require.NoError(t, err)
	assert.Equal(t, byte(radius.CodeDisconnectNAK), b[:n][0])
}

// orders is a DynAuth with one session, alice's, and a clock of its own.
func orders(t *testing.T, change func(*DynAuthConfig)) (*DynAuth, *gopptp.Session, *time.Time) {
	t.Helper()
	g := startGateway(t, at(netip.MustParseAddrPort("127.0.0.1:9")), func(c *gopptp.ServerConfig) { c.Authenticator = anybody })
	_, _, s, err := g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
	require.NoError(t, err)
	cfg := DynAuthConfig{
		Clients: []DynAuthClient{
			{netip.MustParsePrefix("203.0.113.0/24"), "another"},
			{netip.MustParsePrefix("203.0.113.5/32"), orderSecret},
			{netip.MustParsePrefix("198.51.100.0/24"), orderSecret},
		},
		Sessions: g.live, Identity: Identity{NAS: "gw1"},
	}
	if change != nil {
		change(&cfg)
	}
	d := NewDynAuth(cfg)
	now := time.Unix(1_800_000_000, 0)
	d.now, d.began = func() time.Time { return now }, now.Add(-time.Hour)
	return d, s, &now
}

var orderer = netip.MustParseAddrPort("203.0.113.5:40000")

// ask builds an order, and returns the answer to it; nil if there is none.
func (d *DynAuth) ask(t *testing.T, code radius.Code, add func(p *radius.Packet)) *radius.Packet {
	t.Helper()
	wire := orderWire(t, code, d.now(), add)
	answer := d.handle(wire, orderer)
	if answer == nil {
		return nil
	}
	request, err := radius.Parse(wire, []byte(orderSecret))
	require.NoError(t, err)
	assert.True(t, authentic(answer, request.Authenticator, request.Secret))
	ok, present := checkSignature(answer, request.Authenticator, request.Secret)
	assert.True(t, ok && present)
	p, err := radius.Parse(answer, request.Secret)
	require.NoError(t, err)
	return p
}

func orderWire(t *testing.T, code radius.Code, now time.Time, add func(p *radius.Packet)) []byte {
	t.Helper()
	p := radius.New(code, []byte(orderSecret))
	if !now.IsZero() {
		require.NoError(t, rfc2869.EventTimestamp_Add(p, now))
	}
	add(p)
	wire, err := p.Encode()
	require.NoError(t, err)
	return wire
}

func TestOrderSelection(t *testing.T) {
	d, s, _ := orders(t, nil)
	for name, test := range map[string]struct {
		add  func(p *radius.Packet)
		want rfc3576.ErrorCause
	}{
		"user":           {func(p *radius.Packet) { rfc2865.UserName_AddString(p, "alice") }, 0},
		"another user":   {func(p *radius.Packet) { rfc2865.UserName_AddString(p, "bob") }, 503},
		"address":        {func(p *radius.Packet) { rfc2865.FramedIPAddress_Add(p, s.Peer().AsSlice()) }, 0},
		"port":           {func(p *radius.Packet) { rfc2865.NASPort_Add(p, 77) }, 0},
		"no port":        {func(p *radius.Packet) { rfc2865.NASPort_Add(p, 0) }, 503},
		"another port":   {func(p *radius.Packet) { rfc2865.NASPort_Add(p, 78) }, 503},
		"source":         {func(p *radius.Packet) { rfc2865.CallingStationID_AddString(p, "198.51.100.1") }, 0},
		"another source": {func(p *radius.Packet) { rfc2865.CallingStationID_AddString(p, "x") }, 503},
		"session":        {func(p *radius.Packet) { rfc2866.AcctSessionID_AddString(p, string(s.ID())) }, 0},
		"session and another user": {func(p *radius.Packet) {
			rfc2866.AcctSessionID_AddString(p, string(s.ID()))
			rfc2865.UserName_AddString(p, "bob")
		}, 503},
		"nobody": {func(p *radius.Packet) {}, 402},
		"gateway": {func(p *radius.Packet) {
			rfc2865.NASIdentifier_AddString(p, "gw1")
			rfc2865.NASIPAddress_Add(p, serverAddr.AsSlice())
			rfc2865.UserName_AddString(p, "alice")
		}, 0},
		"another gateway": {func(p *radius.Packet) {
			rfc2865.NASIdentifier_AddString(p, "gw2")
			rfc2865.UserName_AddString(p, "alice")
		}, 403},
		"another address": {func(p *radius.Packet) {
			rfc2865.NASIPAddress_Add(p, net.IPv4(192, 0, 2, 99))
			rfc2865.UserName_AddString(p, "alice")
		}, 503},
	} {
		answer := d.ask(t, radius.CodeCoARequest, func(p *radius.Packet) {
			test.add(p)
			rfc2865.IdleTimeout_Add(p, 300)
			rfc2865.ProxyState_Add(p, []byte("a"))
			rfc2865.ProxyState_Add(p, []byte("b"))
			rfc2865.State_Add(p, []byte("c"))
		})
		require.NotNil(t, answer, name)
		assert.Equal(t, test.want, rfc3576.ErrorCause_Get(answer), name)
		want := radius.CodeCoAACK
		if test.want != 0 {
			want = radius.CodeCoANAK
		}
		assert.Equal(t, want, answer.Code, name)
		states, err := rfc2865.ProxyState_Gets(answer)
		require.NoError(t, err)
		assert.Equal(t, [][]byte{[]byte("a"), []byte("b")}, states)
		assert.Equal(t, "c", rfc2865.State_GetString(answer))
	}
	_, idle := s.Timeouts()
	assert.Equal(t, 5*time.Minute, idle)
}

func TestOrderRefused(t *testing.T) {
	d, s, _ := orders(t, nil)
	for name, test := range map[string]struct {
		code radius.Code
		add  func(p *radius.Packet)
		want rfc3576.ErrorCause
	}{
		"nothing to change":         {radius.CodeCoARequest, func(p *radius.Packet) {}, rfc3576.ErrorCause_Value_MissingAttribute},
		"disconnect with a change":  {radius.CodeDisconnectRequest, func(p *radius.Packet) { rfc2865.SessionTimeout_Add(p, 1) }, rfc3576.ErrorCause_Value_UnsupportedAttribute},
		"authorize only":            {radius.CodeCoARequest, func(p *radius.Packet) { rfc2865.ServiceType_Add(p, 17) }, rfc3576.ErrorCause_Value_UnsupportedService},
		"rate that is none":         {radius.CodeCoARequest, func(p *radius.Packet) { mikrotik.MikrotikRateLimit_AddString(p, "fast") }, rfc5176.ErrorCause_Value_InvalidAttributeValue},
		"timeout that is none":      {radius.CodeCoARequest, func(p *radius.Packet) { p.Add(rfc2865.SessionTimeout_Type, []byte{1}) }, rfc5176.ErrorCause_Value_InvalidAttributeValue},
		"another vendor":            {radius.CodeCoARequest, func(p *radius.Packet) { p.Add(26, []byte{0, 0, 0, 9, 1, 3, 0}) }, rfc3576.ErrorCause_Value_UnsupportedAttribute},
		"vendor attribute cut off":  {radius.CodeCoARequest, func(p *radius.Packet) { p.Add(26, []byte{0, 0, 0x3a, 0x8c, 8, 9, 0}) }, rfc3576.ErrorCause_Value_InvalidRequest},
		"an address as well as all": {radius.CodeCoARequest, func(p *radius.Packet) { rfc2869.FramedPool_AddString(p, "x") }, rfc3576.ErrorCause_Value_UnsupportedAttribute},
	} {
		answer := d.ask(t, test.code, func(p *radius.Packet) {
			rfc2865.UserName_AddString(p, "alice")
			test.add(p)
		})
		require.NotNil(t, answer, name)
		assert.Equal(t, test.want, rfc3576.ErrorCause_Get(answer), name)
	}
	assert.Equal(t, gopptp.StateUp, s.State())
	session, idle := s.Timeouts()
	assert.Equal(t, time.Hour, session)
	assert.Equal(t, 10*time.Minute, idle)
}

// limitless is a data plane that keeps no limits but those of its first calls.
type limitless struct {
	gopptp.Dataplane
	keeps int
}

type limitlessCall struct{ gopptp.Call }

func (p *limitless) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	c, err := p.Dataplane.Open(cfg, h)
	if err != nil {
		return nil, err
	}
	if p.keeps--; p.keeps >= 0 {
		return c, nil
	}
	return limitlessCall{c}, nil
}

func (limitlessCall) CheckRates(r gopptp.Rates) error {
	if r.Limited() {
		return gopptp.ErrNotSupported
	}
	return nil
}

// What cannot be had is refused, and then nothing has changed.
func TestOrderImpossible(t *testing.T) {
	g := startGateway(t, at(netip.MustParseAddrPort("127.0.0.1:9")), func(c *gopptp.ServerConfig) {
		c.Authenticator, c.Dataplane = anybody, &limitless{Dataplane: c.Dataplane}
	})
	_, _, s, err := g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
	require.NoError(t, err)
	d := NewDynAuth(DynAuthConfig{Clients: []DynAuthClient{{netip.MustParsePrefix("203.0.113.5/32"), orderSecret}}, Sessions: g.live})
	slower := func(p *radius.Packet) {
		rfc2865.UserName_AddString(p, "alice")
		rfc2865.SessionTimeout_Add(p, 60)
		mikrotik.MikrotikRateLimit_AddString(p, "1M")
	}
	answer := d.ask(t, radius.CodeCoARequest, slower)
	require.NotNil(t, answer)
	assert.Equal(t, radius.CodeCoANAK, answer.Code)
	assert.Equal(t, rfc3576.ErrorCause_Value_ResourcesUnavailable, rfc3576.ErrorCause_Get(answer))
	session, _ := s.Timeouts()
	assert.Equal(t, time.Hour, session)

	s.Close()
	<-s.Done()
	_, cause := change{toPeer: new(gopptp.BitRate)}.apply([]*gopptp.Session{s})
	assert.Equal(t, rfc3576.ErrorCause_Value_SessionContextNotFound, cause)
}

// An order about several sessions changes all of them or none (RFC 5176 §2.3), but for
// those that end meanwhile.
func TestOrderForSeveral(t *testing.T) {
	plane := &limitless{keeps: 2}
	g := startGateway(t, at(netip.MustParseAddrPort("127.0.0.1:9")), func(c *gopptp.ServerConfig) {
		plane.Dataplane = c.Dataplane
		c.Authenticator, c.Dataplane = anybody, plane
	})
	var list []*gopptp.Session
	for range 3 { // the last of which can have no limits
		_, _, s, err := g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
		require.NoError(t, err)
		list = append(list, s)
	}
	up, slower := &gopptp.BitRate{BitsPerSecond: 1e6}, &gopptp.BitRate{BitsPerSecond: 2e6}
	changed, cause := change{fromPeer: up}.apply(list[:2])
	require.Zero(t, cause)
	require.Equal(t, list[:2], changed)

	minute := time.Minute
	_, cause = change{fromPeer: slower, toPeer: slower, session: &minute}.apply(list)
	assert.Equal(t, rfc3576.ErrorCause_Value_ResourcesUnavailable, cause)
	for i, s := range list {
		want := gopptp.Rates{}
		if i < 2 {
			want.FromPeer = *up
		}
		assert.Equal(t, want, s.Rates(), i)
		session, _ := s.Timeouts()
		assert.Equal(t, time.Hour, session, i)
	}

	list[0].Close()
	<-list[0].Done()
	changed, cause = change{toPeer: slower}.apply(list[:2])
	assert.Zero(t, cause)
	assert.Equal(t, list[1:2], changed)
	assert.Equal(t, gopptp.Rates{FromPeer: *up, ToPeer: *slower}, list[1].Rates())
}

// What an order says nothing of stays.
func TestOrderOneWay(t *testing.T) {
	d, s, _ := orders(t, nil)
	set := func(add func(p *radius.Packet)) {
		t.Helper()
		answer := d.ask(t, radius.CodeCoARequest, func(p *radius.Packet) {
			rfc2865.UserName_AddString(p, "alice")
			add(p)
		})
		require.NotNil(t, answer)
		require.Equal(t, radius.CodeCoAACK, answer.Code)
	}
	rates := func(from, to uint64) gopptp.Rates {
		return gopptp.Rates{FromPeer: gopptp.BitRate{BitsPerSecond: from}, ToPeer: gopptp.BitRate{BitsPerSecond: to}}
	}
	set(func(p *radius.Packet) { mikrotik.MikrotikRateLimit_AddString(p, "1M/2M") })
	set(func(p *radius.Packet) { wispr.WISPrBandwidthMaxDown_Add(p, 3e6) })
	assert.Equal(t, rates(1e6, 3e6), s.Rates())
	set(func(p *radius.Packet) { wispr.WISPrBandwidthMaxUp_Add(p, 4e6) })
	assert.Equal(t, rates(4e6, 3e6), s.Rates())
	set(func(p *radius.Packet) { wispr.WISPrBandwidthMaxUp_Add(p, 0) })
	assert.Equal(t, rates(0, 3e6), s.Rates())
}

// An order that comes again has the same answer, and is followed once.
func TestOrderRepeated(t *testing.T) {
	d, s, now := orders(t, nil)
	wire := orderWire(t, radius.CodeCoARequest, *now, func(p *radius.Packet) {
		rfc2865.UserName_AddString(p, "alice")
		rfc2865.SessionTimeout_Add(p, 7200)
	})
	first := d.handle(wire, orderer)
	require.NotNil(t, first)
	s.SetTimeouts(time.Minute, 0)
	*now = now.Add(299 * time.Second)
	assert.Equal(t, first, d.handle(wire, netip.MustParseAddrPort("203.0.113.5:50000")))
	assert.Equal(t, first, d.handle(wire, netip.MustParseAddrPort("198.51.100.99:50000")), "who repeats it can have another address")
	session, _ := s.Timeouts()
	assert.Equal(t, time.Minute, session)
	*now = now.Add(2 * time.Second)
	assert.Nil(t, d.handle(wire, orderer))
	assert.Equal(t, DynAuthStats{Changes: 1, Repeated: 2, Stale: 1}, d.Stats())
}

// After a restart nothing is known of orders that were followed before. They are not
// followed again, whether they are of the last five minutes or older.
func TestOrdersOverRestart(t *testing.T) {
	d, s, now := orders(t, nil)
	order := func(seconds uint32) []byte {
		return orderWire(t, radius.CodeCoARequest, *now, func(p *radius.Packet) {
			rfc2865.UserName_AddString(p, "alice")
			rfc2865.SessionTimeout_Add(p, rfc2865.SessionTimeout(seconds))
		})
	}
	timeout := func() time.Duration {
		session, _ := s.Timeouts()
		return session
	}
	old := order(60)
	*now = now.Add(4 * time.Minute)
	recent := order(120)
	require.NotNil(t, d.handle(recent, orderer))
	require.Equal(t, 2*time.Minute, timeout())

	*now = now.Add(1500 * time.Millisecond)
	clock := d.now
	d = NewDynAuth(d.cfg)
	d.now, d.began = clock, now.Truncate(time.Second)
	s.SetTimeouts(time.Hour, 0)
	for range 2 {
		assert.Nil(t, d.handle(recent, orderer))
		assert.Nil(t, d.handle(old, orderer))
		*now = now.Add(window)
	}
	assert.Equal(t, time.Hour, timeout())
	assert.Equal(t, DynAuthStats{Stale: 4}, d.Stats())

	// One of the second in which the gateway began is taken, as there may be such.
	*now = d.began
	require.NotNil(t, d.handle(order(180), orderer))
	assert.Equal(t, 3*time.Minute, timeout())

	// If the clock was wrong at first, orders are taken again as soon as it is set right.
	*now = now.Add(-24 * time.Hour)
	require.NotNil(t, d.handle(order(240), orderer))
	assert.Equal(t, 4*time.Minute, timeout())
}

// NewDynAuth has orders from before its time taken for repeated ones.
func TestOrdersOfBefore(t *testing.T) {
	d := NewDynAuth(DynAuthConfig{Clients: []DynAuthClient{{netip.MustParsePrefix("203.0.113.5/32"), orderSecret}}, Sessions: sessions.New()})
	user := func(p *radius.Packet) { rfc2865.UserName_AddString(p, "alice") }
	assert.Nil(t, d.handle(orderWire(t, radius.CodeDisconnectRequest, time.Now().Add(-2*time.Second), user), orderer))
	assert.NotNil(t, d.handle(orderWire(t, radius.CodeDisconnectRequest, time.Now(), user), orderer))
	assert.Equal(t, DynAuthStats{Stale: 1, Refused: 1}, d.Stats())
}

func TestOrderIgnored(t *testing.T) {
	d, _, now := orders(t, nil)
	user := func(p *radius.Packet) { rfc2865.UserName_AddString(p, "alice") }
	good := func() []byte { return orderWire(t, radius.CodeDisconnectRequest, *now, user) }
	assert.Nil(t, d.handle(good(), netip.MustParseAddrPort("203.0.114.5:1")))
	assert.Nil(t, d.handle(good(), netip.MustParseAddrPort("203.0.113.6:1")), "this address has another secret")
	bad := good()
	bad[len(bad)-1] ^= 1
	assert.Nil(t, d.handle(bad, orderer))
	assert.Nil(t, d.handle(good()[:19], orderer))
	assert.Nil(t, d.handle(nil, orderer))
	assert.Nil(t, d.handle(orderWire(t, radius.CodeAccountingRequest, *now, user), orderer))
	assert.Nil(t, d.ask(t, radius.CodeDisconnectRequest, func(p *radius.Packet) { // its signature is wrong
		user(p)
		p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
	}))
	for _, at := range []time.Time{{}, now.Add(-301 * time.Second), now.Add(301 * time.Second)} {
		assert.Nil(t, d.handle(orderWire(t, radius.CodeDisconnectRequest, at, user), orderer))
	}
	assert.Equal(t, DynAuthStats{Strangers: 1, Forged: 3, Malformed: 3, Stale: 3}, d.Stats())

	d, s, _ := orders(t, func(c *DynAuthConfig) { c.AllowUndated = true })
	wire := orderWire(t, radius.CodeDisconnectRequest, time.Time{}, func(p *radius.Packet) {
		user(p)
		p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
	})
	clear(wire[authenticatorAt:headerSize])
	mac := hmac.New(md5.New, []byte(orderSecret))
	mac.Write(wire)
	mac.Sum(wire[len(wire)-16 : len(wire)-16])
	resign(wire, &radius.Packet{Secret: []byte(orderSecret)})
	require.NotNil(t, d.handle(wire, orderer))
	<-s.Done()
}

// What is remembered has a bound, and an end.
func TestOrdersSeen(t *testing.T) {
	var a answered
	now := time.Unix(1_800_000_000, 0)
	name := func(i int) order { return order{byte(i), byte(i >> 8), byte(i >> 16)} }
	for i := range maxSeen + 10 {
		a.put(name(i), []byte{1}, now)
	}
	assert.Len(t, a.answers, maxSeen)
	_, ok := a.get(name(9), now)
	assert.False(t, ok)
	_, ok = a.get(name(10), now)
	assert.True(t, ok)
	_, ok = a.get(name(10), now.Add(2*window+1))
	assert.False(t, ok)
	assert.Empty(t, a.answers)
	assert.Nil(t, a.queue)
}

func FuzzOrder(f *testing.F) {
	p := radius.New(radius.CodeCoARequest, []byte(orderSecret))
	rfc2865.UserName_AddString(p, "alice")
	rfc2865.SessionTimeout_Add(p, 1)
	mikrotik.MikrotikRateLimit_AddString(p, "1M")
	wire, err := p.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	d := NewDynAuth(DynAuthConfig{
		Clients:  []DynAuthClient{{netip.MustParsePrefix("0.0.0.0/0"), orderSecret}},
		Sessions: sessions.New(), AllowUndated: true,
	})
	f.Fuzz(func(t *testing.T, wire []byte) {
		if p, err := radius.Parse(wire, []byte(orderSecret)); err == nil { // most are right but for this
			resign(wire[:int(wire[2])<<8|int(wire[3])], &radius.Packet{Secret: p.Secret})
		}
		if answer := d.handle(wire, orderer); answer != nil {
			if _, err := radius.Parse(answer, []byte(orderSecret)); err != nil {
				t.Error(err)
			}
		}
	})
}
