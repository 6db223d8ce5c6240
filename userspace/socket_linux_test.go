package userspace

import (
	"bytes"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/engine"
)

// greData is a packet that the filter passes. The engine would refuse it, or
// know no call with that ID.
func greData(n int) []byte {
	p := bytes.Repeat([]byte{0xa5}, n)
	copy(p, []byte{0x30, 0x01, 0x88, 0x0b})
	return p
}

// receiveN receives packets until there are n.
func receiveN(t *testing.T, s *greSocket, n int) (list []engine.Datagram) {
	t.Helper()
	for len(list) < n {
		poll := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		ready, err := unix.Poll(poll, 5000)
		require.NoError(t, err)
		require.Equal(t, 1, ready, "%d of %d came", len(list), n)
		arrivals, err := s.receive(nil)
		require.NoError(t, err)
		for _, a := range arrivals {
			a.datagram.Data = bytes.Clone(a.datagram.Data)
			list = append(list, a.datagram)
			s.in.slots.put(a.buf)
		}
	}
	return list
}

func TestSocketBatches(t *testing.T) {
	nsA, nsB := newPair(t)
	a, b := nsA.openSocket(t), nsB.openSocket(t)

	// More than one batch, with sources and sizes by turns.
	var sent []engine.Datagram
	for i := range 2*batchLen + 7 {
		d := engine.Datagram{Local: outerB, Peer: outerA, Data: greData(8 + 11*i)}
		if i%2 == 1 {
			d.Local = secondB
		}
		sent = append(sent, d)
	}
	// The kernel holds few packets while it looks for a neighbour: it is found
	// with the first.
	b.Send(sent[:1])
	require.Len(t, receiveN(t, a, 1), 1)
	b.Send(sent[1:])
	for i, d := range receiveN(t, a, len(sent)-1) {
		want := sent[1+i]
		require.Equal(t, engine.Datagram{Local: outerA, Peer: want.Local, Data: want.Data}, d, i)
	}
	require.EqualValues(t, len(sent), b.sent.Load())
	require.EqualValues(t, len(sent), a.received.Load())
	require.Zero(t, a.malformed.Load()+b.sendErr.Load()+b.sendQueue.Load()+b.sendTooLarge.Load())
}

func TestSocketTakesOptionsOff(t *testing.T) {
	nsA, nsB := newPair(t)
	a, b := nsA.openSocket(t), nsB.openSocket(t)
	require.NoError(t, a.use(func(fd int) {
		require.NoError(t, unix.SetsockoptString(fd, unix.IPPROTO_IP, unix.IP_OPTIONS, "\x01\x01\x01\x01\x01\x01\x01\x00"))
	}))
	data := greData(100)
	a.Send([]engine.Datagram{{Local: outerA, Peer: outerB, Data: data}})
	require.Equal(t, []engine.Datagram{{Local: outerB, Peer: outerA, Data: data}}, receiveN(t, b, 1))
}

func TestSocketFiltersOtherTunnels(t *testing.T) {
	nsA, nsB := newPair(t)
	a, b := nsA.openSocket(t), nsB.openSocket(t)
	plain := greData(64)
	plain[0], plain[1] = 0, 0
	a.Send([]engine.Datagram{
		{Local: outerA, Peer: outerB, Data: plain},
		{Local: outerA, Peer: outerB, Data: greData(64)},
		{Local: outerA, Peer: outerB, Data: plain},
		{Local: outerA, Peer: outerB, Data: greData(65)},
	})
	got := receiveN(t, b, 2)
	require.Equal(t, []int{64, 65}, []int{len(got[0].Data), len(got[1].Data)})
	require.EqualValues(t, 2, b.received.Load())
	require.Zero(t, b.queueDrops(), "what is filtered out is no loss")
}

// An outer packet that is larger than the link arrives all the same.
func TestSocketFragments(t *testing.T) {
	nsA, nsB := newPair(t)
	setMTU(t, 1000, nsA, nsB)
	a, b := nsA.openSocket(t), nsB.openSocket(t)
	data := greData(1480)
	a.Send([]engine.Datagram{{Local: outerA, Peer: outerB, Data: data}})
	require.Equal(t, []engine.Datagram{{Local: outerB, Peer: outerA, Data: data}}, receiveN(t, b, 1))
	require.Zero(t, a.sendTooLarge.Load())
}

