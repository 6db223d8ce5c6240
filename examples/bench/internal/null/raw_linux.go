package null

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raw is the wire by a raw socket, which blocks.
type raw struct {
	fd               int
	in, out          [batchLen]mmsghdr
	inIovs, outIovs  [batchLen]unix.Iovec
	inSlots, toSlots [batchLen][slotLen]byte
	n                int // of out that are to be sent
}

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

func openRaw(o *Options) (*raw, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_GRE)
	if err != nil {
		return nil, fmt.Errorf("raw socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 2<<20)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: o.Peer.As4()}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("raw socket: %w", err)
	}
	w := &raw{fd: fd}
	for i := range batchLen {
		w.inIovs[i].Base, w.outIovs[i].Base = &w.inSlots[i][0], &w.toSlots[i][0]
		w.inIovs[i].SetLen(slotLen)
		w.in[i].hdr.Iov, w.out[i].hdr.Iov = &w.inIovs[i], &w.outIovs[i]
		w.in[i].hdr.SetIovlen(1)
		w.out[i].hdr.SetIovlen(1)
	}
	return w, nil
}

func (w *raw) move(call uintptr, messages []mmsghdr) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(call, uintptr(w.fd), uintptr(unsafe.Pointer(unsafe.SliceData(messages))),
		uintptr(len(messages)), unix.MSG_WAITFORONE, 0, 0)
	return int(n), errno
}

func (w *raw) receive(take func(packet []byte)) error {
	n, errno := w.move(unix.SYS_RECVMMSG, w.in[:])
	switch errno {
	case 0:
	case unix.EINTR:
		return nil
	default:
		return fmt.Errorf("raw socket: %w", errno)
	}
	for i := range w.in[:n] {
		// With its IP header.
		if p := w.inSlots[i][:w.in[i].n]; len(p) > ipLen {
			take(p[ipLen:])
		}
	}
	return nil
}

func (w *raw) done() {}

func (w *raw) slot() []byte {
	if w.n == batchLen {
		return nil
	}
	return w.toSlots[w.n][:]
}

func (w *raw) submit(packet []byte) {
	if packet != nil {
		w.outIovs[w.n].SetLen(len(packet))
		w.n++
	}
}

func (w *raw) flush() error {
	for sent := 0; sent < w.n; {
		n, errno := w.move(unix.SYS_SENDMMSG, w.out[sent:w.n])
		if errno != 0 && errno != unix.EINTR {
			n = 1 // is lost, as any packet may be
		}
		sent += n
	}
	w.n = 0
	return nil
}
