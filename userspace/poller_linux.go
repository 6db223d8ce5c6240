package userspace

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller waits for several descriptors at once, for one goroutine. It is an epoll
// instance that the runtime's poller has for a descriptor. To wait in a system call
// instead would keep the thread's claim on a processor from other goroutines until
// the runtime takes it back, which lasts up to milliseconds.
//
// A descriptor that is armed tells of itself once, and stays armed if it has not, which
// saves a system call for each that is quiet, and who looks only at those that may have
// something saves another. A goroutine that is busy for long should disarm: the kernel
// looks at who waits with every packet, even if it tells nobody.
type poller struct {
	epoll  int
	file   *os.File
	conn   syscall.RawConn
	armed  map[int]uint32 // for what, by descriptor: zero if it has told since
	wakeup descriptor     // an eventfd
	count  [8]byte        // read from it

	waits  atomic.Bool // the goroutine is about to wait, or does
	nudged atomic.Bool // the deadline of the file is or will be over, to wake it
	event  unix.EpollEvent
	events [8]unix.EpollEvent

	pollFunc func(fd uintptr) bool // bound once
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("userspace: epoll: %w", err)
	}
	// It never blocks, but package os takes no other to its poller.
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("userspace: epoll: %w", err)
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("userspace: eventfd: %w", err)
	}
	p := &poller{
		epoll: fd, file: os.NewFile(uintptr(fd), "epoll"),
		armed: make(map[int]uint32), wakeup: newDescriptor(event),
	}
	p.pollFunc = p.poll
	if p.conn, err = p.file.SyscallConn(); err == nil {
		// What cannot be polled has no deadlines.
		err = p.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("userspace: epoll: %w", err)
	}
	return p, nil
}

// mayBeReady is false of a descriptor that is armed and has not told of itself.
func (p *poller) mayBeReady(fd int) bool { return p.armed[fd] == 0 }

// arm has wait return when fd is ready for events, or has an error.
func (p *poller) arm(fd int, events uint32) {
	old, known := p.armed[fd]
	if old == events {
		return
	}
	op := unix.EPOLL_CTL_MOD
	if !known {
		op = unix.EPOLL_CTL_ADD
	}
	p.armed[fd] = events
	p.event = unix.EpollEvent{Events: events | unix.EPOLLONESHOT, Fd: int32(fd)}
	_ = unix.EpollCtl(p.epoll, op, fd, &p.event)
}

// disarm takes back everything. It must be called before a descriptor is closed that
// was armed, as its number may come back.
func (p *poller) disarm() {
	for fd := range p.armed {
		_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil)
	}
	clear(p.armed)
}

// wait returns when a descriptor that is armed is ready, after wake, and after
// timeout unless that is zero.
func (p *poller) wait(timeout time.Duration) {
	p.arm(p.wakeup.fd, unix.EPOLLIN)
	if timeout != 0 {
		_ = p.file.SetReadDeadline(time.Now().Add(timeout))
	}
	p.waits.Store(true)
	err := p.conn.Read(p.pollFunc)
	p.waits.Store(false)
	// A nudge may set its deadline after the wait that it was for, and so ends the next.
	if timeout != 0 || err != nil {
		p.nudged.Store(false)
		_ = p.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		p.poll(0)
	}
}

// nudge ends the wait if a descriptor is ready that the runtime has not seen yet. Any
// goroutine may call it, on whose processor the one that waits then runs next.
func (p *poller) nudge() {
	if !p.waits.Load() || p.nudged.Load() {
		return
	}
	look := [1]unix.PollFd{{Fd: int32(p.epoll), Events: unix.POLLIN}}
	var atOnce unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&look[0])), 1, uintptr(unsafe.Pointer(&atOnce)), 0, 0, 0)
	if errno == 0 && n > 0 {
		// A deadline that is over wakes at once, and needs no look at sockets.
		p.nudged.Store(true)
		_ = p.file.SetReadDeadline(time.Unix(1, 0))
	}
}

// poll does not wait, and so is not announced to the scheduler: in a process that was
// idle, to enter a system call wakes the runtime's monitor, which takes a processor at
// once, and again every 20 µs for a while, from whoever the packet is for.
func (p *poller) poll(uintptr) bool {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epoll),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	if errno != 0 {
		return false
	}
	for _, e := range p.events[:n] {
		p.armed[int(e.Fd)] = 0
		if int(e.Fd) == p.wakeup.fd {
			_, _ = unix.Read(p.wakeup.fd, p.count[:])
		}
	}
	return n > 0
}

// wake ends a wait, also the next if there is none now. Any goroutine may call it.
func (p *poller) wake() {
	_ = p.wakeup.use(func(fd int) {
		one := [8]byte{7: 1} // not zero, in either order of octets
		_, _ = unix.Write(fd, one[:])
	})
}

// Close frees what p has, when nobody waits.
func (p *poller) Close() {
	p.wakeup.Close()
	p.file.Close()
}
