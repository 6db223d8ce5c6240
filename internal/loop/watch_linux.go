package loop

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Watch is a TCP connection whose reader is the loop itself: a goroutine and a buffer
// for each of very many connections that are silent most of the time is what they
// would take most memory for.
type Watch struct {
	loop   *Loop
	raw    syscall.RawConn
	slot   int
	posted atomic.Bool
	ending atomic.Bool // after what is left to read comes an end
	f      func()
}

// plainTCP is a connection that wraps another and leaves its Read alone.
type plainTCP interface{ PlainTCP() *net.TCPConn }

// Watch has f run on the loop when nc can be read, or has come to an end, and again
// after each Read that there is more for. It reports false where that cannot be had.
// The loop must not be closed before Stop was called.
func (l *Loop) Watch(nc net.Conn, f func()) (*Watch, bool) {
	tcp, ok := nc.(*net.TCPConn) // and nothing that may do more in its Read
	if w, wraps := nc.(plainTCP); wraps {
		tcp, ok = w.PlainTCP(), true
	}
	if !ok || l.single {
		return nil, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, false
	}
	l.mu.Lock()
	p := l.poller
	if l.closed {
		p = nil
	} else if p == nil {
		if p, err = newPoller(); err == nil {
			l.poller = p
			go p.run()
		}
	}
	l.mu.Unlock()
	if p == nil {
		return nil, false
	}
	w := &Watch{loop: l, raw: raw, f: f}
	if !p.add(w) {
		return nil, false
	}
	return w, true
}

// Read reads what there is, which may be nothing. It is to be called by f only, once.
func (w *Watch) Read(b []byte) (n int, err error) {
	w.posted.Store(false)
	closed := w.raw.Read(func(fd uintptr) bool {
		n, err = ignoringEINTR(func() (int, error) { return unix.Read(int(fd), b) })
		return true
	})
	switch {
	case closed != nil:
		return 0, closed
	case err == unix.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	case n == len(b) || w.ending.Load():
		w.ready() // the kernel tells each thing once, and may have told this
	}
	return n, nil
}

// Write writes what can be written without waiting.
func (w *Watch) Write(b []byte) (n int, err error) {
	closed := w.raw.Write(func(fd uintptr) bool {
		n, err = ignoringEINTR(func() (int, error) { return unix.Write(int(fd), b) })
		return true
	})
	switch {
	case closed != nil:
		return 0, closed
	case err == unix.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, os.NewSyscallError("write", err)
	}
	return n, nil
}

func ignoringEINTR(f func() (int, error)) (n int, err error) {
	for {
		if n, err = f(); err != unix.EINTR {
			return n, err
		}
	}
}

// Stop ends the watch, before the connection is closed. f may still run once.
func (w *Watch) Stop() { w.loop.poller.remove(w) }

// ready posts f, unless it is on its way.
func (w *Watch) ready() {
	if !w.posted.Swap(true) {
		w.loop.Post(w.f)
	}
}

// poller waits for all connections of a loop. It is an epoll instance that the
// runtime's poller has for a descriptor, so that no thread waits in it.
type poller struct {
	epoll int
	file  *os.File
	conn  syscall.RawConn
	done  chan struct{}

	mu      sync.Mutex
	watches []*Watch // by what the kernel gives back
	free    []int    // that are nil
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// It never blocks, but package os takes no other to the runtime's poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{epoll: fd, file: os.NewFile(uintptr(fd), "epoll"), done: make(chan struct{})}
	if p.conn, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, err
	}
	return p, nil
}

// add begins to watch. Events come once for each that has come, so that nothing has
// to be said again after a read.
func (p *poller) add(w *Watch) bool {
	p.mu.Lock()
	if n := len(p.free); n > 0 {
		w.slot, p.free = p.free[n-1], p.free[:n-1]
	} else {
		w.slot = len(p.watches)
		p.watches = append(p.watches, nil)
	}
	p.watches[w.slot] = w
	p.mu.Unlock()
	err := unix.EINVAL
	closed := w.raw.Control(func(fd uintptr) {
		e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(w.slot)}
		err, _ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, int(fd), &e).(unix.Errno)
	})
	if closed != nil || err != 0 {
		p.remove(w)
		return false
	}
	return true
}

// remove forgets a connection. The kernel does when it is closed; who has its slot by
// then may be told of it, and finds nothing to read.
func (p *poller) remove(w *Watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watches[w.slot] == w {
		p.watches[w.slot] = nil
		p.free = append(p.free, w.slot)
	}
}

func (p *poller) run() {
	defer close(p.done)
	var events [128]unix.EpollEvent
	for {
		n := 0
		err := p.conn.Read(func(uintptr) bool {
			n, _ = unix.EpollWait(p.epoll, events[:], 0)
			return n > 0
		})
		if err != nil { // closed
			return
		}
		p.mu.Lock()
		for _, e := range events[:n] {
			if w := p.watches[e.Fd]; w != nil {
				if e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
					w.ending.Store(true)
				}
				w.ready()
			}
		}
		p.mu.Unlock()
	}
}

func (p *poller) close() {
	p.file.Close()
	<-p.done
}
