package firewall

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/nstest"
	"github.com/gopptp/gopptp/internal/xdp"
)

// world is a gateway between clients and the Internet: ppp0 is to the clients, who have
// 10.0.0.2, 10.0.0.3 and, as in a tunnel, 10.8.0.5; inet0 is to 192.0.2.2, which knows
// no way to 10.8.0.0/24.
type world struct {
	t                          *testing.T
	gateway, clients, internet *nstest.Namespace
}

func newWorld(t *testing.T) *world {
	w := &world{t, nstest.New(t), nstest.New(t), nstest.New(t)}
	w.link("ppp0", w.clients, "10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "10.8.0.5/32")
	w.link("inet0", w.internet, "192.0.2.1/24", "192.0.2.2/24")
	w.route(w.clients, "0.0.0.0/0", "10.0.0.1")
	w.route(w.gateway, "10.8.0.0/24", "10.0.0.2")
	w.gateway.Do(func() { require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)) })
	return w
}

// link joins the gateway with another namespace.
func (w *world) link(name string, other *nstest.Namespace, own string, theirs ...string) {
	require.NoError(w.t, w.gateway.NL.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "eth0", PeerNamespace: netlink.NsFd(other.FD),
	}))
	set := func(ns *nstest.Namespace, device string, addrs ...string) {
		l, err := ns.NL.LinkByName(device)
		require.NoError(w.t, err)
		for _, a := range addrs {
			addr, err := netlink.ParseAddr(a)
			require.NoError(w.t, err)
			require.NoError(w.t, ns.NL.AddrAdd(l, addr))
		}
		require.NoError(w.t, ns.NL.LinkSetUp(l))
	}
	set(w.gateway, name, own)
	set(other, "eth0", theirs...)
}

func (w *world) route(ns *nstest.Namespace, network, via string) {
	_, dst, err := net.ParseCIDR(network)
	require.NoError(w.t, err)
	require.NoError(w.t, ns.NL.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(via)}))
}

// open opens a firewall at the gateway.
func (w *world) open(s Settings) *Firewall {
	w.t.Helper()
	f, err := Open(Config{Settings: s, Namespace: w.gateway.FD, Log: slog.New(slog.DiscardHandler)})
	if err != nil && os.IsPermission(err) {
		nstest.Missing(w.t, "%v", err)
	}
	require.NoError(w.t, err)
	return f
}

func (w *world) listen(ns *nstest.Namespace, addr string) (l net.Listener) {
	ns.Do(func() {
		var err error
		l, err = net.Listen("tcp4", addr)
		require.NoError(w.t, err)
	})
	w.t.Cleanup(func() { l.Close() })
	return l
}

// dial connects from an address of the clients.
func (w *world) dial(from, to string, patience time.Duration) (nc net.Conn, err error) {
	w.clients.Do(func() {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
		nc, err = d.DialContext(context.Background(), "tcp4", to)
	})
	if err == nil {
		w.t.Cleanup(func() { nc.Close() })
	}
	return nc, err
}

// tables are the names of those of the gateway.
func (w *world) tables() (names []string) {
	list, err := (&nftables.Conn{NetNS: w.gateway.FD}).ListTables()
	require.NoError(w.t, err)
	for _, t := range list {
		names = append(names, fmt.Sprint(t.Family, " ", t.Name))
	}
	return names
}

const patience = 30 * time.Second

// gre is what the gateway's raw socket gets.
type gre struct {
	w        *world
	senders  map[string]*net.IPConn
	received func() (from, payload string)
}

func (w *world) gre() *gre {
	g := &gre{w: w, senders: make(map[string]*net.IPConn)}
	var receiver net.PacketConn
	w.gateway.Do(func() {
		var err error
		receiver, err = net.ListenPacket("ip4:47", "10.0.0.1")
		require.NoError(w.t, err)
	})
	w.t.Cleanup(func() { receiver.Close() })
	for _, from := range []string{"10.0.0.2", "10.0.0.3"} {
		w.clients.Do(func() {
			c, err := net.DialIP("ip4:47", &net.IPAddr{IP: net.ParseIP(from)}, &net.IPAddr{IP: net.IPv4(10, 0, 0, 1)})
			require.NoError(w.t, err)
			g.senders[from] = c
		})
		w.t.Cleanup(func() { g.senders[from].Close() })
	}
	g.received = func() (string, string) {
		b := make([]byte, 100)
		require.NoError(w.t, receiver.SetReadDeadline(time.Now().Add(patience)))
		n, from, err := receiver.ReadFrom(b)
		require.NoError(w.t, err)
		return from.String(), string(b[:n])
	}
	return g
}

