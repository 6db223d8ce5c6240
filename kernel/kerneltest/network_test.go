package kerneltest_test

import (
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel/kerneltest"
	"github.com/gopptp/gopptp/ppp"
)

func prefixes(s ...string) (p []netip.Prefix) {
	for _, s := range s {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

// with returns plain, changed.
func with(change func(*gopptp.Network)) gopptp.Network {
	n := plain
	change(&n)
	return n
}

// What a Network makes of a device.
func TestNetworks(t *testing.T) {
	for name, c := range map[string]struct {
		network gopptp.Network
		peer    netip.Addr // that the address leads to
		routes  []netip.Prefix
	}{
		"plain": {plain, plain.Peer, prefixes("10.9.1.1/32")},
		"routes": {
			with(func(n *gopptp.Network) {
				n.Routes = prefixes("10.1.0.0/16", "10.2.3.4/16", "10.9.1.1/32", "10.1.0.0/16", "10.1.0.0/24")
			}),
			plain.Peer, prefixes("10.9.1.1/32", "10.1.0.0/16", "10.2.0.0/16", "10.1.0.0/24"),
		},
		"default route": {
			with(func(n *gopptp.Network) { n.Routes = prefixes("0.0.0.0/0", "128.0.0.0/1") }),
			plain.Peer, prefixes("10.9.1.1/32", "0.0.0.0/1", "128.0.0.0/1"),
		},
		"peer is local": {
			with(func(n *gopptp.Network) { n.Peer, n.Routes = n.Local, prefixes("10.1.0.0/16") }),
			netip.Addr{}, prefixes("10.1.0.0/16"),
		},
		"no peer": {with(func(n *gopptp.Network) { n.Peer = netip.Addr{} }), netip.Addr{}, nil},
		"unspecified peer": {
			with(func(n *gopptp.Network) { n.Peer = netip.IPv4Unspecified() }), netip.Addr{}, nil,
		},
		"peer is the outer one": {
			with(func(n *gopptp.Network) { n.Peer, n.Routes = clientAddr, prefixes("10.1.0.0/16") }),
			clientAddr, prefixes("10.1.0.0/16"),
		},
		"route to the outer peer": {
			with(func(n *gopptp.Network) { n.Routes = prefixes("198.51.100.1/32", "198.51.100.0/24") }),
			plain.Peer, prefixes("10.9.1.1/32", "198.51.100.0/24"),
		},
		"both versions": {
			with(func(n *gopptp.Network) { n.IPv6 = new(gopptp.IPv6Network) }), plain.Peer, prefixes("10.9.1.1/32"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			inCall(t, false, func(w *callWorld) {
				w.attach(c.network)
				want := kerneltest.Device{
					Name: "ppp0", CallID: w.ID(), Up: true, MTU: 1400, IPv4: true,
					Addresses: []kerneltest.Address{{Local: serverInner, Peer: c.peer}},
				}
				for _, to := range c.routes { // the newest first
					r := kerneltest.Route{To: to, Source: serverInner}
					want.Routes = append([]kerneltest.Route{r}, want.Routes...)
				}
				require.Equal(w, []kerneltest.Device{want}, w.host.Devices())
				require.NoError(w, w.Detach())
				require.Empty(w, w.told())
				require.Equal(w, []kerneltest.Device{{
					Name: "ppp0", CallID: w.ID(), MTU: 1400, Addresses: []kerneltest.Address{},
				}}, w.host.Devices())
			})
		})
	}
}

func TestNetworksThatCannotBe(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		for field, n := range map[string]gopptp.Network{
			"Local":     {},
			"Local: 0":  with(func(n *gopptp.Network) { n.Local = netip.IPv4Unspecified() }),
			"Local: 2":  with(func(n *gopptp.Network) { n.Local = netip.MustParseAddr("2001:db8::1") }),
			"Routes[1]": with(func(n *gopptp.Network) { n.Routes = prefixes("10.0.0.0/8", "2001:db8::/32") }),
			"Routes[0]": with(func(n *gopptp.Network) { n.Routes = make([]netip.Prefix, 1) }),
		} {
			require.ErrorContains(w, w.Attach(n), "Network."+field)
		}
		require.Empty(w, w.told())
		require.Empty(w, w.host.Devices())
	})
}

