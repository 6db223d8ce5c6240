package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		name, from, to string
		want           []string
	}{
		{"nothing", "mtu: 1400\n", "# more words\nmtu: 1_400\n", nil},
		{"a default that is written", "", "echo: {failures: 4}\npools: [10.8.0.0/24]\n", nil},
		{"values", "dns: [10.0.0.1]\n", "mtu: 1400\nlog: {level: debug}\n",
			[]string{"dns: [10.0.0.1], now []", "mtu: 0, now 1400", "log.level: INFO, now DEBUG"}},
		{"rates and amounts", "limits: {connections: 5/s burst 9}\npolicy: {rate_to_peer: 512k, quota: 20GiB}\n", "policy: {time_zone: UTC, hours: ['Mon-Fri 08:00-18:00']}\n",
			[]string{"policy.hours: [], now [Mon,Tue,Wed,Thu,Fri 08:00-18:00]", "policy.rate_to_peer: 512k, now 0", "policy.quota: 20GiB, now 0",
				"policy.time_zone: Local, now UTC", "limits.connections: 5/s burst 9, now unlimited"}},
		{"a list by names", "users: [{name: a, password: x}, {name: b, password: x}, {name: c, password: x}]\n",
			"users: [{name: d, password: x}, {name: c, nt_hash: 0123456789abcdef0123456789abcdef}, {name: b, password: y, address: 10.8.0.9}]\n",
			[]string{"users[a]: removed", "users[b].password: [redacted], changed", "users[b].address: none, now 10.8.0.9",
				"users[c].password: removed", "users[c].nt_hash: added", "users[d]: added"}},
		{"servers", "radius: {servers: [{address: 'a:1812', secret: x, weight: 2}]}\n", "radius: {servers: [{address: 'b:1812', secret: x}, {address: 'a:1812', secret: y}]}\n",
			[]string{"radius.servers[a:1812].secret: [redacted], changed", "radius.servers[a:1812].weight: 2, now 0", "radius.servers[b:1812]: added"}},
		{"plain pools", "pools: [10.8.0.0/24, 10.9.0.0/24]\n", "pools: [{name: default, ranges: [10.8.0.0/24]}, {name: more, ranges: [10.9.0.0/24]}]\n",
			[]string{"pools[default].ranges: [10.8.0.0/24, 10.9.0.0/24], now [10.8.0.0/24]", "pools[more]: added"}},
		{"another first pool", "pools: [{name: a, ranges: [10.8.0.0/24]}, {name: b, ranges: [10.9.0.0/24]}]\n", "pools: [{name: b, ranges: [10.9.0.0/24]}, {name: a, ranges: [10.8.0.0/24]}]\n",
			[]string{"pools: in the order a, b, now b, a"}},
		{"a secret in a URL", "database: {url: 'postgres://u:old@h/d'}\n", "database: {url: 'postgres://u:new@h/d'}\n",
			[]string{"database.url: postgres://u@h/d, changed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, problems := Parse("gw.yaml", []byte(c.from))
			require.Empty(t, problems.Errors())
			to, problems := Parse("gw.yaml", []byte(c.to))
			require.Empty(t, problems.Errors())
			var lines []string
			for _, change := range Diff(from, to) {
				lines = append(lines, change.String())
			}
			assert.Equal(t, c.want, lines)
		})
	}
}

// What is in a file of its own counts, though its name is the same.
func TestDiffFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	load := func(secret string) *Config {
		require.NoError(t, os.WriteFile(file, []byte(secret), 0o600))
		cfg, problems := Parse(filepath.Join(dir, "gw.yaml"), []byte("radius: {servers: [{address: 'a:1812', secret_file: secret}]}\n"))
		require.Empty(t, problems)
		return cfg
	}
	one := load("one")
	assert.Empty(t, Diff(one, load("one")))
	changes := Diff(one, load("two"))
	require.Len(t, changes, 1)
	assert.Equal(t, "radius.servers[a:1812].secret: [redacted], changed", changes[0].String())
}
