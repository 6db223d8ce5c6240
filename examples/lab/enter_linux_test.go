package lab

import (
	"context"
	"net"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// enter calls f on a thread within the host's namespace. The sockets that f
// makes stay there, whoever uses them later.
func (h host) enter(f func() error) error {
	there, err := os.Open("/run/netns/" + h.name)
	if err != nil {
		return err
	}
	defer there.Close()
	failed := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		err := os.NewSyscallError("setns", unix.Setns(int(there.Fd()), unix.CLONE_NEWNET))
		if err == nil {
			err = f()
		}
		failed <- err
	}()
	return <-failed
}

// through binds a socket to a device, if one is named.
func through(dev string) func(_, _ string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		if dev == "" {
			return nil
		}
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), dev) }); cerr != nil {
			return cerr
		}
		return err
	}
}

// dial makes a TCP connection from the host through a device.
func (h host) dial(dev, address string) (conn net.Conn, err error) {
	d := net.Dialer{Timeout: bulkPatience, Control: through(dev)}
	err = h.enter(func() (err error) {
		conn, err = d.Dial("tcp4", address)
		return err
	})
	return conn, err
}

// listen listens for TCP connections in the host.
func (h host) listen(address string) (l net.Listener, err error) {
	err = h.enter(func() (err error) {
		l, err = net.Listen("tcp4", address)
		return err
	})
	return l, err
}

// icmp opens a raw socket for ICMP in the host, which uses the device.
func (h host) icmp(dev string) (c net.PacketConn, err error) {
	lc := net.ListenConfig{Control: through(dev)}
	err = h.enter(func() (err error) {
		c, err = lc.ListenPacket(context.Background(), "ip4:icmp", "0.0.0.0")
		return err
	})
	return c, err
}
