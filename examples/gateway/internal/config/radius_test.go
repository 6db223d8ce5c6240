package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// certificate writes ca.pem, gateway.pem and gateway.key, of one certificate, to dir.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, &key.PublicKey, key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: der}, "gateway.pem": {Type: "CERTIFICATE", Bytes: der},
		"gateway.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
}

func TestRADIUS(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "radius-secret"), []byte("hidden\n"), 0o600))
	text, err := os.ReadFile(example)
	require.NoError(t, err)
	list := func(name string) string {
		return strings.ReplaceAll("\n"+commented(string(text), name), "\n#", "\n  ")
	}
	cfg, problems := Parse(filepath.Join(dir, "gw.yaml"), []byte("radius:"+list("radius.servers")+"\n  nas_address: 192.0.2.1\n  source: 192.0.2.2\n"+
		"dynauth:"+list("dynauth.clients")+"\n  listen: ['192.0.2.1:3799']\n"))
	require.Empty(t, problems)
	assert.Equal(t, netip.MustParseAddr("192.0.2.1"), cfg.RADIUS.Address())
	assert.Equal(t, netip.MustParseAddr("192.0.2.2"), cfg.RADIUS.From())
	assert.False(t, Default().RADIUS.Address().IsValid())
	assert.False(t, Default().RADIUS.From().IsValid())
	assert.Equal(t, Default().Name, cfg.NAS())
	s := cfg.RADIUS.Servers
	require.Len(t, s, 3)
	assert.Equal(t, RADIUSServer{
		Address: "192.0.2.10:1812", Secret: "hidden", SecretFile: filepath.Join(dir, "radius-secret"), Weight: 2, Timeout: 2 * time.Second, Tries: 2,
	}, s[0])
	assert.Nil(t, s[0].TLS.Client())
	require.NotNil(t, s[2].TLS.Client())
	assert.Len(t, s[2].TLS.Client().Certificates, 1)
	assert.Equal(t, "radius.example.net", s[2].TLS.Client().ServerName)
	assert.Empty(t, s[2].Secret)
	d := cfg.DynAuth
	require.Len(t, d.Clients, 2)
	assert.Equal(t, Secret("hidden"), d.Clients[0].Secret)
	assert.Equal(t, netip.MustParsePrefix("198.51.100.0/28"), d.Clients[1].Source)
	assert.True(t, cfg.holdsSecrets())
	for _, text := range []string{"hidden", "a long random text"} {
		assert.NotContains(t, fmt.Sprintf("%v %+v %#v", cfg, cfg.RADIUS, cfg.DynAuth), text)
	}
	assert.False(t, Default().RADIUS.Enabled())
}

func TestRADIUSProblems(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	for text, want := range map[string]string{
		"radius: {servers: [{address: '192.0.2.10', secret: a}]}":                                                 `1: radius.servers[0].address: "192.0.2.10" is not a host and a port, like 192.0.2.10:1812`,
		"radius: {servers: [{address: 'a:1'}]}":                                                                   `1: radius.servers[0]: needs a secret or a secret_file`,
		"radius: {servers: [{address: 'a:1', secret: a, tries: 11}]}":                                             `1: radius.servers[0].tries: 11 is not from 0 to 10`,
		"radius: {servers: [{address: 'a:1', secret: a, timeout: 1ms}]}":                                          `1: radius.servers[0].timeout: 1ms is not from 100ms to 1m0s`,
		"radius: {servers: [{address: 'a:1', tls: {}}]}":                                                          `1: radius.servers[0].tls.ca_file: is missing: it has the certificates that vouch for the server`,
		"radius: {servers: [{address: 'a:1', tls: {ca_file: gateway.key}}]}":                                      `1: radius.servers[0].tls.ca_file: ` + dir + `/gateway.key has no certificate in PEM`,
		"radius: {servers: [{address: 'a:1', tls: {ca_file: none}}]}":                                             `1: radius.servers[0].tls.ca_file: ` + dir + `/none cannot be read: no such file or directory`,
		"radius: {servers: [{address: 'a:1', tls: {ca_file: ca.pem, cert_file: ca.pem}}]}":                        `1: radius.servers[0].tls.cert_file: has no key_file with it`,
		"radius: {servers: [{address: 'a:1', tls: {ca_file: ca.pem, key_file: gateway.key}}]}":                    `1: radius.servers[0].tls.key_file: has no cert_file with it`,
		"radius: {servers: [{address: 'a:1', tls: {ca_file: ca.pem, cert_file: gateway.pem, key_file: none}}]}":   `1: radius.servers[0].tls.key_file: ` + dir + `/none cannot be read: no such file or directory`,
		"radius: {servers: [{address: 'a:1', tls: {ca_file: ca.pem, cert_file: gateway.pem, key_file: ca.pem}}]}": `1: radius.servers[0].tls.cert_file: ` + dir + `/gateway.pem and ` + dir + `/ca.pem are no certificate with its key in PEM`,
		"radius: {patience: 0s}":                                                         `1: radius.patience: 0s is not from 1s to 5m0s`,
		"radius: {in_flight: 0}":                                                         `1: radius.in_flight: 0 is not from 1 to 65536`,
		"radius: {nas_address: 224.0.0.1}":                                               `1: radius.nas_address: 224.0.0.1 cannot be the address of a host`,
		"radius: {source: 0.0.0.1}":                                                      `1: radius.source: 0.0.0.1 cannot be the address of a host`,
		"radius: {in_flight: 10, servers: [{address: 'a:1', secret: a}]}":                `1: warning: radius.in_flight: is less than limits.authentications, 256: the rest waits here, and patience is over meanwhile`,
		"dynauth: {listen: ['192.0.2.1:3799']}":                                          `1: dynauth.clients: there are none: nobody could give orders`,
		"dynauth: {listen: ['192.0.2.1:0'], clients: [{source: 10.0.0.0/8, secret: a}]}": `1: dynauth.listen[0]: 192.0.2.1:0 needs a port, like 3799`,
		"dynauth: {clients: [{secret: a}]}":                                              `1: dynauth.clients[0]: needs a source, like 192.0.2.10/32`,
		"dynauth: {clients: [{source: 10.0.0.0/8}]}":                                     `1: dynauth.clients[0]: needs a secret or a secret_file`,
	} {
		file := filepath.Join(dir, "gw.yaml")
		_, problems := Parse(file, []byte(text+"\n"))
		if assert.Len(t, problems, 1, text) {
			assert.Equal(t, file+":"+want, problems[0].String())
		}
	}
}