// Each packet that cannot be sent is counted by its reason, and harms no other.
func TestSocketSendErrors(t *testing.T) {
	nsA, nsB := newPair(t)
	a, b := nsA.openSocket(t), nsB.openSocket(t)
	good := engine.Datagram{Local: outerA, Peer: outerB, Data: greData(20)}
	a.Send([]engine.Datagram{
		good,
		{Local: outerA, Peer: outerB, Data: make([]byte, 66000)}, // larger than IP allows
		good,
		{Local: outerB, Peer: outerB, Data: greData(20)},                               // not our address
		{Local: outerA, Peer: netip.MustParseAddr("198.51.100.1"), Data: greData(20)},  // no route
		{Local: outerA, Peer: netip.MustParseAddr("2001:db8::1"), Data: greData(20)},   // not IPv4
		{Local: outerA, Peer: netip.MustParseAddr("255.255.255.255"), Data: good.Data}, // not allowed
		good,
	})
	receiveN(t, b, 3)
	require.EqualValues(t, 3, a.sent.Load())
	require.EqualValues(t, 1, a.sendTooLarge.Load())
	require.EqualValues(t, 4, a.sendErr.Load())
	require.Zero(t, a.sendQueue.Load())
}

// unanswered is an address that the kernel keeps packets for while it looks for
// a neighbour, which there is none: a network device that takes nothing.
var unanswered = netip.MustParseAddr("192.0.2.99")

func TestSocketSendQueueFull(t *testing.T) {
	nsA, _ := newPair(t)
	a := nsA.openSocket(t)
	require.NoError(t, a.use(func(fd int) {
		require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<10))
	}))
	var err error
	nsA.Do(func() { // to look for the neighbour once, not three times
		err = os.WriteFile("/proc/sys/net/ipv4/neigh/eth0/mcast_solicit", []byte("1"), 0)
	})
	require.NoError(t, err)
	batch := make([]engine.Datagram, 3*batchLen)
	for i := range batch {
		batch[i] = engine.Datagram{Local: outerA, Peer: unanswered, Data: greData(1400)}
	}
	start := time.Now()
	a.Send(batch)
	require.Less(t, time.Since(start), 500*time.Millisecond, "waited")
	require.EqualValues(t, len(batch), a.sent.Load()+a.sendQueue.Load())
	require.NotZero(t, a.sent.Load())
	require.Greater(t, a.sendQueue.Load(), uint64(2*batchLen))

	// Who asks for room first, is told.
	a.room.Store(0)
	require.False(t, a.hasRoom(1))
	require.Zero(t, a.room.Load())
	// And has it when the kernel has given up.
	eventually(t, "room in the send queue", func() bool { return a.hasRoom(1) && a.room.Load() == a.capacity })
}

// An empty queue is not asked for over and over.
func TestSocketRoom(t *testing.T) {
	nsA, _ := newPair(t)
	a := nsA.openSocket(t)
	require.GreaterOrEqual(t, a.capacity, int64(2*batchLen))
	require.True(t, a.hasRoom(batchLen))
	require.Equal(t, a.capacity, a.room.Load())
	a.Send(make([]engine.Datagram, 10))
	require.Equal(t, a.capacity-10, a.room.Load())
	require.True(t, a.hasRoom(batchLen))
	require.Equal(t, a.capacity-10, a.room.Load())
}

func TestSocketReceiveQueueFull(t *testing.T) {
	nsA, nsB := newPair(t)
	a, b := nsA.openSocket(t), nsB.openSocket(t)
	require.NoError(t, b.use(func(fd int) {
		require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10))
	}))
	batch := make([]engine.Datagram, 4*batchLen)
	for i := range batch {
		batch[i] = engine.Datagram{Local: outerA, Peer: outerB, Data: greData(1400)}
	}
	a.Send(batch)
	eventually(t, "drops", func() bool { return b.queueDrops() > 0 })
	require.Less(t, b.queueDrops(), uint64(len(batch)))
}

// What comes after Close does nothing.
func TestSocketClose(t *testing.T) {
	nsA, _ := newPair(t)
	a := nsA.openSocket(t)
	require.NoError(t, a.Close())
	require.NoError(t, a.Close())
	_, err := a.receive(nil)
	require.ErrorIs(t, err, os.ErrClosed)
	a.Send([]engine.Datagram{{Local: outerA, Peer: outerB, Data: greData(20)}})
	require.Zero(t, a.sent.Load())
	require.Zero(t, a.queueDrops())
	a.room.Store(0)
	require.False(t, a.hasRoom(1))
}

func TestSocketAllocatesNothing(t *testing.T) {
	nsA, nsB := newPair(t)
	a, b := nsA.openSocket(t), nsB.openSocket(t)
	batch := make([]engine.Datagram, 8)
	for i := range batch {
		batch[i] = engine.Datagram{Local: outerA, Peer: outerB, Data: greData(100)}
	}
	arrivals := make([]arrival, 0, batchLen)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		a.room.Store(0)
		a.hasRoom(batchLen)
		a.Send(batch)
		for got := 0; got < len(batch); {
			var err error
			if arrivals, err = b.receive(arrivals[:0]); err != nil {
				panic(err)
			}
			for i := range arrivals {
				b.in.slots.put(arrivals[i].buf)
			}
			got += len(arrivals)
		}
	}))
}
