package radius

import (
	"context"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/vendors/microsoft"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/internal/radiustest"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// A user of a real FreeRADIUS comes in by every method, and where that gives keys, they
// are the right ones.
func TestMethods(t *testing.T) {
	t.Parallel()
	s := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{
		{Name: "alice", Password: "correct horse"},
		{Name: "hashed", NTHash: "8846f7eaee8fb117ad06bdd830b7586c"}, // password
	}})
	g := startGateway(t, at(s.Auth), allMethods)
	for name, test := range map[string]struct {
		method         ppp.AuthMethod
		user, password string
		encryption     gopptp.EncryptionPolicy
		lengths        mppe.KeyLengths
		want           string
	}{
		"pap":           {ppp.AuthPAP, "alice", "correct horse", gopptp.EncryptionDeny, 0, "none"},
		"chap-md5":      {ppp.AuthCHAPMD5, "alice", "correct horse", gopptp.EncryptionDeny, 0, "none"},
		"mschap-v1":     {ppp.AuthMSCHAPv1, "alice", "correct horse", gopptp.EncryptionRequire, mppe.AllowKey128, "MPPE 128-bit stateless"},
		"mschap-v2":     {ppp.AuthMSCHAPv2, "alice", "correct horse", gopptp.EncryptionRequire, mppe.AllowKey128, "MPPE 128-bit stateless"},
		"domain":        {ppp.AuthMSCHAPv2, "hashed", "password", gopptp.EncryptionRequire, mppe.AllowKey128, "MPPE 128-bit stateless"},
		"eap-mschap-v2": {ppp.AuthEAP, "alice", "correct horse", gopptp.EncryptionRequire, mppe.AllowKey128, "MPPE 128-bit stateless"},
	} {
		t.Run(name, func(t *testing.T) {
			here, client, server, err := g.dial(test.user, test.password, test.method, func(c *gopptp.ClientConfig) {
				c.Encryption, c.KeyLengths = test.encryption, test.lengths
			})
			require.NoError(t, err)
			defer client.Close()
			assert.Equal(t, test.want, server.Encryption())
			g.passes(here, client)
			assert.Equal(t, "radius", grant.Of(server).Backend)

			requests := s.Requests()
			last := requests[len(requests)-1]
			assert.Equal(t, test.user, last.Get("User-Name"))
			assert.Equal(t, "gw1", last.Get("NAS-Identifier"))
			assert.Equal(t, "192.0.2.1", last.Get("NAS-IP-Address"))
			assert.Equal(t, "192.0.2.1", last.Get("Called-Station-Id"))
			assert.Equal(t, client.LocalAddr().Addr().String(), last.Get("Calling-Station-Id"))
			assert.Equal(t, string(server.ID()), last.Get("Acct-Session-Id"))
			assert.Equal(t, "Framed-User", last.Get("Service-Type"))
			assert.Equal(t, "PPP", last.Get("Framed-Protocol"))
			assert.Equal(t, "Virtual", last.Get("NAS-Port-Type"))
			assert.Equal(t, "PPTP", last.Get("Tunnel-Type:0"))
			assert.NotEmpty(t, last.Get("Message-Authenticator"))
		})
		t.Run(name+" with a wrong password", func(t *testing.T) {
			_, _, _, err := g.dial(test.user, test.password+"!", test.method, func(c *gopptp.ClientConfig) {
				c.Encryption = gopptp.EncryptionPrefer
			})
			var end *gopptp.SessionError
			require.ErrorAs(t, err, &end)
			assert.Equal(t, gopptp.CauseAuthentication, end.Cause, "%v", err)
		})
	}
	st := g.client.Stats().Servers[0]
	assert.EqualValues(t, 6, st.Accepts)
	assert.NotZero(t, st.Rejects)
	assert.NotZero(t, st.Challenges)
	assert.Equal(t, 1, st.Links)
	assert.Zero(t, st.BadAuthenticators+st.Unsigned+st.Malformed)
}

