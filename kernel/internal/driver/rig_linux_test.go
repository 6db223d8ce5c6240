package driver

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/nstest"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// needDriver ends a test where the kernel has no PPTP driver: with a skip, as hardly
// any machine for tests has it, but with a failure in the laboratory, which is there
// for it.
func needDriver(t testing.TB) {
	t.Helper()
	f := Probe()
	for name, finding := range map[string]Finding{"pptp": f.PPTP, "ppp": f.PPP, "mppe": f.MPPE, "rates": f.Rates, "privileges": f.Privileges} {
		if finding.Answer == Supported {
			continue
		}
		if lab, _ := strconv.ParseBool(os.Getenv("GOPPTP_LAB")); lab {
			t.Fatalf("%s: %v", name, finding.Err)
		}
		t.Skipf("%s: %v", name, finding.Err)
	}
}

var (
	addrA  = netip.MustParseAddr("192.0.2.1")
	addrB  = netip.MustParseAddr("192.0.2.2")
	innerA = netip.MustParseAddr("10.0.0.1")
	innerB = netip.MustParseAddr("10.0.0.2")
)

// end is one of two hosts.
type end struct {
	ns     *nstest.Namespace
	driver Driver
	addr   netip.Addr
}

// pair is two hosts with a network between them.
func pair(t testing.TB) (a, b *end) {
	t.Helper()
	needDriver(t)
	a, b = &end{ns: nstest.New(t), addr: addrA}, &end{ns: nstest.New(t), addr: addrB}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "outer"}, PeerName: "outer", PeerNamespace: netlink.NsFd(b.ns.FD)}
	require.NoError(t, a.ns.NL.LinkAdd(veth))
	for _, e := range []*end{a, b} {
		link, err := e.ns.NL.LinkByName("outer")
		require.NoError(t, err)
		require.NoError(t, e.ns.NL.AddrAdd(link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(e.addr, 24))}))
		require.NoError(t, e.ns.NL.LinkSetUp(link))
		e.ns.Do(func() { e.driver, err = New() })
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, e.driver.Close()) })
	}
	return a, b
}

// inbox is a Handler that keeps what comes.
type inbox struct {
	mu     sync.Mutex
	frames [][]byte
	gone   error
}

func (i *inbox) Frame(frame []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.frames = append(i.frames, slices.Clone(frame))
}

func (i *inbox) Gone(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.gone = err
}

func (i *inbox) take() [][]byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	frames := i.frames
	i.frames = nil
	return frames
}

// await returns the next frames, n of them.
func (i *inbox) await(t testing.TB, n int) [][]byte {
	t.Helper()
	nstest.Eventually(t, "frames", func() bool {
		i.mu.Lock()
		defer i.mu.Unlock()
		return len(i.frames) >= n
	})
	return i.take()
}

// half is one end of a call.
type half struct {
	*end
	inbox
	socket Socket
	unit   Unit
}

func (e *end) bind(t testing.TB, peer netip.Addr, id uint16) *half {
	t.Helper()
	h := &half{end: e}
	var err error
	h.socket, err = e.driver.Bind(e.addr, peer, id, h)
	require.NoError(t, err)
	t.Cleanup(func() {
		if h.unit != nil {
			_ = h.unit.Close()
		}
		_ = h.socket.Close()
	})
	return h
}

func (h *half) connect(t testing.TB, peerID uint16) {
	t.Helper()
	require.NoError(t, h.socket.Connect(peerID))
	require.NoError(t, h.socket.AttachChannel())
}

func (h *half) newUnit(t testing.TB) {
	t.Helper()
	var err error
	h.unit, err = h.socket.NewUnit("")
	require.NoError(t, err)
}

// connected is a call between two hosts.
func connected(t testing.TB) (a, b *half) {
	t.Helper()
	hostA, hostB := pair(t)
	a, b = hostA.bind(t, addrB, 11), hostB.bind(t, addrA, 22)
	a.connect(t, 22)
	b.connect(t, 11)
	return a, b
}

func frame(protocol ppp.Protocol, payload ...byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(protocol)), payload...)
}

func packet(code ppp.Code, data ...byte) []byte {
	return append([]byte{byte(code), 1, 0, byte(4 + len(data))}, data...)
}

func ccp(code ppp.Code, data ...byte) []byte { return frame(ppp.ProtocolCCP, packet(code, data...)...) }

func option(p mppe.Params) []byte {
	o, err := mppeOption(p)
	if err != nil {
		panic(err)
	}
	return o
}

func params(length mppe.KeyLength, stateful bool, seed byte) mppe.Params {
	p := mppe.Params{KeyLength: length, Stateful: stateful}
	for i := range p.Key {
		p.Key[i] = seed + byte(i)
	}
	return p
}

// attach gives both ends addresses in the tunnel.
func attach(t testing.TB, a, b *half) {
	t.Helper()
	for _, x := range []struct {
		h           *half
		local, peer netip.Addr
	}{{a, innerA, innerB}, {b, innerB, innerA}} {
		require.NoError(t, x.h.unit.SetMTU(1400))
		require.NoError(t, x.h.unit.SetUp(true))
		require.NoError(t, x.h.unit.AddAddress(x.local, x.peer))
		require.NoError(t, x.h.unit.AddRoute(Route{To: netip.PrefixFrom(x.peer, 32), Source: x.local}))
		require.NoError(t, x.h.unit.Pass(true, false))
	}
}

// udp makes a socket in e's namespace.
func (e *end) udp(t testing.TB, local netip.Addr) int {
	t.Helper()
	var fd int
	var err error
	e.ns.Do(func() {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet4{Addr: local.As4(), Port: 9})
		}
	})
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// arrives reports whether a user's packet gets from one socket to another, sent once.
func arrives(t testing.TB, from int, to netip.Addr, at int, text string, patience time.Duration) bool {
	t.Helper()
	require.NoError(t, unix.Sendto(from, []byte(text), 0, &unix.SockaddrInet4{Addr: to.As4(), Port: 9}))
	buf := make([]byte, 2048)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		poll := []unix.PollFd{{Fd: int32(at), Events: unix.POLLIN}}
		if n, err := unix.Poll(poll, 50); n == 0 || errors.Is(err, unix.EINTR) {
			continue
		}
		n, err := unix.Read(at, buf)
		require.NoError(t, err)
		if string(buf[:n]) == text {
			return true
		}
	}
	return false
}

// passes requires that it does, however long it takes.
func passes(t testing.TB, from int, to netip.Addr, at int, text string) {
	t.Helper()
	require.True(t, arrives(t, from, to, at, text, 5*time.Second), "%q is lost", text)
}

// lost requires that it does not.
func lost(t testing.TB, from int, to netip.Addr, at int, text string) {
	t.Helper()
	require.False(t, arrives(t, from, to, at, text, 200*time.Millisecond), "%q has come", text)
}
