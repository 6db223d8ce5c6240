package lab

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestScale has bench/scale measure as many sessions as LAB_SCALE says, also where the
// host has no descriptors for them: User-Mode Linux has its own. It has one processor
// and slow system calls, so that of the figures only memory means something.
func TestScale(t *testing.T) {
	sessions := os.Getenv("LAB_SCALE")
	if sessions == "" {
		t.Skip("measures what many sessions take: LAB_SCALE=50000, or make bench-scale-lab")
	}
	need(t, umlKernel)
	dir := environmentDir(t)
	for _, program := range []string{"bench/scale", "gateway", "loadgen"} {
		goCommand(t, "..", "build", "-o", filepath.Join(dir, filepath.Base(program)), "./"+program)
	}
	e := environment{kind: umlKernel, limit: 40 * time.Minute, size: "6G"}
	res := e.boot(t, job{
		Dir: dir,
		Args: []string{filepath.Join(dir, "scale"), "-programs", dir, "-sizes", sessions,
			"-rounds", "1", "-storm", "0", "-neighbours", "0", "-load", "0", "-idle", "40s", "-limit", e.limit.String()},
		Env: []string{"TMPDIR=/run"}, // for sockets, which have no place on the host's files
	})
	if res.ended(t) {
		require.Equal(t, "0", res.exit, "exit status")
	}
}