// What a server grants arrives at the session.
func TestGrants(t *testing.T) {
	t.Parallel()
	s := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{
		Name: "alice", Password: "secret", Reply: []string{
			"User-Name = \"alice@example.net\"",
			"Framed-IP-Address = 10.20.0.7", "Framed-Route += \"10.30.0.0/16 0.0.0.0 1\"", "Framed-Route += \"10.31.5.0 255.255.255.0 10.20.0.7\"",
			"Framed-Route += \"10.9.0.0/24\"", "Framed-Pool = \"gold\"", "Filter-Id = \"strict\"",
			"MS-Primary-DNS-Server = 10.0.0.53", "MS-Secondary-DNS-Server = 10.0.0.54", "MS-Primary-NBNS-Server = 10.0.0.55",
			"Session-Timeout = 3600", "Idle-Timeout = 600", "Acct-Interim-Interval = 120", "Port-Limit = 2",
			"Class += 0x0102", "Class += 0x03", "Mikrotik-Rate-Limit = \"2M/10M\"",
			"Mikrotik-Total-Limit = 5", "Mikrotik-Total-Limit-Gigawords = 1",
		},
	}, {
		Name: "pool", Password: "secret", Reply: []string{
			"Framed-IP-Address = 255.255.255.254", "WISPr-Bandwidth-Max-Up = 1000000", "WISPr-Bandwidth-Max-Down = 2000000",
		},
	}, {
		Name: "broken", Password: "secret", Reply: []string{"Framed-IP-Address = 224.0.0.1"},
	}}})
	g := startGateway(t, at(s.Auth), nil)
	_, client, server, err := g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
	require.NoError(t, err)
	assert.Equal(t, "10.20.0.7", client.Local().String())
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("10.0.0.53"), netip.MustParseAddr("10.0.0.54")}, client.DNS())
	assert.Equal(t, "alice@example.net", server.User())
	assert.Equal(t, gopptp.Rates{FromPeer: gopptp.BitRate{BitsPerSecond: 2e6}, ToPeer: gopptp.BitRate{BitsPerSecond: 10e6}}, server.Rates())
	last := s.Requests()[0]
	got := *grant.Of(server)
	assert.Equal(t, last.Get("NAS-Port"), strconv.Itoa(int(got.NASPort)))
	got.NASPort = 0
	assert.Equal(t, grant.Grant{
		Backend: "radius", Pool: "gold", Filter: "strict", Quota: 1<<32 + 5, MaxSessions: 2,
		InterimInterval: 2 * time.Minute, Class: [][]byte{{1, 2}, {3}},
	}, got)
	var networks []netip.Prefix
	for _, n := range g.host.Attached() {
		networks = append(networks, n.Routes...)
	}
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.30.0.0/16"), netip.MustParsePrefix("10.31.5.0/24")}, networks)

	_, client, server, err = g.dial("pool", "secret", ppp.AuthMSCHAPv2, nil)
	require.NoError(t, err)
	assert.True(t, netip.MustParsePrefix("10.9.1.0/24").Contains(client.Local()))
	assert.Equal(t, gopptp.Rates{FromPeer: gopptp.BitRate{BitsPerSecond: 1e6}, ToPeer: gopptp.BitRate{BitsPerSecond: 2e6}}, server.Rates())

	_, _, _, err = g.dial("broken", "secret", ppp.AuthMSCHAPv2, nil)
	require.Error(t, err)
	assert.EqualValues(t, 3, g.client.Stats().Servers[0].Accepts)
}

