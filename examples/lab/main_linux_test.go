package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The test binary is also process 1 of the lab's environments, so that nothing
// else has to be built for it.
const (
	envRole = "LAB_ROLE" // "init": process 1 of an environment; "callers": see there
	envDir  = "LAB_DIR"  // where the environment keeps its logs; set inside only
	envOurs = "LAB_OURS" // where our own programs are
)

// init keeps the main thread to the main goroutine. On it a test that enters another
// network namespace would leave it there, and that is where tools then find this process.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	switch os.Getenv(envRole) {
	case "init":
		initMain()
	case "callers":
		os.Exit(callersMain())
	}
	code := m.Run()
	if ours.dir != "" {
		_ = os.RemoveAll(ours.dir)
	}
	os.Exit(code)
}

// ours is where the programs under test are built, once for all tests.
var ours struct {
	once sync.Once
	dir  string
	err  error
}

// buildOurs builds the gateway and the client and returns their directory.
func buildOurs(t *testing.T) string {
	ours.once.Do(func() {
		if ours.dir, ours.err = os.MkdirTemp("", "lab-ours-"); ours.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", ours.dir+string(filepath.Separator), "../gateway", "../dial")
		if out, err := build.CombinedOutput(); err != nil {
			ours.err = fmt.Errorf("%v: %w\n%s", build, err, out)
		}
	})
	require.NoError(t, ours.err)
	return ours.dir
}
