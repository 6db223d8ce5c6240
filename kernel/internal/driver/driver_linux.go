package driver

import (
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// driver implements Driver.
type driver struct {
	poller  *poller
	guard   *guard
	netlink *netlinkHandle
	// namespace is the network namespace to make sockets and units in, and home tells
	// it apart.
	namespace  *os.File
	home       unix.Stat_t
	threadOnce sync.Once
	thread     chan func(entered error) // nil until it is needed

	injectorMu sync.Mutex
	injector   *injector // nil until the first call needs it

	mu      sync.Mutex
	sockets map[uint16]*socket // by our call ID
}

// New returns the kernel's own driver, in the network namespace of the calling thread.
func New() (Driver, error) {
	runtime.LockOSThread() // to look at one namespace only
	defer runtime.UnlockOSThread()
	d := &driver{sockets: make(map[uint16]*socket)}
	var err error
	if d.namespace, err = os.Open(threadNamespace); err != nil {
		return nil, err
	}
	if err = unix.Fstat(int(d.namespace.Fd()), &d.home); err == nil {
		d.netlink, err = openNetlink()
	}
	if err == nil {
		d.poller, err = newPoller()
	}
	if err == nil {
		d.guard, err = d.openGuard()
	}
	if err != nil {
		d.free()
		return nil, err
	}
	return d, nil
}

// Close implements Driver.
func (d *driver) Close() error {
	d.guard.close()
	d.injectorMu.Lock()
	defer d.injectorMu.Unlock()
	if d.injector != nil {
		d.injector.close()
		d.injector = nil
	}
	d.free()
	return nil
}

func (d *driver) free() {
	if d.poller != nil {
		d.poller.close()
	}
	if d.netlink != nil {
		d.netlink.close()
	}
	if d.thread != nil {
		close(d.thread)
	}
	d.namespace.Close()
}

func (d *driver) add(s *socket) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sockets[s.id] = s
}

// remove returns when the guard hands up nothing to s any more.
func (d *driver) remove(s *socket) {
	d.guard.mu.Lock() // whoever was in it has left
	defer d.guard.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.sockets, s.id)
}

func (d *driver) socket(id uint16) *socket {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sockets[id]
}

const threadNamespace = "/proc/thread-self/ns/net"

// inNamespace calls f on a thread where what it makes belongs to the driver's network
// namespace: mostly the one it is called on, or else one that is kept for it.
func (d *driver) inNamespace(f func() error) error {
	runtime.LockOSThread()
	var here unix.Stat_t
	if err := unix.Stat(threadNamespace, &here); err == nil && here.Dev == d.home.Dev && here.Ino == d.home.Ino {
		defer runtime.UnlockOSThread()
		return f()
	}
	runtime.UnlockOSThread()
	d.threadOnce.Do(func() {
		d.thread = make(chan func(entered error))
		go d.runThread()
	})
	done := make(chan error)
	d.thread <- func(err error) {
		if err == nil {
			err = f()
		}
		done <- err
	}
	return <-done
}

// runThread runs what is sent to thread.
func (d *driver) runThread() {
	// Never unlocked: the thread ends with the goroutine.
	runtime.LockOSThread()
	err := os.NewSyscallError("setns", unix.Setns(int(d.namespace.Fd()), unix.CLONE_NEWNET))
	for f := range d.thread {
		f(err)
	}
}
