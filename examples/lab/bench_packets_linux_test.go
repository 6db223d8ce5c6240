package lab

import (
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	packetSize = 64 // of the IP packet, in octets
	mostLost   = 0.001
)

// packets are UDP from a client to the server through the tunnel. They go by system
// calls that the runtime is not told of: calls that take as long as those of User-Mode
// Linux have it hand the processor from thread to thread, which takes much longer still.
type packets struct{ from, to int }

const packetPatience = 300 * time.Millisecond

func openPackets(t *testing.T, client, server host, dev string) *packets {
	t.Helper()
	open := func(h host, set func(fd int) error) int {
		var fd int
		require.NoError(t, h.enter(func() (err error) {
			if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
				return os.NewSyscallError("socket", err)
			}
			t.Cleanup(func() { unix.Close(fd) })
			return set(fd)
		}))
		return fd
	}
	patience := unix.NsecToTimeval(int64(packetPatience))
	to := open(server, func(fd int) error {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20) // what is lost, the tunnel has lost
		if err == nil {
			err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience)
		}
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet4{Port: 7002})
		}
		return err
	})
	from := open(client, func(fd int) error {
		err := unix.BindToDevice(fd, dev)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrInet4{Port: 7002, Addr: [4]byte{10, 9, 0, 1}})
		}
		return err
	})
	return &packets{from, to}
}

// under sends packets as fast as they arrive, with so many under way at the most: the
// timers of User-Mode Linux are too coarse for an even rate.
func (p *packets) under(t *testing.T, underWay int, during time.Duration) (rate, lost float64) {
	t.Helper()
	batch := (underWay + 3) / 4
	out, in := newMessages(batch), newMessages(underWay)
	sent, received, gone := 0, 0, 0
	receive := func() {
		for since := time.Now(); ; {
			n, errno := in.call(unix.SYS_RECVMMSG, p.to, unix.MSG_WAITFORONE)
			switch {
			case errno == 0:
				received += n
				return
			case errno == unix.EAGAIN || errno == unix.EINTR && time.Since(since) > packetPatience:
				gone = sent - received
				return
			}
			require.Equal(t, unix.EINTR, errno) // the runtime interrupts now and then
		}
	}
	began := time.Now()
	for time.Since(began) < during {
		if sent-received-gone+batch > underWay {
			receive()
			continue
		}
		n, errno := out.call(unix.SYS_SENDMMSG, p.from, 0)
		require.Contains(t, []syscall.Errno{0, unix.EINTR}, errno)
		sent += n
	}
	rate = float64(received) / time.Since(began).Seconds()
	for sent > received+gone {
		receive()
	}
	return rate, 1 - float64(received)/float64(sent)
}

// messages are those of sendmmsg and recvmmsg.
type messages []message

type message struct {
	header unix.Msghdr
	length uint32
}

func newMessages(n int) messages {
	m := make(messages, n)
	for i := range m {
		buffer := make([]byte, packetSize-20-8)
		m[i].header.Iov = &unix.Iovec{Base: &buffer[0]}
		m[i].header.Iov.SetLen(len(buffer))
		m[i].header.SetIovlen(1)
	}
	return m
}

func (m messages) call(number uintptr, fd, flags int) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(number, uintptr(fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
