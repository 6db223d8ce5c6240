package userspace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/engine"
)

func TestLayout(t *testing.T) {
	word := unsafe.Sizeof(uintptr(0))
	require.Zero(t, unsafe.Sizeof(mmsghdr{})%word, "an array of them must be aligned")
	require.Equal(t, unsafe.Sizeof(unix.Msghdr{}), unsafe.Offsetof(mmsghdr{}.n))
	require.EqualValues(t, unix.CmsgSpace(int(unsafe.Sizeof(unix.Inet4Pktinfo{}))), unsafe.Sizeof(pktinfo{}))
	require.EqualValues(t, unix.CmsgLen(0), unsafe.Offsetof(pktinfo{}.info))
}

// ipPacket returns an IPv4 packet from 192.0.2.1 to 192.0.2.2 with header octets
// of header.
func ipPacket(header int, data ...byte) []byte {
	p := make([]byte, header)
	p[0] = 0x40 | byte(header/4)
	copy(p[12:], []byte{192, 0, 2, 1, 192, 0, 2, 2})
	for i := 20; i < header; i++ {
		p[i] = 1 // no operation
	}
	return append(p, data...)
}

func TestStripIPv4(t *testing.T) {
	for header := 20; header <= 60; header += 4 {
		for _, data := range [][]byte{{}, {1}, {1, 2, 3}} {
			d, ok := stripIPv4(ipPacket(header, data...))
			require.True(t, ok)
			require.Equal(t, engine.Datagram{
				Peer:  netip.MustParseAddr("192.0.2.1"),
				Local: netip.MustParseAddr("192.0.2.2"),
				Data:  data,
			}, d)
		}
		_, ok := stripIPv4(ipPacket(header)[:header-1])
		require.False(t, ok, "cut in the header")
	}
	for name, p := range map[string][]byte{
		"empty":        {},
		"short":        ipPacket(20)[:19],
		"IPv6":         append([]byte{0x65}, ipPacket(20, 0)[1:]...),
		"header of 16": append([]byte{0x44}, ipPacket(20, 0)[1:]...),
	} {
		_, ok := stripIPv4(p)
		require.False(t, ok, name)
	}
}

// batchLen is how many packets go through one system call here.
const batchLen = defaultBatch

func FuzzStripIPv4(f *testing.F) {
	f.Add(ipPacket(20, 1, 2, 3))
	f.Add(ipPacket(60))
	f.Fuzz(func(t *testing.T, p []byte) {
		if d, ok := stripIPv4(p); ok {
			require.True(t, bytes.HasSuffix(p, d.Data))
		}
	})
}

// A batch goes through the kernel. An ordinary socket will do.
func TestReceiveBatch(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	buffers := newSlots(9)
	batch := newReceiveBatch(8, buffers)
	require.Equal(t, 8, batch.ready())
	_, errno := recvmmsg(fds[1], batch.msgs)
	require.Equal(t, unix.EAGAIN, errno)

	for round := range 3 {
		var taken []arrival
		packets := [][]byte{
			ipPacket(20, byte(round)),
			ipPacket(60, bytes.Repeat([]byte{2}, slotLen-60)...), // just fits
			ipPacket(20, bytes.Repeat([]byte{3}, slotLen-19)...), // does not
			{0x60}, // not IPv4
			ipPacket(24, 4, 5, 6),
		}
		for _, p := range packets {
			_, err := unix.Write(fds[0], p)
			require.NoError(t, err)
		}
		require.Equal(t, 8, batch.ready())
		n, errno := recvmmsg(fds[1], batch.msgs)
		require.Zero(t, errno)
		require.Equal(t, len(packets), n)
		for i, want := range packets {
			a, ok := batch.take(i)
			require.Equal(t, i != 2 && i != 3, ok, i)
			if ok {
				require.Equal(t, want[int(want[0]&15)*4:], a.datagram.Data)
				taken = append(taken, a)
			}
		}
		require.Equal(t, 1, batch.ready(), "the others are with those taken")
		for _, a := range taken {
			buffers.put(a.buf)
		}
	}
}

// Each message takes its own destination, source address and data. UDP shows
// it without privilege; only the port is its own.
func TestSendBatch(t *testing.T) {
	receiver, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer receiver.Close()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	require.NoError(t, err)
	defer unix.Close(fd)

	batch := newSendBatch(batchLen)
	port := receiver.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	for i := range batch.names {
		p := (*[2]byte)(unsafe.Pointer(&batch.names[i].Port))
		binary.BigEndian.PutUint16(p[:], port)
	}
	to := netip.MustParseAddr("127.0.0.1")
	for round := range 2 {
		var datagrams []engine.Datagram
		for i := range 5 {
			datagrams = append(datagrams, engine.Datagram{
				Local: netip.AddrFrom4([4]byte{127, 0, 1, byte(1 + i)}),
				Peer:  to,
				Data:  fmt.Appendf(nil, "%d/%d", round, i),
			})
		}
		taken, packed := batch.pack(datagrams)
		require.Equal(t, []int{5, 5}, []int{taken, packed})
		n, errno := sendmmsg(fd, batch.msgs[:packed])
		require.Zero(t, errno)
		require.Equal(t, 5, n)
		for i := range 5 {
			b := make([]byte, 16)
			n, from, err := receiver.ReadFromUDPAddrPort(b)
			require.NoError(t, err)
			require.Equal(t, string(datagrams[i].Data), string(b[:n]))
			require.Equal(t, datagrams[i].Local, from.Addr().Unmap())
		}
	}
}

func TestPackLeavesOut(t *testing.T) {
	batch := newSendBatch(batchLen)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	good := engine.Datagram{Local: a, Peer: b, Data: []byte{1}}
	taken, packed := batch.pack([]engine.Datagram{
		{Local: a, Peer: b},                                    // no data
		{Local: a, Data: []byte{1}},                            // no peer
		{Peer: b, Data: []byte{1}},                             // no source
		{Local: a, Peer: netip.IPv6Loopback(), Data: []byte{}}, // IPv6
		good,
	})
	require.Equal(t, []int{5, 1}, []int{taken, packed})

	many := make([]engine.Datagram, batchLen+3)
	for i := range many {
		many[i] = good
	}
	taken, packed = batch.pack(many)
	require.Equal(t, []int{batchLen, batchLen}, []int{taken, packed})
	taken, packed = batch.pack(many[taken:])
	require.Equal(t, []int{3, 3}, []int{taken, packed})
	require.Zero(t, testing.AllocsPerRun(10, func() { batch.pack(many) }))
}
