package cli

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestImport(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	conf := file("pptpd.conf", "localip 10.1.0.1\nremoteip 10.2.0.1-9\nbcrelay eth0\n")
	options := file("options", "require-mschap-v2\nrequire-mppe-128\n")
	secrets := file("chap-secrets", "alice * swordfish *\n")
	args := []string{"import", "pptpd", "--pptpd-conf", conf, "--options", options, "--chap-secrets", secrets}
	note := conf + ":3: not carried over: bcrelay: broadcasts are not relayed into tunnels\nusers: 1, to be looked at: 1\n"

	code, stdout, stderr := gateway(args...)
	assert.Equal(t, ExitOK, code)
	assert.Equal(t, note, stderr)
	assert.Contains(t, stdout, `{name: "alice", password: "swordfish"}`)

	// What is written is for its user alone, good, and never in place of another file.
	output := filepath.Join(dir, "gateway.yaml")
	code, stdout, stderr = gateway(append(args, "-o", output)...)
	assert.Equal(t, ExitOK, code)
	assert.Equal(t, note, stderr)
	assert.Empty(t, stdout)
	info, err := os.Stat(output)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	code, stdout, _ = gateway("check-config", "-c", output)
	assert.Equal(t, ExitOK, code)
	assert.Contains(t, stdout, "good: users: 1, addresses in pools: 9")
	code, _, stderr = gateway(append(args, "-o", output)...)
	assert.Equal(t, ExitFailure, code)
	assert.Contains(t, stderr, "gateway: open "+output+": file exists\n")

	// What the gateway would not start with is said.
	accel := file("accel-ppp.conf", "[modules]\npptp\nauth_mschap_v2\n[ip-pool]\n10.0.0.1-255\n10.0.0.9-20,name=x\n")
	code, stdout, stderr = gateway("import", "accel-ppp", "--conf", accel)
	assert.Equal(t, ExitFailure, code)
	assert.NotEmpty(t, stdout)
	assert.Contains(t, stderr, "overlaps")
	assert.Contains(t, stderr, "gateway: the gateway would not start with this configuration\n")

	code, _, stderr = gateway("import", "pptpd", "--pptpd-conf", dir+"/none")
	assert.Equal(t, ExitFailure, code)
	assert.Equal(t, "gateway: open "+dir+"/none: no such file or directory\n", stderr)
	code, _, stderr = gateway("import")
	assert.Equal(t, ExitUsage, code)
	assert.Equal(t, "gateway: say what to import: pptpd or accel-ppp; see gateway --help\n", stderr)
}

// badFiles are files that nothing can be imported of.
func badFiles(t *testing.T, dir string) []string {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 100_000)
	random.Read(noise)
	return []string{
		write(t, filepath.Join(dir, "noise"), string(noise)),
		write(t, filepath.Join(dir, "nul"), "localip 10.1.0.1\n\x00"),
		dir, filepath.Join(dir, "none"), filepath.Join(dir, "nul", "none"), "", "/dev/zero", // has no end
	}
}

// Whatever the file is that a flag of import names, it is told in one line, and nothing is
// changed. What is no text is not imported in part.
func TestImportBadFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(flag, name, text string) string {
		return flag + "=" + write(t, filepath.Join(dir, name), text)
	}
	conf := file("--pptpd-conf", "pptpd.conf", "localip 10.1.0.1\nremoteip 10.2.0.1-9\n")
	users := file("--chap-secrets", "chap-secrets", "alice * hunter2 *\n")
	write(t, filepath.Join(dir, "servers"), "192.0.2.1 hunter2\n")
	bad := badFiles(t, t.TempDir())
	output := filepath.Join(t.TempDir(), "gateway.yaml")
	for _, good := range [][]string{
		{"pptpd", conf, file("--options", "local", "require-mschap-v2\nrequire-mppe-128\n"), users},
		{
			"pptpd", conf, file("--options", "remote", "require-mschap-v2\nrequire-mppe-128\nplugin radius.so\n"),
			file("--radius", "radius", "authserver 192.0.2.1\nservers "+dir+"/servers\n"),
		},
		{"accel-ppp", file("--conf", "accel-ppp.conf", "[modules]\npptp\nauth_mschap_v2\nchap-secrets\n[ip-pool]\n10.0.0.1-255\n"), users},
	} {
		args := append([]string{"import", "-o", output}, good...)
		code, _, stderr := gateway(args...)
		require.Equal(t, ExitOK, code, stderr)
		require.NoError(t, os.Remove(output))
		for i := 4; i < len(args); i++ {
			flag, _, _ := strings.Cut(args[i], "=")
			for _, file := range bad {
				args := slices.Clone(args)
				args[i] = flag + "=" + file
				before := contents(t, dir)
				code, stdout, stderr := gateway(args...)
				says := strings.Join(args, " ") + "\n" + stderr
				assert.Empty(t, stdout, says)
				assert.NotRegexp(t, `[^\n]{500}|[^\n[:print:]]|hunter2|goroutine|panic`, stderr, says)
				require.Equal(t, before, contents(t, dir), says)
				if i == 4 { // without which there is nothing
					assert.Equal(t, ExitFailure, code, says)
					assert.Regexp(t, `\Agateway: [^\n]+\n\z`, stderr, says)
					assert.NoFileExists(t, output, says)
					continue
				}
				assert.Contains(t, []int{ExitOK, ExitFailure}, code, says)
				if file != "" { // is the default
					assert.Regexp(t, `(?m)^`+regexp.QuoteMeta(file)+`: [^\n]*not carried over: [^\n]*(it |is a directory|no such|not a directory)`, stderr, says)
				}
				require.NoError(t, os.Remove(output))
			}
		}
	}
}

// Nothing is written but into a new file, and no part of one is left.
func TestImportBadOutput(t *testing.T) {
	dir := t.TempDir()
	conf := write(t, filepath.Join(dir, "pptpd.conf"), "localip 10.1.0.1\n")
	before := contents(t, dir)
	for output, says := range map[string]string{
		conf: "file exists", dir: "file exists", filepath.Join(dir, "none", "x"): "no such file or directory",
		filepath.Join(conf, "x"): "not a directory", "/proc/none/x": "no such file or directory", "/dev/full": "file exists",
	} {
		code, stdout, stderr := gateway("import", "pptpd", "--pptpd-conf", conf, "--options", dir+"/none", "--chap-secrets", dir+"/none", "-o", output)
		assert.Equal(t, ExitFailure, code, output)
		assert.Empty(t, stdout, output)
		assert.Regexp(t, `(?m)^gateway: open `+regexp.QuoteMeta(output)+`: `+says+`$`, stderr)
		assert.Equal(t, before, contents(t, dir))
	}
}
