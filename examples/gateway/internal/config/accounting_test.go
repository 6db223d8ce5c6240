package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAccounting(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("hidden\n"), 0o600))
	cfg, problems := Parse(filepath.Join(dir, "gw.yaml"), []byte(`
accounting:
  servers:
    - {address: '192.0.2.10:1813', secret: hidden too}
    - {address: 'radius.example.net:1813', secret_file: secret, priority: 1, weight: 5}
  directory: /srv/queue
  interval: 5m
  jitter: 0
`))
	require.Empty(t, problems)
	assert.Equal(t, []RADIUSServer{
		{Address: "192.0.2.10:1813", Secret: "hidden too"},
		{Address: "radius.example.net:1813", Secret: "hidden", SecretFile: filepath.Join(dir, "secret"), Priority: 1, Weight: 5},
	}, cfg.Accounting.Servers)
	assert.Equal(t, "/srv/queue/accounting.db", cfg.Accounting.File())
	assert.Equal(t, 5*time.Minute, cfg.Accounting.Interval)
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", cfg, cfg.Accounting, cfg.Accounting), "hidden")
	assert.True(t, cfg.holdsSecrets())
	assert.False(t, Default().holdsSecrets())

	text, err := os.ReadFile(example)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "radius-secret"), []byte("x"), 0o600))
	certificate(t, dir)
	comment := strings.ReplaceAll("\n"+commented(string(text), "accounting.servers"), "\n#", "\n  ")
	cfg, problems = Parse(filepath.Join(dir, "gw.yaml"), []byte("accounting:"+comment))
	require.Empty(t, problems)
	assert.Len(t, cfg.Accounting.Servers, 3)
}

func TestAccountingProblems(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o600))
	for text, want := range map[string]string{
		"servers: [{address: '192.0.2.10', secret: a}]":                       `2: accounting.servers[0].address: "192.0.2.10" is not a host and a port, like 192.0.2.10:1813`,
		"servers: [{address: ':1813', secret: a}]":                            `2: accounting.servers[0].address: ":1813" is not a host and a port, like 192.0.2.10:1813`,
		"servers: [{address: 'a:0', secret: a}]":                              `2: accounting.servers[0].address: "a:0" is not a host and a port, like 192.0.2.10:1813`,
		"servers: [{address: 'a:1'}]":                                         `2: accounting.servers[0]: needs a secret or a secret_file`,
		"servers: [{address: 'a:1', secret: a, secret_file: empty}]":          `2: accounting.servers[0].secret_file: has no place beside a secret: it is one or the other`,
		"servers: [{address: 'a:1', secret_file: empty}]":                     `2: accounting.servers[0].secret_file: is empty`,
		"servers: [{address: 'a:1', secret_file: none}]":                      `2: accounting.servers[0].secret_file: ` + dir + `/none cannot be read: no such file or directory`,
		"servers: [{address: 'a:1', secret: a, priority: -1}]":                `2: accounting.servers[0].priority: -1 is not from 0 to 1000`,
		"servers: [{address: 'a:1', secret: a, weight: 1001}]":                `2: accounting.servers[0].weight: 1001 is not from 0 to 1000`,
		"servers: [{address: 'a:1', secret: a}, {address: 'a:1', secret: a}]": `2: accounting.servers[1].address: a:1 is listed twice`,
		"directory: queue":  `2: accounting.directory: "queue" is not an absolute name, like /var/lib/gopptp`,
		"interval: 25h":     `2: accounting.interval: 25h0m0s is not from 0s to 24h0m0s`,
		"interval: 30s":     `2: warning: accounting.interval: 30s is shorter than min_interval, which is what counts: 1m0s`,
		"min_interval: 1s":  `2: accounting.min_interval: 1s is not from 10s to 1h0m0s`,
		"jitter: 51":        `2: accounting.jitter: 51 is not from 0 to 50`,
		"checkpoint: 0s":    `2: accounting.checkpoint: 0s is not from 1s to 1h0m0s`,
		"max_records: 10":   `2: accounting.max_records: 10 is not from 1000 to 100000000`,
		"stop_timeout: 10m": `2: accounting.stop_timeout: 10m0s is not from 0s to 5m0s`,
		"intervall: 10m":    `2: accounting.intervall: unknown key; did you mean interval?`,
	} {
		file := filepath.Join(dir, "gw.yaml")
		_, problems := Parse(file, []byte("accounting:\n  "+text+"\n"))
		if assert.Len(t, problems, 1, text) {
			assert.Equal(t, file+":"+want, problems[0].String())
		}
	}
}