// Where IPv6 alone is carried, there is nothing to attach.
func TestIPv6Alone(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		six := gopptp.Network{MTU: 1400, IPv6: new(gopptp.IPv6Network)}
		w.attach(six)
		require.Len(w, w.host.Devices(), 1)
		require.Equal(w, kerneltest.Leaks{Sockets: 1, Units: 1}, w.host.Leaks())
		w.attach(plain)
		passed, _ := w.passes()
		require.True(w, passed)
		w.attach(six) // IPCP has closed
		require.Equal(w, kerneltest.Leaks{Sockets: 1, Units: 1}, w.host.Leaks())
		require.False(w, w.host.Devices()[0].IPv4)
	})
}

// A second Attach changes what differs, and leaves the rest alone.
func TestSecondAttach(t *testing.T) {
	const (
		header        = kerneltest.OpSetHeader
		pass          = kerneltest.OpPass
		addRoute      = kerneltest.OpAddRoute
		removeRoute   = kerneltest.OpRemoveRoute
		addAddress    = kerneltest.OpAddAddress
		removeAddress = kerneltest.OpRemoveAddress
	)
	first := with(func(n *gopptp.Network) { n.Routes = prefixes("10.1.0.0/16", "10.2.0.0/16") })
	for name, c := range map[string]struct {
		change func(*gopptp.Network)
		want   []kerneltest.Op
	}{
		"nothing": {func(*gopptp.Network) {}, []kerneltest.Op{header, pass}},
		"IPv6 beside it": {
			func(n *gopptp.Network) { n.IPv6 = new(gopptp.IPv6Network) }, []kerneltest.Op{header, pass},
		},
		"MTU": {func(n *gopptp.Network) { n.MTU = 1300 }, []kerneltest.Op{header, kerneltest.OpSetMTU, pass}},
		"limits": {
			func(n *gopptp.Network) { n.Rates.ToPeer.BitsPerSecond = 1e6 },
			[]kerneltest.Op{header, kerneltest.OpSetRates, pass},
		},
		"a route": {
			func(n *gopptp.Network) { n.Routes = prefixes("10.2.0.0/16", "10.3.0.0/16") },
			[]kerneltest.Op{header, removeRoute, addRoute, pass},
		},
		"the peer": {
			func(n *gopptp.Network) { n.Peer = n.Peer.Next() },
			[]kerneltest.Op{
				header, removeRoute, removeRoute, removeRoute, removeAddress,
				addAddress, addRoute, addRoute, addRoute, pass,
			},
		},
		"the address": {
			func(n *gopptp.Network) { n.Local, n.Routes = n.Local.Next(), nil },
			[]kerneltest.Op{
				header, removeRoute, removeRoute, removeRoute, removeAddress, addAddress, addRoute, pass,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inCall(t, false, func(w *callWorld) {
				w.attach(first)
				second := first
				c.change(&second)
				w.record()
				w.attach(second)
				require.Equal(w, c.want, w.ops)
				w.host.OnOp(nil)
				again := w.host.Devices()[0]

				// It is as if there had been no other.
				require.NoError(w, w.Detach())
				w.attach(second)
				fresh := w.host.Devices()[0]
				require.ElementsMatch(w, fresh.Routes, again.Routes)
				fresh.Routes, again.Routes = nil, nil
				require.Equal(w, fresh, again)
			})
		})
	}
}

// Only the last of several is reported, and none that was taken back.
func TestAttachOvertaken(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		require.NoError(w, w.Attach(with(func(n *gopptp.Network) { n.Local = n.Local.Next() })))
		require.NoError(w, w.Attach(plain))
		require.Equal(w, told{attached: []error{nil}}, w.told())
		require.Equal(w, serverInner, w.host.Devices()[0].Addresses[0].Local)
		require.NoError(w, w.Attach(plain))
		require.NoError(w, w.Detach())
		require.Empty(w, w.told())
		require.Equal(w, kerneltest.Leaks{Sockets: 1, Units: 1}, w.host.Leaks())
	})
}

