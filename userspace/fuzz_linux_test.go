package userspace

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/engine"
	"github.com/gopptp/gopptp/internal/nexthop"
	"github.com/gopptp/gopptp/internal/offload"
)

// Whatever frame comes, what is taken out of it is in it.
func FuzzParseFrame(f *testing.F) {
	hop := &nexthop.Hop{Source: [6]byte{2, 1}, Dest: [6]byte{2, 2}}
	for _, size := range []int{0, 8, 25, 1400} {
		frame := appendFrame(nil, hop, &engine.Datagram{Local: outerA, Peer: outerB, Data: make([]byte, size)}, 7)
		f.Add(frame)
		f.Add(frame[:len(frame)-1])
		f.Add(frame[:20])
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		d, ok := parseFrame(frame)
		if !ok {
			require.Empty(t, d)
			return
		}
		length := int(binary.BigEndian.Uint16(frame[16:]))
		require.Len(t, d.Data, length-20)
		require.Equal(t, cap(d.Data), len(d.Data))
		require.Equal(t, frame[34:14+length], d.Data)
		require.Equal(t, uint16(0xffff), onesSum(frame[14:34]))

		// What is built again is the same, but for the fields that we choose.
		again := appendFrame(nil, hop, &engine.Datagram{Local: d.Peer, Peer: d.Local, Data: d.Data}, binary.BigEndian.Uint16(frame[18:]))
		require.GreaterOrEqual(t, len(again), minFrame)
		e, ok := parseFrame(again)
		require.True(t, ok)
		require.Equal(t, d, e)
	})
}

// Whatever the TUN device has to read, packets fit their buffers, and no buffer is
// lost. The host is not the enemy, but a guest behind it may choose what it hands
// over.
func FuzzTUNRead(f *testing.F) {
	add := func(h offload.Header, packet []byte) { f.Add(append(h.Append(nil), packet...), uint8(3)) }
	b := builder{src: lanHost, dst: innerClient, src6: lanHost6, dst6: inner6, port: 1000}
	payload := make([]byte, 5000)
	add(offload.Header{}, b.ip4(unix.IPPROTO_UDP, 0, nil, b.udp(false, 0, payload[:100])))
	add(offload.Header{Flags: offload.FlagNeedsChecksum, ChecksumStart: 20, ChecksumOffset: 6},
		b.ip4(unix.IPPROTO_UDP, 0, nil, b.udp(false, 0, payload[:100])))
	add(offload.Header{Flags: offload.FlagNeedsChecksum, GSOType: offload.GSOTCPv4, HdrLen: 40, GSOSize: 1000, ChecksumStart: 20, ChecksumOffset: 16},
		b.ip4(unix.IPPROTO_TCP, 0, nil, b.tcp(false, 0, flagACK, nil, payload)))
	add(offload.Header{Flags: offload.FlagNeedsChecksum, GSOType: offload.GSOTCPv6, HdrLen: 60, GSOSize: 1, ChecksumStart: 40, ChecksumOffset: 16},
		b.ip6(unix.IPPROTO_TCP, b.tcp(true, 0, flagACK, nil, payload)))
	add(offload.Header{Flags: offload.FlagNeedsChecksum, GSOType: offload.GSOUDP, HdrLen: 28, GSOSize: 1400, ChecksumStart: 20, ChecksumOffset: 6},
		b.ip4(unix.IPPROTO_UDP, 0, nil, b.udp(false, 0, payload)))
	f.Add([]byte{1, 2, 3}, uint8(1))

	// A socket for datagrams reads as the device does.
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(f, err)
	f.Cleanup(func() { unix.Close(fds[1]) })
	require.NoError(f, unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<18))
	q := newTUNQueue(fds[0])
	f.Cleanup(func() { q.Close() })
	q.in.large = make([]byte, maxInner+maxLarge)
	const count = 100
	buffers := newSlots(count)
	f.Fuzz(func(t *testing.T, data []byte, limit uint8) {
		if len(data) == 0 || len(data) > 1<<13 {
			return
		}
		_, err := unix.Write(fds[1], data)
		require.NoError(t, err)
		rounds := 0
		for {
			packets, err := q.Read(nil, buffers, 1+int(limit)%count)
			require.NoError(t, err)
			for _, p := range packets {
				if len(p) > engine.Headroom+maxMTU || cap(p) != slotLen {
					t.Fatalf("a packet of %d octets in a buffer of %d", len(p), cap(p))
				}
				buffers.put(p[:slotLen])
			}
			if len(packets) == 0 {
				break
			}
			rounds++
			require.LessOrEqual(t, rounds, maxLarge)
		}
		require.False(t, q.in.splits)
		held := 0
		if q.in.buf != nil {
			held = 1
		}
		require.Equal(t, count, len(buffers.free)+held)
	})
}
