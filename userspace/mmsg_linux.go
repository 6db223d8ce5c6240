package userspace

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/engine"
)

// mmsghdr is the kernel's struct mmsghdr. Its padding, on 64-bit systems, comes
// from the alignment of the pointers in Msghdr, as it does in C.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32 // octets moved
}

// recvmmsg and sendmmsg return the number of messages moved. They do not wait, and
// so are not announced to the scheduler: a batch takes some ten microseconds.
func recvmmsg(fd int, msgs []mmsghdr) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(msgs))),
		uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func sendmmsg(fd int, msgs []mmsghdr) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(msgs))),
		uintptr(len(msgs)), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// receiveBatch is the memory of one reader of a raw socket.
type receiveBatch struct {
	msgs  []mmsghdr
	iovs  []unix.Iovec
	bufs  [][]byte // of the messages: nil where one has been taken
	slots *slots
}

// newReceiveBatch returns one of n messages a system call, into buffers of s.
func newReceiveBatch(n int, s *slots) *receiveBatch {
	b := &receiveBatch{msgs: make([]mmsghdr, n), iovs: make([]unix.Iovec, n), bufs: make([][]byte, n), slots: s}
	for i := range b.msgs {
		b.msgs[i].hdr.Iov = &b.iovs[i]
		b.msgs[i].hdr.SetIovlen(1)
	}
	return b
}

// ready has buffers for as many messages as it returns, from the first on.
func (b *receiveBatch) ready() int {
	for i := range b.bufs {
		if b.bufs[i] != nil {
			continue
		}
		buf := b.slots.take()
		if buf == nil {
			return i
		}
		b.bufs[i] = buf
		b.iovs[i].Base = unsafe.SliceData(buf)
		b.iovs[i].SetLen(len(buf))
	}
	return len(b.bufs)
}

// take returns the i-th message received, which has its buffer from then on. It
// reports false for one that was cut, or is not IPv4. There is no sender address
// to ask the kernel for: a raw socket delivers the IP header, which has both.
func (b *receiveBatch) take(i int) (a arrival, ok bool) {
	m := &b.msgs[i]
	buf := b.bufs[i]
	if m.hdr.Flags&unix.MSG_TRUNC != 0 || int(m.n) > len(buf) {
		return arrival{}, false
	}
	if a.datagram, ok = stripIPv4(buf[:m.n]); !ok {
		return arrival{}, false
	}
	b.bufs[i], a.buf = nil, buf
	return a, true
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
	msgs  []mmsghdr
	iovs  []unix.Iovec
	names []unix.RawSockaddrInet4
	infos []pktinfo
}

// newSendBatch returns one of n messages a system call.
func newSendBatch(n int) *sendBatch {
	b := &sendBatch{
		msgs:  make([]mmsghdr, n),
		iovs:  make([]unix.Iovec, n),
		names: make([]unix.RawSockaddrInet4, n),
		infos: make([]pktinfo, n),
	}
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
		if packed == len(b.msgs) {
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
