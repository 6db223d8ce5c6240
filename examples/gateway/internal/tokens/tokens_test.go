package tokens

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAdd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	alice, err := Add(file, "alice", Operate)
	require.NoError(t, err)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte("# mine\n\n"+strings.TrimSpace(string(text))), 0o600), "without an end of its last line")
	bob, err := Add(file, "bob", Read)
	require.NoError(t, err)
	assert.NotEqual(t, alice, bob)

	list, problems := Load(file)
	require.Empty(t, problems)
	require.Len(t, list, 2)
	assert.Equal(t, "alice", list.Find(DigestOf(alice)).Name)
	assert.Equal(t, Read, list.Find(DigestOf(bob)).Role)
	assert.Nil(t, list.Find(DigestOf(alice+"x")))
	assert.Nil(t, List(nil).Find(DigestOf("")))
	text, err = os.ReadFile(file)
	require.NoError(t, err)
	assert.NotContains(t, string(text), alice, "is nowhere but with its owner")

	_, err = Add(file, "alice", Read)
	assert.ErrorContains(t, err, `"alice" has a token already in `)
	_, err = Add(file, "carol", "root")
	assert.EqualError(t, err, `"root" is not a role: read or operate`)
	_, err = Add(file, "two words", Read)
	assert.ErrorContains(t, err, "is no name")
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, text, after)
}

// What root makes, the gateway can read.
func TestMake(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	config, file := filepath.Join(dir, "gateway.yaml"), filepath.Join(dir, "tokens")
	require.NoError(t, os.WriteFile(config, nil, 0o600))
	require.NoError(t, os.Chown(config, 0, 12345))
	require.NoError(t, os.Chmod(config, 0o644))
	for range 2 {
		require.NoError(t, Make(file, config))
		_, err := Add(file, "alice", Read)
		if err != nil {
			assert.ErrorContains(t, err, `"alice" has a token already in `, "it is made once")
		}
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o640), info.Mode())
		assert.EqualValues(t, 12345, info.Sys().(*syscall.Stat_t).Gid)
		require.NoError(t, os.Chmod(config, 0o600))
	}
	assert.Error(t, Make(filepath.Join(dir, "none", "tokens"), config))
}

func TestProblems(t *testing.T) {
	hash := "sha256:" + strings.Repeat("ab", 32)
	file := filepath.Join(t.TempDir(), "tokens")
	for line, want := range map[string]string{
		"alice":                               "needs name, role and hash, but has 1 of these",
		"alice read " + hash + " x":           "needs name, role and hash, but has 4 of these",
		"alice admin " + hash:                 `"admin" is not a role: read or operate`,
		"al\x01ce read " + hash:               `"al\x01ce" is no name: 1 to 63 printable ASCII characters without # and spaces`,
		"alice read secret":                   "the hash is not sha256: and 64 hexadecimal digits; gateway token makes a token and the line for it",
		"alice read " + hash[:69]:             "the hash is not sha256: and 64 hexadecimal digits; gateway token makes a token and the line for it",
		"a read " + hash + "\na read " + hash: `"a" has a token already, in line 1`,
	} {
		require.NoError(t, os.WriteFile(file, []byte(line+"\n"), 0o600))
		_, problems := Load(file)
		require.Len(t, problems, 1, line)
		assert.Equal(t, want, problems[0].Text)
		assert.NotZero(t, problems[0].Line)
	}
	_, problems := Load(file + ".none")
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0].String(), "cannot be read: no such file or directory")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("alice operate sha256:" + strings.Repeat("ab", 32)))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, _ := parse("tokens", text)
		for _, e := range list {
			assert.NotEmpty(t, e.Name)
			assert.NoError(t, checkRole(e.Role))
		}
	})
}
