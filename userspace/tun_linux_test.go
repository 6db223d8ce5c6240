package userspace

import (
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// newTUNDevice opens a device in the namespace, up, with 10.99.0.1/24.
func newTUNDevice(t *testing.T, ns *namespace) *tunDevice {
	t.Helper()
	var d *tunDevice
	var err error
	ns.do(func() { d, err = openTUN("tun%d") })
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	link, err := ns.nl.LinkByName(d.name)
	require.NoError(t, err)
	require.NoError(t, ns.nl.LinkSetUp(link))
	require.NoError(t, ns.nl.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.99.0.1/24"))}))
	return d
}

func newBufs(offset int) ([][]byte, []int) {
	bufs := make([][]byte, batchLen)
	for i := range bufs {
		bufs[i] = make([]byte, offset+slotLen)
	}
	return bufs, make([]int, batchLen)
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
	const offset, count = 24, 100
	to := netip.MustParseAddrPort("10.99.0.2:9")
	for i := range count {
		_, err := c.WriteToUDPAddrPort(make([]byte, 1+i), to)
		require.NoError(t, err)
	}

	bufs, sizes := newBufs(offset)
	var largest int
	for got := 0; got < count; {
		n, err := d.Read(bufs, sizes, offset)
		require.NoError(t, err)
		largest = max(largest, n)
		var packets [][]byte
		for i, size := range sizes[:n] {
			p := bufs[i][:offset+size]
			if p[offset]>>4 != 4 {
				continue // the host's IPv6
			}
			require.Equal(t, 20+8+1+got, size)
			swap(p[offset:])
			packets = append(packets, p)
			got++
		}
		d.Write(packets, offset)
	}
	require.Equal(t, batchLen, largest)
	for i := range count {
		b := make([]byte, 2*count)
		n, from, err := c.ReadFromUDPAddrPort(b)
		require.NoError(t, err)
		require.Equal(t, to, from)
		require.Equal(t, 1+i, n)
	}
	require.EqualValues(t, count, d.written.Load())
	require.GreaterOrEqual(t, d.read.Load(), uint64(count))
	require.Zero(t, d.writeErr.Load())
}

// What the host refuses is counted, and harms no other packet.
func TestTUNRefused(t *testing.T) {
	ns := newNamespace(t)
	d := newTUNDevice(t, ns)
	good := ipPacket(20, 0, 9, 0, 9, 0, 8, 0, 0)
	d.Write([][]byte{good, {0x10, 2, 3}, good, {}}, 0)
	require.EqualValues(t, 2, d.written.Load())
	require.EqualValues(t, 2, d.writeErr.Load())
}

func TestTUNIsNew(t *testing.T) {
	ns := newNamespace(t)
	d := newTUNDevice(t, ns)
	ns.do(func() {
		_, err := openTUN(d.name)
		require.ErrorIs(t, err, unix.EBUSY)
		require.ErrorContains(t, err, `userspace: TUN device "tun0": a device of that name is there already`)
	})
	require.NoError(t, d.Close())
	_, err := ns.nl.LinkByName(d.name)
	require.ErrorAs(t, err, new(netlink.LinkNotFoundError))
}

func readUntilError(d *tunDevice) <-chan error {
	ended := make(chan error, 1)
	go func() {
		bufs, sizes := newBufs(0)
		for {
			if _, err := d.Read(bufs, sizes, 0); err != nil {
				ended <- err
				return
			}
		}
	}()
	return ended
}

func TestTUNClose(t *testing.T) {
	ns := newNamespace(t)
	d := newTUNDevice(t, ns)
	ended := readUntilError(d)
	time.Sleep(10 * time.Millisecond) // let it wait
	require.NoError(t, d.Close())
	require.ErrorIs(t, <-ended, os.ErrClosed)
	bufs, sizes := newBufs(0)
	_, err := d.Read(bufs, sizes, 0)
	require.ErrorIs(t, err, os.ErrClosed)
	d.Write([][]byte{ipPacket(20)}, 0)
	require.Zero(t, d.written.Load())
}

// A reader learns that the device is gone.
func TestTUNRemoved(t *testing.T) {
	ns := newNamespace(t)
	d := newTUNDevice(t, ns)
	ended := readUntilError(d)
	time.Sleep(10 * time.Millisecond) // let it wait
	link, err := ns.nl.LinkByName(d.name)
	require.NoError(t, err)
	require.NoError(t, ns.nl.LinkDel(link))
	select {
	case err := <-ended:
		require.False(t, errors.Is(err, os.ErrClosed), err)
	case <-time.After(5 * time.Second):
		t.Fatal("still waits")
	}
}

func TestTUNAllocatesNothing(t *testing.T) {
	ns := newNamespace(t)
	d := newTUNDevice(t, ns)
	c := ns.listenUDP(t, "10.99.0.1:0")

	dst := netip.MustParseAddrPort("10.99.0.2:9")
	bufs, sizes := newBufs(0)
	packets := make([][]byte, 0, batchLen)
	payload := make([]byte, 100)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for range 4 {
			if _, err := c.WriteToUDPAddrPort(payload, dst); err != nil {
				panic(err)
			}
		}
		for got := 0; got < 4; {
			n, err := d.Read(bufs, sizes, 0)
			if err != nil {
				panic(err)
			}
			packets = packets[:0]
			for i, size := range sizes[:n] {
				packets = append(packets, bufs[i][:size])
			}
			d.Write(packets, 0)
			got += n
		}
	}))
}
