package lab

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// umlCommand returns how to run User-Mode Linux with these arguments on this host.
func umlCommand(t *testing.T, args ...string) []string {
	command := append([]string{"linux.uml"}, args...)
	cpu, err := os.ReadFile("/proc/cpuinfo")
	require.NoError(t, err)
	if !bytes.Contains(cpu, []byte(" amx_tile")) {
		return command
	}
	// See there.
	source, err := filepath.Abs(filepath.Join("testdata", "uml_xstate.c"))
	require.NoError(t, err)
	library := filepath.Join(t.TempDir(), "uml_xstate.so")
	out, err := exec.Command("cc", "-O2", "-shared", "-fPIC", "-o", library, source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return append([]string{"env", "LD_PRELOAD=" + library}, command...)
}
