package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// commands are all commands that there are, as they are called.
func commands() map[string]*cobra.Command {
	all := make(map[string]*cobra.Command)
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		all[strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "gateway"), " ")] = cmd
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root())
	return all
}

// takes is the least number of arguments that a command takes, and most whether there is
// a number that is too large for it.
func takes(t *testing.T, cmd *cobra.Command) (least int, bounded bool) {
	t.Helper()
	accepts := func(n int) bool { return cmd.ValidateArgs(slices.Repeat([]string{"1"}, n)) == nil }
	for !accepts(least) {
		least++
		require.Less(t, least, 10, cmd.CommandPath())
	}
	return least, !accepts(100)
}

// A bad command line, whatever the command, is answered by one line and exit code 2, and
// changes nothing.
func TestBadCommands(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	good := write(t, filepath.Join(dir, "good.yaml"), "users: [{name: alice, password: hunter2}]\n"+
		"database: {url: 'sqlite:"+dir+"/users.db'}\naccounting: {directory: "+dir+", sql: true}\n"+
		"admin: {listen: 'unix:"+dir+"/admin.sock', web: {tokens_file: tokens}}\n")
	syntax := write(t, filepath.Join(dir, "syntax.yaml"), "mtu: 1400\nusers: [{name: alice, password: \"hunter2}]\n")
	noise := write(t, filepath.Join(dir, "noise.yaml"), "\x00\xff{]\n")
	many := write(t, filepath.Join(dir, "many.yaml"), "mtu: 1400\n---\nmtu: 1300\n")
	before := contents(t, dir)
	reject := func(line ...string) (stderr string) {
		t.Helper()
		code, stdout, stderr := gateway(line...)
		assert.Equal(t, ExitUsage, code, line)
		assert.Empty(t, stdout, line)
		stderr = warning.ReplaceAllString(stderr, "")
		assert.Regexp(t, `\A[^\n]{10,300}\n\z`, stderr, line)
		assert.NotRegexp(t, `hunter2|goroutine|panic|0x[0-9a-f]{6}|\.go:`, stderr, line)
		require.Equal(t, before, contents(t, dir), line)
		return stderr
	}
	n := 0
	for name, cmd := range commands() {
		words := strings.Fields(name)
		with := func(more ...string) []string { return append(slices.Clone(words), more...) }
		assert.Contains(t, reject(with("--no-such-flag")...), "unknown flag: --no-such-flag")
		reject(with("-Z")...)
		if cmd.HasSubCommands() {
			reject(words...)
			assert.Contains(t, reject(with("no-such-command")...), "no-such-command")
			n++
			continue
		}
		least, bounded := takes(t, cmd)
		args := slices.Repeat([]string{"1"}, least)
		if bounded {
			reject(with(slices.Repeat([]string{"1"}, 100)...)...)
		}
		if least > 0 {
			reject(with(args[1:]...)...)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			bad := with(append(args, "--"+f.Name+"=%no such thing%")...)
			switch anyText := f.Value.Type() == "string" && f.Name != "config"; {
			case !anyText:
				reject(bad...)
			case cmd.Flags().Lookup("config") != nil: // so it is the configuration that is missing
				reject(append(bad, "--config", filepath.Join(dir, "none.yaml"))...)
			}
			if f.NoOptDefVal == "" {
				assert.Contains(t, reject(with(append(args, "--"+f.Name)...)...), "flag needs an argument")
			}
		})
		if cmd.Flags().Lookup("config") != nil {
			for file, says := range map[string]string{
				filepath.Join(dir, "none.yaml"): "none.yaml: cannot be read: no such file or directory",
				dir:                             "cannot be read: is a directory",
				filepath.Join(good, "x"):        "cannot be read: not a directory",
				syntax:                          "syntax.yaml:2: not YAML: ",
				noise:                           "noise.yaml:1: ",
				many:                            "many.yaml:3: a second YAML document",
			} {
				assert.Contains(t, reject(with(append(args, "--config", file)...)...), says, name)
			}
		}
		n++
	}
	assert.Greater(t, n, 25)
}

// contents are the files below a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		found[path] = string(text)
		return err
	}))
	return found
}
