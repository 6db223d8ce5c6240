package users

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/hours"
	"github.com/gopptp/gopptp/ppp"
)

// load returns the users of a configuration and a secrets file. In the problems
// the directory of both is left out.
func load(t *testing.T, cfgText, secretsText string) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	if secretsText != "" {
		cfgText = "secrets_file: secrets\n" + cfgText
		require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets"), []byte(secretsText), 0o600))
	}
	cfg, problems := config.Parse(filepath.Join(dir, "gw.yaml"), []byte(cfgText))
	require.NotNil(t, cfg, "%v", problems)
	store, more := Load(cfg)
	all := append(append(diag.Problems{}, problems...), more...)
	return store, strings.ReplaceAll(all.Error(), dir+"/", "")
}

func lookup(t *testing.T, s *Store, name string) *gopptp.LocalUser {
	t.Helper()
	u, err := s.Lookup(context.Background(), name)
	require.NoError(t, err)
	return u
}

func TestStore(t *testing.T) {
	s, problems := load(t, `
users:
  - {name: alice, password: a, address: 10.8.0.9, routes: [192.168.7.0/24]}
  - {name: 'CORP\bob', password: b}
`, `
carol * c 10.8.0.10
dave * d
dave gopptp specific
erin gopptp specific
erin * e
frank other f
`)
	require.Empty(t, problems)
	assert.Equal(t, 5, s.Len())
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("10.8.0.9"), netip.MustParseAddr("10.8.0.10")}, s.Fixed())
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}, s.Routes())
	for name, password := range map[string]string{
		"alice": "a", `CORP\bob`: "b", "carol": "c", "dave": "specific", "erin": "specific",
	} {
		u := lookup(t, s, name)
		require.NotNil(t, u, name)
		assert.Equal(t, chap.NTPasswordHash(password), u.NTHash, name)
	}
	assert.Equal(t, netip.MustParseAddr("10.8.0.9"), lookup(t, s, "alice").Address)
	assert.Len(t, lookup(t, s, "alice").Result.Routes, 1)
	for _, name := range []string{"bob", "frank", "Alice", "", `CORP\alice`} {
		assert.Nil(t, lookup(t, s, name), name)
	}
}

func TestAnyone(t *testing.T) {
	s, problems := load(t, "", "* * secret\nalice * a\n")
	assert.Equal(t, "secrets:1: warning: everybody can come in who knows this secret", problems)
	assert.Equal(t, 2, s.Len())
	assert.Nil(t, lookup(t, s, "bob"))
	assert.Equal(t, chap.NTPasswordHash("a"), lookup(t, s, "alice").NTHash)
	anyone, err := s.Anyone(context.Background(), "bob")
	require.NoError(t, err)
	assert.Equal(t, chap.NTPasswordHash("secret"), anyone.NTHash)
}

// A password in clear is kept for CHAP-MD5, and for nothing else.
func TestSecrets(t *testing.T) {
	const hash = "0123456789abcdef0123456789abcdef"
	inline := "users:\n- {name: alice, password: a}\n- {name: bob, nt_hash: " + hash + "}\n"
	file := "carol * c\ndave * nthash:" + hash + "\nerin * ''\n"
	for _, methods := range []string{"", "auth_methods: [ms-chapv2, ms-chapv1, eap]\n"} {
		s, problems := load(t, methods+inline, file)
		assert.Empty(t, problems)
		for _, name := range []string{"alice", "bob", "carol", "dave", "erin"} {
			assert.Nil(t, lookup(t, s, name).Secret, name)
			assert.NotZero(t, lookup(t, s, name).NTHash, name)
		}
	}
	s, problems := load(t, "auth_methods:\n- ms-chapv2\n- chap-md5\nencryption: prefer\n"+inline, file)
	assert.Equal(t, "gw.yaml:4: warning: auth_methods[1]: who has an NT hash in place of a password cannot come in by chap-md5: 2 of 5 users", problems)
	for name, want := range map[string]ppp.Secret{
		"alice": ppp.Secret("a"), "bob": nil, "carol": ppp.Secret("c"), "dave": nil, "erin": ppp.Secret(""),
	} {
		assert.Equal(t, want, lookup(t, s, name).Secret, name)
	}
	assert.NotContains(t, problems, "bob")

	_, problems = load(t, "auth_methods: [chap-md5]\nencryption: deny\nusers: [{name: alice, password: a}]\n", "")
	assert.Empty(t, problems)
	_, problems = load(t, "auth_methods: [chap-md5]\nencryption: deny\nusers: [{name: alice, nt_hash: 1}]\n", "")
	assert.Equal(t, "gw.yaml:3: users[0].nt_hash: an NT hash has 32 hexadecimal digits", problems)
}

