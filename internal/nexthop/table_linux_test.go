package nexthop

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// world is a host with two links.
//
//	host 192.0.2.1/24    ── eth0 ── 192.0.2.2/24    router
//	host 198.51.100.1/24 ── eth1 ── 198.51.100.2/24 router
type world struct {
	host, router *namespace
	table        *Table
}

const (
	localA, routerA = "192.0.2.1", "192.0.2.2"
	localB, routerB = "198.51.100.1", "198.51.100.2"
	far             = "203.0.113.7"
)

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{host: newNamespace(t), router: newNamespace(t)}
	join(t, "eth0", w.host, localA+"/24", w.router, routerA+"/24")
	join(t, "eth1", w.host, localB+"/24", w.router, routerB+"/24")
	w.table = w.host.open(t)
	return w
}

func (w *world) watch(local, peer string) *Path {
	return w.table.Watch(netip.MustParseAddr(local), netip.MustParseAddr(peer))
}

// connect watches a peer and sends to it as a data plane does, until frames can be.
func (w *world) connect(t testing.TB, local, peer string) *Path {
	t.Helper()
	p := w.watch(local, peer)
	w.send(t, p, local, peer)
	return p
}

func (w *world) send(t testing.TB, p *Path, local, peer string) {
	t.Helper()
	w.host.send(t, local, peer)
	eventually(t, "a hop", func() bool { return p.Load() != nil })
}

// leads checks that a path goes by a device to the router.
func (w *world) leads(t testing.TB, p *Path, name string) {
	t.Helper()
	at, to := w.host.link(t, name).Attrs(), w.router.link(t, name).Attrs()
	want := Hop{Ifindex: at.Index, MTU: at.MTU, Source: [6]byte(at.HardwareAddr), Dest: [6]byte(to.HardwareAddr)}
	eventually(t, fmt.Sprintf("%+v", want), func() bool { hop := p.Load(); return hop != nil && *hop == want })
}

func none(t testing.TB, p *Path) {
	t.Helper()
	eventually(t, "no hop", func() bool { return p.Load() == nil })
}

// settled waits until all paths have been looked up and no change waits for it.
func (w *world) settled(t testing.TB, paths ...*Path) {
	t.Helper()
	marker := w.connect(t, localA, routerA)
	marker.Release()
	for _, p := range paths {
		assert.Nil(t, p.Load())
	}
}

func TestDirect(t *testing.T) {
	w := newWorld(t)
	p := w.connect(t, localA, routerA)
	w.leads(t, p, "eth0")
	assert.Same(t, p, w.watch(localA, routerA))
	p.Release()
	w.leads(t, p, "eth0")
	p.Release()
	none(t, p)
	assert.Panics(t, p.Release)
}

func TestGateway(t *testing.T) {
	w := newWorld(t)
	p := w.connect(t, localA, routerA)
	q := w.watch(localA, far)
	w.settled(t, q)
	w.host.route(t, netlink.Route{}, "0.0.0.0/0", routerA)
	w.leads(t, q, "eth0")
	assert.Same(t, p.Load(), q.Load())

	t.Run("another device", func(t *testing.T) {
		w.host.route(t, netlink.Route{}, "0.0.0.0/0", routerB)
		none(t, q)
		w.send(t, q, localA, far)
		w.leads(t, q, "eth1")
		w.leads(t, p, "eth0")
	})
	t.Run("to this peer alone", func(t *testing.T) {
		w.host.route(t, netlink.Route{}, far+"/32", routerA)
		w.leads(t, q, "eth0")
	})
	t.Run("with an MTU", func(t *testing.T) {
		w.host.route(t, netlink.Route{MTU: 1400}, far+"/32", routerA)
		eventually(t, "the route's MTU", func() bool { return q.Load() != nil && q.Load().MTU == 1400 })
		assert.Equal(t, 1500, p.Load().MTU)
	})
	t.Run("device's MTU", func(t *testing.T) {
		require.NoError(t, w.host.NL.LinkSetMTU(w.host.link(t, "eth0"), 1300))
		for _, p := range []*Path{p, q} {
			eventually(t, "the device's MTU", func() bool { return p.Load() != nil && p.Load().MTU == 1300 })
		}
	})
	t.Run("blackhole", func(t *testing.T) {
		w.host.route(t, netlink.Route{Type: unix.RTN_BLACKHOLE}, far+"/32", "")
		none(t, q)
		require.NoError(t, w.host.NL.RouteDel(&netlink.Route{Type: unix.RTN_BLACKHOLE, Dst: ipNet(far + "/32")}))
		w.leads(t, q, "eth1")
	})
	t.Run("rule", func(t *testing.T) {
		w.host.route(t, netlink.Route{Table: 100}, "0.0.0.0/0", routerA)
		rule := netlink.NewRule()
		rule.Src, rule.Table, rule.Family = ipNet(localA+"/32"), 100, netlink.FAMILY_V4
		require.NoError(t, w.host.NL.RuleAdd(rule))
		eventually(t, "eth0", func() bool { return q.Load() != nil && q.Load().Ifindex == p.Load().Ifindex })
	})
}

