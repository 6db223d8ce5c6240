package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/capacity"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/kernel"
)

// gateway runs a command line.
func gateway(args ...string) (code int, stdout, stderr string) {
	var out, err strings.Builder
	code = Main(args, &out, &err)
	return code, out.String(), err.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func TestCheckConfig(t *testing.T) {
	dir := t.TempDir()
	good := write(t, filepath.Join(dir, "good.yaml"), "secrets_file: secrets\n")
	bad := write(t, filepath.Join(dir, "bad.yaml"), "# mine\nmtu: 10\nsecrets_file: secrets2\nencyption: deny\n")
	write(t, filepath.Join(dir, "secrets"), "alice * a\nbob * b 10.7.0.1\n")
	write(t, filepath.Join(dir, "secrets2"), "alice *\n")

	code, stdout, stderr := gateway("check-config", "--config", good)
	assert.Equal(t, ExitOK, code)
	assert.Equal(t, good+": good: users: 2, addresses in pools: 254\n", stdout)
	want := dir + `/secrets:2: warning: 10.7.0.1 of "bob" is not in a pool; it is routed into the tunnels by itself` + "\n"
	needs := needsOf(config.Default(), false)
	for _, text := range needs.Short(capacity.Raise(needs)) {
		want += good + ":1: warning: limits.sessions: " + text + "\n"
	}
	assert.Equal(t, want, stderr)

	// All problems of both files, a line each; serve says the same, and starts
	// nothing.
	for _, command := range []string{"check-config", "serve"} {
		code, stdout, stderr = gateway(command, "--config", bad)
		assert.Equal(t, ExitUsage, code)
		assert.Empty(t, stdout)
		assert.Equal(t, strings.ReplaceAll(`DIR/bad.yaml:2: mtu: 10 is neither 0 nor from 576 to 1500
DIR/bad.yaml:4: encyption: unknown key; did you mean encryption?
DIR/secrets2:1: needs client, server and secret, but has 2 of these
`, "DIR", dir), stderr)
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"":                         "gateway: a command is missing; see gateway --help\n",
		"start":                    "gateway: unknown command \"start\" for \"gateway\"; see gateway --help\n",
		"serve now":                "gateway: unknown command \"now\" for \"gateway serve\"; see gateway --help\n",
		"serve --port 1723":        "gateway: unknown flag: --port; see gateway --help\n",
		"serve --config":           "gateway: flag needs an argument: --config; see gateway --help\n",
		"check-config -c /no/file": "/no/file: cannot be read: no such file or directory\n",
	} {
		code, stdout, stderr := gateway(strings.Fields(args)...)
		assert.Equal(t, ExitUsage, code, args)
		assert.Empty(t, stdout, args)
		assert.Equal(t, want, stderr, args)
	}
}

func TestHelp(t *testing.T) {
	code, stdout, stderr := gateway("--help")
	assert.Equal(t, ExitOK, code)
	assert.Contains(t, stdout, "Exit codes:")
	assert.Empty(t, stderr)
}

// What fails at run time is told apart from bad usage.
func TestFailure(t *testing.T) {
	// 192.0.2.0/24 is for documentation: no machine has an address of it.
	file := write(t, filepath.Join(t.TempDir(), "gw.yaml"), "listen: [192.0.2.1:1723]\nusers: [{name: alice, password: a}]\n")
	code, _, stderr := gateway("serve", "--config", file)
	assert.Equal(t, ExitFailure, code)
	last := stderr[strings.LastIndexByte(strings.TrimSuffix(stderr, "\n"), '\n')+1:]
	assert.True(t, strings.HasPrefix(last, "gateway: listen tcp4 192.0.2.1:1723: "), last)
}

func TestProbe(t *testing.T) {
	code, stdout, stderr := gateway("probe")
	report := kernel.Probe()
	assert.Equal(t, fmt.Sprintf("%v\n%v\n", report, capacity.Raise(needsOf(config.Default(), true))), stdout)
	if report.Err(true) == nil {
		assert.Equal(t, ExitOK, code)
		assert.Empty(t, stderr)
		return
	}
	assert.Equal(t, ExitFailure, code)
	assert.Equal(t, "gateway: the kernel cannot move the packets; userspace does\n", stderr)
}