// What a server answers that cannot be done here is a refusal (RFC 2865 §4.4 and §5.6).
func TestNotForUs(t *testing.T) {
	a := NewAuthenticator(AuthenticatorConfig{Encryption: gopptp.EncryptionPrefer})
	pap := &gopptp.AuthRequest{AuthRequest: ppp.AuthRequest{Method: ppp.AuthPAP}}
	for name, test := range map[string]struct {
		add  func(p *radius.Packet) error
		want string
	}{
		"framed":     {func(p *radius.Packet) error { return rfc2865.ServiceType_Add(p, rfc2865.ServiceType_Value_FramedUser) }, ""},
		"ppp":        {func(p *radius.Packet) error { return rfc2865.FramedProtocol_Add(p, rfc2865.FramedProtocol_Value_PPP) }, ""},
		"no service": {func(*radius.Packet) error { return nil }, ""},
		"administrator": {func(p *radius.Packet) error {
			return rfc2865.ServiceType_Add(p, rfc2865.ServiceType_Value_AdministrativeUser)
		}, "Service-Type Administrative-User"},
		"slip": {func(p *radius.Packet) error { return rfc2865.FramedProtocol_Add(p, rfc2865.FramedProtocol_Value_SLIP) }, "Framed-Protocol SLIP"},
	} {
		p := &radius.Packet{Code: radius.CodeAccessAccept}
		require.NoError(t, test.add(p))
		_, err := a.accepted(pap, &Reply{Packet: p, Server: &Server{}})
		var refusal *gopptp.AuthError
		if test.want == "" {
			assert.NoError(t, err, name)
		} else if assert.ErrorAs(t, err, &refusal, name) {
			assert.Equal(t, 649, refusal.Code)
			assert.Contains(t, refusal.Message, test.want)
		}
	}
	_, err := challenged(pap, &Reply{Packet: &radius.Packet{Code: radius.CodeAccessChallenge}})
	var refusal *gopptp.AuthError
	require.ErrorAs(t, err, &refusal)
	assert.Contains(t, refusal.Message, "PAP")
}

// A refusal arrives as the server says it.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{
		{Name: "expired", Password: "secret", Check: []string{"SMB-Account-Ctrl := 131088"}},
		{Name: "locked", Password: "secret", Check: []string{"SMB-Account-Ctrl := 17"}},
	}})
	g := startGateway(t, at(s.Auth), nil)
	for user, want := range map[string]chap.FailureError{
		"expired": {Code: chap.PasswordExpired, Message: "Password expired"},
		"locked":  {Code: chap.AuthenticationFailure, Message: "Account disabled"},
		"nobody":  {Code: chap.AuthenticationFailure, Message: "Authentication rejected", Retry: true},
	} {
		_, _, _, err := g.dial(user, "secret", ppp.AuthMSCHAPv2, nil)
		var failure *chap.FailureError
		require.ErrorAs(t, err, &failure)
		assert.Equal(t, want, *failure, user)
	}
}

// Who has mistaken a password may try another one, if the server says so.
func TestRetry(t *testing.T) {
	t.Parallel()
	s := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{Name: "alice", Password: "secret"}}})
	g := startGateway(t, at(s.Auth), nil)
	here, client, _, err := g.dial("alice", "sekret", ppp.AuthMSCHAPv2, func(c *gopptp.ClientConfig) {
		c.Prompt = func(_ context.Context, ask chap.CredentialsNeeded) (string, bool) {
			return "secret", ask.Failure.Retry
		}
	})
	require.NoError(t, err)
	g.passes(here, client)
	st := g.client.Stats().Servers[0]
	assert.EqualValues(t, 1, st.Rejects)
	assert.EqualValues(t, 1, st.Accepts)
}

