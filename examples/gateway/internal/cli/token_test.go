package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/tokens"
)

func TestTokenCommand(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "gw.yaml"), "mtu: 10\nadmin: {web: {tokens_file: tokens}}\n")
	code, stdout, stderr := gateway("token", "alice", "--role", "operate", "-c", file)
	require.Equal(t, ExitOK, code, stderr)
	list, problems := tokens.Load(filepath.Join(dir, "tokens"))
	require.Empty(t, problems)
	found := list.Find(tokens.DigestOf(strings.TrimSpace(stdout)))
	require.NotNil(t, found)
	assert.Equal(t, tokens.Operate, found.Role)
	before, err := os.ReadFile(filepath.Join(dir, "tokens"))
	require.NoError(t, err)

	empty := write(t, filepath.Join(dir, "empty.yaml"), "")
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"token -c " + file:                   {ExitUsage, "gateway: accepts 1 arg(s), received 0; see gateway --help\n"},
		"token alice -c " + file:             {ExitFailure, "gateway: \"alice\" has a token already in " + dir + "/tokens; remove its line to take it back\n"},
		"token bob --role root -c " + file:   {ExitFailure, "gateway: \"root\" is not a role: read or operate\n"},
		"token bob -c " + empty:              {ExitUsage, empty + ":1: admin.web.tokens_file: is empty: there is no file for the token\n"},
		"token bob -c " + dir + "/none.yaml": {ExitUsage, dir + "/none.yaml: cannot be read: no such file or directory\n"},
	} {
		code, stdout, stderr := gateway(strings.Fields(args)...)
		assert.Equal(t, want.code, code, args)
		assert.Empty(t, stdout, args)
		assert.Equal(t, want.text, stderr, args)
	}
	after, err := os.ReadFile(filepath.Join(dir, "tokens"))
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

// What is wrong with the tokens is said before the gateway starts.
func TestCheckTokens(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "gw.yaml"), "users: [{name: alice, password: a}]\nadmin: {web: {listen: '127.0.0.1:9180', tokens_file: tokens}}\n")
	write(t, filepath.Join(dir, "tokens"), "alice read\n")
	code, _, stderr := gateway("check-config", "-c", file)
	assert.Equal(t, ExitUsage, code)
	assert.Equal(t, dir+"/tokens:1: needs name, role and hash, but has 2 of these\n", stderr)
}
