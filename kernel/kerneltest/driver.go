package kerneltest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/gopptp/gopptp/kernel/internal/driver"
)

// kernelDriver is what one user has of a host's kernel. It implements driver.Driver.
type kernelDriver struct {
	host    *Host
	stopped chan struct{}

	// Guarded by host.mu.
	closed  bool
	files   []*file
	reading *file // by the goroutine
}

func (h *Host) driver() *kernelDriver {
	d := &kernelDriver{host: h, stopped: make(chan struct{})}
	go d.read()
	return d
}

// Bind implements driver.Driver.
func (d *kernelDriver) Bind(local, peer netip.Addr, id uint16, handler driver.Handler) (driver.Socket, error) {
	h := d.host
	if err := h.enter(OpBind, id); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case d.closed:
		return nil, errClosed
	case id == 0:
		return nil, syscall.EINVAL
	case h.opts.PPTP == Missing:
		return nil, fmt.Errorf("socket: %w", syscall.EPROTONOSUPPORT)
	case h.opts.Privileges == Missing:
		return nil, fmt.Errorf("socket: %w", syscall.EPERM)
	case h.sockets[id] != nil:
		return nil, fmt.Errorf("%w: %d", driver.ErrIDInUse, id)
	}
	s := newSocket(d, local, peer, id, handler)
	h.sockets[id] = s
	return s, nil
}

// errLeft: what a Driver gives out is closed before.
var errLeft = errors.New("kerneltest: driver closed before its sockets")

// Close implements driver.Driver.
func (d *kernelDriver) Close() error {
	h := d.host
	h.mu.Lock()
	if d.closed {
		h.mu.Unlock()
		return errClosed
	}
	d.closed = true
	left := 0
	for _, s := range h.sockets {
		if s.driver == d {
			left++
		}
	}
	h.cond.Broadcast()
	h.mu.Unlock()
	<-d.stopped
	if left > 0 {
		return errLeft
	}
	return nil
}

// maxQueue is how many frames wait in a channel or a unit. More have the oldest
// dropped.
const maxQueue = 32

// file is the descriptor of a channel or a unit, from which frames are read. It is
// guarded by host.mu.
type file struct {
	handler driver.Handler
	queue   [][]byte
	gone    error // to be reported after them
}

func (f *file) add(frame []byte) {
	if len(f.queue) >= maxQueue {
		f.queue = slices.Delete(f.queue, 0, len(f.queue)-maxQueue+1)
	}
	f.queue = append(f.queue, frame)
}

// open has a file read from now on. host.mu is held.
func (d *kernelDriver) open(f *file) {
	d.files = append(d.files, f)
	d.host.cond.Broadcast()
}

// close returns when f is read no more. host.mu is held.
func (d *kernelDriver) close(f *file) {
	d.files = slices.DeleteFunc(d.files, func(other *file) bool { return other == f })
	for d.reading == f {
		d.host.cond.Wait()
	}
}

// read reads all files, as one goroutine with epoll does.
func (d *kernelDriver) read() {
	defer close(d.stopped)
	h := d.host
	h.mu.Lock()
	defer h.mu.Unlock()
	for !d.closed {
		i := slices.IndexFunc(d.files, func(f *file) bool { return len(f.queue) > 0 || f.gone != nil })
		if i < 0 {
			h.cond.Wait()
			continue
		}
		f := d.files[i]
		// The next turn begins with the file after it.
		d.files = slices.Concat(d.files[i+1:], d.files[:i+1])
		d.reading = f
		if len(f.queue) > 0 {
			frame := f.queue[0]
			f.queue = slices.Delete(f.queue, 0, 1)
			h.mu.Unlock()
			f.handler.Frame(frame)
			clear(frame) // it was valid only during the call
		} else {
			err := f.gone
			f.gone = nil
			h.mu.Unlock()
			f.handler.Gone(err)
		}
		h.mu.Lock()
		d.reading = nil
		h.cond.Broadcast()
	}
}

// turn finds out calls of methods that have to be called one at a time.
type turn struct{ taken atomic.Bool }

func (t *turn) take() {
	if !t.taken.CompareAndSwap(false, true) {
		panic("kerneltest: two calls at once on a socket or unit")
	}
}

func (t *turn) end() { t.taken.Store(false) }