const (
	pptpHeader  = "\x30\x81\x88\x0b\x00\x00\x00\x01"
	plainHeader = "\x00\x00\x08\x00" // of GRE that is not PPTP's
)

// passes reports whether PPTP's GRE from an address is let in. A packet that always is comes
// after it, so that nothing is to be waited for.
func (g *gre) passes(from string) bool {
	for _, header := range []string{pptpHeader, plainHeader} {
		_, err := g.senders[from].Write([]byte(header))
		require.NoError(g.w.t, err)
	}
	passed := false
	for {
		source, payload := g.received()
		assert.Equal(g.w.t, from, source)
		if payload == plainHeader {
			return passed
		}
		assert.Equal(g.w.t, pptpHeader, payload)
		passed = true
	}
}

var gatewayRules = Settings{
	Enabled: true, Table: "gopptp", Ports: []uint16{1723}, PeersOnly: true,
	Masquerade: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24"), netip.MustParsePrefix("2001:db8:1::/48")},
	Tunnels:    []string{"pptp0", "ppp*"}, ClampMSS: []string{"ppp*"},
}

// GRE of those who have a control connection passes from its beginning, and nobody else's.
func TestStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.open(gatewayRules)
	g := w.gre()
	assert.False(t, g.passes("10.0.0.2"))
	l := f.Listener(w.listen(w.gateway, "10.0.0.1:1723"))
	_, err := w.dial("10.0.0.2", "10.0.0.1:1723", patience)
	require.NoError(t, err)
	in, err := l.Accept()
	require.NoError(t, err)
	assert.True(t, g.passes("10.0.0.2"), "at once")
	assert.Implements(t, (*interface{ PlainTCP() *net.TCPConn })(nil), in, "which the library reads without a goroutine")
	assert.False(t, g.passes("10.0.0.3"))
	s, err := f.Snapshot()
	require.NoError(t, err)
	assert.Equal(t, Snapshot{Enabled: true, Peers: 1, StrangersPackets: 2, StrangersOctets: 2 * (20 + 8)}, s)

	in.Close()
	assert.True(t, g.passes("10.0.0.2"), "it lingers")
	f.wanted.sweep(time.Now().Add(linger))
	nstest.Eventually(t, "is a stranger", func() bool { return !g.passes("10.0.0.2") })

	// Whatever others do to the table, it comes back with all that is in it.
	_, err = w.dial("10.0.0.2", "10.0.0.1:1723", patience)
	require.NoError(t, err)
	_, err = l.Accept()
	require.NoError(t, err)
	c := &nftables.Conn{NetNS: w.gateway.FD}
	c.FlushRuleset()
	require.NoError(t, c.Flush())
	assert.True(t, g.passes("10.0.0.3"), "nothing is left")
	f.restore()
	assert.False(t, g.passes("10.0.0.3"))
	assert.True(t, g.passes("10.0.0.2"))
	c.FlushTable(f.table.Table)
	require.NoError(t, c.Flush())
	assert.True(t, g.passes("10.0.0.3"), "its rules are gone, and its sets are not")
	f.restore()
	assert.False(t, g.passes("10.0.0.3"))
	c.FlushRuleset()
	require.NoError(t, c.Flush())
	_, err = w.dial("10.0.0.3", "10.0.0.1:1723", patience)
	require.NoError(t, err)
	_, err = l.Accept()
	require.NoError(t, err)
	assert.True(t, g.passes("10.0.0.3"), "a change finds it missing, and makes all of it")
	assert.True(t, g.passes("10.0.0.2"))
	f.restore()
	s, err = f.Snapshot()
	require.NoError(t, err)
	assert.EqualValues(t, 3, s.Restored, "and it is left alone when it is as it should be")

	require.NoError(t, l.Close())
	require.NoError(t, f.Close())
	assert.Empty(t, w.tables())
}

