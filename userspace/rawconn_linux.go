package userspace

import (
	"errors"
	"os"
	"syscall"
)

// read waits for f to report that it is done. After Close the package os has an
// error here that nothing can be compared with; this returns os.ErrClosed.
func read(conn syscall.RawConn, f func(fd uintptr) bool) error {
	err := conn.Read(f)
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return os.ErrClosed
}
