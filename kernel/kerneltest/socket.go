package kerneltest

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/kernel/internal/driver"
	"github.com/gopptp/gopptp/ppp"
)

// How long the kernel takes for what waits until nobody uses the old any more.
const (
	closeSocketTime = 5 * time.Millisecond
	closeUnitTime   = 3 * time.Millisecond
	disjoinTime     = 100 * time.Microsecond
)

var errClosed = fmt.Errorf("kerneltest: %w", net.ErrClosed)

// maxEarly is how many packets are kept that come before a socket is connected.
const maxEarly = 16

// socket implements driver.Socket.
type socket struct {
	driver      *kernelDriver
	host        *Host
	local, peer netip.Addr
	id          uint16
	handler     driver.Handler
	turn        turn

	// Guarded by host.mu.
	connected, attached, closed bool
	peerID                      uint16
	early                       int // frames in channel that came before connect
	channel                     file
	header                      ppp.HeaderCompression
	filter                      driver.Filter
	unit                        *unit
	sent                        uint32 // the last sequence number
	received                    uint32 // the highest
	acked                       uint32 // the last we have acknowledged
}

func newSocket(d *kernelDriver, local, peer netip.Addr, id uint16, handler driver.Handler) *socket {
	return &socket{
		driver: d, host: d.host, local: local, peer: peer, id: id, handler: handler,
		channel:  file{handler: handler},
		received: ^uint32(0), // the one before the first
		acked:    ^uint32(0),
	}
}

// enter begins an operation that is not done beside others: the function it returns
// ends it. host.mu is held in between.
func (s *socket) enter(op Op) (leave func(), err error) {
	s.turn.take()
	err = s.host.enter(op, s.id)
	s.host.mu.Lock()
	if s.closed {
		err = errClosed
	}
	return func() {
		s.host.mu.Unlock()
		s.turn.end()
	}, err
}

// Connect implements driver.Socket.
func (s *socket) Connect(peerID uint16) error {
	leave, err := s.enter(OpConnect)
	defer leave()
	switch {
	case err != nil:
		return err
	case s.connected:
		return fmt.Errorf("connect: %w", syscall.EBUSY)
	case s.local != s.host.Addr():
		return fmt.Errorf("connect: %w", syscall.EHOSTUNREACH)
	}
	for _, other := range s.host.sockets {
		if other.connected && other.peer == s.peer && other.peerID == peerID {
			return fmt.Errorf("%w: %v, %d", driver.ErrCollision, s.peer, peerID)
		}
	}
	s.connected, s.peerID = true, peerID
	return nil
}

// AttachChannel implements driver.Socket.
func (s *socket) AttachChannel() error {
	leave, err := s.enter(OpAttachChannel)
	defer leave()
	switch {
	case err != nil:
		return err
	case !s.connected || s.attached:
		return fmt.Errorf("attach channel: %w", syscall.EINVAL)
	case s.host.opts.PPP == Missing:
		return fmt.Errorf("attach channel: %w", syscall.ENXIO)
	}
	s.attached = true
	s.driver.open(&s.channel)
	return nil
}

// Write implements driver.Socket.
func (s *socket) Write(frame []byte) error {
	leave, err := s.enter(OpWrite)
	defer leave()
	switch {
	case err != nil:
		return err
	case !s.attached:
		return fmt.Errorf("write: %w", syscall.ENOTCONN)
	case len(frame) < 2:
		return fmt.Errorf("write: %w", syscall.EINVAL)
	}
	s.send(frame)
	return nil
}

// SetHeader implements driver.Socket.
func (s *socket) SetHeader(h ppp.HeaderCompression) error {
	leave, err := s.enter(OpSetHeader)
	defer leave()
	if err == nil {
		s.header = h
	}
	return err
}

// SetFilter implements driver.Socket.
func (s *socket) SetFilter(f driver.Filter) error {
	leave, err := s.enter(OpSetFilter)
	defer leave()
	if err == nil {
		s.filter = f
	}
	return err
}

// NewUnit implements driver.Socket.
func (s *socket) NewUnit(name string) (driver.Unit, error) {
	leave, err := s.enter(OpNewUnit)
	defer leave()
	switch {
	case err != nil:
		return nil, err
	case !s.attached || s.unit != nil:
		return nil, fmt.Errorf("new unit: %w", syscall.EINVAL)
	}
	u, err := s.host.newUnit(s, name)
	if err != nil {
		return nil, err
	}
	s.unit = u
	s.driver.open(&u.file)
	return u, nil
}

