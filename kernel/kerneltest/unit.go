package kerneltest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/gopptp/gopptp/kernel/internal/driver"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// unit implements driver.Unit.
type unit struct {
	host   *Host
	socket *socket
	name   string
	turn   turn

	// Guarded by host.mu.
	file   file
	joined bool // to the channel
	closed bool
	gone   bool // the device has been removed

	ccpUp         bool
	sending       direction
	receiving     direction
	lost, failed  bool // of the decryption
	ipv4, ipv6    bool // pass
	sent, arrived time.Time
	stats         driver.Stats

	device
}

// direction is the encryption of one.
type direction struct {
	stream *keyStream
	runs   bool
}

// begin returns the encryption with p; nil: none.
func (h *Host) begin(p *mppe.Params) (direction, error) {
	switch {
	case p == nil:
		return direction{}, nil
	case h.opts.MPPE == Missing:
		return direction{}, fmt.Errorf("%w: %w", mppe.ErrNotSupported, errMissing)
	}
	stream, err := newKeyStream(*p)
	return direction{stream, err == nil}, err
}

// newUnit makes a unit for a socket. host.mu is held.
func (h *Host) newUnit(s *socket, pattern string) (*unit, error) {
	name, err := h.freeName(pattern)
	if err != nil {
		return nil, err
	}
	u := &unit{
		host: h, socket: s, name: name, file: file{handler: s.handler}, joined: true,
		sent: time.Now(), arrived: time.Now(), device: device{mtu: 1500},
	}
	h.units = append(h.units, u)
	return u, nil
}

func (h *Host) freeName(pattern string) (string, error) {
	if !strings.Contains(pattern, "%d") {
		if pattern == "" || h.unit(pattern) != nil {
			return "", fmt.Errorf("new unit %q: %w", pattern, syscall.EEXIST)
		}
		return pattern, nil
	}
	for i := 0; ; i++ {
		if name := strings.Replace(pattern, "%d", fmt.Sprint(i), 1); h.unit(name) == nil {
			return name, nil
		}
	}
}

// unit returns that of a device; nil if there is none.
func (h *Host) unit(name string) *unit {
	for _, u := range h.units {
		if u.name == name {
			return u
		}
	}
	return nil
}

// errGone is for a driver.Handler.
var errGone = errors.New("kerneltest: device removed")

// RemoveDevice removes a device, as an administrator may, and reports whether there was
// one.
func (h *Host) RemoveDevice(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.unit(name)
	if u == nil {
		return false
	}
	h.removeDevice(u)
	u.gone, u.joined = true, false
	u.file.gone = errGone
	h.cond.Broadcast()
	return true
}

// enter is like that of a socket.
func (u *unit) enter(op Op) (leave func(), err error) {
	u.turn.take()
	err = u.host.enter(op, u.socket.id)
	u.host.mu.Lock()
	return func() {
		u.host.mu.Unlock()
		u.turn.end()
	}, u.usable(err)
}

func (u *unit) usable(err error) error {
	switch {
	case u.closed:
		return errClosed
	case err == nil && u.gone:
		return fmt.Errorf("%s: %w", u.name, syscall.ENXIO)
	}
	return err
}

// Name implements driver.Unit.
func (u *unit) Name() string { return u.name }

// Write implements driver.Unit.
func (u *unit) Write(frame []byte) error {
	leave, err := u.enter(OpWriteUnit)
	defer leave()
	if err != nil {
		return err
	}
	if len(frame) < 2 {
		return fmt.Errorf("write: %w", syscall.EINVAL)
	}
	u.send(bytes.Clone(frame))
	return nil
}

// SetEncryption implements driver.Unit. It begins as the real one does: with everything
// forgotten, and with the unit apart from its channel, so that what the peer sends is the
// channel's, and what the host sends is lost.
func (u *unit) SetEncryption(send, receive *mppe.Params) error {
	leave, err := u.enter(OpSetEncryption)
	defer leave()
	u.sending, u.receiving = direction{}, direction{}
	u.lost, u.failed, u.ccpUp = false, false, false
	if err != nil || send == nil && receive == nil {
		return err
	}
	u.joined = false
	u.host.mu.Unlock()
	time.Sleep(disjoinTime)
	u.host.mu.Lock()
	u.joined = !u.gone && !u.socket.closed
	sending, err := u.host.begin(send)
	if err != nil {
		return err
	}
	receiving, err := u.host.begin(receive)
	if err != nil {
		return err
	}
	u.sending, u.receiving, u.ccpUp = sending, receiving, true
	return nil
}

// Pass implements driver.Unit.
func (u *unit) Pass(ipv4, ipv6 bool) error {
	leave, err := u.enter(OpPass)
	defer leave()
	if err == nil {
		u.ipv4, u.ipv6 = ipv4, ipv6
	}
	return err
}