func TestNowhere(t *testing.T) {
	w := newWorld(t)
	w.host.route(t, netlink.Route{}, "0.0.0.0/0", routerA)
	tun := netlink.NewLinkAttrs()
	tun.Name = "tun0"
	var err error
	w.host.Do(func() { err = netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: tun, Mode: netlink.TUNTAP_MODE_TUN}) })
	if err != nil {
		missing(t, "no TUN device: %v", err)
	}
	require.NoError(t, w.host.NL.LinkSetUp(w.host.link(t, "tun0")))
	w.host.route(t, netlink.Route{LinkIndex: w.host.link(t, "tun0").Attrs().Index}, "203.0.113.8/32", "")
	for name, c := range map[string][2]string{
		"local":            {localA, localA},
		"loopback":         {"127.0.0.1", "127.0.0.2"},
		"broadcast":        {localA, "192.0.2.255"},
		"multicast":        {localA, "224.0.0.9"},
		"not our address":  {"192.0.2.9", routerA},
		"no local address": {"0.0.0.0", routerA},
		"IPv6":             {"2001:db8::1", "2001:db8::2"},
		"no Ethernet":      {localA, "203.0.113.8"},
		"nobody answers":   {localA, "192.0.2.77"},
	} {
		t.Run(name, func(t *testing.T) {
			p := w.watch(c[0], c[1])
			w.host.send(t, c[0], c[1])
			w.settled(t, p)
			p.Release()
		})
	}
	assert.Nil(t, w.table.Watch(netip.Addr{}, netip.Addr{}).Load())
}

func TestNeighbourMoves(t *testing.T) {
	w := newWorld(t)
	w.host.route(t, netlink.Route{}, "0.0.0.0/0", routerA)
	p := w.connect(t, localA, far)
	w.leads(t, p, "eth0")
	require.NoError(t, w.router.NL.LinkSetHardwareAddr(w.router.link(t, "eth0"), net.HardwareAddr{2, 0, 0, 0, 0, 9}))
	// Its question tells who asks.
	w.router.send(t, routerA, localA)
	w.leads(t, p, "eth0")
	assert.Equal(t, [6]byte{2, 0, 0, 0, 0, 9}, p.Load().Dest)
}

func TestNeighbourGoes(t *testing.T) {
	w := newWorld(t)
	mac := w.router.link(t, "eth0").Attrs().HardwareAddr
	p := w.connect(t, localA, routerA)
	t.Run("deleted", func(t *testing.T) {
		require.NoError(t, w.host.NL.NeighDel(&netlink.Neigh{LinkIndex: p.Load().Ifindex, IP: net.ParseIP(routerA)}))
		none(t, p)
		w.send(t, p, localA, routerA)
	})
	t.Run("failed", func(t *testing.T) {
		w.host.neighbour(t, "eth0", routerA, netlink.NUD_FAILED, nil)
		none(t, p)
		w.send(t, p, localA, routerA)
	})
	t.Run("set by hand", func(t *testing.T) {
		w.host.neighbour(t, "eth0", routerA, netlink.NUD_PERMANENT, net.HardwareAddr{2, 0, 0, 0, 0, 1})
		eventually(t, "the MAC", func() bool { return p.Load() != nil && p.Load().Dest == [6]byte{2, 0, 0, 0, 0, 1} })
		w.host.neighbour(t, "eth0", routerA, netlink.NUD_REACHABLE, mac)
		w.leads(t, p, "eth0")
	})
}

// The kernel asks a stale neighbour for those that use it, and only for them.
func TestStale(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mac := w.router.link(t, "eth0").Attrs().HardwareAddr
	// Watched from before it became stale, and never used: Load is use.
	idle := w.watch(localB, routerB)
	w.host.send(t, localB, routerB)
	p := w.connect(t, localA, routerA)
	eventually(t, "the idle neighbour is known", func() bool { return w.host.state(t, "eth1", routerB)&valid != 0 })

	w.host.neighbour(t, "eth0", routerA, netlink.NUD_STALE, mac)
	w.host.neighbour(t, "eth1", routerB, netlink.NUD_STALE, w.router.link(t, "eth1").Attrs().HardwareAddr)
	eventually(t, "the neighbour is being asked", func() bool {
		require.NotNil(t, p.Load(), "meanwhile packets go as before")
		return w.host.state(t, "eth0", routerA) != netlink.NUD_STALE
	})
	assert.NotZero(t, w.host.state(t, "eth0", routerA)&(netlink.NUD_DELAY|netlink.NUD_PROBE|netlink.NUD_REACHABLE))
	time.Sleep(verifyTime + verifyTime/10)
	assert.Equal(t, netlink.NUD_STALE, w.host.state(t, "eth1", routerB))
	assert.NotNil(t, idle.Load())
}

