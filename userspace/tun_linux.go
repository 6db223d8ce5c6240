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
	"github.com/gopptp/gopptp/internal/offload"
)

const tunPath = "/dev/net/tun"

// tunDevice is the TUN device of all sessions, with a queue for each worker. When
// its last queue is closed, the kernel removes the device with all its addresses
// and routes.
//
// The kernel reads which queue a flow's packets are written to, and sends what
// answers them to the same one: so what a session's peer and the host say to each
// other comes to one worker.
type tunDevice struct {
	name   string
	queues []*tunQueue
}

// tunConfig says how a device is opened.
type tunConfig struct {
	name    string
	queues  int
	batch   int  // packets that are delivered at once, mostly
	offload bool // the host leaves splitting, joining and checksums to us
}

// openTUN makes a new device. It never takes over one that is there, whose
// addresses and routes would be somebody else's.
func openTUN(cfg tunConfig) (*tunDevice, error) {
	d := &tunDevice{name: cfg.name}
	for range cfg.queues {
		q, err := d.openQueue(&cfg)
		if err != nil {
			d.Close()
			return nil, err
		}
		d.queues = append(d.queues, q)
	}
	return d, nil
}

func (d *tunDevice) openQueue(cfg *tunConfig) (*tunQueue, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == unix.ENODEV:
		return nil, fmt.Errorf("userspace: %s is missing: this kernel or container has no TUN driver: %w", tunPath, err)
	case err != nil:
		return nil, fmt.Errorf("userspace: %s: %w", tunPath, err)
	}
	q := newTUNQueue(fd)
	if err = d.attach(fd, cfg); err == nil && cfg.offload {
		err = q.offload(cfg.batch)
	}
	if err != nil {
		q.Close()
		return nil, fmt.Errorf("userspace: TUN device %q: %w", d.name, err)
	}
	return q, nil
}

// attach makes fd a queue of the device, which the first makes.
func (d *tunDevice) attach(fd int, cfg *tunConfig) error {
	req, err := unix.NewIfreq(d.name)
	if err != nil {
		return err
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if len(d.queues) == 0 {
		flags |= unix.IFF_TUN_EXCL
	}
	if cfg.queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	if cfg.offload {
		flags |= unix.IFF_VNET_HDR
	}
	req.SetUint16(flags)
	switch err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("needs CAP_NET_ADMIN: %w", err)
	case err == unix.EBUSY, err == unix.EEXIST:
		return fmt.Errorf("a device of that name is there already: %w", err)
	case err != nil:
		return err
	}
	d.name = req.Name()
	return nil
}

// Close closes all queues.
func (d *tunDevice) Close() {
	for _, q := range d.queues {
		q.Close()
	}
}

// tunQueue is a queue of the device. The worker reads; any goroutine may write.
type tunQueue struct {
	descriptor

	in  tunReader
	out tunWriter

	// Bound once: a method value made at each call would be an allocation.
	readFunc, writeFunc func(fd int)

	read, tooLarge, written, writeErr atomic.Uint64
}

// tunReader belongs to the worker.
type tunReader struct {
	buf    []byte // a slot, that the next packet goes to
	header [offload.HeaderLen]byte
	iovs   [3]unix.Iovec // of header, buf and the end of large
	size   int
	errno  syscall.Errno

	// large has a packet that is to be split, behind room for what buf takes.
	large    []byte
	splitter offload.Splitter
	splits   bool // it has packets left
}

// tunWriter is guarded by mu, which is held for system calls that do not wait.
type tunWriter struct {
	mu        sync.Mutex
	coalescer *offload.Coalescer // nil without offload
	pending   [][]byte
	iovs      []unix.Iovec
}

func newTUNQueue(fd int) *tunQueue {
	q := &tunQueue{descriptor: newDescriptor(fd)}
	q.readFunc, q.writeFunc = q.readOne, q.writePending
	return q
}

const (
	// maxLarge is the largest packet that the host hands over to be split.
	maxLarge = 1<<16 + 40
	// maxInner is what a slot has room for.
	maxInner = slotLen - engine.Headroom
)

// Flags of TUNSETOFFLOAD that package unix may lack.
const (
	tunChecksum = 0x01
	tunTSO      = 0x02 | 0x04 | 0x08 // IPv4, IPv6, with ECN
	tunUSO      = 0x20 | 0x40        // IPv4, IPv6: since Linux 6.2
)

// offload has the host hand over, and take, packets that are not split yet, and
// have no checksum.
func (q *tunQueue) offload(batch int) error {
	protocols := offload.Protocols{TCP: true, UDP: true}
	err := unix.IoctlSetInt(q.fd, unix.TUNSETOFFLOAD, tunChecksum|tunTSO|tunUSO)
	if err == unix.EINVAL {
		protocols.UDP = false
		err = unix.IoctlSetInt(q.fd, unix.TUNSETOFFLOAD, tunChecksum|tunTSO)
	}
	if err != nil {
		return fmt.Errorf("offload: %w", err)
	}
	q.in.large = make([]byte, maxInner+maxLarge)
	q.out.coalescer = offload.NewCoalescer(batch, protocols)
	return nil
}

