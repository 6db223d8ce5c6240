package driver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// injector is a PPTP call of the host to itself, over its loopback interface. It is how
// a unit gets a frame that looks like the peer's: joined to one end of it.
type injector struct {
	ends [2]injectorEnd // a frame is written to the first
}

type injectorEnd struct {
	fd      int // of the PPTP socket
	id      uint16
	channel int // /dev/ppp; -1 before it is open
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

var errLoopback = errors.New("a packet to the host itself does not arrive: the loopback interface has to be up, and a firewall has to let GRE pass on it")

// openInjector is called in the driver's namespace.
func openInjector() (_ *injector, err error) {
	i := &injector{}
	for k := range i.ends {
		i.ends[k] = injectorEnd{fd: -1, channel: -1}
	}
	defer func() {
		if err != nil {
			i.close()
		}
	}()
	for k := range i.ends {
		e := &i.ends[k]
		if e.fd, err = openPPTP(); err != nil {
			return nil, err
		}
		addr := sockaddr(0, loopback) // the kernel chooses the ID
		if err = call("bind", unix.SYS_BIND, e.fd, &addr); err != nil {
			return nil, err
		}
		size := uint32(len(addr))
		_, _, errno := unix.Syscall(unix.SYS_GETSOCKNAME, uintptr(e.fd), uintptr(unsafe.Pointer(&addr)), uintptr(unsafe.Pointer(&size)))
		if errno != 0 {
			return nil, os.NewSyscallError("getsockname", errno)
		}
		e.id = binary.NativeEndian.Uint16(addr[6:])
	}
	for k := range i.ends {
		e, other := &i.ends[k], &i.ends[1-k]
		addr := sockaddr(other.id, loopback)
		if err = call("connect", unix.SYS_CONNECT, e.fd, &addr); err != nil {
			return nil, err
		}
		if e.channel, err = attachedChannel(e.fd); err != nil {
			return nil, err
		}
	}
	return i, nil
}

func (i *injector) close() {
	for _, e := range i.ends {
		if e.channel >= 0 {
			unix.Close(e.channel)
		}
		if e.fd >= 0 {
			unix.Close(e.fd)
		}
	}
}

// injectPatience is how long a frame may take from one end to the other, for which the
// kernel has nothing to wait.
const injectPatience = 2 * time.Second

// inject has u, which has no channel, receive a Configure-Ack that begins decryption.
// One unit at a time.
func (d *driver) inject(u *unit, ack []byte) (err error) {
	d.injectorMu.Lock()
	defer d.injectorMu.Unlock()
	if d.injector == nil {
		err := d.inNamespace(func() (err error) {
			d.injector, err = openInjector()
			return err
		})
		if err != nil {
			return fmt.Errorf("a call of the host to itself: %w", err)
		}
	}
	from, to := d.injector.ends[0].channel, d.injector.ends[1].channel
	if err := ioctlSet(to, "PPPIOCCONNECT", unix.PPPIOCCONNECT, u.number); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ioctl(to, "PPPIOCDISCONN", unix.PPPIOCDISCONN, nil)) }()
	u.file.injected.Store(&ack)
	if _, err := unix.Write(from, ack); err != nil {
		return os.NewSyscallError("write", err)
	}
	// It has arrived when write returns, unless the kernel has too much to do.
	for pause, end := 50*time.Microsecond, time.Now().Add(injectPatience); ; pause *= 2 {
		flags, err := u.flags()
		switch {
		case err != nil:
			return err
		case flags&scDecompressRun != 0:
			return nil
		case time.Now().After(end):
			return errLoopback
		}
		time.Sleep(pause)
	}
}
