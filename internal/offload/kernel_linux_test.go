package offload

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/nstest"
)

const (
	mtu = 1400

	// Not in package unix.
	tunUSO4 = 0x20
	tunUSO6 = 0x40
)

// node is a network namespace with a TUN device that carries virtio headers.
type node struct {
	*nstest.Namespace
	fd  int      // of the device
	tun *os.File // the same, for reading
	uso bool     // the kernel splits and takes large datagrams
}

// newNode makes one with two addresses.
func newNode(t *testing.T, addresses ...string) *node {
	t.Helper()
	n := &node{Namespace: nstest.New(t)}
	var err error
	n.Do(func() { err = n.setUp(addresses) })
	if err == unix.EPERM || err == unix.ENOENT || err == unix.ENODEV {
		nstest.Missing(t, "network namespace with a TUN device: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { n.tun.Close() })
	return n
}

func (n *node) setUp(addresses []string) (err error) {
	if n.fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
		return err
	}
	req, err := unix.NewIfreq("tun0")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(n.fd, unix.TUNSETIFF, req); err != nil {
		return err
	}
	const tcp = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
	if n.uso = unix.IoctlSetInt(n.fd, unix.TUNSETOFFLOAD, tcp|tunUSO4|tunUSO6) == nil; !n.uso {
		if err := unix.IoctlSetInt(n.fd, unix.TUNSETOFFLOAD, tcp); err != nil {
			return err
		}
	}
	n.tun = os.NewFile(uintptr(n.fd), "tun")
	link, err := netlink.LinkByName("tun0")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return err
	}
	for _, a := range addresses {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	return n.awaitRoutes(addresses)
}

// awaitRoutes waits until packets to the addresses are taken for the host's own. Those of
// IPv6 are so a moment after their device is up.
func (n *node) awaitRoutes(addresses []string) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		local, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_LOCAL}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return err
		}
		missing := slices.ContainsFunc(addresses, func(a string) bool {
			addr := netip.MustParsePrefix(a).Addr()
			return !slices.ContainsFunc(local, func(r netlink.Route) bool { return r.Dst != nil && r.Dst.IP.Equal(addr.AsSlice()) })
		})
		if !missing || time.Now().After(deadline) {
			return nil
		}
	}
}

// joint carries packets from one node to another, as a data plane does.
type joint struct {
	from, to *node
	// Packets with segmentation, by its type.
	read, written [8]atomic.Int64
	failed        atomic.Pointer[error]
}

func (j *joint) run() {
	const headroom, slot, slots = 32, 2048, 100
	buf, memory := make([]byte, HeaderLen+1<<16), make([]byte, slots*slot)
	var s Splitter
	c := NewCoalescer(slots, Protocols{TCP: true, UDP: j.to.uso})
	fail := func(what string, err error) { err = fmt.Errorf("%s: %w", what, err); j.failed.Store(&err) }
	for {
		n, err := j.from.tun.Read(buf)
		if err != nil {
			return
		}
		var h Header
		if _, err := h.Decode(buf[:n]); err != nil {
			fail("header", err)
			return
		}
		j.read[h.GSOType&7].Add(1)
		if err := s.Reset(h, buf[HeaderLen:n], headroom+mtu); err != nil {
			fail(fmt.Sprintf("%+v, % x", h, buf[HeaderLen:min(n, 90)]), err)
			return
		}
		for done := false; !done; {
			for i := range slots {
				at := memory[i*slot+headroom:][:slot-headroom]
				size := s.Next(at)
				if done = size == 0; done {
					break
				}
				if size > mtu {
					fail("size", fmt.Errorf("%d", size))
				}
				c.Add(at[:size])
			}
			for parts := c.Next(); parts != nil; parts = c.Next() {
				h.Decode(parts[0])
				j.written[h.GSOType&7].Add(1)
				if _, err := unix.Writev(j.to.fd, parts); err != nil {
					fail(fmt.Sprintf("write of %+v", h), err)
				}
			}
		}
	}
}

