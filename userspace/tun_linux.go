package userspace

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/engine"
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

// openTUN makes a new device. It never takes over one that is there, whose
// addresses and routes would be somebody else's.
func openTUN(name string, queues int) (*tunDevice, error) {
	d := &tunDevice{name: name}
	for i := range queues {
		q, err := d.openQueue(i == 0, queues > 1)
		if err != nil {
			d.Close()
			return nil, err
		}
		d.queues = append(d.queues, q)
	}
	return d, nil
}

func (d *tunDevice) openQueue(first, several bool) (*tunQueue, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == unix.ENODEV:
		return nil, fmt.Errorf("userspace: %s is missing: this kernel or container has no TUN driver: %w", tunPath, err)
	case err != nil:
		return nil, fmt.Errorf("userspace: %s: %w", tunPath, err)
	}
	q := newTUNQueue(fd)
	if err := d.attach(fd, first, several); err != nil {
		q.Close()
		return nil, fmt.Errorf("userspace: TUN device %q: %w", d.name, err)
	}
	return q, nil
}

// attach makes fd a queue of the device, which the first makes.
func (d *tunDevice) attach(fd int, first, several bool) error {
	req, err := unix.NewIfreq(d.name)
	if err != nil {
		return err
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if first {
		flags |= unix.IFF_TUN_EXCL
	}
	if several {
		flags |= unix.IFF_MULTI_QUEUE
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

	// Only the worker touches these.
	buf      []byte
	readSize int
	readErr  error

	// writeMu guards these. It is held for system calls that do not wait.
	writeMu sync.Mutex
	pending [][]byte

	// Bound once: a method value made at each call would be an allocation.
	readFunc, writeFunc func(fd int)

	read, written, writeErr atomic.Uint64
}

func newTUNQueue(fd int) *tunQueue {
	q := &tunQueue{descriptor: newDescriptor(fd)}
	q.readFunc, q.writeFunc = q.readOne, q.writePending
	return q
}

// Read appends what the host sends, up to a number of packets in all, each in a
// buffer of s with engine.Headroom in front. It does not wait. After Close it
// returns os.ErrClosed. A packet that is larger than a buffer is cut.
func (q *tunQueue) Read(packets [][]byte, s *slots, limit int) ([][]byte, error) {
	for len(packets) < limit {
		if q.buf == nil {
			if q.buf = s.take(); q.buf == nil {
				return packets, nil
			}
		}
		if err := q.use(q.readFunc); err != nil {
			return packets, err
		}
		switch q.readErr {
		case nil:
			q.read.Add(1)
			packets = append(packets, q.buf[:engine.Headroom+q.readSize])
			q.buf = nil
		case unix.EAGAIN:
			return packets, nil
		case unix.EBADFD:
			return packets, fmt.Errorf("somebody removed it: %w", q.readErr)
		default:
			return packets, q.readErr
		}
	}
	return packets, nil
}

func (q *tunQueue) readOne(fd int) {
	q.readSize, q.readErr = unix.Read(fd, q.buf[engine.Headroom:])
	for q.readErr == unix.EINTR {
		q.readSize, q.readErr = unix.Read(fd, q.buf[engine.Headroom:])
	}
}

// Deliver implements engine.Deliverer. What the host does not take is counted, and
// lost.
func (q *tunQueue) Deliver(packets [][]byte) {
	q.writeMu.Lock()
	defer q.writeMu.Unlock()
	q.pending = packets
	_ = q.use(q.writeFunc) // fails when closed only
	q.pending = nil
}

// writePending takes no turns with the poller: a TUN device has no queue in this
// direction, the packet goes through the host's network stack before the system
// call returns.
func (q *tunQueue) writePending(fd int) {
	written := uint64(0)
	for _, b := range q.pending {
		_, err := unix.Write(fd, b)
		for err == unix.EINTR {
			_, err = unix.Write(fd, b)
		}
		if err == nil {
			written++
		}
	}
	q.written.Add(written)
	q.writeErr.Add(uint64(len(q.pending)) - written)
}
