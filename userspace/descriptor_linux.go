package userspace

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// descriptor owns a file descriptor that does not block, and waits for it by the
// runtime's poller. Close wakes who waits.
type descriptor struct {
	file   *os.File
	conn   syscall.RawConn
	closed atomic.Bool
}

// init makes d the owner of fd, or closes it.
func (d *descriptor) init(fd int, name string) error {
	d.file = os.NewFile(uintptr(fd), name)
	if d.file == nil {
		return unix.EBADF
	}
	var err error
	if d.conn, err = d.file.SyscallConn(); err == nil {
		// What cannot be polled has no deadlines. Close would not wake anybody.
		err = d.file.SetDeadline(time.Time{})
	}
	if err != nil {
		d.file.Close()
	}
	return err
}

// Close waits for who is in use, but not for who is in wait. It may be called
// again.
func (d *descriptor) Close() error {
	d.closed.Store(true)
	return d.file.Close()
}

// use runs f, which does not wait, unless d is closed. Any number of goroutines
// may be in it.
func (d *descriptor) use(f func(fd uintptr)) error { return d.conn.Control(f) }

// wait calls f whenever something may be there to be read, until it returns
// true. One goroutine may be in it. After Close it returns os.ErrClosed.
func (d *descriptor) wait(f func(fd uintptr) bool) error {
	for {
		err := d.conn.Read(f)
		switch {
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case d.closed.Load():
			// Package os has an error of its own here, which nothing can be
			// compared with.
			return os.ErrClosed
		}
		// The poller finds that something is wrong, such as that the device is
		// being removed, but does not say what, and may be early. A system call
		// will.
		done := false
		if used := d.use(func(fd uintptr) { done = f(fd) }); used == nil && done {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}