// Decryption implements driver.Unit.
func (u *unit) Decryption() (driver.Decryption, error) {
	leave, err := u.enter(OpDecryption)
	defer leave()
	switch {
	case err != nil:
	case u.failed:
		return driver.DecryptionFailed, nil
	case u.lost:
		return driver.DecryptionLost, nil
	}
	return driver.DecryptionWorks, err
}

// Idle implements driver.Unit. The kernel counts full seconds.
func (u *unit) Idle() (time.Duration, error) {
	leave, err := u.enter(OpIdle)
	defer leave()
	if err != nil {
		return 0, err
	}
	return min(time.Since(u.sent), time.Since(u.arrived)).Truncate(time.Second), nil
}

// Stats implements driver.Unit.
func (u *unit) Stats() (driver.Stats, error) {
	err := u.host.enter(OpStats, u.socket.id)
	u.host.mu.Lock()
	defer u.host.mu.Unlock()
	if err = u.usable(err); err != nil {
		return driver.Stats{}, err
	}
	return u.stats, nil
}

// Close implements driver.Unit.
func (u *unit) Close() error {
	leave, err := u.enter(OpCloseUnit)
	defer leave()
	if u.closed {
		return errClosed
	}
	if u.gone && errors.Is(err, syscall.ENXIO) {
		err = nil // its descriptor is there to be closed
	}
	u.closed, u.joined = true, false
	u.host.removeDevice(u)
	u.socket.driver.close(&u.file)
	u.host.mu.Unlock()
	time.Sleep(closeUnitTime)
	u.host.mu.Lock()
	u.socket.unit = nil
	return err
}

// receive takes a frame of the peer's. host.mu is held.
func (u *unit) receive(frame []byte) {
	if protocol(frame) == uint16(ppp.ProtocolCompressed) && u.receiving.runs && !u.lost && !u.failed {
		opened, fatal := u.receiving.stream.open(frame)
		if len(opened) >= 2 {
			frame = opened
		} else {
			u.lost, u.failed = true, fatal
		}
	}
	p := ppp.Protocol(protocol(frame))
	if p == ppp.ProtocolCCP {
		u.peek(frame[2:], true)
	}
	if p != ppp.ProtocolIPv4 && p != ppp.ProtocolIPv6 {
		u.file.add(frame)
		return
	}
	u.arrived = time.Now()
	if !u.from.allows(len(frame) - 2) {
		u.stats.DroppedRate++
		return
	}
	u.stats.ReceivedPackets++
	u.stats.ReceivedOctets += uint64(len(frame) - 2)
	if u.up && u.passes(p) {
		u.host.Receive(frame[2:])
	}
}

func (u *unit) passes(p ppp.Protocol) bool {
	return p == ppp.ProtocolIPv4 && u.ipv4 || p == ppp.ProtocolIPv6 && u.ipv6
}

// sendPacket sends a packet of the host's. host.mu is held.
func (u *unit) sendPacket(packet []byte) {
	p := ppp.ProtocolIPv4
	if packet[0]>>4 == 6 {
		p = ppp.ProtocolIPv6
	}
	if !u.to.allows(len(packet)) {
		u.stats.DroppedRate++
		return
	}
	if u.passes(p) && len(packet) <= u.mtu {
		u.stats.SentPackets++
		u.stats.SentOctets += uint64(len(packet))
		u.send(append([]byte{byte(p >> 8), byte(p)}, packet...))
	}
}

// send sends a frame through the unit. host.mu is held.
func (u *unit) send(frame []byte) {
	p := protocol(frame)
	if p < 0x8000 {
		u.sent = time.Now()
	}
	if p == uint16(ppp.ProtocolCCP) {
		u.peek(frame[2:], false)
	}
	if u.sending.runs && mppe.Encrypts(p) {
		frame = u.sending.stream.seal(frame)
	}
	if u.joined {
		u.socket.send(frame)
	}
}

// peek heeds a packet of CCP that passes, from its code on. host.mu is held.
func (u *unit) peek(packet []byte, inbound bool) {
	if len(packet) < 4 {
		return
	}
	d := &u.sending
	if inbound {
		d = &u.receiving
	}
	switch ppp.Code(packet[0]) {
	case ppp.ConfigureRequest: // says what its sender wants to receive
		if inbound {
			u.sending.runs = false
		} else {
			u.receiving.runs = false
		}
	case ppp.TerminateRequest, ppp.TerminateAck:
		u.sending.runs, u.receiving.runs = false, false
	case ppp.ResetAck:
		switch {
		case !u.ccpUp || !d.runs:
		case inbound:
			u.lost = false
		default:
			u.sending.stream.flush = true
		}
	}
}