// Those who are banned get no connection, and those who are in go on.
func TestBannedSources(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := gatewayRules
	s.PeersOnly = false
	f := w.open(s)
	defer f.Close()
	g := w.gre()
	l := f.Listener(w.listen(w.gateway, "10.0.0.1:1723"))
	defer l.Close()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				_, _ = io.Copy(nc, nc)
			}()
		}
	}()
	other := w.listen(w.gateway, "10.0.0.1:22")
	early, err := w.dial("10.0.0.2", "10.0.0.1:1723", patience)
	require.NoError(t, err)
	assert.True(t, g.passes("10.0.0.3"), "whoever it is")

	banned := func(from string) bool {
		nc, err := w.dial(from, "10.0.0.1:1723", 300*time.Millisecond)
		if err == nil {
			nc.Close()
		}
		return err != nil
	}
	for _, source := range []string{"10.0.0.3/32", "10.0.0.0/24"} {
		p := netip.MustParsePrefix(source)
		f.Ban(p, time.Now().Add(time.Hour))
		nstest.Eventually(t, "banned", func() bool { return banned("10.0.0.3") })
		nstest.Eventually(t, "no peer", func() bool {
			f.wanted.sweep(time.Now().Add(linger)) // it may have come in just before
			return !g.passes("10.0.0.3")
		})
		if source == "10.0.0.0/24" {
			assert.True(t, banned("10.0.0.2"))
		} else {
			_, err = w.dial("10.0.0.2", "10.0.0.1:1723", patience)
			require.NoError(t, err)
		}
		assert.True(t, g.passes("10.0.0.2"), "has a control connection")
		_, err = w.dial("10.0.0.3", other.Addr().String(), patience)
		require.NoError(t, err, "to another port")
		_, err = early.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, early.SetReadDeadline(time.Now().Add(patience)))
		_, err = early.Read(make([]byte, 1))
		require.NoError(t, err)
		f.Ban(p, time.Now().Add(2*time.Hour)) // another end
		f.Ban(p, time.Time{})
		nstest.Eventually(t, "over", func() bool { return !banned("10.0.0.3") })
	}
	// The table ends bans by itself.
	f.Ban(netip.MustParsePrefix("10.0.0.3/32"), time.Now().Add(2*time.Second))
	nstest.Eventually(t, "banned", func() bool { return banned("10.0.0.3") })
	nstest.Eventually(t, "over", func() bool { return !banned("10.0.0.3") })
	counted, err := f.Snapshot()
	require.NoError(t, err)
	assert.Positive(t, counted.BannedPackets)
	assert.Zero(t, counted.Restored, "all of it by the changes alone")
}

// AF_XDP goes around the table with packets of calls, and with no others: whoever has none is
// dropped and counted all the same, under the ID of somebody else's call, too.
func TestBesideXDP(t *testing.T) {
	t.Parallel()
	if err := xdp.Probe(); err != nil {
		nstest.Missing(t, "no AF_XDP: %v", err)
	}
	w := newWorld(t)
	f := w.open(gatewayRules)
	defer f.Close()
	g := w.gre()
	<-f.wanted.join(netip.MustParseAddr("10.0.0.2")) // has a control connection
	calls, err := xdp.NewFilter(16)
	require.NoError(t, err)
	defer calls.Close()
	call := xdp.Key{Peer: netip.MustParseAddr("10.0.0.2"), Local: netip.MustParseAddr("10.0.0.1"), CallID: 7}
	require.NoError(t, calls.Add(call))
	link, err := w.gateway.NL.LinkByName("ppp0") // where clients come from
	require.NoError(t, err)
	var device *xdp.Interface
	w.gateway.Do(func() { device, err = xdp.OpenInterface(calls, link.Attrs().Index, xdp.Options{Mode: xdp.Generic}) })
	require.NoError(t, err)
	defer device.Close()

	const ofCall = "\x30\x81\x88\x0b\x00\x00\x00\x07"
	send := func(from string) {
		_, err := g.senders[from].Write([]byte(ofCall))
		require.NoError(t, err)
	}
	fast := func() bool {
		var frames [1][]byte
		if device.Sockets()[0].Receive(frames[:]) == 0 {
			return false
		}
		assert.Contains(t, string(frames[0]), ofCall)
		device.Sockets()[0].Free(frames[0])
		return true
	}
	assert.True(t, g.passes("10.0.0.2"), "of no call, and of a peer")
	assert.False(t, g.passes("10.0.0.3"))
	send("10.0.0.2")
	nstest.Eventually(t, "around the table", fast)
	before, err := f.Snapshot()
	require.NoError(t, err)
	send("10.0.0.3")
	nstest.Eventually(t, "a stranger is counted", func() bool {
		s, err := f.Snapshot()
		require.NoError(t, err)
		return s.StrangersPackets == before.StrangersPackets+1
	})
	assert.False(t, fast())
	require.NoError(t, calls.Remove(call))
	send("10.0.0.2")
	_, payload := g.received()
	assert.Equal(t, ofCall, payload, "a call that is over")
	assert.False(t, fast())
}