// Close implements driver.Socket.
func (s *socket) Close() error {
	leave, err := s.enter(OpCloseSocket)
	defer leave()
	if s.closed {
		return errClosed
	}
	s.closed = true
	if s.unit != nil {
		s.unit.joined = false
	}
	s.driver.close(&s.channel)
	delete(s.host.sockets, s.id)
	s.host.mu.Unlock()
	time.Sleep(closeSocketTime)
	s.host.mu.Lock()
	return err
}

// send sends a frame in a GRE packet. host.mu is held.
func (s *socket) send(frame []byte) {
	p := protocol(frame)
	// To the driver these are the packets of LCP that come before all is agreed.
	plain := p == uint16(ppp.ProtocolLCP) && len(frame) > 2 && 1 <= frame[2] && frame[2] <= 7
	if s.header.Protocol && frame[0] == 0 && !plain {
		frame = frame[1:]
	}
	var start []byte
	if !s.header.AddressControl || plain {
		start = []byte{0xff, 0x03}
	}
	s.sent++
	h := gre.Header{
		PayloadLength: uint16(len(start) + len(frame)), CallID: s.peerID,
		HasSequence: true, Sequence: s.sent,
		HasAck: s.acked != s.received, Ack: s.received,
	}
	s.acked = s.received
	packet := h.Append(make([]byte, 0, gre.MaxHeaderLen+2+len(frame)))
	packet = append(append(packet, start...), frame...)
	s.host.SendGRE(s.peer, packet)
}

// receive takes GRE packets from the network.
func (h *Host) receive(from netip.Addr, packet []byte) {
	var g gre.Header
	n, err := g.Decode(packet)
	if err != nil || !g.HasSequence {
		return // what peers acknowledge means nothing
	}
	payload := bytes.Clone(packet[n : n+int(g.PayloadLength)])
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sockets[g.CallID]
	if s == nil || s.peer != from {
		return
	}
	s.receive(payload, g.Sequence)
	h.cond.Broadcast()
}

func (s *socket) receive(payload []byte, sequence uint32) {
	frame := expand(bytes.TrimPrefix(payload, []byte{0xff, 0x03}))
	if !s.connected {
		// A raw socket sees it.
		if s.early < maxEarly && len(frame) >= 2 {
			s.early++
			s.channel.queue = append(s.channel.queue, frame)
		}
		return
	}
	if s.drop(frame) {
		return
	}
	late := sequence < s.received+1 || s.received&^0xff == 0 && sequence|0xff == ^uint32(0)
	if late && !isEcho(payload) {
		return
	}
	if !late {
		s.received = sequence
	}
	u := s.unit
	switch joined := u != nil && u.joined; {
	case len(frame) < 2:
	case !joined || protocol(frame) >= 0xc000:
		s.channel.add(frame)
	default:
		u.receive(frame)
	}
}

// drop is the socket's filter, which sees packets before the driver does.
func (s *socket) drop(frame []byte) bool {
	if len(frame) < 2 {
		return false
	}
	p := protocol(frame)
	if s.filter.NoClear && p < 0x8000 && p != uint16(ppp.ProtocolCompressed) {
		return true
	}
	if s.filter.NoRestart && p == uint16(ppp.ProtocolCCP) && len(frame) > 2 {
		switch ppp.Code(frame[2]) {
		case ppp.ConfigureRequest, ppp.TerminateRequest, ppp.TerminateAck:
			s.channel.add(frame) // a raw socket sees it
			return true
		}
	}
	return false
}

// expand makes a protocol field one of two octets.
func expand(frame []byte) []byte {
	if len(frame) > 0 && frame[0]&1 != 0 {
		return append([]byte{0}, frame...)
	}
	return frame
}

// isEcho reports whether the driver takes a packet though it is late.
func isEcho(payload []byte) bool {
	return len(payload) > 4 && bytes.HasPrefix(payload, []byte{0xff, 0x03, 0xc0, 0x21}) &&
		(payload[4] == byte(ppp.EchoRequest) || payload[4] == byte(ppp.EchoReply))
}
