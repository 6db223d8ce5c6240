package userspace

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// descriptor owns a file descriptor that does not block. The runtime's poller
// knows nothing of it: workers wait for several at once, and each would be woken
// twice.
type descriptor struct {
	mu sync.RWMutex
	fd int // -1 once closed
}

func newDescriptor(fd int) descriptor { return descriptor{fd: fd} }

// use runs f, which does not wait, unless d is closed: then it returns
// os.ErrClosed. Any number of goroutines may be in it.
func (d *descriptor) use(f func(fd int)) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.fd < 0 {
		return os.ErrClosed
	}
	f(d.fd)
	return nil
}

// Close waits for who is in use. It may be called again. Who polls d must have
// stopped.
func (d *descriptor) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fd < 0 {
		return nil
	}
	err := unix.Close(d.fd)
	d.fd = -1
	return err
}
