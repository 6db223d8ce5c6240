package lab

import (
	"bytes"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

//go:embed testdata/uml_xstate.c
var umlXState []byte

// umlCommand returns how to run User-Mode Linux with these arguments on this host.
func umlCommand(t *testing.T, args ...string) []string {
	command := append([]string{"linux.uml"}, args...)
	cpu, err := os.ReadFile("/proc/cpuinfo")
	require.NoError(t, err)
	if !bytes.Contains(cpu, []byte(" amx_tile")) {
		return command
	}
	// umlXState says what for. Who runs in a namespace does so in another directory.
	dir := t.TempDir()
	source, library := filepath.Join(dir, "uml_xstate.c"), filepath.Join(dir, "uml_xstate.so")
	require.NoError(t, os.WriteFile(source, umlXState, 0o600))
	out, err := exec.Command("cc", "-O2", "-shared", "-fPIC", "-o", library, source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return append([]string{"env", "LD_PRELOAD=" + library}, command...)
}
