package driver

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// poller reads any number of descriptors on one goroutine, which costs no thread while
// none is ready: they are in an epoll instance, and that is with the runtime's poller.
type poller struct {
	epoll int
	file  *os.File
	conn  syscall.RawConn
	ended chan struct{}

	mu      sync.Mutex
	sources map[int32]*source
}

// source is a descriptor that may have something to be read.
type source struct {
	// ready reads, with buf as memory, until there is nothing left, or else it is not
	// called before more has come. It reports whether that may be.
	ready func(events uint32, buf []byte) bool

	mu      sync.Mutex // held while ready runs
	removed bool
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Package os gives its poller only what does not block.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{
		epoll: fd, file: os.NewFile(uintptr(fd), "epoll"),
		ended: make(chan struct{}), sources: make(map[int32]*source),
	}
	if p.conn, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("epoll: %w", err)
	}
	go p.run()
	return p, nil
}

// add has s read from now on.
func (p *poller) add(fd int, s *source) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sources[int32(fd)] = s
	// A unit without a channel can be read all the time, an end of file: it is told of
	// once, or this goroutine would do nothing else meanwhile.
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(fd)}
	if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		delete(p.sources, int32(fd))
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

// remove returns when s is not read, and will not be any more. It must come before fd
// is closed, whose number may come back.
func (p *poller) remove(fd int, s *source) {
	p.forget(fd)
	s.mu.Lock()
	s.removed = true
	s.mu.Unlock()
}

func (p *poller) forget(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.sources[int32(fd)]; ok {
		delete(p.sources, int32(fd))
		_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil)
	}
}

// readLen is more than any frame that units and channels take.
const readLen = 4096

func (p *poller) run() {
	defer close(p.ended)
	var events [64]unix.EpollEvent
	buf := make([]byte, readLen)
	// The runtime calls it again when there may be events, until the file is closed.
	_ = p.conn.Read(func(uintptr) bool {
		for {
			n, err := unix.EpollWait(p.epoll, events[:], 0)
			if n <= 0 {
				return err != nil && err != unix.EINTR
			}
			for _, e := range events[:n] {
				p.read(e, buf)
			}
		}
	})
}

func (p *poller) read(e unix.EpollEvent, buf []byte) {
	p.mu.Lock()
	s := p.sources[e.Fd]
	p.mu.Unlock()
	if s == nil {
		return
	}
	s.mu.Lock()
	more := s.removed || s.ready(e.Events, buf)
	s.mu.Unlock()
	if !more {
		p.forget(int(e.Fd))
	}
}

// close ends the goroutine.
func (p *poller) close() {
	_ = p.file.Close()
	<-p.ended
}