// A password that has expired can be changed by MS-CHAPv2. FreeRADIUS 3.2.1 finds the
// request right, and then crashes, so that this server is our own.
func TestPasswordChange(t *testing.T) {
	t.Parallel()
	var hash atomic.Pointer[chap.NTHash]
	old := chap.NTPasswordHash("secret")
	hash.Store(&old)
	server := serveUDP(t, func(p *radius.Packet) *radius.Packet {
		req := ppp.AuthRequest{Method: ppp.AuthMSCHAPv2, Name: rfc2865.UserName_GetString(p), Challenge: microsoft.MSCHAPChallenge_Get(p)}
		cpw := microsoft.MSCHAP2CPW_Get(p)
		if cpw == nil {
			reject := p.Response(radius.CodeAccessReject)
			microsoft.MSCHAPError_AddString(reject, "\x00E=648 R=0 C=00000000000000000000000000000000 V=3 M=expired")
			return reject
		}
		req.ID, req.PeerChallenge, req.Response = cpw[1], cpw[18:34], cpw[42:66]
		req.PasswordChange = new(ppp.PasswordChange)
		copy(req.PasswordChange.EncryptedHash[:], cpw[2:18])
		pieces, _ := microsoft.MSCHAPNTEncPW_Gets(p)
		var blob []byte
		for i, piece := range pieces {
			assert.Equal(t, []byte{6, req.ID, 0, byte(i + 1)}, piece[:4])
			blob = append(blob, piece[4:]...)
		}
		assert.Equal(t, 516, copy(req.PasswordChange.EncryptedPassword[:], blob))
		change, ok := chap.VerifyPasswordChange(&req, *hash.Load())
		if !assert.True(t, ok) {
			return nil
		}
		hash.Store(&change.NTHash)
		req.PasswordChange = nil
		proof, ok := chap.VerifyMSCHAPv2(&req, change.NTHash)
		if !assert.True(t, ok) {
			return nil
		}
		k := mppe.DeriveKeys(proof.HashHash, proof.NTResponse, mppe.Server)
		accept := p.Response(radius.CodeAccessAccept)
		microsoft.MSCHAP2Success_AddString(accept, string(rune(req.ID))+proof.AuthenticatorResponse)
		microsoft.MSMPPESendKey_Add(accept, k.Send[:])
		microsoft.MSMPPERecvKey_Add(accept, k.Recv[:])
		return accept
	})
	g := startGateway(t, at(server), nil)
	asked := make(chan chap.CredentialsNeeded, 9)
	here, client, _, err := g.dial("alice", "secret", ppp.AuthMSCHAPv2, func(c *gopptp.ClientConfig) {
		c.Prompt = func(_ context.Context, ask chap.CredentialsNeeded) (string, bool) {
			asked <- ask
			return "battery staple", true
		}
	})
	require.NoError(t, err)
	assert.True(t, (<-asked).ChangePassword)
	g.passes(here, client)
	assert.Equal(t, chap.NTPasswordHash("battery staple"), *hash.Load())
}

// The policies of a server and of the gateway for encryption must not contradict each other.
func TestEncryptionPolicy(t *testing.T) {
	t.Parallel()
	s := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{
		{Name: "alice", Password: "secret"},
		{Name: "required", Password: "secret", Reply: []string{"MS-MPPE-Encryption-Policy = Encryption-Required"}},
	}})
	required := startGateway(t, at(s.Auth), func(c *gopptp.ServerConfig) { c.AuthMethods = []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthPAP} })
	_, _, _, err := required.dial("alice", "secret", ppp.AuthPAP, func(c *gopptp.ClientConfig) { c.Encryption = gopptp.EncryptionPrefer })
	require.Error(t, err)
	preferred := startGateway(t, at(s.Auth), allMethods)
	_, _, _, err = preferred.dial("required", "secret", ppp.AuthPAP, func(c *gopptp.ClientConfig) { c.Encryption = gopptp.EncryptionPrefer })
	require.Error(t, err)
}

