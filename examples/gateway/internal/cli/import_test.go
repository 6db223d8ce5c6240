package cli

import (
	"os"
	"path/filepath"
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
