package xdp

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/nstest"
)

var missing, eventually, descriptors = nstest.Missing, nstest.Eventually, nstest.Descriptors

// namespace is a network namespace, which lives until the end of the test.
type namespace struct{ *nstest.Namespace }

func newNamespace(t testing.TB) *namespace {
	t.Helper()
	return &namespace{nstest.New(t)}
}

// host is one end of a veth pair, alone in a namespace.
type host struct {
	*namespace
	index   int
	mac     net.HardwareAddr
	address string
}

// newPair makes two hosts, with the interface eth0.
func newPair(t testing.TB) (a, b *host) {
	t.Helper()
	return newPairOf(t, 1, 1)
}

// newPairOf gives eth0 queues for receiving and sending.
func newPairOf(t testing.TB, rx, tx int) (a, b *host) {
	t.Helper()
	if err := Probe(); err != nil {
		missing(t, "no AF_XDP: %v", err)
	}
	a = &host{namespace: newNamespace(t), address: "192.0.2.1"}
	b = &host{namespace: newNamespace(t), address: "192.0.2.2"}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	attrs.MTU = 3000
	attrs.NumRxQueues, attrs.NumTxQueues = rx, tx
	require.NoError(t, a.NL.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(b.FD), PeerMTU: 3000,
		PeerNumRxQueues: uint32(rx), PeerNumTxQueues: uint32(tx)}))
	for _, h := range []*host{a, b} {
		link, err := h.NL.LinkByName("eth0")
		require.NoError(t, err)
		h.index, h.mac = link.Attrs().Index, link.Attrs().HardwareAddr
		addr, err := netlink.ParseAddr(h.address + "/24")
		require.NoError(t, err)
		require.NoError(t, h.NL.AddrAdd(link, addr))
		require.NoError(t, h.NL.LinkSetUp(link))
	}
	for _, h := range []*host{a, b} {
		eventually(t, "eth0 is up", func() bool { return h.link(t).Attrs().OperState == netlink.OperUp })
	}
	return a, b
}

func (h *host) link(t testing.TB) netlink.Link {
	t.Helper()
	link, err := h.NL.LinkByIndex(h.index)
	require.NoError(t, err)
	return link
}

// attached is true if there is an XDP program.
func (h *host) attached(t testing.TB) bool {
	t.Helper()
	x := h.link(t).Attrs().Xdp
	return x != nil && x.Attached
}

// open opens the interface until the end of the test.
func (h *host) open(t testing.TB, f *Filter, o Options) *Interface {
	t.Helper()
	var i *Interface
	var err error
	h.Do(func() { i, err = OpenInterface(f, h.index, o) })
	require.NoError(t, err)
	t.Cleanup(func() { i.Close() })
	return i
}

// tap is a packet socket, which sees what the stack gets, and sends.
func (h *host) tap(t testing.TB) int {
	t.Helper()
	var fd int
	var err error
	h.Do(func() {
		protocol := uint16(network(unix.ETH_P_ALL))
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: h.index})
		}
	})
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func newFilter(t testing.TB, calls ...Key) *Filter {
	t.Helper()
	f, err := NewFilter(1024)
	if err != nil {
		missing(t, "no filter: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	for _, k := range calls {
		require.NoError(t, f.Add(k))
	}
	return f
}

// readable waits for one of the descriptors.
func readable(fds ...int) bool {
	var list []unix.PollFd
	for _, fd := range fds {
		list = append(list, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for {
		n, err := unix.Poll(list, 5000)
		if err != unix.EINTR {
			return n > 0
		}
	}
}

// modes runs a test in each mode that veth has.
func modes(t *testing.T, f func(t *testing.T, o Options)) {
	for _, mode := range []Mode{Native, Generic} {
		t.Run(mode.String(), func(t *testing.T) { f(t, Options{Mode: mode}) })
	}
}
