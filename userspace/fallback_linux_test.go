package userspace

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/xdp"
)

// replace makes the veth pair of newPair anew.
func replace(t *testing.T, a, b *namespace) {
	t.Helper()
	link, err := a.NL.LinkByName("eth0")
	require.NoError(t, err)
	require.NoError(t, a.NL.LinkDel(link))
	join(t, a, b, "eth0", outerA.String()+"/24", outerB.String()+"/24")
}

// join makes a veth pair between namespaces.
func join(t *testing.T, a, b *namespace, name, atA, atB string) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	require.NoError(t, a.NL.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: name, PeerNamespace: netlink.NsFd(b.FD)}))
	for ns, addr := range map[*namespace]string{a: atA, b: atB} {
		link, err := ns.NL.LinkByName(name)
		require.NoError(t, err)
		ns.address(t, link.Attrs().Index, addr)
		require.NoError(t, ns.NL.LinkSetUp(link))
	}
}

func (ns *namespace) index(t *testing.T, name string) int {
	t.Helper()
	link, err := ns.NL.LinkByName(name)
	require.NoError(t, err)
	return link.Attrs().Index
}

// opened reports whether the plane has AF_XDP on an interface.
func (p *Plane) opened(index int) bool {
	port := p.fast.ports.Load().port(index)
	return port != nil && port.device != nil
}

// unreachables counts the ICMP messages "destination unreachable" that come to the
// namespace.
func (ns *namespace) unreachables(t *testing.T) *atomic.Int64 {
	t.Helper()
	var c net.PacketConn
	var err error
	ns.Do(func() { c, err = net.ListenPacket("ip4:icmp", "0.0.0.0") })
	require.NoError(t, err)
	n, ended := new(atomic.Int64), make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 2000)
		for {
			size, _, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			// Of GRE, which is in the packet that it quotes. A neighbour that is
			// lost is no matter of protocols.
			if size >= 18 && buf[0] == 3 && buf[1] == 2 && buf[17] == protocolGRE {
				n.Add(1)
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-ended })
	return n
}

// talk has datagrams go to and fro in the tunnel until the end of the test, and
// counts those that came back. One that is lost is sent again.
func talk(t *testing.T, a, b *namespace) *atomic.Int64 {
	t.Helper()
	client, server := a.listenUDP(t, "10.99.0.2:0"), b.listenUDP(t, "10.99.0.1:0")
	require.NoError(t, server.SetDeadline(time.Time{}))
	stop, ended, n := make(chan struct{}), make(chan struct{}, 2), new(atomic.Int64)
	go func() {
		defer func() { ended <- struct{}{} }()
		buf := make([]byte, 2000)
		for {
			size, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteToUDPAddrPort(buf[:size], from)
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		to := server.LocalAddr().(*net.UDPAddr).AddrPort()
		buf := make([]byte, 2000)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = client.SetDeadline(time.Now().Add(50 * time.Millisecond))
			if _, err := client.WriteToUDPAddrPort(buf[:500], to); err != nil {
				continue
			}
			if _, err := client.Read(buf); err == nil {
				n.Add(1)
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		server.Close()
		<-ended
		<-ended
	})
	return n
}

// goesOn waits until packets come through again, and by AF_XDP if that is wanted.
func (n *tunnel) goesOn(t *testing.T, came *atomic.Int64, fast bool) {
	t.Helper()
	before, sent := came.Load(), n.client.Stats().GRE.SentXDP
	eventually(t, "packets go on", func() bool { return came.Load() > before+50 })
	if fast {
		eventually(t, "packets go on by AF_XDP", func() bool { return n.client.Stats().GRE.SentXDP > sent+50 })
	}
}

// What changes under the feet of a session does not stop it: packets go by raw
// sockets for a while, if they have to, and then by AF_XDP again. The host never
// says that it knows no GRE.
func TestPathChanges(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, n *tunnel, a, b *namespace){
		"route": func(t *testing.T, n *tunnel, a, b *namespace) {
			join(t, a, b, "eth1", "198.51.100.1/24", "198.51.100.2/24")
			for ns, r := range map[*namespace][3]string{
				a: {outerB.String(), "198.51.100.2", outerA.String()},
				b: {outerA.String(), "198.51.100.1", outerB.String()},
			} {
				require.NoError(t, ns.NL.RouteAdd(&netlink.Route{
					LinkIndex: ns.index(t, "eth1"), Dst: ipNet(netip.MustParsePrefix(r[0] + "/32")),
					Gw: net.ParseIP(r[1]), Src: net.ParseIP(r[2]),
				}))
			}
			eventually(t, "AF_XDP on the other interface", func() bool {
				return n.client.opened(a.index(t, "eth1")) && n.server.opened(b.index(t, "eth1"))
			})
		},
		"MAC": func(t *testing.T, n *tunnel, a, b *namespace) {
			link, err := b.NL.LinkByName("eth0")
			require.NoError(t, err)
			mac := net.HardwareAddr{2, 0, 0, 0, 7, 7}
			require.NoError(t, b.NL.LinkSetHardwareAddr(link, mac))
			require.NoError(t, a.NL.NeighSet(&netlink.Neigh{
				LinkIndex: a.index(t, "eth0"), State: netlink.NUD_REACHABLE, IP: outerB.AsSlice(), HardwareAddr: mac,
			}))
			eventually(t, "frames to the new address", func() bool {
				hop := n.clientCall.(*call).path.Load()
				return hop != nil && net.HardwareAddr(hop.Dest[:]).String() == mac.String()
			})
			eventually(t, "frames from the new address", func() bool {
				hop := n.serverCall.(*call).path.Load()
				return hop != nil && net.HardwareAddr(hop.Source[:]).String() == mac.String()
			})
		},
		"neighbour": func(t *testing.T, n *tunnel, a, b *namespace) {
			raw := func() uint64 { s := n.client.Stats().GRE; return s.Sent - s.SentXDP }
			before := raw()
			require.NoError(t, a.NL.NeighDel(&netlink.Neigh{LinkIndex: a.index(t, "eth0"), IP: outerB.AsSlice()}))
			eventually(t, "packets that look for the neighbour", func() bool { return raw() > before })
		},
		"device": func(t *testing.T, n *tunnel, a, b *namespace) {
			replace(t, a, b)
			eventually(t, "AF_XDP on the new interface", func() bool {
				return n.client.opened(a.index(t, "eth0")) && n.server.opened(b.index(t, "eth0"))
			})
		},
		"address": func(t *testing.T, n *tunnel, a, b *namespace) {
			link, err := a.NL.LinkByName("eth0")
			require.NoError(t, err)
			addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(outerA, 24))}
			require.NoError(t, a.NL.AddrDel(link, addr))
			eventually(t, "no way", func() bool { return n.clientCall.(*call).path.Load() == nil })
			require.NoError(t, a.NL.AddrAdd(link, addr))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newPair(t)
			unreachables := [2]*atomic.Int64{a.unreachables(t), b.unreachables(t)}
			n := newTunnelWith(t, a, b, outerB, Options{})
			n.encrypt(t)
			n.warm(t)
			n.attach(t, 1400)
			came := talk(t, a, b)
			n.goesOn(t, came, true)
			change(t, n, a, b)
			n.goesOn(t, came, true)
			testTCP(t, a, b)
			require.Zero(t, unreachables[0].Load()+unreachables[1].Load(), "protocol unreachable")
		})
	}
}