// What an Attach has done before it fails is undone, the last first, and the next one
// succeeds.
func TestAttachFails(t *testing.T) {
	const (
		block         = kerneltest.OpPass
		removeRoute   = kerneltest.OpRemoveRoute
		removeAddress = kerneltest.OpRemoveAddress
		down          = kerneltest.OpSetUp
	)
	network := with(func(n *gopptp.Network) {
		n.Routes = prefixes("10.1.0.0/16", "10.2.0.0/16")
		n.Rates.FromPeer.BitsPerSecond = 1e6
	})
	for _, c := range []struct {
		op   kerneltest.Op
		at   int // which of them
		undo []kerneltest.Op
	}{
		{kerneltest.OpNewUnit, 1, nil},
		{kerneltest.OpSetHeader, 1, []kerneltest.Op{block}},
		{kerneltest.OpSetMTU, 1, []kerneltest.Op{block}},
		{kerneltest.OpSetRates, 1, []kerneltest.Op{block}},
		{kerneltest.OpSetUp, 1, []kerneltest.Op{block}},
		{kerneltest.OpAddAddress, 1, []kerneltest.Op{block, down}},
		{kerneltest.OpAddRoute, 1, []kerneltest.Op{block, removeAddress, down}},
		{kerneltest.OpAddRoute, 3, []kerneltest.Op{block, removeRoute, removeRoute, removeAddress, down}},
	} {
		t.Run(string(c.op), func(t *testing.T) {
			inCall(t, false, func(w *callWorld) {
				var undone []kerneltest.Op
				n, failed := 0, false
				w.host.OnOp(func(op kerneltest.Op, _ uint16) error {
					w.mu.Lock()
					defer w.mu.Unlock()
					if failed {
						undone = append(undone, op)
					}
					if op == c.op {
						n++
					}
					if !failed && n == c.at {
						failed = true
						return syscall.ENOBUFS
					}
					return nil
				})
				require.NoError(w, w.Attach(network))
				told := w.told()
				require.Len(w, told.attached, 1)
				require.ErrorIs(w, told.attached[0], syscall.ENOBUFS)
				require.Empty(w, told.failed, "the call goes on")
				require.Equal(w, c.undo, undone)
				require.Equal(w, len(w.host.Devices()), w.host.Leaks().Units)
				require.Zero(w, w.host.Leaks().Addresses+w.host.Leaks().Routes)
				w.host.OnOp(nil)

				w.attach(network)
				passed, _ := w.passes()
				require.True(w, passed)
				require.EqualValues(w, 1e6, w.host.Devices()[0].FromPeer.BitsPerSecond)
			})
		})
	}
}

// A route that somebody else has removed does not keep the rest.
func TestUndoingFails(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		w.attach(with(func(n *gopptp.Network) { n.Routes = prefixes("10.1.0.0/16") }))
		w.host.Fail(kerneltest.OpRemoveRoute, syscall.ESRCH)
		require.NoError(w, w.Detach())
		require.Empty(w, w.told(), "it is only logged")
		require.Equal(w, kerneltest.Leaks{Sockets: 1, Units: 1}, w.host.Leaks())

		// Packets that cannot be stopped are worse.
		w.host.Fail(kerneltest.OpRemoveRoute, nil)
		w.attach(plain)
		w.host.Fail(kerneltest.OpPass, syscall.EIO)
		require.NoError(w, w.Detach())
		require.Len(w, w.told().failed, 1)
		require.Equal(w, kerneltest.Leaks{Sockets: 1, Units: 1}, w.host.Leaks())
	})
}

// Headers are shortened as the Network says.
func TestNetworkHeader(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		lengths := make(chan int, 1)
		w.peer.host.OnGRE(func(_ netip.Addr, packet []byte) { lengths <- len(packet) })
		length := func(h ppp.HeaderCompression) int {
			w.attach(with(func(n *gopptp.Network) { n.Header = h }))
			w.host.Send(ipPacket(serverInner, plain.Peer, "down"))
			synctest.Wait()
			return <-lengths
		}
		full := length(ppp.HeaderCompression{})
		require.Equal(w, full-1, length(ppp.HeaderCompression{Protocol: true}))
		require.Equal(w, full-3, length(ppp.HeaderCompression{Protocol: true, AddressControl: true}))
	})
}

// However long the kernel takes, and whatever else waits, calls do not.
func TestSlowKernel(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		w.host.OnOp(func(op kerneltest.Op, _ uint16) error {
			if op != kerneltest.OpConnect && op != kerneltest.OpBind {
				time.Sleep(time.Second)
			}
			return nil
		})
		began := time.Now()
		require.NoError(w, w.PrepareReceive(key))
		require.NoError(w, w.SetEncryption(gopptp.Encryption{Send: &key}))
		require.NoError(w, w.Attach(plain))
		require.NoError(w, w.Detach())
		require.NoError(w, w.Attach(plain))
		require.Equal(w, began, time.Now())
		time.Sleep(time.Minute)
		require.Equal(w, told{attached: []error{nil}}, w.told())
		passed, clear := w.passes()
		require.True(w, passed)
		require.False(w, clear)
	})
}