// A table that begins to be, and ends, knows who is in; its rules change without a moment
// between them, and its counters go on.
func TestReload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.open(Settings{Table: "gopptp"})
	defer f.Close()
	g := w.gre()
	l := f.Listener(w.listen(w.gateway, "10.0.0.1:1723"))
	defer l.Close()
	_, err := w.dial("10.0.0.2", "10.0.0.1:1723", patience)
	require.NoError(t, err)
	_, err = l.Accept()
	require.NoError(t, err)
	f.Ban(netip.MustParsePrefix("10.0.0.3/32"), time.Now().Add(time.Hour))
	assert.Empty(t, w.tables())
	assert.True(t, g.passes("10.0.0.3"))
	s, err := f.Snapshot()
	require.NoError(t, err)
	assert.Equal(t, Snapshot{Peers: 1, Banned: 1}, s)

	require.NoError(t, f.Reload(gatewayRules))
	assert.True(t, g.passes("10.0.0.2"))
	assert.False(t, g.passes("10.0.0.3"))
	for i := range 2000 { // more than fits one transaction
		f.wanted.join(netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}))
	}
	f.update()
	stop, done := make(chan struct{}), make(chan bool)
	go func() { // GRE of a stranger all the time
		for passed := false; ; {
			select {
			case <-stop:
				done <- passed
				return
			default:
				passed = g.passes("10.0.0.3") || passed
			}
		}
	}()
	other := gatewayRules
	other.Masquerade = nil
	for addr := netip.MustParseAddr("10.16.0.0"); len(other.Masquerade) < 3000; addr = addr.Next().Next() {
		other.Masquerade = append(other.Masquerade, netip.PrefixFrom(addr, 32))
	}
	before, err := f.Snapshot()
	require.NoError(t, err)
	for range 10 {
		for _, s := range []Settings{other, gatewayRules} {
			require.NoError(t, f.Reload(s))
		}
	}
	require.NoError(t, f.Reload(other))
	close(stop)
	assert.False(t, <-done, "not for a moment")
	clients, err := (&nftables.Conn{NetNS: w.gateway.FD}).GetSetElements(f.table.clients)
	require.NoError(t, err)
	assert.Len(t, clients, 2*len(other.Masquerade), "where each begins and ends")
	after, err := f.Snapshot()
	require.NoError(t, err)
	assert.Greater(t, after.StrangersPackets, before.StrangersPackets)
	assert.True(t, g.passes("10.0.0.2"))
	c := &nftables.Conn{NetNS: w.gateway.FD}
	c.FlushRuleset()
	require.NoError(t, c.Flush())
	require.NoError(t, f.Reload(other), "whatever others have done")
	assert.False(t, g.passes("10.0.0.3"))
	assert.True(t, g.passes("10.0.0.2"))

	require.NoError(t, f.Reload(Settings{Table: "gopptp"}))
	assert.Empty(t, w.tables())
	assert.True(t, g.passes("10.0.0.3"))
}

