package userspace

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const tunPath = "/dev/net/tun"

// tunDevice is the TUN device of all sessions. When it is closed, the kernel
// removes the device with all its addresses and routes. One goroutine reads; any
// may write.
type tunDevice struct {
	descriptor
	name string

	// Only the goroutine in Read touches these.
	bufs      [][]byte
	sizes     []int
	offset    int
	readCount int
	readErr   error

	// writeMu guards these. It is held for system calls that do not wait.
	writeMu    sync.Mutex
	pending    [][]byte
	writeStart int

	readFunc  func(fd uintptr) bool
	writeFunc func(fd uintptr)

	read, written, writeErr atomic.Uint64
}

// openTUN makes a new device. It never takes over one that is there, whose
// addresses and routes would be somebody else's.
func openTUN(name string) (*tunDevice, error) {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == unix.ENODEV:
		return nil, fmt.Errorf("userspace: %s is missing: this kernel or container has no TUN driver: %w", tunPath, err)
	case err != nil:
		return nil, fmt.Errorf("userspace: %s: %w", tunPath, err)
	}
	d := new(tunDevice)
	d.readFunc, d.writeFunc = d.readPending, d.writePending
	if d.name, err = createTUN(fd, name); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("userspace: TUN device %q: %w", name, err)
	}
	// Only now, with a device to it, can the descriptor be polled.
	if err := d.init(fd, tunPath); err != nil {
		return nil, fmt.Errorf("userspace: TUN device %q: %w", name, err)
	}
	return d, nil
}

// createTUN makes a device that belongs to fd, and returns its name.
func createTUN(fd int, name string) (string, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return "", err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
	switch err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); {
	case errors.Is(err, os.ErrPermission):
		return "", fmt.Errorf("needs CAP_NET_ADMIN: %w", err)
	case err == unix.EBUSY, err == unix.EEXIST:
		return "", fmt.Errorf("a device of that name is there already: %w", err)
	case err != nil:
		return "", err
	}
	return req.Name(), nil
}

// Read waits for packets and reads as many as there are, at most one into each
// of bufs, from offset on. It sets the sizes, without the offset, and returns
// how many there are. After Close it returns os.ErrClosed.
func (d *tunDevice) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	d.bufs, d.sizes, d.offset = bufs, sizes, offset
	d.readCount, d.readErr = 0, nil
	if err := d.wait(d.readFunc); err != nil {
		return 0, err
	}
	d.read.Add(uint64(d.readCount))
	return d.readCount, d.readErr
}

func (d *tunDevice) readPending(fd uintptr) bool {
	for d.readCount < len(d.bufs) {
		n, err := unix.Read(int(fd), d.bufs[d.readCount][d.offset:])
		switch {
		case err == nil:
			d.sizes[d.readCount] = n
			d.readCount++
			continue
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return d.readCount > 0
		case d.readCount > 0:
		case err == unix.EBADFD:
			d.readErr = fmt.Errorf("somebody removed it: %w", err)
		default:
			d.readErr = err
		}
		// An error comes back at the next call, after what was read before it.
		return true
	}
	return true
}

// Write gives packets to the host, each of bufs from offset on. What the host
// does not take is counted, and lost.
func (d *tunDevice) Write(bufs [][]byte, offset int) {
	d.writeMu.Lock()
	defer d.writeMu.Unlock()
	d.pending, d.writeStart = bufs, offset
	_ = d.use(d.writeFunc) // fails when closed only
	d.pending = nil
}

// writePending takes no turns with the poller: a TUN device has no queue in this
// direction, the packet goes through the host's network stack before the system
// call returns.
func (d *tunDevice) writePending(fd uintptr) {
	written := uint64(0)
	for _, b := range d.pending {
		_, err := unix.Write(int(fd), b[d.writeStart:])
		for err == unix.EINTR {
			_, err = unix.Write(int(fd), b[d.writeStart:])
		}
		if err == nil {
			written++
		}
	}
	d.written.Add(written)
	d.writeErr.Add(uint64(len(d.pending)) - written)
}