// Read appends what the host sends, up to a number of packets in all, each in a
// buffer of s with engine.Headroom in front. It does not wait. After Close it
// returns os.ErrClosed.
func (q *tunQueue) Read(packets [][]byte, s *slots, limit int) ([][]byte, error) {
	before := len(packets)
	packets, err := q.readUpTo(packets, s, limit)
	q.read.Add(uint64(len(packets) - before))
	return packets, err
}

func (q *tunQueue) readUpTo(packets [][]byte, s *slots, limit int) ([][]byte, error) {
	in := &q.in
	for len(packets) < limit {
		if in.buf == nil {
			if in.buf = s.take(); in.buf == nil {
				return packets, nil
			}
		}
		if !in.splits {
			if err := q.use(q.readFunc); err != nil {
				return packets, err
			}
			switch in.errno {
			case 0:
			case unix.EAGAIN:
				return packets, nil
			case unix.EBADFD:
				return packets, fmt.Errorf("somebody removed it: %w", in.errno)
			default:
				return packets, in.errno
			}
			if size, ok := q.whole(); ok {
				packets = append(packets, in.buf[:engine.Headroom+size])
				in.buf = nil
			}
			continue
		}
		n := in.splitter.Next(in.buf[engine.Headroom:])
		if n == 0 {
			in.splits = false
			continue
		}
		packets = append(packets, in.buf[:engine.Headroom+n])
		in.buf = nil
	}
	return packets, nil
}

// whole returns the size of what was read if it is one packet, and otherwise has it
// split, if it can be.
func (q *tunQueue) whole() (size int, ok bool) {
	in := &q.in
	var h offload.Header
	size = in.size
	if q.in.large != nil {
		if _, err := h.Decode(in.header[:]); err != nil || size < offload.HeaderLen {
			return 0, false
		}
		size -= offload.HeaderLen
	}
	if h.GSOType == offload.GSONone {
		packet := in.buf[engine.Headroom:]
		if size > maxMTU || offload.FinishChecksum(h, packet[:size]) != nil {
			q.tooLarge.Add(1)
			return 0, false
		}
		return size, true
	}
	copy(in.large, in.buf[engine.Headroom:])
	in.splits = in.splitter.Reset(h, in.large[:size], maxMTU) == nil
	if !in.splits {
		q.tooLarge.Add(1)
	}
	return 0, false
}

func (q *tunQueue) readOne(fd int) {
	in := &q.in
	iovs := in.iovs[:]
	iovs[0].Base = &in.header[0]
	iovs[0].SetLen(len(in.header))
	iovs[1].Base = &in.buf[engine.Headroom]
	iovs[1].SetLen(maxInner)
	if in.large == nil {
		iovs = iovs[1:2]
	} else {
		iovs[2].Base = &in.large[maxInner]
		iovs[2].SetLen(maxLarge)
	}
	in.size, in.errno = vector(unix.SYS_READV, fd, iovs)
}

// vector is readv or writev on a descriptor that does not block.
func vector(call uintptr, fd int, iovs []unix.Iovec) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iovs))), uintptr(len(iovs)))
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// Deliver implements engine.Deliverer. What the host does not take is counted, and
// lost.
func (q *tunQueue) Deliver(packets [][]byte) {
	out := &q.out
	out.mu.Lock()
	defer out.mu.Unlock()
	out.pending = packets
	_ = q.use(q.writeFunc) // fails when closed only
	out.pending = nil
}

// writePending takes no turns with the poller: a TUN device has no queue in this
// direction, the packet goes through the host's network stack before the system
// call returns.
func (q *tunQueue) writePending(fd int) {
	out := &q.out
	if out.coalescer == nil {
		for i := range out.pending {
			q.write(fd, out.pending[i:i+1], 1)
		}
		return
	}
	for i, packet := range out.pending {
		if i+1 < len(out.pending) {
			offload.Prefetch(out.pending[i+1])
		}
		if !out.coalescer.Add(packet) {
			q.writeJoined(fd)
			out.coalescer.Add(packet)
		}
	}
	q.writeJoined(fd)
}

func (q *tunQueue) writeJoined(fd int) {
	for pieces := q.out.coalescer.Next(); pieces != nil; pieces = q.out.coalescer.Next() {
		q.write(fd, pieces, len(pieces)-1) // the first is the header
	}
}

// write gives count packets to the host, which the pieces are together.
func (q *tunQueue) write(fd int, pieces [][]byte, count int) {
	out := &q.out
	out.iovs = out.iovs[:0]
	for _, p := range pieces {
		iov := unix.Iovec{Base: unsafe.SliceData(p)}
		iov.SetLen(len(p))
		out.iovs = append(out.iovs, iov)
	}
	if n, errno := vector(unix.SYS_WRITEV, fd, out.iovs); errno == 0 && n > 0 {
		q.written.Add(uint64(count))
	} else {
		q.writeErr.Add(uint64(count))
	}
}
