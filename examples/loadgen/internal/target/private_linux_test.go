package target

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/nstest"
)

// A namespace that was just made is private.
func TestPrivate(t *testing.T) {
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
		nstest.Missing(t, "network namespaces need CAP_SYS_ADMIN: %v", a.err)
	}
	require.NoError(t, a.err)
	require.True(t, a.private)
}

func TestParent(t *testing.T) {
	require.Equal(t, os.Getppid(), parent(os.Getpid()))
	require.Zero(t, parent(1))
	require.Zero(t, parent(-1))
}
