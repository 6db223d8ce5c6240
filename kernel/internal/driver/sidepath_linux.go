package driver

import (
	"encoding/binary"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/ppp"
)

// Two kinds of the peer's frames go past the PPTP socket: those that come before it is
// connected, which the kernel throws away, and those that the kernel is not to see.

// earlyFrames is a raw socket for what comes before a call is connected. Without it the
// peer's first request is lost, which costs three seconds with most.
type earlyFrames struct{ fd int }

func openEarlyFrames(local, peer netip.Addr, id uint16) (*earlyFrames, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_GRE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err = attachFilter(fd, earlyFilter(id)); err == nil {
		err = os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet4{Addr: local.As4()}))
	}
	if err == nil {
		err = os.NewSyscallError("connect", unix.Connect(fd, &unix.SockaddrInet4{Addr: peer.As4()}))
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &earlyFrames{fd}, nil
}

// maxEarly is how many frames are handed up: a peer that sends more is not waiting for
// an answer.
const maxEarly = 16

// deliver hands up what has come, and closes e.
func (e *earlyFrames) deliver(h Handler) {
	defer e.close()
	var buf [readLen]byte
	for range maxEarly {
		n, err := unix.Read(e.fd, buf[:])
		if err != nil {
			return
		}
		if frame, _, ok := frameOf(buf[:n]); ok {
			h.Frame(frame)
		}
	}
}

func (e *earlyFrames) close() { unix.Close(e.fd) }

// frameOf returns the PPP frame in an IP packet with its whole protocol field, and the
// call ID that the packet is to.
func frameOf(packet []byte) (frame []byte, id uint16, ok bool) {
	const minHeader = 20
	if len(packet) < minHeader {
		return nil, 0, false
	}
	headerLen := int(packet[0]&0x0f) * 4
	if headerLen < minHeader || headerLen > len(packet) {
		return nil, 0, false
	}
	var h gre.Header
	b := packet[headerLen:]
	n, err := h.Decode(b)
	if err != nil || !h.HasSequence {
		return nil, 0, false
	}
	protocol, payload, err := ppp.DecodeFrame(b[n : n+int(h.PayloadLength)])
	if err != nil {
		return nil, 0, false
	}
	frame = append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(payload)), uint16(protocol)), payload...)
	return frame, h.CallID, true
}

// guard is a packet socket for what Filter.NoRestart keeps from the kernel's PPP: one
// for all calls. A packet that is for somebody else costs the run of a filter.
type guard struct {
	fd int
	source
}

// openGuard opens the guard, if it is not open.
func (d *driver) openGuard() error {
	d.guardMu.Lock()
	defer d.guardMu.Unlock()
	if d.guard != nil {
		return nil
	}
	g := &guard{fd: -1}
	g.source.ready = func(_ uint32, buf []byte) bool { return d.readGuard(g, buf) }
	err := d.inNamespace(func() (err error) {
		// It belongs to no protocol until it is bound, so that nothing comes before
		// the filter.
		g.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		if err = attachFilter(g.fd, guardFilter()); err != nil {
			return err
		}
		return os.NewSyscallError("bind", unix.Bind(g.fd, &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_IP)}))
	})
	if err == nil {
		err = d.poller.add(g.fd, &g.source)
	}
	if err != nil {
		if g.fd >= 0 {
			unix.Close(g.fd)
		}
		return err
	}
	d.guard = g
	return nil
}

// networkOrder is a number whose octets, in the host's order, are those of v in the
// network's.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

func (d *driver) readGuard(g *guard, buf []byte) bool {
	for {
		n, from, err := unix.Recvfrom(g.fd, buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return true // nothing there, or an interface that went down
		}
		if to, ok := from.(*unix.SockaddrLinklayer); !ok || to.Pkttype != unix.PACKET_HOST {
			continue
		}
		frame, id, ok := frameOf(buf[:n])
		if !ok {
			continue
		}
		src, dst := netip.AddrFrom4([4]byte(buf[12:16])), netip.AddrFrom4([4]byte(buf[16:20]))
		if s := d.socket(id); s != nil && s.peer == src && s.local == dst && s.guarded() {
			s.handler.Frame(frame)
		}
	}
}

func (s *socket) guarded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.filter.NoRestart
}
