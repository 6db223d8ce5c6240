package userspace

import (
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/engine"
)

// newTUNDevice opens a device in the namespace, up, with 10.99.0.1/24.
func newTUNDevice(t *testing.T, ns *namespace) *tunDevice {
	t.Helper()
	var d *tunDevice
	var err error
	ns.Do(func() { d, err = openTUN(tunConfig{"tun%d", 1, batchLen, false}) })
	require.NoError(t, err)
	t.Cleanup(d.Close)
	link, err := ns.NL.LinkByName(d.name)
	require.NoError(t, err)
	require.NoError(t, ns.NL.LinkSetUp(link))
	require.NoError(t, ns.NL.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.99.0.1/24"))}))
	return d
}

// await returns when something is to be read, or wrong.
func (q *tunQueue) await(t testing.TB) {
	poll := []unix.PollFd{{Fd: int32(q.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, 5000)
	require.NoError(t, err)
	require.Equal(t, 1, n, "nothing to read")
}

// swap turns an IPv4 UDP packet around, which leaves its checksums right.
func swap(p []byte) {
	for i := range 4 {
		p[12+i], p[16+i] = p[16+i], p[12+i]
	}
	p[20], p[21], p[22], p[23] = p[22], p[23], p[20], p[21]
}

// Packets of the host are read in batches and written back: each arrives where
// it came from.
func TestTUNBatches(t *testing.T) {
	ns := newNamespace(t)
	d := newTUNDevice(t, ns)
	c := ns.listenUDP(t, "10.99.0.1:0")
	const count = 100
	to := netip.MustParseAddrPort("10.99.0.2:9")
	for i := range count {
		_, err := c.WriteToUDPAddrPort(make([]byte, 1+i), to)
		require.NoError(t, err)
	}

	q, buffers := d.queues[0], newSlots(batchLen)
	var largest int
	for got := 0; got < count; {
		q.await(t)
		read, err := q.Read(nil, buffers, batchLen)
		require.NoError(t, err)
		largest = max(largest, len(read))
		var packets [][]byte
		for _, p := range read {
			packet := p[engine.Headroom:]
			if packet[0]>>4 != 4 {
				continue // the host's IPv6
			}
			require.Equal(t, 20+8+1+got, len(packet))
			swap(packet)
			packets = append(packets, packet)
			got++
		}
		q.Deliver(packets)
		for _, p := range read {
			buffers.put(p[:slotLen])
		}
	}
	require.Equal(t, batchLen, largest)
	for i := range count {
		b := make([]byte, 2*count)
		n, from, err := c.ReadFromUDPAddrPort(b)
		require.NoError(t, err)
		require.Equal(t, to, from)
		require.Equal(t, 1+i, n)
	}
	require.EqualValues(t, count, q.written.Load())
	require.GreaterOrEqual(t, q.read.Load(), uint64(count))
	require.Zero(t, q.writeErr.Load())
}

// What the host refuses is counted, and harms no other packet.
func TestTUNRefused(t *testing.T) {
	ns := newNamespace(t)
	q := newTUNDevice(t, ns).queues[0]
	good := ipPacket(20, 0, 9, 0, 9, 0, 8, 0, 0)
	q.Deliver([][]byte{good, {0x10, 2, 3}, good, {}})
	require.EqualValues(t, 2, q.written.Load())
	require.EqualValues(t, 2, q.writeErr.Load())
}

func TestTUNIsNew(t *testing.T) {
	ns := newNamespace(t)
	d := newTUNDevice(t, ns)
	ns.Do(func() {
		_, err := openTUN(tunConfig{d.name, 1, batchLen, false})
		require.ErrorIs(t, err, unix.EBUSY)
		require.ErrorContains(t, err, `userspace: TUN device "tun0": a device of that name is there already`)
	})
	d.Close()
	_, err := ns.NL.LinkByName(d.name)
	require.ErrorAs(t, err, new(netlink.LinkNotFoundError))
}

func TestTUNClose(t *testing.T) {
	ns := newNamespace(t)
	q := newTUNDevice(t, ns).queues[0]
	require.NoError(t, q.Close())
	_, err := q.Read(nil, newSlots(1), 1)
	require.ErrorIs(t, err, os.ErrClosed)
	q.Deliver([][]byte{ipPacket(20)})
	require.Zero(t, q.written.Load())
}

// A reader learns that the device is gone.
func TestTUNRemoved(t *testing.T) {
	ns := newNamespace(t)
	d := newTUNDevice(t, ns)
	link, err := ns.NL.LinkByName(d.name)
	require.NoError(t, err)
	require.NoError(t, ns.NL.LinkDel(link))
	d.queues[0].await(t)
	_, err = d.queues[0].Read(nil, newSlots(1), 1)
	require.ErrorIs(t, err, unix.EBADFD)
}

func TestTUNAllocatesNothing(t *testing.T) {
	ns := newNamespace(t)
	q := newTUNDevice(t, ns).queues[0]
	c := ns.listenUDP(t, "10.99.0.1:0")

	dst := netip.MustParseAddrPort("10.99.0.2:9")
	buffers := newSlots(batchLen)
	read := make([][]byte, 0, batchLen)
	packets := make([][]byte, 0, batchLen)
	payload := make([]byte, 100)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for range 4 {
			if _, err := c.WriteToUDPAddrPort(payload, dst); err != nil {
				panic(err)
			}
		}
		for got := 0; got < 4; {
			var err error
			if read, err = q.Read(read[:0], buffers, batchLen); err != nil {
				panic(err)
			}
			packets = packets[:0]
			for _, p := range read {
				packets = append(packets, p[engine.Headroom:])
				buffers.put(p[:slotLen])
			}
			q.Deliver(packets)
			got += len(read)
		}
	}))
}