// Servers that are down, slow and lying: users come in nevertheless, and those who are in
// notice nothing.
func TestDrills(t *testing.T) {
	t.Parallel()
	s := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{Name: "alice", Password: "secret"}}})
	first, second := radiustest.NewRelay(t, s.Auth), radiustest.NewRelay(t, s.Auth)
	cfg := at(first.Addr, second.Addr)
	for i := range cfg.Servers {
		cfg.Servers[i].Timeout = 300 * time.Millisecond
	}
	cfg.HoldDown, cfg.StatusServer, cfg.Patience = 100*time.Millisecond, true, 3*time.Second
	g := startGateway(t, cfg, nil)
	here, client, _, err := g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
	require.NoError(t, err)
	comesIn := func() {
		t.Helper()
		_, another, _, err := g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
		require.NoError(t, err)
		another.Close()
		g.passes(here, client)
	}
	server := func(i int) ServerStats { return g.client.Stats().Servers[i] }

	first.Dead.Store(true)
	for range 3 {
		comesIn()
	}
	assert.False(t, server(0).Alive)
	assert.GreaterOrEqual(t, server(1).Accepts, uint64(3))
	first.Dead.Store(false)
	require.Eventually(t, func() bool { return server(0).Alive }, 20*time.Second, 10*time.Millisecond)

	first.Delay.Store(int64(500 * time.Millisecond))
	comesIn()
	first.Delay.Store(0)

	lies := func(answer []byte) { answer[len(answer)-1] ^= 1 }
	first.Mangle.Store(&lies)
	comesIn()
	// By a user's question or, if it is slow enough here to be taken for dead, a probe.
	require.Eventually(t, func() bool { return server(0).BadAuthenticators > 0 }, 20*time.Second, time.Millisecond)

	// All of them: nobody comes in, and those who are in stay.
	second.Mangle.Store(&lies)
	_, _, _, err = g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
	require.Error(t, err)
	g.passes(here, client)
	second.Mangle.Store(nil)
	comesIn()
}

// Servers are asked from the address that they know the gateway by.
func TestSource(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs a loopback network, as Linux has it")
	}
	s := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{Name: "alice", Password: "secret"}}})
	r := radiustest.StartRadSec(t, s)
	for name, cfg := range map[string]ClientConfig{"UDP": at(s.Auth), "TLS": over(r, r.Client())} {
		cfg.Source = netip.MustParseAddr("127.0.0.9")
		client, err := NewClient(cfg)
		require.NoError(t, err)
		user := &radius.Packet{}
		require.NoError(t, rfc2865.UserName_AddString(user, "alice"))
		reply, err := client.Exchange(context.Background(), &Request{Code: radius.CodeAccessRequest, Attributes: user.Attributes, Password: []byte("secret")})
		require.NoError(t, err, name)
		assert.Equal(t, radius.CodeAccessAccept, reply.Code)
		assert.Equal(t, "127.0.0.9", client.servers[0].links[0].conn.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Addr().String(), name)
		client.Close()
	}
}

// A host that says that there is no server costs no time.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	s := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{Name: "alice", Password: "secret"}}})
	closed, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	closed.Close()
	cfg := at(netip.MustParseAddrPort(closed.LocalAddr().String()), s.Auth)
	cfg.Servers[0].Timeout = time.Hour
	g := startGateway(t, cfg, nil)
	for range 5 {
		_, _, _, err := g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
		require.NoError(t, err)
	}
	st := g.client.Stats().Servers
	assert.False(t, st[0].Alive)
	assert.EqualValues(t, 3, st[0].Requests)
	assert.EqualValues(t, 5, st[1].Accepts)
}

// An answer without Message-Authenticator is taken for forged, unless that is allowed.
func TestUnsignedServer(t *testing.T) {
	t.Parallel()
	s := radiustest.Start(t, radiustest.Config{UnsignedReplies: true, Users: []radiustest.User{{Name: "alice", Password: "secret"}}})
	cfg := at(s.Auth)
	cfg.Patience = time.Second
	g := startGateway(t, cfg, nil)
	_, _, _, err := g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
	require.Error(t, err)
	assert.NotZero(t, g.client.Stats().Servers[0].Unsigned)

	cfg.AllowUnsigned = true
	g = startGateway(t, cfg, nil)
	_, _, _, err = g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
	require.NoError(t, err)
}
