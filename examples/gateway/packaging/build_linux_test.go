package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// programs are built once, below a directory that everybody may enter.
var programs struct {
	sync.Once
	dir string
	err error
}

// program returns the path of gateway or dial.
func program(t *testing.T, name string) string {
	t.Helper()
	programs.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", "packaging"); programs.err != nil {
			return
		}
		if programs.err = os.Chmod(programs.dir, 0o755); programs.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", programs.dir+"/", "./gateway", "./dial")
		build.Dir = "../.."
		var out []byte
		if out, programs.err = build.CombinedOutput(); programs.err != nil {
			os.Stderr.Write(out)
		}
	})
	require.NoError(t, programs.err)
	return filepath.Join(programs.dir, name)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if programs.dir != "" {
		os.RemoveAll(programs.dir)
	}
	os.Exit(code)
}

// needs skips a test for which a program is missing.
func needs(t *testing.T, name, packages string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skip("needs " + name + ": scripts/apt.sh " + packages)
	}
}

// root skips a test that needs it.
func root(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

// run runs a command and returns what it writes.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	require.NoError(t, err, "%s\n%s", strings.Join(args, " "), out)
	return string(out)
}
