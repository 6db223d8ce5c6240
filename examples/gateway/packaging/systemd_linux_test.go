package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const unit = "gopptp-gateway.service"

// stage copies the units to where their programs are.
func stage(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{unit, "gopptp-gateway.socket"} {
		text, err := os.ReadFile(filepath.Join("systemd", name))
		require.NoError(t, err)
		here := strings.ReplaceAll(string(text), "/usr/sbin/gopptp-gateway", program(t, "gateway"))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(here), 0o600))
	}
	return dir
}

func TestUnits(t *testing.T) {
	t.Parallel()
	needs(t, "systemd-analyze", "systemd")
	dir := stage(t)
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no",
		filepath.Join(dir, unit), filepath.Join(dir, "gopptp-gateway.socket")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for line := range strings.Lines(string(out)) {
		assert.NotContains(t, line, "gopptp", "of other units there may be complaints")
	}
	// 23 of 100: what is left is the network, /dev/net/tun and CAP_NET_ADMIN.
	run(t, "systemd-analyze", "security", "--offline=true", "--threshold=23", filepath.Join(dir, unit))

	// With AF_XDP it is little more.
	drop := filepath.Join(dir, unit+".d")
	require.NoError(t, os.Mkdir(drop, 0o700))
	text, err := os.ReadFile("systemd/xdp.conf")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(drop, "xdp.conf"), text, 0o600))
	run(t, "systemd-analyze", "security", "--offline=true", "--threshold=26", filepath.Join(dir, unit))
}