// More than fits one transaction.
func TestManyElements(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.open(gatewayRules)
	defer f.Close()
	const many = 5000
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}) }
	for i := range many {
		f.Ban(netip.PrefixFrom(address(i), 32), time.Now().Add(time.Hour))
	}
	for i := range many {
		if ready := f.wanted.join(address(i)); i == many-1 && ready != nil {
			<-ready
		}
	}
	count := func() []int {
		var n []int
		for _, set := range []*nftables.Set{f.table.banned, f.table.peers} {
			list, err := (&nftables.Conn{NetNS: w.gateway.FD}).GetSetElements(set)
			require.NoError(t, err)
			n = append(n, len(list))
		}
		return n
	}
	nstest.Eventually(t, "all of them", func() bool { return assert.ObjectsAreEqual([]int{many, many}, count()) })
	require.NoError(t, f.Reload(gatewayRules))
	assert.Equal(t, []int{many, many}, count())
	s, err := f.Snapshot()
	require.NoError(t, err)
	assert.Zero(t, s.Restored)
}

// What clients send has the gateway's address on its way out, and segments that fit.
func TestMasquerade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tunnel, err := w.gateway.NL.LinkByName("ppp0")
	require.NoError(t, err)
	require.NoError(t, w.gateway.NL.LinkSetMTU(tunnel, 1400))
	s := gatewayRules
	f := w.open(s)
	server := w.listen(w.internet, "192.0.2.2:80")
	connect := func() (from string, segment int) {
		_, err := w.dial("10.8.0.5", "192.0.2.2:80", patience)
		require.NoError(t, err)
		nc, err := server.Accept()
		require.NoError(t, err)
		defer nc.Close()
		raw, err := nc.(*net.TCPConn).SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) {
			segment, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
		}))
		require.NoError(t, err)
		return nc.RemoteAddr().(*net.TCPAddr).IP.String(), segment
	}
	from, segment := connect()
	assert.Equal(t, "192.0.2.1", from)
	assert.LessOrEqual(t, segment, 1400-40)

	s.ClampMSS, s.Interfaces = nil, []string{"inet0"}
	require.NoError(t, f.Reload(s))
	from, segment = connect()
	assert.Equal(t, "192.0.2.1", from)
	assert.Greater(t, segment, 1400-40)

	s.Interfaces, s.Table = []string{"other0"}, "elsewhere"
	require.NoError(t, f.Reload(s))
	assert.Equal(t, []string{"1 elsewhere"}, w.tables())
	_, err = w.dial("10.8.0.5", "192.0.2.2:80", 300*time.Millisecond)
	require.Error(t, err, "who has that address, nobody there knows")
	require.NoError(t, f.Close())
	assert.Empty(t, w.tables())
}

// Operators see the table by nft, which can load what it shows.
func TestListedByNft(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("nft")
	if err != nil {
		t.Skip("needs nft: scripts/apt.sh nftables")
	}
	w := newWorld(t)
	nft := func(input string, args ...string) string {
		var out []byte
		w.gateway.Do(func() {
			cmd := exec.CommandContext(t.Context(), program, args...)
			cmd.Stdin = strings.NewReader(input)
			out, err = cmd.CombinedOutput()
		})
		require.NoError(t, err, string(out))
		return string(out)
	}
	for _, change := range []func(*Settings){
		func(*Settings) {},
		func(s *Settings) { s.PeersOnly, s.Interfaces = false, []string{"eth0"} },
	} {
		s := gatewayRules
		change(&s)
		f := w.open(s)
		f.wanted.join(netip.MustParseAddr("192.0.2.7"))
		f.Ban(netip.MustParsePrefix("192.0.2.8/32"), time.Now().Add(time.Hour))
		f.Ban(netip.MustParsePrefix("198.51.100.0/24"), time.Now().Add(time.Hour))
		f.update()
		list := nft("", "list", "ruleset")
		for _, part := range []string{"table inet gopptp", "192.0.2.7", "192.0.2.8 timeout", "198.51.100.0/24", "10.8.0.0/24", "2001:db8:1::/48", "masquerade", "set rt mtu", "dport 1723"} {
			assert.Contains(t, list, part)
		}
		nft(list, "-c", "-f", "-")
		nft("", "-j", "list", "ruleset")
		require.NoError(t, f.Close())
	}
}

