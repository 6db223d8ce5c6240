package userspace

import (
	"net"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tap is a network interface with a test at the other end of the cable: it sees
// every frame that leaves, and makes those that come. Its driver runs XDP programs.
type tap struct {
	name   string
	index  int
	mac    net.HardwareAddr
	queues []*os.File
	ended  sync.WaitGroup
}

// newTAP makes one in the namespace, which is up and lives until the end of the
// test. With offload, frames have a virtio header in front, and those that the test
// sends may be larger than the link takes; those that it gets never are.
func (ns *namespace) newTAP(t testing.TB, name string, queues int, offload bool) *tap {
	t.Helper()
	d := &tap{name: name}
	t.Cleanup(func() {
		for _, q := range d.queues {
			q.Close()
		}
		d.ended.Wait()
	})
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	if offload {
		flags |= unix.IFF_VNET_HDR
	}
	for range queues {
		var fd int
		var err error
		ns.Do(func() {
			if fd, err = unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
				return
			}
			var req *unix.Ifreq
			if req, err = unix.NewIfreq(name); err == nil {
				req.SetUint16(flags)
				err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
			}
		})
		require.NoError(t, err)
		d.queues = append(d.queues, os.NewFile(uintptr(fd), name))
	}
	link, err := ns.NL.LinkByName(name)
	require.NoError(t, err)
	require.NoError(t, ns.NL.LinkSetUp(link))
	d.index, d.mac = link.Attrs().Index, link.Attrs().HardwareAddr
	return d
}

// each calls f with every frame that leaves, which is valid during the call. The
// frames of one queue are in order.
func (d *tap) each(f func(queue int, frame []byte)) {
	for i, q := range d.queues {
		d.ended.Go(func() {
			buf := make([]byte, 1<<17)
			for {
				n, err := q.Read(buf)
				if err != nil {
					return
				}
				f(i, buf[:n])
			}
		})
	}
}

// send has a frame come.
func (d *tap) send(t testing.TB, queue int, frame []byte) {
	t.Helper()
	_, err := d.queues[queue%len(d.queues)].Write(frame)
	require.NoError(t, err)
}

// address gives the interface an address.
func (ns *namespace) address(t testing.TB, index int, addr string) {
	t.Helper()
	link, err := ns.NL.LinkByIndex(index)
	require.NoError(t, err)
	a, err := netlink.ParseAddr(addr)
	require.NoError(t, err)
	a.Flags = unix.IFA_F_NODAD
	require.NoError(t, ns.NL.AddrAdd(link, a))
}

// neighbour tells who has an address, for good.
func (ns *namespace) neighbour(t testing.TB, index int, addr string, mac net.HardwareAddr) {
	t.Helper()
	require.NoError(t, ns.NL.NeighSet(&netlink.Neigh{
		LinkIndex: index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(addr), HardwareAddr: mac,
	}))
}