func TestProblems(t *testing.T) {
	for _, c := range []struct{ name, config, secrets, want string }{
		{"nobody", "", "", `gw.yaml:1: warning: users: there are none, here or in a secrets_file: nobody can come in`},
		{"no such file", "secrets_file: nowhere\n", "", `gw.yaml:1: secrets_file: nowhere cannot be read: no such file or directory`},
		{"no name", "users:\n  - password: a\n", "", `gw.yaml:2: users[0].name: a user needs a name`},
		{"no secret", "users:\n  - name: alice\n", "", `gw.yaml:2: users[0]: "alice" needs a password or an nt_hash`},
		{"a bad hash is one problem", "users: [{name: alice, nt_hash: 1}]\n", "", `gw.yaml:1: users[0].nt_hash: an NT hash has 32 hexadecimal digits`},
		{"two secrets", "users: [{name: alice, password: a, nt_hash: 0123456789abcdef0123456789abcdef}]\n", "",
			`gw.yaml:1: users[0].nt_hash: a user has a password or an nt_hash, not both`},
		{"twice", "users:\n- {name: alice, password: a}\n- {name: alice, password: b}\n", "",
			`gw.yaml:3: users[1].name: "alice" is a user already, gw.yaml:2`},
		{"twice in the file", "", "alice * a\nbob * b\nalice * c\n", `secrets:3: "alice" is a user already, secrets:1`},
		{"here and there", "users:\n- {name: alice, password: a}\n", "alice gopptp a\n", `secrets:1: "alice" is a user already, gw.yaml:3`},
		{"anyone twice", "", "* * a\n* * b\n", "secrets:2: * is a user already, secrets:1\nsecrets:1: warning: everybody can come in who knows this secret"},
		{"the gateway's address", "users: [{name: alice, password: a, address: 10.8.0.1}]\n", "",
			`gw.yaml:1: users[0].address: 10.8.0.1 of "alice" is the gateway's own (local_address)`},
		{"no host's address", "", "alice * a 224.0.0.1\n", `secrets:1: 224.0.0.1 of "alice" cannot be the address of a host`},
		{"address of another", "", "alice * a 10.8.0.9\nbob * b 10.8.0.9\n", `secrets:2: 10.8.0.9 of "bob" is that of "alice" already, secrets:1`},
		{"address in no pool", "", "alice * a 10.7.0.9\n", `secrets:1: warning: 10.7.0.9 of "alice" is not in a pool; it is routed into the tunnels by itself`},
		{"address of everybody", "", "* * a 10.8.0.9\n", "secrets:1: 10.8.0.9 cannot be fixed to everybody\nsecrets:1: warning: everybody can come in who knows this secret"},
		{"default route", "users: [{name: alice, password: a, routes: [0.0.0.0/0]}]\n", "",
			`gw.yaml:1: users[0].routes[0]: 0.0.0.0/0 would send all of the gateway's packets to "alice"`},
		{"route into a pool", "users: [{name: alice, password: a, routes: [10.8.0.128/25]}]\n", "",
			`gw.yaml:1: users[0].routes[0]: 10.8.0.128/25 of "alice" overlaps a pool`},
		{"route to the gateway", "local_address: 10.7.0.1\nusers: [{name: alice, password: a, routes: [10.7.0.0/24]}]\n", "",
			`gw.yaml:2: users[0].routes[0]: 10.7.0.0/24 of "alice" holds the gateway's own address, 10.7.0.1`},
		{"route of another", "users:\n- {name: alice, password: a, routes: [192.168.7.0/24]}\n- {name: bob, password: b, routes: [192.168.7.0/24]}\n", "",
			`gw.yaml:3: users[1].routes[0]: 192.168.7.0/24 of "bob" is behind "alice" already, gw.yaml:2`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, got := load(t, c.config, c.secrets)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestWorldReadable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets")
	require.NoError(t, os.WriteFile(file, []byte("alice * a\n"), 0o644))
	cfg, _ := config.Parse("gw.yaml", []byte("secrets_file: "+file+"\n"))
	_, problems := Load(cfg)
	assert.Equal(t, file+": warning: holds secrets and can be read by everybody: chmod 600 it", problems.Error())
}

// What the configuration grants its users comes with them.
func TestGrants(t *testing.T) {
	s, problems := load(t, `
pools: [10.8.0.0/24, {name: staff, ranges: [10.9.0.0/24]}]
groups: [{name: staff}]
users:
  - {name: alice, password: a, group: staff, pool: staff, max_sessions: 2, sources: [192.0.2.0/24], hours: [Mon],
     session_timeout: 1h, idle_timeout: 1m, rate_from_peer: 1M, rate_to_peer: 2M, quota: 3MiB}
  - {name: bob, password: b}
`, "carol * c")
	require.Empty(t, problems)
	alice := lookup(t, s, "alice").Result
	monday, err := hours.Parse("Mon")
	require.NoError(t, err)
	assert.Equal(t, gopptp.AuthResult{
		User: "alice", SessionTimeout: time.Hour, IdleTimeout: time.Minute,
		Rates: gopptp.Rates{FromPeer: gopptp.BitRate{BitsPerSecond: 1e6}, ToPeer: gopptp.BitRate{BitsPerSecond: 2e6}},
		Attributes: &grant.Grant{
			Backend: "config", Group: "staff", Pool: "staff", Quota: 3 << 20, MaxSessions: 2,
			Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Hours: []hours.Window{monday},
		},
	}, alice)
	for _, name := range []string{"bob", "carol"} {
		assert.Equal(t, gopptp.AuthResult{User: name, Attributes: &grant.Grant{Backend: "config"}}, lookup(t, s, name).Result)
	}
}
