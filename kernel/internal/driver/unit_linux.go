package driver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// pppFile is /dev/ppp, attached to a channel or a unit.
type pppFile struct {
	fd int
	source
	read, written traffic
	// injected is a frame that is for the unit alone, while there may be one.
	injected atomic.Pointer[[]byte]
}

// traffic counts frames, and their octets as a unit does.
type traffic struct{ packets, octets atomic.Uint64 }

func (t *traffic) count(frame []byte) {
	t.packets.Add(1)
	t.octets.Add(uint64(len(frame) - protocolLen))
}

const protocolLen = 2 // of the protocol field

func newFile(fd int, h Handler) *pppFile {
	f := &pppFile{fd: fd}
	f.source.ready = func(events uint32, buf []byte) bool { return f.readAll(h, events, buf) }
	return f
}

// openPPP opens /dev/ppp, which belongs to the network namespace of the thread.
func openPPP() (int, error) {
	fd, err := unix.Open(devPPP, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: devPPP, Err: err}
	}
	return fd, nil
}

const devPPP = "/dev/ppp"

// errGone is for a Handler.
var errGone = errors.New("the kernel has removed it")

// readAll hands up what has come. It reports whether more may come, ever.
func (f *pppFile) readAll(h Handler, events uint32, buf []byte) bool {
	for {
		n, err := unix.Read(f.fd, buf)
		switch {
		case n >= protocolLen:
			f.read.count(buf[:n])
			if own := f.injected.Load(); own != nil && bytes.Equal(*own, buf[:n]) {
				f.injected.Store(nil)
				continue
			}
			h.Frame(buf[:n])
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EOVERFLOW): // longer than any of ours
		case events&unix.EPOLLHUP != 0 || errors.Is(err, unix.ENXIO):
			h.Gone(errGone)
			return false
		default:
			// Nothing there; a unit without a channel says so by an end of file.
			return true
		}
	}
}

func (f *pppFile) write(frame []byte) error {
	_, err := unix.Write(f.fd, frame)
	if err == nil {
		f.written.count(frame)
	}
	return os.NewSyscallError("write", err)
}

func (f *pppFile) close() error { return os.NewSyscallError("close", unix.Close(f.fd)) }

// unit implements Unit.
type unit struct {
	socket *socket
	file   *pppFile
	number int32 // of the unit
	index  int   // of the device
	name   string
	rates  rates
}

// maxReceive is the MRU of units, which bounds what the kernel decrypts: no path
// outside carries more.
const maxReceive = 1500

// NewUnit implements Socket.
func (s *socket) NewUnit(name string) (_ Unit, err error) {
	if s.channel == nil {
		return nil, errNoChannel
	}
	u := &unit{socket: s}
	err = s.driver.inNamespace(func() error {
		fd, err := openPPP()
		if err != nil {
			return err
		}
		u.file = newFile(fd, s.handler)
		return newUnit(u)
	})
	if u.file == nil {
		return nil, err
	}
	added := false
	defer func() {
		if err != nil {
			if added {
				s.driver.poller.remove(u.file.fd, &u.file.source)
			}
			_ = u.file.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	if u.name, u.index, err = s.driver.netlink.nameUnit(fmt.Sprintf("ppp%d", u.number), name); err != nil {
		return nil, err
	}
	if err = ioctlSet(u.file.fd, "PPPIOCSMRU", unix.PPPIOCSMRU, maxReceive); err != nil {
		return nil, err
	}
	if err = u.Pass(false, false); err != nil {
		return nil, err
	}
	if err = u.join(); err != nil {
		return nil, err
	}
	if err = s.driver.poller.add(u.file.fd, &u.file.source); err != nil {
		return nil, err
	}
	added = true
	return u, nil
}

// newUnit makes a unit of u's file, in the network namespace of the thread.
func newUnit(u *unit) error {
	u.number = -1 // the kernel chooses
	return ioctl(u.file.fd, "PPPIOCNEWUNIT", unix.PPPIOCNEWUNIT, unsafe.Pointer(&u.number))
}

// join connects the channel to the unit.
func (u *unit) join() error {
	return ioctlSet(u.socket.channel.fd, "PPPIOCCONNECT", unix.PPPIOCCONNECT, u.number)
}

// Name implements Unit.
func (u *unit) Name() string { return u.name }

// Write implements Unit.
func (u *unit) Write(frame []byte) error { return u.file.write(frame) }

// SetEncryption implements Unit. The kernel begins to encrypt when it sees our
// Configure-Ack pass, and to decrypt when it sees the peer's, and it must see exactly one
// of each after it has been given the key: the next makes another key of it. But requests
// are repeated, and so are their Acks. So the real ones mean nothing to it, and it is
// shown some that are not.
func (u *unit) SetEncryption(send, receive *mppe.Params) (err error) {
	if err = u.setFlags(0); err != nil || send == nil && receive == nil {
		return err // it has forgotten everything
	}
	if err = ioctl(u.socket.channel.fd, "PPPIOCDISCONN", unix.PPPIOCDISCONN, nil); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = u.setFlags(0)
		}
		err = errors.Join(err, u.join())
	}()
	if err = u.setFlags(scCCPOpen); err != nil {
		return err
	}
	if send != nil {
		if err = u.compress(*send, true); err != nil {
			return err
		}
		// There is no channel to take it.
		if err = u.Write(ackOf(*send)); err != nil {
			return err
		}
	}
	if receive != nil {
		if err = u.compress(*receive, false); err != nil {
			return err
		}
		if err = u.socket.driver.inject(u, ackOf(*receive)); err != nil {
			return err
		}
	}
	return u.setFlags(scCCPOpen | scCCPUp)
}

