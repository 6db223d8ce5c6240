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

// greSocket is a worker's raw socket for GRE packets. The worker receives; any
// goroutine may send.
type greSocket struct {
	descriptor

	// Only the worker touches these.
	in      *receiveBatch
	inMsgs  []mmsghdr
	inCount int
	inErr   syscall.Errno

	// sendMu guards these. It is held for system calls that do not wait.
	sendMu     sync.Mutex
	out        *sendBatch
	outPending []mmsghdr

	// Only the worker touches these.
	poll      [1]unix.PollFd
	pollReady bool

	// room is how many packets surely fit the send queue, half of which is
	// capacity packets.
	room     atomic.Int64
	capacity int64

	// Bound once: a method value made at each call would be an allocation.
	receiveFunc, sendFunc, pollFunc func(fd int)

	received, malformed                    atomic.Uint64
	sent, sendQueue, sendTooLarge, sendErr atomic.Uint64
}

// share is the part of all calls that a worker has.
type share struct{ index, of int }

// openGRESocket opens the socket for the calls of a share that ids admits. It moves
// batch packets in a system call, those received into buffers of s.
func openGRESocket(calls share, ids callIDs, batch int, s *slots, receiveBuffer, sendBuffer int) (*greSocket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_GRE)
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("userspace: raw GRE socket: needs CAP_NET_RAW: %w", err)
		}
		return nil, fmt.Errorf("userspace: raw GRE socket: %w", err)
	}
	g := &greSocket{descriptor: newDescriptor(fd), in: newReceiveBatch(batch, s), out: newSendBatch(batch)}
	g.receiveFunc, g.sendFunc, g.pollFunc = g.receiveOnce, g.sendPending, g.pollOnce
	if err := g.configure(fd, calls, ids, receiveBuffer, sendBuffer); err != nil {
		g.Close()
		return nil, fmt.Errorf("userspace: raw GRE socket: %w", err)
	}
	return g, nil
}

func (s *greSocket) configure(fd int, calls share, ids callIDs, receiveBuffer, sendBuffer int) error {
	// The filter is first, as packets are queued from the beginning.
	if err := attachFilter(fd, greFilter(calls, ids)); err != nil {
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

// receive appends the packets that have come, a batch at the most. It does not
// wait. After Close it returns os.ErrClosed.
func (s *greSocket) receive(arrivals []arrival) ([]arrival, error) {
	s.inMsgs = s.in.msgs[:s.in.ready()]
	s.inCount, s.inErr = 0, 0
	if len(s.inMsgs) == 0 {
		return arrivals, nil
	}
	if err := s.use(s.receiveFunc); err != nil {
		return arrivals, err
	}
	if s.inErr != 0 {
		return arrivals, s.inErr
	}
	for i := range s.inCount {
		a, ok := s.in.take(i)
		if !ok {
			s.malformed.Add(1)
			continue
		}
		s.received.Add(1)
		arrivals = append(arrivals, a)
	}
	return arrivals, nil
}

func (s *greSocket) receiveOnce(fd int) {
	n, errno := recvmmsg(fd, s.inMsgs)
	for errno == unix.EINTR {
		n, errno = recvmmsg(fd, s.inMsgs)
	}
	if errno == 0 {
		s.inCount = n
	} else if errno != unix.EAGAIN {
		s.inErr = errno
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
func (s *greSocket) sendPending(fd int) {
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

// hasRoom reports whether n packets fit the send queue, and leave half of it free.
// Who sends users' packets asks it before taking them from where they wait: so they
// wait there, where their senders notice, rather than get lost here, and frames of
// the control protocols still find a place.
func (s *greSocket) hasRoom(n int) bool {
	if s.room.Load() >= int64(n) {
		return true
	}
	if s.use(s.pollFunc) == nil && s.pollReady {
		// The kernel calls a socket writable when half of its queue is free.
		s.room.Store(s.capacity)
	}
	return s.pollReady
}

func (s *greSocket) pollOnce(fd int) {
	s.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	n, err := unix.Poll(s.poll[:], 0)
	s.pollReady = err == nil && n == 1
}

// queueDrops is how many packets the kernel dropped because the receive queue
// was full.
func (s *greSocket) queueDrops() uint64 {
	var info [unix.SK_MEMINFO_DROPS + 1]uint32
	_ = s.use(func(fd int) {
		const soMemInfo = 55 // SO_MEMINFO, missing from package unix
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, soMemInfo,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			info = [len(info)]uint32{}
		}
	})
	return uint64(info[unix.SK_MEMINFO_DROPS])
}

// count adds the socket's counters to g.
func (s *greSocket) count(g *GREStats) {
	g.Received += s.received.Load()
	g.Sent += s.sent.Load()
	g.ReceivedMalformed += s.malformed.Load()
	g.ReceiveQueueFull += s.queueDrops()
	g.SendQueueFull += s.sendQueue.Load()
	g.SendTooLarge += s.sendTooLarge.Load()
	g.SendRefused += s.sendErr.Load()
}
