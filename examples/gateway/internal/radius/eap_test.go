package radius

import (
	"bytes"
	"context"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/rfc4818"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/internal/radiustest"
	"github.com/gopptp/gopptp/ppp"
)

// EAP with MD5-Challenge, which gives no keys.
func TestEAPMD5(t *testing.T) {
	t.Parallel()
	s := radiustest.Start(t, radiustest.Config{EAP: "md5", Users: []radiustest.User{{Name: "alice", Password: "secret"}}})
	g := startGateway(t, at(s.Auth), allMethods)
	here, client, server, err := g.dial("alice", "secret", ppp.AuthEAP, func(c *gopptp.ClientConfig) {
		c.AuthMethods = []ppp.AuthMethod{ppp.AuthEAP, ppp.AuthCHAPMD5}
		c.Encryption = gopptp.EncryptionDeny
	})
	require.NoError(t, err)
	assert.Equal(t, "none", server.Encryption())
	g.passes(here, client)
}

// Packets of EAP may be longer than an attribute, and the rounds of an exchange go to the
// server that began it.
func TestEAPRounds(t *testing.T) {
	t.Parallel()
	packet := func(code byte, n int) []byte {
		b := bytes.Repeat([]byte{0xab}, n)
		copy(b, []byte{code, 1, byte(n >> 8), byte(n)})
		return b
	}
	serve := func(name string) netip.AddrPort {
		return serveUDP(t, func(p *radius.Packet) *radius.Packet {
			message, err := rfc2869.EAPMessage_Lookup(p)
			assert.NoError(t, err)
			switch len(message) {
			case 600:
				assert.Empty(t, rfc2865.State_Get(p))
			case 1200:
				if rfc2865.State_GetString(p) != name {
					return p.Response(radius.CodeAccessReject)
				}
				accept := p.Response(radius.CodeAccessAccept)
				rfc2869.EAPMessage_Set(accept, packet(3, 4))
				return accept
			default:
				t.Errorf("EAP-Message of %d octets", len(message))
			}
			next := p.Response(radius.CodeAccessChallenge)
			rfc2869.EAPMessage_Set(next, packet(1, 1000))
			rfc2865.State_AddString(next, name)
			return next
		})
	}
	cfg := at(serve("first"), serve("second"))
	cfg.Servers[1].Priority = 0
	client, err := NewClient(cfg)
	require.NoError(t, err)
	defer client.Close()
	a := NewAuthenticator(AuthenticatorConfig{Client: client, Encryption: gopptp.EncryptionPrefer})
	for range 20 {
		req := &gopptp.AuthRequest{AuthRequest: ppp.AuthRequest{Method: ppp.AuthEAP, Name: "alice", EAP: packet(2, 600)}}
		result, err := a.Authenticate(context.Background(), req)
		require.NoError(t, err)
		require.True(t, result.Continue)
		assert.Equal(t, packet(1, 1000), result.EAP)
		req.State, req.EAP = result.State, packet(2, 1200)
		result, err = a.Authenticate(context.Background(), req)
		require.NoError(t, err)
		require.False(t, result.Continue)
		assert.Equal(t, packet(3, 4), result.EAP)
	}
	for _, st := range client.Stats().Servers {
		assert.NotZero(t, st.Accepts, "each is asked, by its weight")
		assert.Zero(t, st.Rejects)
	}
}

// Who is rejected is so even if the server goes on asking.
func TestEAPRejected(t *testing.T) {
	req := &gopptp.AuthRequest{AuthRequest: ppp.AuthRequest{Method: ppp.AuthEAP}}
	for _, test := range []struct{ message, want []byte }{
		{[]byte{4, 7, 0, 4}, []byte{4, 7, 0, 4}},
		{[]byte{1, 7, 0, 5, 1}, nil},
		{nil, nil},
	} {
		p := &radius.Packet{Code: radius.CodeAccessReject}
		require.NoError(t, rfc2869.EAPMessage_Set(p, test.message))
		var refusal *gopptp.AuthError
		require.ErrorAs(t, rejected(req, &Reply{Packet: p}), &refusal)
		assert.Equal(t, test.want, refusal.EAP)
	}
}

func TestGrantsOfIPv6(t *testing.T) {
	grants := func(add func(p *radius.Packet)) (*gopptp.AuthResult, []error) {
		t.Helper()
		p := &radius.Packet{}
		add(p)
		result, problems, err := NewAuthenticator(AuthenticatorConfig{
			Own: insideAddr, Prefixes: netip.MustParsePrefix("2001:db8:ff00::/40"),
		}).grants(&gopptp.AuthRequest{}, p)
		require.NoError(t, err)
		return result, problems
	}
	prefix := func(text string) radius.Attribute {
		p := netip.MustParsePrefix(text)
		octets := p.Addr().As16()
		return append([]byte{0, byte(p.Bits())}, octets[:(p.Bits()+7)/8]...)
	}
	result, problems := grants(func(p *radius.Packet) {
		p.Add(rfc3162.FramedIPv6Prefix_Type, prefix("2001:db8:1:2::/64"))
		p.Add(rfc4818.DelegatedIPv6Prefix_Type, prefix("2001:db8:5::/48"))
		rfc3162.FramedIPv6Route_AddString(p, "2001:db8:6::/48 :: 1")
	})
	assert.Empty(t, problems)
	assert.Equal(t, netip.MustParsePrefix("2001:db8:1:2::/64"), result.IPv6Prefix)
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("2001:db8:6::/48"), netip.MustParsePrefix("2001:db8:5::/48")}, result.Routes)
	result, problems = grants(func(p *radius.Packet) { p.Add(rfc3162.FramedIPv6Prefix_Type, prefix("2001:db8:1::/56")) })
	assert.Len(t, problems, 1)
	assert.False(t, result.IPv6Prefix.IsValid())
	result, problems = grants(func(p *radius.Packet) { p.Add(rfc3162.FramedIPv6Prefix_Type, prefix("2001:db8:ff01:2::/64")) })
	assert.Len(t, problems, 1, "it may be another session's")
	assert.False(t, result.IPv6Prefix.IsValid())
	_, problems = grants(func(p *radius.Packet) { p.Add(rfc3162.FramedIPv6Prefix_Type, radius.Attribute{0, 129}) })
	assert.Len(t, problems, 1)
}
