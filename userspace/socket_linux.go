package userspace

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/engine"
)

// greSocket is a raw socket for the GRE packets of all calls. One goroutine
// receives; any may send.
//
// Nothing in it is shared but by way of the kernel, so that a plane may come to
// have several, each with its own reader.
type greSocket struct {
	descriptor

	// Only the goroutine in receive touches these.
	in      *receiveBatch
	batch   [batchLen]engine.Datagram
	inCount int
	inErr   syscall.Errno

	// sendMu guards these. It is held for system calls that do not wait.
	sendMu     sync.Mutex
	out        *sendBatch
	outPending []mmsghdr

	// Only the goroutine that calls awaitRoom touches these.
	poll      [1]unix.PollFd
	pollReady bool
	pollWait  int // milliseconds

	// room is how many packets surely fit the send queue, half of which is
	// capacity packets.
	room     atomic.Int64
	capacity int64

	// Bound once: a method value made at each call would be an allocation.
	receiveFunc func(fd uintptr) bool
	sendFunc    func(fd uintptr)
	pollFunc    func(fd uintptr)

	received, malformed                    atomic.Uint64
	sent, sendQueue, sendTooLarge, sendErr atomic.Uint64
}

func openGRESocket(receiveBuffer, sendBuffer int) (*greSocket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_GRE)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("userspace: raw GRE socket: needs CAP_NET_RAW: %w", err)
		}
		return nil, fmt.Errorf("userspace: raw GRE socket: %w", err)
	}
	s := &greSocket{in: newReceiveBatch(), out: newSendBatch()}
	s.receiveFunc, s.sendFunc, s.pollFunc = s.receiveOnce, s.sendPending, s.pollOnce
	if err := s.descriptor.init(fd, "raw GRE socket"); err != nil {
		return nil, fmt.Errorf("userspace: raw GRE socket: %w", err)
	}
	if err := s.configure(fd, receiveBuffer, sendBuffer); err != nil {
		s.Close()
		return nil, fmt.Errorf("userspace: raw GRE socket: %w", err)
	}
	return s, nil
}

func (s *greSocket) configure(fd, receiveBuffer, sendBuffer int) error {
	// The filter is first, as packets are queued from the beginning.
	if err := attachFilter(fd, greFilter[:]); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	// Packets leave without DF and are fragmented where the path demands it. A
	// too big packet with DF would be dropped on the way, and the ICMP message
	// about it says nothing that a peer's own packet could be matched to; the
	// user sees connections that hang. OMIT rather than DONT, so that forged
	// ICMP messages cannot make us cut every packet small.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT); err != nil {
		return fmt.Errorf("IP_MTU_DISCOVER: %w", err)
	}
	if err := setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer); err != nil {
		return fmt.Errorf("receive buffer: %w", err)
	}
	if err := setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer); err != nil {
		return fmt.Errorf("send buffer: %w", err)
	}
	queue, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return fmt.Errorf("send buffer: %w", err)
	}
	// What a full packet counts for in the queue, with the kernel's own.
	const packetCost = 2560
	s.capacity = int64(queue) / 2 / packetCost
	return nil
}

// setBuffer goes past the system's limit where it may, and as far as it may
// where not.
func setBuffer(fd, force, plain, size int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) == nil {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
}

// receive waits for packets and returns them. They are valid until the next
// call. After Close it returns os.ErrClosed.
func (s *greSocket) receive() ([]engine.Datagram, error) {
	if err := s.wait(s.receiveFunc); err != nil {
		return nil, err
	}
	if s.inErr != 0 {
		return nil, s.inErr
	}
	n := 0
	for i := range s.inCount {
		d, ok := s.in.datagram(i)
		if !ok {
			s.malformed.Add(1)
			continue
		}
		s.batch[n] = d
		n++
	}
	s.received.Add(uint64(n))
	return s.batch[:n], nil
}

func (s *greSocket) receiveOnce(fd uintptr) bool {
	for {
		n, errno := recvmmsg(fd, s.in.msgs[:])
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		}
		s.inCount, s.inErr = n, errno
		return true
	}
}

// Send implements engine.Wire. It never waits: what does not fit the socket's
// queue is dropped and counted.
func (s *greSocket) Send(batch []engine.Datagram) {
	s.room.Add(-int64(len(batch)))
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	for len(batch) > 0 {
		taken, packed := s.out.pack(batch)
		batch = batch[taken:]
		s.sendErr.Add(uint64(taken - packed))
		if packed == 0 {
			continue
		}
		s.outPending = s.out.msgs[:packed]
		if s.use(s.sendFunc) != nil {
			return // closed
		}
		if len(s.outPending) > 0 {
			// The queue is full, and will not be less so for the rest.
			s.sendQueue.Add(uint64(len(s.outPending) + len(batch)))
			return
		}
	}
}

// sendPending tries each pending message once. It leaves those that a full
// queue has no place for.
func (s *greSocket) sendPending(fd uintptr) {
	for len(s.outPending) > 0 {
		n, errno := sendmmsg(fd, s.outPending)
		switch errno {
		case 0:
			s.sent.Add(uint64(n))
			s.outPending = s.outPending[n:]
			continue
		case unix.EINTR:
			continue
		case unix.EAGAIN, unix.ENOBUFS:
			return
		case unix.EMSGSIZE:
			s.sendTooLarge.Add(1)
		default:
			// No route, a source address that is no longer ours, a packet that
			// the firewall refuses. It concerns the first message only.
			s.sendErr.Add(1)
		}
		s.outPending = s.outPending[1:]
	}
}

// awaitRoom waits, for a bounded time, until n packets fit the send queue, and
// leave half of it free. Who sends users' packets calls it before taking them
// from where they wait: so they wait there, where their senders notice, rather
// than get lost here, and frames of the control protocols still find a place.
func (s *greSocket) awaitRoom(n int) {
	if s.room.Load() >= int64(n) {
		return
	}
	// A device that stands still holds up packets to all others. That is worth
	// a pause, not a stop.
	s.pollWait = 20
	if s.use(s.pollFunc) == nil && s.pollReady {
		// The kernel calls a socket writable when half of its queue is free.
		s.room.Store(s.capacity)
	}
}

func (s *greSocket) pollOnce(fd uintptr) {
	s.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	n, err := unix.Poll(s.poll[:], s.pollWait)
	s.pollReady = err == nil && n == 1
}

// queueDrops is how many packets the kernel dropped because the receive queue
// was full.
func (s *greSocket) queueDrops() uint64 {
	var info [unix.SK_MEMINFO_DROPS + 1]uint32
	_ = s.use(func(fd uintptr) {
		const soMemInfo = 55 // SO_MEMINFO, missing from package unix
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, soMemInfo,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			info = [len(info)]uint32{}
		}
	})
	return uint64(info[unix.SK_MEMINFO_DROPS])
}