// ackOf is a Configure-Ack for p.
func ackOf(p mppe.Params) []byte {
	option, _ := mppeOption(p)
	frame := binary.BigEndian.AppendUint16(nil, uint16(ppp.ProtocolCCP))
	frame = append(frame, byte(ppp.ConfigureAck), 0, 0, byte(4+len(option)))
	return append(frame, option...)
}

func (u *unit) setFlags(flags int32) error {
	return ioctlSet(u.file.fd, "PPPIOCSFLAGS", unix.PPPIOCSFLAGS, flags)
}

// optionMPPE is the type of CCP's option (RFC 3078 section 2).
const optionMPPE = 18

// mppeOption is how CCP names p.
func mppeOption(p mppe.Params) ([]byte, error) {
	// The octets of the Supported Bits from the H bit to those of the key's length.
	option := []byte{optionMPPE, 6, 1, 0, 0, 0}
	if p.Stateful {
		option[2] = 0
	}
	switch p.KeyLength {
	case mppe.Key128:
		option[5] = 0x40
	case mppe.Key40:
		option[5] = 0x20
	default:
		return nil, fmt.Errorf("%w by the kernel: %v", mppe.ErrNotSupported, p.KeyLength)
	}
	return option, nil
}

// compress gives the kernel the key of a direction.
func (u *unit) compress(p mppe.Params, transmit bool) error {
	option, err := mppeOption(p)
	if err != nil {
		return err
	}
	b := make([]byte, 0, 32)
	b = append(append(b, option...), p.Key[:]...)
	defer clear(b)
	data := compressOption{option: &b[0], length: uint32(len(b))}
	if transmit {
		data.transmit = 1
	}
	return ioctl(u.file.fd, "PPPIOCSCOMPRESS", unix.PPPIOCSCOMPRESS, unsafe.Pointer(&data))
}

func (u *unit) flags() (int32, error) {
	return ioctlGet(u.file.fd, "PPPIOCGFLAGS", unix.PPPIOCGFLAGS)
}

// Pass implements Unit.
func (u *unit) Pass(ipv4, ipv6 bool) error {
	for _, np := range []struct {
		protocol ppp.Protocol
		pass     bool
	}{
		{ppp.ProtocolIPv4, ipv4},
		{ppp.ProtocolIPv6, ipv6},
	} {
		set := npioctl{protocol: int32(np.protocol), mode: npDrop}
		if np.pass {
			set.mode = npPass
		}
		if err := ioctl(u.file.fd, "PPPIOCSNPMODE", unix.PPPIOCSNPMODE, unsafe.Pointer(&set)); err != nil {
			return err
		}
	}
	return nil
}

// Decryption implements Unit.
func (u *unit) Decryption() (Decryption, error) {
	flags, err := u.flags()
	switch {
	case err != nil:
		return DecryptionWorks, err
	case flags&scDecompressFatal != 0:
		return DecryptionFailed, nil
	case flags&scDecompressError != 0:
		return DecryptionLost, nil
	}
	return DecryptionWorks, nil
}

// Idle implements Unit.
func (u *unit) Idle() (time.Duration, error) {
	var idle idleTimes
	err := ioctl(u.file.fd, "PPPIOCGIDLE", unix.PPPIOCGIDLE64, unsafe.Pointer(&idle))
	return time.Duration(min(idle.transmit, idle.receive)) * time.Second, err
}

// Stats implements Unit.
func (u *unit) Stats() (Stats, error) {
	s, err := u.socket.driver.netlink.stats(u.index)
	if err != nil {
		return s, err
	}
	// What is on its way to be read was counted by the kernel, but not here.
	less := func(n *uint64, part *atomic.Uint64) { *n -= min(*n, part.Load()) }
	less(&s.ReceivedPackets, &u.file.read.packets)
	less(&s.ReceivedOctets, &u.file.read.octets)
	less(&s.SentPackets, &u.file.written.packets)
	less(&s.SentOctets, &u.file.written.octets)
	from, to, err := u.socket.driver.netlink.allDropped(u.index, &u.rates)
	if err != nil {
		return s, err
	}
	// The filter comes after the device has counted, and before it counts what is sent.
	s.ReceivedPackets -= min(s.ReceivedPackets, from.packets)
	s.ReceivedOctets -= min(s.ReceivedOctets, from.octets)
	s.DroppedRate = from.packets + to.packets
	return s, nil
}

// SetRates implements Unit.
func (u *unit) SetRates(fromPeer, toPeer Rate) error {
	return u.socket.driver.netlink.setRates(u.index, &u.rates, fromPeer, toPeer)
}

// SetMTU implements Unit.
func (u *unit) SetMTU(octets int) error { return u.socket.driver.netlink.setMTU(u.index, octets) }

// SetUp implements Unit.
func (u *unit) SetUp(up bool) error { return u.socket.driver.netlink.setUp(u.index, up) }

// AddAddress implements Unit.
func (u *unit) AddAddress(local, peer netip.Addr) error {
	return u.socket.driver.netlink.addAddress(u.index, local, peer)
}

// RemoveAddress implements Unit.
func (u *unit) RemoveAddress(local, peer netip.Addr) error {
	return u.socket.driver.netlink.removeAddress(u.index, local, peer)
}

// AddRoute implements Unit.
func (u *unit) AddRoute(r Route) error { return u.socket.driver.netlink.addRoute(u.index, r) }

// RemoveRoute implements Unit.
func (u *unit) RemoveRoute(r Route) error { return u.socket.driver.netlink.removeRoute(u.index, r) }

// Close implements Unit.
func (u *unit) Close() error {
	u.socket.driver.poller.remove(u.file.fd, &u.file.source)
	return u.file.close()
}
