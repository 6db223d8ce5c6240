package lab

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// kernelPackages are those of the library that drive the kernel's PPTP, as the go
// command writes them in the directory of the library.
var kernelPackages = []string{"./kernel/...", "./dataplane"}

// TestKernelPackages runs the tests of those packages of the library that need a
// kernel with PPTP where there is one. Which parts it runs is chosen as if they were
// its own: TestKernelPackages/driver/TestSocket.
func TestKernelPackages(t *testing.T) {
	need(t, umlKernel)
	t.Parallel()
	list := goCommand(t, "../..", append([]string{"list", "-f", `{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}`}, kernelPackages...)...)
	dirs := strings.FieldsFunc(list, func(c rune) bool { return c == '\n' })
	require.NotEmpty(t, dirs, "packages with tests")
	for _, dir := range dirs {
		// A kernel for each: the others run even if one crashes.
		t.Run(filepath.Base(dir), func(t *testing.T) { runKernelTests(t, dir) })
	}
}

// goCommand runs the go command in a directory and returns what it says.
func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	require.NoError(t, err, "%v: %s", cmd, &said)
	return string(out)
}

func runKernelTests(t *testing.T, dir string) {
	// The race detector finds no room for its memory in User-Mode Linux.
	binary := filepath.Join(t.TempDir(), "tests")
	goCommand(t, dir, "test", "-c", "-o", binary, ".")
	e := environment{kind: umlKernel, limit: 6 * time.Minute}
	run := strings.Join(runBelow(t.Name()), "|")
	res := e.boot(t, job{
		Dir:  environmentDir(t),
		Cwd:  dir,
		Args: []string{binary, "-test.v", "-test.run=" + run, "-test.count=1", "-test.timeout=" + e.limit.String()},
		Env:  []string{"CI=true", "GOPPTP_LAB=true"}, // all that they need is there
	})
	report(t, res.tests)
	if !res.ended(t) {
		return
	}
	passed := 0
	for _, r := range res.tests {
		if r.verdict == "PASS" {
			passed++
		}
	}
	require.Equal(t, "0", res.exit, "exit status")
	require.NotZero(t, passed, "tests that ran inside and passed")
}
