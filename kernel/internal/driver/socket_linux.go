package driver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/ppp"
)

// socket implements Socket.
type socket struct {
	driver      *driver
	local, peer netip.Addr
	id          uint16
	handler     Handler

	fd      int      // of the PPTP socket, which is never read
	channel *pppFile // nil before AttachChannel
	header  ppp.HeaderCompression

	// The guard looks at these.
	mu        sync.Mutex
	filter    Filter
	connected bool
	early     [][]byte // frames that came before
}

const pxProtoPPTP = 2

// sockaddrLen is that of struct sockaddr_pppox, of which PPTP uses the beginning.
const sockaddrLen = 30

// sockaddr packs struct sockaddr_pppox: family, protocol, call ID, two octets of
// padding, and the address. All but that is in the host's order.
func sockaddr(id uint16, addr netip.Addr) (b [sockaddrLen]byte) {
	binary.NativeEndian.PutUint16(b[0:], unix.AF_PPPOX)
	binary.NativeEndian.PutUint32(b[2:], pxProtoPPTP)
	binary.NativeEndian.PutUint16(b[6:], id)
	ip := addr.As4()
	copy(b[10:], ip[:])
	return b
}

func openPPTP() (int, error) {
	fd, err := unix.Socket(unix.AF_PPPOX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, pxProtoPPTP)
	return fd, os.NewSyscallError("socket", err)
}

// Bind implements Driver.
func (d *driver) Bind(local, peer netip.Addr, id uint16, h Handler) (Socket, error) {
	s := &socket{driver: d, local: local, peer: peer, id: id, handler: h, fd: -1}
	err := d.inNamespace(func() (err error) {
		if s.fd, err = openPPTP(); err != nil {
			return err
		}
		addr := sockaddr(id, local)
		if err = call("bind", unix.SYS_BIND, s.fd, &addr); errors.Is(err, unix.EBUSY) {
			err = fmt.Errorf("%w: %d", ErrIDInUse, id)
		}
		return err
	})
	if err != nil {
		if s.fd >= 0 {
			unix.Close(s.fd)
		}
		return nil, err
	}
	d.add(s)
	return s, nil
}

// call is bind and connect, for which package unix has no such address.
func call(name string, trap uintptr, fd int, addr *[sockaddrLen]byte) error {
	if _, _, e := unix.Syscall(trap, uintptr(fd), uintptr(unsafe.Pointer(addr)), sockaddrLen); e != 0 {
		return os.NewSyscallError(name, e)
	}
	return nil
}

// Connect implements Socket. The kernel looks through all calls of the host.
func (s *socket) Connect(peerID uint16) error {
	addr := sockaddr(peerID, s.peer)
	// The channel that this makes belongs to the thread's namespace.
	err := s.driver.inNamespace(func() error { return call("connect", unix.SYS_CONNECT, s.fd, &addr) })
	switch {
	case err == nil:
		// What the kernel has thrown away, the guard has got by now.
		s.driver.guard.barrier(func() {
			s.mu.Lock()
			s.connected = true
			s.mu.Unlock()
		})
	case errors.Is(err, unix.EALREADY):
		// Somebody else may take the call over.
		s.driver.guard.barrier(s.deliverEarly)
		return fmt.Errorf("%w: %v, %d", ErrCollision, s.peer, peerID)
	}
	return err
}

// deliverEarly hands up what has come before the call was connected.
func (s *socket) deliverEarly() {
	s.mu.Lock()
	early := s.early
	s.early = nil
	s.mu.Unlock()
	for _, frame := range early {
		s.handler.Frame(frame)
	}
}

// AttachChannel implements Socket.
func (s *socket) AttachChannel() error {
	err := s.driver.inNamespace(func() error {
		fd, err := attachedChannel(s.fd)
		if err == nil {
			s.channel = newFile(fd, s.handler)
		}
		return err
	})
	if err != nil {
		return err
	}
	s.deliverEarly()
	return s.driver.poller.add(s.channel.fd, &s.channel.source)
}

// attachedChannel returns /dev/ppp, attached to the channel of a PPTP socket.
func attachedChannel(socket int) (int, error) {
	index, err := ioctlGet(socket, "PPPIOCGCHAN", unix.PPPIOCGCHAN)
	if err != nil {
		return -1, err
	}
	fd, err := openPPP()
	if err != nil {
		return -1, err
	}
	if err := ioctlSet(fd, "PPPIOCATTCHAN", unix.PPPIOCATTCHAN, index); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// Write implements Socket.
func (s *socket) Write(frame []byte) error {
	if s.channel == nil {
		return errNoChannel
	}
	if s.header.AddressControl && isLateLCP(frame) {
		frame = append([]byte{0xff, 0x03}, frame...)
	}
	return s.channel.write(frame)
}

// isLateLCP reports whether a frame is one of LCP's from which the kernel would leave
// out address and control field, where that is agreed on, as it takes codes beyond
// Code-Reject for users' packets. They belong into all frames of LCP (RFC 1661 section
// 6.6).
func isLateLCP(frame []byte) bool {
	return len(frame) > protocolLen && binary.BigEndian.Uint16(frame) == uint16(ppp.ProtocolLCP) &&
		ppp.Code(frame[protocolLen]) > ppp.CodeReject
}

var errNoChannel = errors.New("there is no channel")

// SetHeader implements Socket. It is the channel that makes headers.
func (s *socket) SetHeader(h ppp.HeaderCompression) error {
	switch {
	case s.channel == nil:
		return errNoChannel
	case h == s.header:
		return nil
	}
	var flags int32
	if h.Protocol {
		flags |= scCompressProtocol
	}
	if h.AddressControl {
		flags |= scCompressAddressControl
	}
	if err := ioctlSet(s.channel.fd, "PPPIOCSFLAGS", unix.PPPIOCSFLAGS, flags); err != nil {
		return err
	}
	s.header = h
	return nil
}

// SetFilter implements Socket.
func (s *socket) SetFilter(f Filter) error {
	// First it is what the guard goes by, so that no packet is lost between.
	s.mu.Lock()
	s.filter = f
	s.mu.Unlock()
	return attachFilter(s.fd, socketFilter(f))
}

// Close implements Socket. The kernel waits for what may still use the call.
func (s *socket) Close() error {
	s.driver.remove(s)
	var err error
	if s.channel != nil {
		s.driver.poller.remove(s.channel.fd, &s.channel.source)
		err = s.channel.close()
	}
	return errors.Join(err, os.NewSyscallError("close", unix.Close(s.fd)))
}