// A stale entry that the kernel does not verify for us is not used.
func TestVerifyRefused(t *testing.T) {
	table := newWorld(t).table
	require.NoError(t, table.Close())
	var err error
	table.queries, err = openQuerier(unix.NETLINK_ROUTE)
	require.NoError(t, err)
	defer table.queries.close()
	l := &link{device: device{ethernet: true, flags: unix.IFF_UP | unix.IFF_RUNNING}}
	w := &way{}
	n := &neighbour{key: neighbourKey{device: 1 << 30}, link: l, ways: map[int]*way{0: w}}
	w.neighbour = n
	table.setNeighbour(n, entry{state: unix.NUD_STALE})
	p := &Path{}
	p.way.Store(w)
	require.NotNil(t, p.Load())
	table.verify()
	require.Nil(t, p.Load())
}

func TestDeviceGoes(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]func(*testing.T, *world){
		"down":    func(t *testing.T, w *world) { require.NoError(t, w.host.NL.LinkSetDown(w.host.link(t, "eth0"))) },
		"carrier": func(t *testing.T, w *world) { require.NoError(t, w.router.NL.LinkSetDown(w.router.link(t, "eth0"))) },
		"deleted": func(t *testing.T, w *world) { require.NoError(t, w.host.NL.LinkDel(w.host.link(t, "eth0"))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // the kernel takes a second to see a carrier again
			w := newWorld(t)
			p := w.connect(t, localA, routerA)
			down(t, w)
			none(t, p)
			if name == "deleted" {
				join(t, "eth0", w.host, localA+"/24", w.router, routerA+"/24")
			}
			for _, ns := range []*namespace{w.host, w.router} {
				require.NoError(t, ns.NL.LinkSetUp(ns.link(t, "eth0")))
			}
			eventually(t, "a hop again", func() bool {
				w.host.send(t, localA, routerA)
				return p.Load() != nil
			})
			w.leads(t, p, "eth0")
		})
	}
}

func TestAddressGoes(t *testing.T) {
	w := newWorld(t)
	w.host.addAddress(t, "eth0", "192.0.2.11/24")
	p, q := w.connect(t, localA, routerA), w.connect(t, "192.0.2.11", routerA)
	require.NoError(t, w.host.NL.AddrDel(w.host.link(t, "eth0"), &netlink.Addr{IPNet: ipNet("192.0.2.11/24")}))
	none(t, q)
	w.leads(t, p, "eth0")
	w.host.addAddress(t, "eth0", "192.0.2.11/24")
	w.leads(t, q, "eth0")
}

func TestOwnMACChanges(t *testing.T) {
	w := newWorld(t)
	p := w.connect(t, localA, routerA)
	require.NoError(t, w.host.NL.LinkSetHardwareAddr(w.host.link(t, "eth0"), net.HardwareAddr{2, 0, 0, 0, 0, 5}))
	w.host.send(t, localA, routerA)
	w.leads(t, p, "eth0")
}

func TestIPsec(t *testing.T) {
	w := newWorld(t)
	p := w.connect(t, localA, routerA)
	var err error
	w.host.Do(func() {
		err = netlink.XfrmPolicyAdd(&netlink.XfrmPolicy{
			Src: ipNet(localA + "/32"), Dst: ipNet(routerA + "/32"), Dir: netlink.XFRM_DIR_OUT,
		})
	})
	if err != nil {
		t.Skipf("no IPsec policies: %v", err)
	}
	w.host.route(t, netlink.Route{}, "0.0.0.0/0", routerA) // any change
	none(t, p)
}

// Reports that the kernel had to drop are made up for.
func TestOverrun(t *testing.T) {
	w := newWorld(t)
	w.host.route(t, netlink.Route{}, "0.0.0.0/0", routerA)
	p := w.connect(t, localA, far)
	require.NoError(t, w.table.events.raw.Control(func(fd uintptr) {
		require.NoError(t, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1))
	}))
	mac := func(i int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 1, byte(i >> 8), byte(i)} }
	const changes = 300
	for i := range changes {
		w.host.neighbour(t, "eth0", routerA, netlink.NUD_REACHABLE, mac(i))
	}
	eventually(t, "the last MAC", func() bool {
		hop := p.Load()
		return hop != nil && hop.Dest == [6]byte(mac(changes-1))
	})
}

