package userspace

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/engine"
)

const (
	// batchLen is how many packets go through one system call. Larger batches
	// gain little, as the kernel's own work per packet dominates, and delay the
	// first packet of each.
	batchLen = 64
	// slotLen holds any packet of a tunnel: IP headers with all options, GRE,
	// PPP and MPPE headers around 1,500 octets, and some to spare.
	slotLen = 2048
)

// mmsghdr is the kernel's struct mmsghdr. Its padding, on 64-bit systems, comes
// from the alignment of the pointers in Msghdr, as it does in C.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32 // octets moved
}

// recvmmsg and sendmmsg return the number of messages moved. They are never
// interrupted by another goroutine's need of the processor for long: a batch
// takes some ten microseconds.
func recvmmsg(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(msgs))),
		uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func sendmmsg(fd uintptr, msgs []mmsghdr) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(msgs))),
		uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// receiveBatch is the memory of one reader of a raw socket.
type receiveBatch struct {
	msgs  [batchLen]mmsghdr
	iovs  [batchLen]unix.Iovec
	slots [batchLen * slotLen]byte
}

func newReceiveBatch() *receiveBatch {
	b := new(receiveBatch)
	for i := range b.msgs {
		b.iovs[i].Base = &b.slots[i*slotLen]
		b.iovs[i].SetLen(slotLen)
		b.msgs[i].hdr.Iov = &b.iovs[i]
		b.msgs[i].hdr.SetIovlen(1)
	}
	return b
}

// datagram returns the i-th message received. It reports false for one that was
// cut, or is not IPv4. There is no sender address to ask the kernel for: a raw
// socket delivers the IP header, which has both.
func (b *receiveBatch) datagram(i int) (engine.Datagram, bool) {
	m := &b.msgs[i]
	if m.hdr.Flags&unix.MSG_TRUNC != 0 || m.n > slotLen {
		return engine.Datagram{}, false
	}
	return stripIPv4(b.slots[i*slotLen:][:m.n:slotLen])
}

// stripIPv4 takes the IP header, of any length, off a packet.
func stripIPv4(p []byte) (engine.Datagram, bool) {
	const minHeader = 20
	if len(p) < minHeader || p[0]>>4 != 4 {
		return engine.Datagram{}, false
	}
	header := int(p[0]&0x0f) * 4
	if header < minHeader || header > len(p) {
		return engine.Datagram{}, false
	}
	return engine.Datagram{
		Peer:  netip.AddrFrom4([4]byte(p[12:16])),
		Local: netip.AddrFrom4([4]byte(p[16:20])),
		Data:  p[header:],
	}, true
}

// pktinfo is the control message that names the source address.
type pktinfo struct {
	hdr  unix.Cmsghdr
	info unix.Inet4Pktinfo
}

// sendBatch is the memory of one writer of a raw socket.
type sendBatch struct {
	msgs  [batchLen]mmsghdr
	iovs  [batchLen]unix.Iovec
	names [batchLen]unix.RawSockaddrInet4
	infos [batchLen]pktinfo
}

func newSendBatch() *sendBatch {
	b := new(sendBatch)
	for i := range b.msgs {
		b.names[i].Family = unix.AF_INET
		info := &b.infos[i]
		info.hdr.Level = unix.IPPROTO_IP
		info.hdr.Type = unix.IP_PKTINFO
		info.hdr.SetLen(unix.CmsgLen(int(unsafe.Sizeof(info.info))))
		h := &b.msgs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Namelen = uint32(unsafe.Sizeof(b.names[i]))
		h.Iov = &b.iovs[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(info))
		h.SetControllen(int(unsafe.Sizeof(*info)))
	}
	return b
}

// pack puts datagrams into messages, as many as fit, and returns how many of
// datagrams it took and how many messages they are. The difference cannot be
// sent: no data, or an address that is not IPv4.
func (b *sendBatch) pack(datagrams []engine.Datagram) (taken, packed int) {
	for i := range datagrams {
		if packed == batchLen {
			return i, packed
		}
		d := &datagrams[i]
		if len(d.Data) == 0 || !d.Peer.Is4() || !d.Local.Is4() {
			continue
		}
		b.iovs[packed].Base = unsafe.SliceData(d.Data)
		b.iovs[packed].SetLen(len(d.Data))
		b.names[packed].Addr = d.Peer.As4()
		// With several addresses, the route would choose one that the peer does
		// not know us by.
		b.infos[packed].info.Spec_dst = d.Local.As4()
		packed++
	}
	return len(datagrams), packed
}
