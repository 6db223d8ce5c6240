package admin

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// Listen opens an address. A Unix socket is for the process's own user and, unless it is
// empty, a group; its directory is made if that is missing, and Close removes the socket.
func Listen(addr config.AdminAddr, group string) (net.Listener, error) {
	if addr.Network != "unix" {
		return net.Listen(addr.Network, addr.Address)
	}
	l, err := listenUnix(addr.Address)
	if err != nil || group == "" {
		return l, err
	}
	if err := shareWith(addr.Address, group); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// shareWith lets the members of a group use a socket.
func shareWith(path, name string) error {
	group, err := user.LookupGroup(name)
	if err != nil {
		return fmt.Errorf("admin.group: %w", err)
	}
	id, err := strconv.Atoi(group.Gid)
	if err != nil {
		return fmt.Errorf("admin.group: %w", err)
	}
	if err := os.Lchown(path, -1, id); err != nil {
		return err
	}
	return os.Chmod(path, 0o660)
}

func listenUnix(path string) (net.Listener, error) {
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := listenPrivate(path)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // would remove whatever has the name by then
	file, err := os.Lstat(path)
	if err != nil {
		l.Close()
		return nil, err
	}
	return &socket{UnixListener: l, path: path, file: file}, nil
}

// removeStale removes a socket that a gateway left behind that was killed. Whatever else
// has the name stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there already, and not a socket", path)
	}
	conn, err := net.Dial("unix", path)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("%s is the socket of another process, which is running", path)
	case errors.Is(err, syscall.ECONNREFUSED): // nobody listens
		return os.Remove(path)
	}
	return err
}

// socket is a listener that removes its own socket, and no other.
type socket struct {
	*net.UnixListener
	path string
	file fs.FileInfo
}

func (s *socket) Close() error {
	if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.file) {
		os.Remove(s.path)
	}
	return s.UnixListener.Close()
}
