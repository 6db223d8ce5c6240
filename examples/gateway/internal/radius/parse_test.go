package radius

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/vendors/microsoft"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/ppp"
)

func TestParseRateLimit(t *testing.T) {
	for text, want := range map[string]gopptp.Rates{
		"2M/10M":          {FromPeer: gopptp.BitRate{BitsPerSecond: 2e6}, ToPeer: gopptp.BitRate{BitsPerSecond: 10e6}},
		"512k":            {FromPeer: gopptp.BitRate{BitsPerSecond: 512e3}, ToPeer: gopptp.BitRate{BitsPerSecond: 512e3}},
		"0/1G":            {ToPeer: gopptp.BitRate{BitsPerSecond: 1e9}},
		" 100000 ":        {FromPeer: gopptp.BitRate{BitsPerSecond: 1e5}, ToPeer: gopptp.BitRate{BitsPerSecond: 1e5}},
		"1M/2M 2M/4M":     {FromPeer: gopptp.BitRate{BitsPerSecond: 1e6, Burst: 125e3}, ToPeer: gopptp.BitRate{BitsPerSecond: 2e6, Burst: 250e3}},
		"1M 2M 800k 10":   {FromPeer: gopptp.BitRate{BitsPerSecond: 1e6, Burst: 1e6}, ToPeer: gopptp.BitRate{BitsPerSecond: 1e6, Burst: 1e6}},
		"1M 1M 800k 10":   {FromPeer: gopptp.BitRate{BitsPerSecond: 1e6}, ToPeer: gopptp.BitRate{BitsPerSecond: 1e6}},
		"1M 2M 1M 8 5 1k": {FromPeer: gopptp.BitRate{BitsPerSecond: 1e6, Burst: 1e6}, ToPeer: gopptp.BitRate{BitsPerSecond: 1e6, Burst: 1e6}},
		"1G 9G 9G 99999":  {FromPeer: gopptp.BitRate{BitsPerSecond: 1e9, Burst: 1<<31 - 1}, ToPeer: gopptp.BitRate{BitsPerSecond: 1e9, Burst: 1<<31 - 1}},
	} {
		got, err := parseRateLimit(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"", " ", "M", "1X", "-1", "+1", "1M/", "/1M", "1M/2M/3M", "1.5M", "99999999999999999999", "18446744073709551615G", "1 2 3 4 5 6 7", "1M x"} {
		_, err := parseRateLimit(text)
		assert.Error(t, err, text)
	}
}

func TestParseRoute(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.0.0/16":                        "10.1.0.0/16",
		"10.1.2.3/16 10.0.0.1 1":             "10.1.0.0/16",
		"10.1.0.0/16 0.0.0.0 1 2 -1 3":       "10.1.0.0/16",
		"192.168.5.0 255.255.255.0 10.0.0.1": "192.168.5.0/24",
		"192.168.5.0":                        "192.168.5.0/24",
		"172.16.0.0 10.0.0.1 1":              "172.16.0.0/16",
		"10.0.0.0 0.0.0.0 1":                 "10.0.0.0/8",
		"10.1.2.0":                           "10.1.2.0/32",
		"2001:db8::/48 :: 1":                 "2001:db8::/48",
		"2001:db8::1":                        "2001:db8::1/128",
		"0.0.0.0/0 10.0.0.1":                 "0.0.0.0/0",
	} {
		got, err := parseRoute(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got.String(), text)
	}
	for _, text := range []string{"", "  ", "x", "10.0.0.0/33", "10.0.0/8", "fe80::1%eth0", "fe80::%1/64"} {
		_, err := parseRoute(text)
		assert.Error(t, err, text)
	}
}

func TestRoutes(t *testing.T) {
	p := &radius.Packet{}
	for _, r := range []string{"10.1.0.0/16", "0.0.0.0/0", "10.9.0.0/24", "2001:db8::/48", "x"} {
		require.NoError(t, rfc2865.FramedRoute_AddString(p, r))
	}
	got, problems := routes(p, insideAddr)
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, got)
	assert.Len(t, problems, 4)
}

func FuzzRateLimit(f *testing.F) {
	f.Add("1M/2M 2M/4M 1M/1M 8/8 5 1k/1k")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseRateLimit(text)
		if err != nil && len(err.Error()) > 800 {
			t.Errorf("%d octets of error", len(err.Error()))
		}
		if r.FromPeer.Burst < 0 || r.ToPeer.Burst < 0 {
			t.Error(r)
		}
	})
}

func FuzzRoute(f *testing.F) {
	f.Add("10.1.0.0 255.255.0.0 10.0.0.1")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseRoute(text)
		if err == nil && (!p.IsValid() || p != p.Masked()) {
			t.Errorf("%q is %v", text, p)
		}
	})
}

// FuzzReply has servers say anything.
func FuzzReply(f *testing.F) {
	secret := []byte("secret")
	full := &radius.Packet{Code: radius.CodeAccessAccept, Secret: secret}
	rfc2865.FramedIPAddress_Add(full, []byte{10, 0, 0, 1})
	rfc2865.FramedRoute_AddString(full, "10.1.0.0/16")
	rfc2869.EAPMessage_Set(full, []byte{3, 1, 0, 4})
	microsoft.MSCHAP2Success_AddString(full, "\x01S=0123456789012345678901234567890123456789")
	microsoft.MSMPPESendKey_Add(full, make([]byte, 16))
	microsoft.MSMPPERecvKey_Add(full, make([]byte, 16))
	microsoft.MSCHAPError_AddString(full, "\x01E=691 R=1 M=no")
	wire, err := full.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	for method := range uint8(5) {
		f.Add(wire, method)
	}
	a := NewAuthenticator(AuthenticatorConfig{Encryption: gopptp.EncryptionPrefer, Own: insideAddr})
	server := &Server{}
	f.Fuzz(func(t *testing.T, wire []byte, method uint8) {
		p, err := radius.Parse(wire, secret)
		if err != nil {
			return
		}
		open(wire, &radius.Packet{Code: radius.CodeAccessRequest, Secret: secret}, true)
		methods := []ppp.AuthMethod{ppp.AuthPAP, ppp.AuthCHAPMD5, ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2, ppp.AuthEAP}
		req := &gopptp.AuthRequest{}
		req.Method, req.Challenge = methods[int(method)%len(methods)], make([]byte, 8)
		reply := &Reply{Packet: p, Request: &radius.Packet{Secret: secret}, Server: server}
		result, err := a.accepted(req, reply)
		if err == nil && result.Address.IsValid() && !result.Address.Is4() {
			t.Error(result.Address)
		}
		if err == nil {
			grant.From(result.Attributes)
		}
		challenged(req, reply)
		if err := rejected(req, reply); err == nil || strings.ToValidUTF8(err.Error(), "") != err.Error() {
			t.Error(err)
		}
	})
}

// What cannot be said in RADIUS is a wrong name or password, and asks nobody.
func TestImpossible(t *testing.T) {
	a := NewAuthenticator(AuthenticatorConfig{})
	for _, req := range []ppp.AuthRequest{
		{Method: ppp.AuthPAP, Password: ppp.Secret("x")},
		{Method: ppp.AuthPAP, Name: strings.Repeat("n", 254), Password: ppp.Secret("x")},
		{Method: ppp.AuthPAP, Name: "n", Password: ppp.Secret(strings.Repeat("x", 129))},
	} {
		_, err := a.Authenticate(context.Background(), &gopptp.AuthRequest{AuthRequest: req})
		assert.ErrorIs(t, err, gopptp.ErrBadCredentials)
	}
}
