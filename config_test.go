package gopptp

import (
	"errors"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

// fakePlane is a Dataplane that is only ever named.
type fakePlane struct{ Dataplane }

func goodServerConfig() ServerConfig {
	return ServerConfig{
		Dataplane:     fakePlane{},
		Authenticator: AuthenticatorFunc(nil),
		LocalAddress:  netip.MustParseAddr("10.0.0.1"),
	}
}

func TestServerConfigReportsEveryFault(t *testing.T) {
	v6 := netip.MustParseAddr("2001:db8::1")
	cases := map[string]func(*ServerConfig){
		"Dataplane":                 func(c *ServerConfig) { c.Dataplane = nil },
		"Authenticator":             func(c *ServerConfig) { c.Authenticator = nil },
		"LocalAddress":              func(c *ServerConfig) { c.LocalAddress = v6 },
		"Name":                      func(c *ServerConfig) { c.Name = strings.Repeat("n", 64) },
		"MTU":                       func(c *ServerConfig) { c.MTU = 575 },
		"Encryption":                func(c *ServerConfig) { c.Encryption = 4 },
		"AuthMethods":               func(c *ServerConfig) { c.AuthMethods = []ppp.AuthMethod{ppp.AuthPAP, ppp.AuthPAP} },
		"Credentials.Name":          func(c *ServerConfig) { c.Credentials = new(Credentials) },
		"KeyLengths":                func(c *ServerConfig) { c.KeyLengths = 8 },
		"EncryptionModes":           func(c *ServerConfig) { c.EncryptionModes = 4 },
		"Reauthenticate":            func(c *ServerConfig) { c.Reauthenticate = -1 },
		"DNS":                       func(c *ServerConfig) { c.DNS = []netip.Addr{v6} },
		"IPv6.DNS":                  func(c *ServerConfig) { c.IPv6 = &IPv6Config{DNS: make([]netip.Addr, 1)} },
		"NBNS":                      func(c *ServerConfig) { c.NBNS = make([]netip.Addr, 3) },
		"Limits.MaxSessions":        func(c *ServerConfig) { c.Limits.MaxSessions = -1 },
		"Limits.MaxHalfOpen":        func(c *ServerConfig) { c.Limits.MaxHalfOpen = -1 },
		"Limits.MaxPerSource":       func(c *ServerConfig) { c.Limits.MaxPerSource = -1 },
		"Limits.MaxAuthentications": func(c *ServerConfig) { c.Limits.MaxAuthentications = -1 },
		"Limits.MaxCalls":           func(c *ServerConfig) { c.Limits.MaxCalls = -1 },
		"Limits.Connections":        func(c *ServerConfig) { c.Limits.Connections.Burst = 1 },
		"Limits.SourceConnections":  func(c *ServerConfig) { c.Limits.SourceConnections.PerSecond = math.NaN() },
		"Limits.MaxAuthWaiting":     func(c *ServerConfig) { c.Limits.MaxAuthWaiting = -1 },
		"Limits.AuthWait":           func(c *ServerConfig) { c.Limits.AuthWait = -1 },
		"Limits.HandshakeTimeout":   func(c *ServerConfig) { c.Limits.HandshakeTimeout = -1 },
		"Limits.SetupTimeout":       func(c *ServerConfig) { c.Limits.SetupTimeout = -time.Second },
		"Limits.GRETimeout":         func(c *ServerConfig) { c.Limits.GRETimeout = -1 },
		"EchoInterval":              func(c *ServerConfig) { c.EchoInterval = -1 },
		"EchoFailures":              func(c *ServerConfig) { c.EchoFailures = -1 },
		"Loops":                     func(c *ServerConfig) { c.Loops = -1 },
	}
	all := goodServerConfig()
	for field, spoil := range cases {
		cfg := goodServerConfig()
		spoil(&cfg)
		spoil(&all)
		_, err := NewServer(cfg)
		var bad *ConfigError
		require.ErrorAs(t, err, &bad, field)
		require.Equal(t, field, bad.Field)
		require.Contains(t, err.Error(), "gopptp: "+field+": ")
	}
	_, err := NewServer(all)
	for field := range cases {
		require.ErrorContains(t, err, "gopptp: "+field+": ")
	}

	narrow := goodServerConfig()
	narrow.IPv6, narrow.MTU = new(IPv6Config), 1279
	_, err = NewServer(narrow)
	require.ErrorContains(t, err, "MTU")
	narrow.IPv6.DNS = slices.Repeat([]netip.Addr{v6}, 9)
	_, err = NewServer(narrow)
	require.ErrorContains(t, err, "IPv6.DNS")

	s, err := NewServer(goodServerConfig())
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

func TestClientConfigReportsEveryFault(t *testing.T) {
	good := ClientConfig{Dataplane: fakePlane{}, User: "alice"}
	for field, spoil := range map[string]func(*ClientConfig){
		"Dataplane": func(c *ClientConfig) { c.Dataplane = nil },
		"User":      func(c *ClientConfig) { c.User = "" },
		"AuthMethods": func(c *ClientConfig) {
			c.AuthMethods = []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthMSCHAPv2}
		},
		"NTHash": func(c *ClientConfig) {
			c.NTHash, c.AuthMethods = new(chap.NTHash), []ppp.AuthMethod{ppp.AuthPAP}
		},
		"Routes":     func(c *ClientConfig) { c.Routes = []netip.Prefix{netip.MustParsePrefix("::/0")} },
		"Address":    func(c *ClientConfig) { c.Address = netip.MustParseAddr("::1") },
		"Name":       func(c *ClientConfig) { c.Name = strings.Repeat("n", 64) },
		"MTU":        func(c *ClientConfig) { c.MTU = 1501 },
		"Encryption": func(c *ClientConfig) { c.Encryption = 9 },
		"GRETimeout": func(c *ClientConfig) { c.GRETimeout = -1 },
	} {
		cfg := good
		spoil(&cfg)
		_, err := Dial(t.Context(), "192.0.2.1", cfg)
		var bad *ConfigError
		require.ErrorAs(t, err, &bad, field)
		require.Equal(t, field, bad.Field)
	}
}

func TestEncryptionPolicyText(t *testing.T) {
	for _, p := range []EncryptionPolicy{EncryptionRequire, EncryptionPrefer, EncryptionAllow, EncryptionDeny} {
		text, err := p.MarshalText()
		require.NoError(t, err)
		require.Equal(t, p.String(), string(text))
		var got EncryptionPolicy
		require.NoError(t, got.UnmarshalText(text))
		require.Equal(t, p, got)
	}
	var p EncryptionPolicy
	require.ErrorContains(t, p.UnmarshalText([]byte("maybe")), `"maybe" is not one of require, prefer, allow, deny`)
}

func TestNamesOfStatesAndCauses(t *testing.T) {
	require.Equal(t, "connect", StateConnect.String())
	require.Equal(t, "closed", StateClosed.String())
	require.Equal(t, "state 99", State(99).String())
	require.Equal(t, "none", CauseNone.String())
	require.Equal(t, "dataplane", CauseDataplane.String())
	require.Equal(t, "cause 99", Cause(99).String())
	require.Len(t, stateNames, int(StateClosed)+1)
	require.Len(t, causeNames, int(CauseQuota)+1)
}

func TestSessionErrorUnwraps(t *testing.T) {
	err := error(&SessionError{Stage: StateEstablish, Cause: CauseGREBlocked, Err: ErrGREBlocked})
	require.ErrorIs(t, err, ErrGREBlocked)
	require.Equal(t, "gopptp: session ended at stage establish (gre-blocked): "+ErrGREBlocked.Error(), err.Error())
	require.False(t, errors.Is(err, ErrSetupTimeout))
}