// Where AF_XDP cannot be had, or is a bad bargain, packets go by raw sockets.
func TestFallback(t *testing.T) {
	t.Run("somebody else's program", func(t *testing.T) {
		a, b := newPair(t)
		index := a.index(t, "eth0")
		filter, err := xdp.NewFilter(1)
		require.NoError(t, err)
		defer filter.Close()
		var other *xdp.Interface
		a.Do(func() { other, err = xdp.OpenInterface(filter, index, xdp.Options{}) })
		require.NoError(t, err)
		defer other.Close()
		n := newTunnelWith(t, a, b, outerB, Options{XDP: XDPOn})
		n.attach(t, 1400)
		came := talk(t, a, b)
		eventually(t, "the interface is given up", func() bool { return n.client.fast.ports.Load().port(index) != nil })
		require.False(t, n.client.opened(index))
		n.goesOn(t, came, false)
		// The other end is free to use it.
		eventually(t, "the other end's interface", func() bool { return n.server.opened(b.index(t, "eth0")) })
		testTCP(t, a, b)
		s := n.client.Stats().GRE
		require.Zero(t, s.SentXDP+s.ReceivedXDP)
		require.NotZero(t, n.server.Stats().GRE.ReceivedXDP)
	})
	for _, mode := range []XDPMode{XDPAuto, XDPOn} {
		name := map[XDPMode]string{XDPAuto: "bridge", XDPOn: "bridge, at any price"}[mode]
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t)
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "br0"
			bridge := &netlink.Bridge{LinkAttrs: attrs}
			if err := a.NL.LinkAdd(bridge); err != nil {
				t.Skipf("no bridges in this kernel: %v", err)
			}
			eth0, err := a.NL.LinkByName("eth0")
			require.NoError(t, err)
			require.NoError(t, a.NL.AddrDel(eth0, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(outerA, 24))}))
			require.NoError(t, a.NL.LinkSetMaster(eth0, bridge))
			index := a.index(t, "br0")
			a.address(t, index, outerA.String()+"/24")
			require.NoError(t, a.NL.LinkSetUp(bridge))

			n := newTunnelWith(t, a, b, outerB, Options{XDP: mode})
			n.attach(t, 1400)
			came := talk(t, a, b)
			eventually(t, "the interface is tried", func() bool { return n.client.fast.ports.Load().port(index) != nil })
			require.Equal(t, mode == XDPOn, n.client.opened(index))
			n.goesOn(t, came, mode == XDPOn)
			testTCP(t, a, b)
			if s := n.client.Stats().GRE; mode == XDPOn {
				require.NotZero(t, s.ReceivedXDP)
			} else {
				require.Zero(t, s.SentXDP+s.ReceivedXDP)
			}
		})
	}
	// A process that may not is told so, or left to the raw sockets.
	t.Run("without CAP_BPF", func(t *testing.T) {
		a, _ := newPair(t)
		without := func(opts Options) (p *Plane, err error) {
			a.Do(func() { err = dropBPF() })
			require.NoError(t, err)
			a.Do(func() { p, err = Open(opts) })
			return p, err
		}
		_, err := without(Options{XDP: XDPOn})
		require.ErrorContains(t, err, "CAP_BPF")
		p, err := without(Options{})
		require.NoError(t, err)
		t.Cleanup(func() { p.Close() })
		require.Nil(t, p.fast)
	})
}

// dropBPF takes the capabilities for BPF from the thread.
func dropBPF() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return err
	}
	for _, c := range []uint{unix.CAP_SYS_ADMIN, unix.CAP_BPF} {
		caps[c/32].Effective &^= 1 << (c % 32)
	}
	return unix.Capset(&header, &caps[0])
}