// newJoint makes two nodes and carries packets between them.
func newJoint(t *testing.T) (there, back *joint) {
	a := newNode(t, "10.9.0.1/24", "fd09::1/64")
	b := newNode(t, "10.9.0.2/24", "fd09::2/64")
	there, back = &joint{from: a, to: b}, &joint{from: b, to: a}
	ended := make(chan struct{}, 2)
	for _, j := range []*joint{there, back} {
		go func() { defer func() { ended <- struct{}{} }(); j.run() }()
	}
	t.Cleanup(func() {
		a.tun.SetReadDeadline(time.Now())
		b.tun.SetReadDeadline(time.Now())
		<-ended
		<-ended
		for _, j := range []*joint{there, back} {
			if err := j.failed.Load(); err != nil {
				t.Error(*err)
			}
		}
	})
	return there, back
}

// Kernels talk TCP to each other, both ways at once, through what the package makes
// of their packets.
func TestKernelTCP(t *testing.T) {
	there, back := newJoint(t)
	for _, tt := range []struct {
		address string
		gso     int
	}{{"10.9.0.2", GSOTCPv4}, {"fd09::2", GSOTCPv6}} {
		t.Run(tt.address, func(t *testing.T) {
			var listener *net.TCPListener
			var conn *net.TCPConn
			var err error
			there.to.Do(func() {
				listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(tt.address), 0)))
			})
			require.NoError(t, err)
			defer listener.Close()
			go func() {
				if c, err := listener.AcceptTCP(); err == nil {
					io.Copy(c, c)
					c.Close()
				}
			}()
			there.from.Do(func() { conn, err = net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr)) })
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))

			const size = 8 << 20
			var seed [32]byte
			sent, got := sha256.New(), sha256.New()
			go func() {
				io.Copy(io.MultiWriter(conn, sent), io.LimitReader(rand.NewChaCha8(seed), size))
				conn.CloseWrite()
			}()
			n, err := io.Copy(got, conn)
			require.NoError(t, err)
			require.EqualValues(t, size, n)
			require.Equal(t, sent.Sum(nil), got.Sum(nil))
			for _, j := range []*joint{there, back} {
				t.Logf("large packets: %d read, %d written", j.read[tt.gso].Load(), j.written[tt.gso].Load())
				require.Positive(t, j.read[tt.gso].Load())
				require.Positive(t, j.written[tt.gso].Load())
			}
		})
	}
}

func TestKernelUDP(t *testing.T) {
	there, _ := newJoint(t)
	if !there.from.uso {
		nstest.Missing(t, "the kernel does not know TUN_F_USO4")
	}
	for _, address := range []string{"10.9.0.2", "fd09::2"} {
		t.Run(address, func(t *testing.T) {
			var receiver, sender *net.UDPConn
			var err error
			there.to.Do(func() {
				receiver, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 0)))
			})
			require.NoError(t, err)
			defer receiver.Close()
			require.NoError(t, receiver.SetDeadline(time.Now().Add(10*time.Second)))
			// All of it may have to wait, at several times its size.
			require.NoError(t, receiver.SetReadBuffer(1<<20))
			there.from.Do(func() { sender, err = net.DialUDP("udp", nil, receiver.LocalAddr().(*net.UDPAddr)) })
			require.NoError(t, err)
			defer sender.Close()

			const size, count = 1000, 40
			raw, err := sender.SyscallConn()
			require.NoError(t, err)
			require.NoError(t, raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, size)
			}))
			require.NoError(t, err)
			payload := octets(size*count - 10)
			before := there.written[GSOUDP].Load()
			_, err = sender.Write(payload)
			require.NoError(t, err)
			var got bytes.Buffer
			buf := make([]byte, 2*size)
			for got.Len() < len(payload) {
				n, err := receiver.Read(buf)
				require.NoError(t, err)
				require.Equal(t, min(size, len(payload)-got.Len()), n)
				got.Write(buf[:n])
			}
			require.Equal(t, payload, got.Bytes())
			require.Positive(t, there.read[GSOUDP].Load())
			require.Greater(t, there.written[GSOUDP].Load(), before)
		})
	}
}
