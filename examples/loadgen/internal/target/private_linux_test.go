package target

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A namespace that was just made is private, and that of the test is whatever process 1
// says.
func TestPrivate(t *testing.T) {
	if _, err := Private(); errors.Is(err, os.ErrPermission) {
		missing(t, "process 1 is another user's: %v", err)
	}
	type answer struct {
		private bool
		err     error
	}
	answers := make(chan answer)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		err := unix.Unshare(unix.CLONE_NEWNET)
		private := false
		if err == nil {
			private, err = Private()
		}
		answers <- answer{private, err}
	}()
	a := <-answers
	if errors.Is(a.err, os.ErrPermission) {
		missing(t, "network namespaces need CAP_SYS_ADMIN: %v", a.err)
	}
	require.NoError(t, a.err)
	require.True(t, a.private)

	same, err := other("/proc/1/ns/net", "/proc/1/ns/net")
	require.NoError(t, err)
	require.False(t, same)
	_, err = other("/proc/1/ns/net", "/proc/0/ns/net")
	require.Error(t, err)
}

func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
