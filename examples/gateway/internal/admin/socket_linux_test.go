package admin

import (
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// Whatever the process's mask, the socket is for its user alone from the beginning.
func TestSocketMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := listenPrivate(path)
	require.NoError(t, err)
	defer l.Close()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// connectAs connects to a Unix socket as another user would, who is in one group.
func connectAs(t *testing.T, uid, gid int, path string) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: nobody else is to be that user
		if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0); errno != 0 {
			done <- errno
			return
		}
		_ = unix.Setfsgid(gid)
		_ = unix.Setfsuid(uid)
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
			unix.Close(fd)
		}
		done <- err
	}()
	return <-done
}

// The socket is for the gateway's user, root and the members of the group, and for nobody
// else.
func TestSocketGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	const nobody, group = 65534, 1
	g, err := user.LookupGroupId(strconv.Itoa(group))
	if err != nil {
		t.Skipf("needs a group: %v", err)
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	for _, name := range []string{"", g.Name} {
		addr := config.AdminAddr{Network: "unix", Address: filepath.Join(dir, "x"+name, "admin.sock")}
		l, err := Listen(addr, name)
		require.NoError(t, err)
		go http.Serve(l, http.NotFoundHandler())
		assert.ErrorIs(t, connectAs(t, nobody, nobody, addr.Address), unix.EACCES, name)
		assert.NoError(t, connectAs(t, 0, 0, addr.Address), name)
		if err := connectAs(t, nobody, group, addr.Address); name == "" {
			assert.ErrorIs(t, err, unix.EACCES)
		} else {
			assert.NoError(t, err)
		}
		l.Close()
	}
	_, err = Listen(config.AdminAddr{Network: "unix", Address: filepath.Join(dir, "y.sock")}, "no such group")
	assert.EqualError(t, err, "admin.group: group: unknown group no such group")
	assert.NoFileExists(t, filepath.Join(dir, "y.sock"), "and no socket that is for others than was meant")
}