// What a crash has left goes in the transaction that makes the table, and what cannot be made
// leaves what there is.
func TestLeftOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	crashed := w.open(gatewayRules)
	crashed.Ban(netip.MustParsePrefix("10.0.0.2/32"), time.Now().Add(time.Hour))
	crashed.update()
	close(crashed.stop)
	<-crashed.done
	f := w.open(gatewayRules)
	defer f.Close()
	assert.Equal(t, []string{"1 gopptp"}, w.tables())
	list, err := (&nftables.Conn{NetNS: w.gateway.FD}).GetSetElements(f.table.banned)
	require.NoError(t, err)
	assert.Empty(t, list)

	bad := gatewayRules
	bad.Table = string(make([]byte, 300))
	require.Error(t, f.Reload(bad))
	assert.Equal(t, []string{"1 gopptp"}, w.tables())
	_, err = Open(Config{Settings: bad, Namespace: w.gateway.FD})
	require.Error(t, err)
}

// A table that somebody else has made is never touched.
func TestForeignTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := &nftables.Conn{NetNS: w.gateway.FD}
	host := c.AddTable(&nftables.Table{Name: "filter", Family: nftables.TableFamilyINet})
	c.AddChain(&nftables.Chain{Table: host, Name: "input"})
	require.NoError(t, c.Flush())
	s := gatewayRules
	s.Table = "filter"
	_, err := Open(Config{Settings: s, Namespace: w.gateway.FD})
	require.EqualError(t, err, "firewall: table inet filter is there already, and is not the gateway's: give it another name, by firewall.table")
	f := w.open(gatewayRules)
	var foreign *ForeignTableError
	require.ErrorAs(t, f.Reload(s), &foreign)
	require.NoError(t, f.Close())
	assert.Equal(t, []string{"1 filter"}, w.tables())
	chains, err := c.ListChains()
	require.NoError(t, err)
	assert.Len(t, chains, 1)
}

// A gateway that may not change the firewall is told so when it starts.
func TestWithoutCapability(t *testing.T) {
	t.Parallel()
	ns := nstest.New(t)
	ns.Do(func() { // the thread is nobody else's, and ends with the test
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		require.NoError(t, unix.Capget(&header, &data[0]))
		data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		require.NoError(t, unix.Capset(&header, &data[0]))
		_, err := Open(Config{Settings: gatewayRules})
		assert.ErrorContains(t, err, "firewall: needs the capability CAP_NET_ADMIN")
	})
	tables, err := (&nftables.Conn{NetNS: ns.FD}).ListTables()
	require.NoError(t, err)
	assert.Empty(t, tables)
}

// What a host lacks is said.
func TestExplain(t *testing.T) {
	assert.ErrorContains(t, explain(syscall.EPERM), "CAP_NET_ADMIN")
	assert.ErrorContains(t, explain(unix.EOPNOTSUPP), "this kernel has no nftables")
	assert.EqualError(t, explain(io.ErrUnexpectedEOF), "firewall: unexpected EOF")
}

// Forwarding is switched on, for IPv6 where that is wanted.
func TestForward(t *testing.T) {
	t.Parallel()
	nstest.New(t).Do(func() {
		sysctl := func(name string) string {
			value, err := os.ReadFile("/proc/sys/net/" + name)
			require.NoError(t, err)
			return strings.TrimSpace(string(value))
		}
		const four, six = "ipv4/ip_forward", "ipv6/conf/all/forwarding"
		require.NoError(t, os.WriteFile("/proc/sys/net/"+four, []byte("0"), 0))
		require.NoError(t, os.WriteFile("/proc/sys/net/"+six, []byte("0"), 0))
		assert.NoError(t, Forward(false))
		assert.Equal(t, []string{"1", "0"}, []string{sysctl(four), sysctl(six)})
		assert.NoError(t, Forward(true))
		assert.Equal(t, "1", sysctl(six))
	})
}
