package driver

import (
	"encoding/binary"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/ppp"
)

// Two kinds of the peer's frames go past the PPTP sockets: requests of LCP that come
// before a call is connected, which the kernel throws away, and what Filter.NoRestart
// keeps from the kernel's PPP. A packet socket for all calls, the guard, sees both. A
// packet that is neither costs the run of a filter.

// sideFrame is a PPP frame, with its whole protocol field, from an IP packet.
type sideFrame struct {
	frame               []byte
	source, destination netip.Addr
	id                  uint16 // the call ID that it is to
}

func parse(packet []byte) (f sideFrame, ok bool) {
	const minHeader, source, destination = 20, 12, 16
	if len(packet) < minHeader {
		return f, false
	}
	headerLen := int(packet[0]&0x0f) * 4
	if headerLen < minHeader || headerLen > len(packet) {
		return f, false
	}
	var h gre.Header
	b := packet[headerLen:]
	n, err := h.Decode(b)
	if err != nil || !h.HasSequence {
		return f, false
	}
	protocol, payload, err := ppp.DecodeFrame(b[n : n+int(h.PayloadLength)])
	if err != nil {
		return f, false
	}
	f.frame = make([]byte, 0, protocolLen+len(payload))
	f.frame = append(binary.BigEndian.AppendUint16(f.frame, uint16(protocol)), payload...)
	f.source = netip.AddrFrom4([4]byte(packet[source:]))
	f.destination = netip.AddrFrom4([4]byte(packet[destination:]))
	f.id = h.CallID
	return f, true
}

type guard struct {
	driver *driver
	fd     int
	source
	buf [readLen]byte // source.mu is held
}

// openGuard returns a guard that is with the poller.
func (d *driver) openGuard() (*guard, error) {
	g := &guard{driver: d, fd: -1}
	g.source.ready = func(uint32, []byte) bool {
		g.read()
		return true
	}
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
	if err != nil && g.fd >= 0 {
		unix.Close(g.fd)
	}
	return g, err
}

// networkOrder is a number whose octets, in the host's order, are those of v in the
// network's.
func networkOrder(v uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], v)
	return binary.NativeEndian.Uint16(b[:])
}

// read takes what has come. source.mu is held.
func (g *guard) read() {
	for {
		n, from, err := unix.Recvfrom(g.fd, g.buf[:], 0)
		if err == unix.EINTR || err == unix.ENETDOWN { // an interface went down
			continue
		}
		if err != nil {
			return // nothing there
		}
		if to, ok := from.(*unix.SockaddrLinklayer); !ok || to.Pkttype != unix.PACKET_HOST {
			continue
		}
		f, ok := parse(g.buf[:n])
		if !ok {
			continue
		}
		if s := g.driver.socket(f.id); s != nil && s.peer == f.source && s.local == f.destination {
			s.aside(f.frame)
		}
	}
}

// barrier calls f when all that has come was read, and before anything else is.
func (g *guard) barrier(f func()) {
	g.source.mu.Lock()
	defer g.source.mu.Unlock()
	g.read()
	f()
}

func (g *guard) close() {
	g.driver.poller.remove(g.fd, &g.source)
	unix.Close(g.fd)
}

// maxEarly is how many frames are kept for a call that is not connected: a peer that
// sends more is not waiting for an answer.
const maxEarly = 8

// aside takes a frame of the guard's.
func (s *socket) aside(frame []byte) {
	s.mu.Lock()
	restart := s.filter.NoRestart && binary.BigEndian.Uint16(frame) == uint16(ppp.ProtocolCCP)
	if !s.connected && len(s.early) < maxEarly {
		s.early = append(s.early, frame)
	}
	s.mu.Unlock()
	if restart {
		s.handler.Frame(frame)
	}
}