func peer(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func TestManyPeers(t *testing.T) {
	const many = 5000
	w := newWorld(t)
	local := netip.MustParseAddr(localA)
	w.host.route(t, netlink.Route{}, "0.0.0.0/0", routerA)
	gateway := w.connect(t, localA, routerA)
	paths := make([]*Path, many)
	for i := range paths {
		paths[i] = w.table.Watch(local, peer(i))
	}
	all := func(what string, f func(*Hop) bool) {
		t.Helper()
		for _, p := range paths {
			eventually(t, what, func() bool { return f(p.Load()) })
		}
	}
	all("one hop for all", func(h *Hop) bool { return h == gateway.Load() })
	w.host.neighbour(t, "eth0", routerA, netlink.NUD_REACHABLE, net.HardwareAddr{2, 0, 0, 0, 0, 3})
	all("its new MAC", func(h *Hop) bool { return h != nil && h.Dest == [6]byte{2, 0, 0, 0, 0, 3} })
	w.host.route(t, netlink.Route{}, "0.0.0.0/0", routerB)
	all("another gateway", func(h *Hop) bool { return h == nil })
	w.send(t, paths[0], localA, "10.0.0.0")
	all("its hop", func(h *Hop) bool { return h == paths[0].Load() })

	for _, p := range paths {
		p.Release()
	}
	all("released", func(h *Hop) bool { return h == nil })
	gateway.Release()
	none(t, gateway)
	require.NoError(t, w.table.Close())
	assert.Empty(t, w.table.all)
	assert.Empty(t, w.table.paths)
	assert.Empty(t, w.table.peers)
	assert.Empty(t, w.table.links)
	assert.Empty(t, w.table.neighbours)
	assert.Empty(t, w.table.stale)
}

func TestClose(t *testing.T) {
	w := newWorld(t)
	p := w.connect(t, localA, routerA)
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	var table *Table
	w.host.Do(func() { table, _ = Open() })
	require.NotNil(t, table)
	table.Watch(netip.MustParseAddr(localA), netip.MustParseAddr(routerA))
	require.NoError(t, table.Close())
	require.NoError(t, table.Close())
	assert.Equal(t, files, descriptors(t))
	eventually(t, "the goroutine ends", func() bool { return runtime.NumGoroutine() <= goroutines })

	require.NoError(t, w.table.Close())
	assert.Nil(t, p.Load())
	p.Release()
	q := w.watch(localA, routerA)
	assert.Nil(t, q.Load())
	q.Release()
}

func TestConcurrent(t *testing.T) {
	w := newWorld(t)
	local := netip.MustParseAddr(localA)
	w.host.route(t, netlink.Route{}, "0.0.0.0/0", routerA)
	w.connect(t, localA, routerA)
	done := make(chan struct{})
	for g := range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range 500 {
				p := w.table.Watch(local, peer(i%7))
				q := w.table.Watch(local, peer(g<<16|i))
				p.Load()
				q.Load()
				p.Release()
				q.Release()
			}
		}()
	}
	for i := range 50 {
		w.host.neighbour(t, "eth0", routerA, netlink.NUD_STALE, net.HardwareAddr{2, 0, 0, 0, 0, byte(i)})
		w.host.route(t, netlink.Route{MTU: 1400 + i}, "0.0.0.0/0", routerA)
	}
	for range 4 {
		<-done
	}
}

func TestLoadAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	p := w.connect(t, localA, routerA)
	assert.Zero(t, testing.AllocsPerRun(1000, func() { p.Load() }))
}

func BenchmarkLoad(b *testing.B) {
	w := newWorld(b)
	p := w.connect(b, localA, routerA)
	b.ReportAllocs()
	for b.Loop() {
		p.Load()
	}
}

// BenchmarkPass is what a change of routes costs, a path.
func BenchmarkPass(b *testing.B) {
	w := newWorld(b)
	w.host.route(b, netlink.Route{}, "0.0.0.0/0", routerA)
	w.connect(b, localA, routerA)
	for i := range 50_000 {
		w.table.Watch(netip.MustParseAddr(localA), peer(i))
	}
	last := w.table.Watch(netip.MustParseAddr(localA), peer(0))
	eventually(b, "all are looked up", func() bool { return last.Load() != nil })
	require.NoError(b, w.table.Close())
	var err error
	w.host.Do(func() { w.table.queries, err = openQuerier(unix.NETLINK_ROUTE) })
	require.NoError(b, err)
	w.table.ipsec = ipsec{}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if n++; len(w.table.due) == 0 {
			w.table.beginPass(time.Now())
		}
		w.table.lookUp()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n)/batchSize, "ns/path")
}
