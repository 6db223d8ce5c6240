package nexthop

import (
	"encoding/binary"
	"iter"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// message is a netlink message: kind is its type, body what follows the header.
type message struct {
	kind uint16
	seq  uint32
	body []byte
}

// messages goes through those of a datagram, up to the first that is malformed.
func messages(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			n := int(native.Uint32(b))
			if n < unix.SizeofNlMsghdr || n > len(b) {
				return
			}
			if !yield(message{native.Uint16(b[4:]), native.Uint32(b[8:]), b[unix.SizeofNlMsghdr:n]}) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// attributes goes through those that follow a fixed part of size octets.
func (m message) attributes(size int) iter.Seq2[uint16, []byte] {
	return attributes(m.body[min(size, len(m.body)):])
}

func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(native.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			kind := native.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if !yield(kind, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

func appendAttribute(b []byte, kind uint16, value []byte) []byte {
	b = native.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = native.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align(len(value))-len(value))...)
}

// number is the value of an attribute of four octets, or 0.
func number(b []byte) int {
	if len(b) != 4 {
		return 0
	}
	return int(native.Uint32(b))
}

func align(n int) int { return (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1) }

var native = binary.NativeEndian

// querier asks the kernel. It answers within the system call that asks, so a socket
// has all answers to a batch when the batch has been sent.
type querier struct {
	fd    int
	seq   uint32 // of the next question
	out   []byte
	count int // of questions in out
	in    []byte
}

func openQuerier(protocol int) (*querier, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return &querier{fd: fd, in: make([]byte, datagramSize)}, nil
}

// add adds a question. It has to be one that gets one message for an answer, or an
// error.
func (q *querier) add(kind uint16, flags uint16, body []byte) {
	q.out = native.AppendUint32(q.out, uint32(unix.SizeofNlMsghdr+len(body)))
	q.out = native.AppendUint16(q.out, kind)
	q.out = native.AppendUint16(q.out, unix.NLM_F_REQUEST|flags)
	q.out = native.AppendUint32(q.out, q.seq+uint32(q.count))
	q.out = native.AppendUint32(q.out, 0)
	q.out = append(q.out, body...)
	q.count++
}

// ask sends what was added and reports the answer to each question that got one.
// An answer is valid until answered returns. It returns false if some are missing.
func (q *querier) ask(answered func(i int, m message)) bool {
	first, open := q.seq, q.count
	err := unix.Sendto(q.fd, q.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	q.seq, q.count, q.out = q.seq+uint32(q.count), 0, q.out[:0]
	for err == nil && open > 0 {
		var n int
		if n, _, err = unix.Recvfrom(q.fd, q.in, unix.MSG_DONTWAIT); err == unix.EINTR {
			err = nil
			continue
		}
		for m := range messages(q.in[:max(n, 0)]) {
			// What is older is the late answer to a question that was given up.
			if i := m.seq - first; i < q.seq-first {
				open--
				answered(int(i), m)
			}
		}
	}
	return open == 0
}

// ask1 asks one question. The answer is valid until the next.
func (q *querier) ask1(kind uint16, flags uint16, body []byte) (answer message) {
	q.add(kind, flags, body)
	q.ask(func(_ int, m message) { answer = m })
	return answer
}

func (q *querier) close() { unix.Close(q.fd) }

// refused reports whether m is anything but an acknowledgement.
func (m message) refused() bool {
	return m.kind != unix.NLMSG_ERROR || len(m.body) < 4 || native.Uint32(m.body) != 0
}

const (
	// The kernel makes datagrams of 32 KiB at most when it has several messages.
	datagramSize = 64 << 10
	// What the kernel may report before we have read it. A device that goes down
	// with 10,000 neighbours on it fits.
	eventsBuffer = 8 << 20
)

// events are the kernel's reports of changes.
type events struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte
}

func openEvents(groups ...int) (*events, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "rtnetlink")
	fail := func(call string, err error) (*events, error) {
		file.Close()
		return nil, os.NewSyscallError(call, err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, eventsBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, eventsBuffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fail("bind", err)
	}
	for _, g := range groups {
		// A kernel that does not know a group has no such changes.
		err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g)
		if err != nil && err != unix.EINVAL {
			return fail("setsockopt", err)
		}
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return fail("file", err)
	}
	return &events{file: file, raw: raw, buf: make([]byte, datagramSize)}, nil
}

// receive returns the next datagram. Without one it waits until the file's deadline
// if it may, or returns nothing. The error is unix.ENOBUFS when reports were lost.
func (e *events) receive(wait bool) ([]byte, error) {
	var n int
	var err error
	get := func(fd uintptr) (done bool) {
		var from unix.Sockaddr
		// MSG_TRUNC: n is the datagram's size, whatever fits.
		n, from, err = unix.Recvfrom(int(fd), e.buf, unix.MSG_DONTWAIT|unix.MSG_TRUNC)
		if err == unix.EAGAIN || err == unix.EINTR {
			n, err = 0, nil
			return !wait
		}
		if a, ok := from.(*unix.SockaddrNetlink); ok && a.Pid != 0 {
			n = 0 // not from the kernel
		}
		return true
	}
	var waitErr error
	if wait {
		waitErr = e.raw.Read(get)
	} else {
		waitErr = e.raw.Control(func(fd uintptr) { get(fd) })
	}
	switch {
	case waitErr != nil:
		return nil, waitErr
	case err != nil:
		return nil, err
	case n > len(e.buf):
		return nil, unix.ENOBUFS
	}
	return e.buf[:n], nil
}
