package userspace

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp"
)

// route is a route to the TUN device.
type route struct {
	to  netip.Prefix
	src netip.Addr // preferred source; none if not valid
	mtu int        // 0: the device's
}

// linkConfig is what sessions change about the TUN device.
type linkConfig interface {
	addAddress(netip.Addr) error
	removeAddress(netip.Addr) error
	addRoute(route) error
	removeRoute(netip.Prefix) error
}

// network attaches sessions to the TUN device. Sessions may share addresses and
// routes: the first that needs one adds it, the last removes it.
type network struct {
	mtu   int  // of the device
	ipv6  bool // the device can have it
	outer *peerSet
	log   *slog.Logger

	// mu guards what follows, and keeps changes of the device in order.
	mu        sync.Mutex
	closed    bool
	link      linkConfig
	prefixes  []netip.Prefix     // routed to the device anyway
	addresses map[netip.Addr]int // to the number of sessions
	routes    map[netip.Prefix]*sharedRoute
}

// sharedRoute is what sessions route to the device, to where its key in network.routes says.
// If it is neither added nor covered, it was left out for all of them. Nearly every session
// has one of its own, so it is small.
type sharedRoute struct {
	src      netip.Addr // as in route
	mtu      int32      // likewise
	sessions int32
	added    bool
	covered  bool // one of prefixes does for it
}

func (s *sharedRoute) route(to netip.Prefix) route { return route{to, s.src, int(s.mtu)} }

func newNetwork(link linkConfig, opts *Options, outer *peerSet) *network {
	return &network{
		prefixes:  opts.Prefixes,
		mtu:       opts.MTU,
		ipv6:      true,
		outer:     outer,
		log:       opts.Logger,
		link:      link,
		addresses: make(map[netip.Addr]int),
		routes:    make(map[netip.Prefix]*sharedRoute),
	}
}

// close stops all changes. What is there goes with the device.
func (n *network) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
}

var errNetworkClosed = fmt.Errorf("userspace: %w", net.ErrClosed)

// Attach adds what s needs, or nothing.
func (n *network) Attach(s gopptp.Network) error {
	addresses, routes, err := n.plan(s)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errNetworkClosed
	}
	if s.IPv6 != nil && !n.ipv6 {
		n.log.Warn("userspace: the tunnel's IPv6 packets do not reach the host, whose kernel or device has no IPv6")
		return nil
	}
	// Addresses are first: routes name them as their source.
	for i, a := range addresses {
		if err := n.acquireAddress(a); err != nil {
			n.release(addresses[:i], nil)
			return err
		}
	}
	for i, r := range routes {
		if err := n.acquireRoute(r); err != nil {
			n.release(addresses, routes[:i])
			return err
		}
	}
	return nil
}

// release undoes acquisitions, the last one first.
func (n *network) release(addresses []netip.Addr, routes []route) {
	for _, r := range slices.Backward(routes) {
		n.releaseRoute(r.to)
	}
	for _, a := range slices.Backward(addresses) {
		n.releaseAddress(a)
	}
}

// Detach takes back what Attach of an equal s added.
func (n *network) Detach(s gopptp.Network) {
	addresses, routes, err := n.plan(s)
	if err != nil {
		return // was refused
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || s.IPv6 != nil && !n.ipv6 {
		return
	}
	n.release(addresses, routes)
}

// plan returns the addresses and the routes that s needs, each once. It depends on
// s alone. The engine attaches each family by itself.
func (n *network) plan(s gopptp.Network) (addresses []netip.Addr, routes []route, err error) {
	mtu := 0
	if s.MTU > 0 && s.MTU < n.mtu {
		mtu = s.MTU
	}
	add := func(to netip.Prefix, src netip.Addr) {
		if !slices.ContainsFunc(routes, func(r route) bool { return r.to == to }) {
			routes = append(routes, route{to, src, mtu})
		}
	}
	addAll := func(prefixes []netip.Prefix, src netip.Addr) {
		for _, p := range prefixes {
			for _, half := range halves(p) {
				add(half, src)
			}
		}
	}
	if six := s.IPv6; six != nil {
		if six.Router {
			// The link-local addresses stay with the engine: a server has one
			// device for many links.
			if six.Prefix.IsValid() {
				add(six.Prefix, netip.Addr{})
			}
			addAll(six.Routes, netip.Addr{})
			return nil, routes, nil
		}
		addresses = []netip.Addr{six.Local}
		add(netip.PrefixFrom(six.Peer, 128), six.Local)
		// Before there is an address, there is nothing to send from.
		if a := six.Address(); a.IsValid() {
			addresses = append(addresses, a)
			addAll(six.Routes, a)
		}
		return addresses, routes, nil
	}
	if !s.Local.Is4() || s.Local.IsUnspecified() {
		return nil, nil, fmt.Errorf("userspace: Network.Local: %v is not an IPv4 address", s.Local)
	}
	// A peer may have no address of its own, or not say.
	if s.Peer.Is4() && !s.Peer.IsUnspecified() && s.Peer != s.Local {
		add(netip.PrefixFrom(s.Peer, s.Peer.BitLen()), s.Local)
	}
	for i, p := range s.Routes {
		if !p.IsValid() || !p.Addr().Is4() {
			return nil, nil, fmt.Errorf("userspace: Network.Routes[%d]: %v is not an IPv4 prefix", i, p)
		}
	}
	addAll(s.Routes, s.Local)
	return []netip.Addr{s.Local}, routes, nil
}

// halves returns the default route as its halves, and any other as it is. They
// win against the host's default route without replacing it, so that it is still
// there afterwards.
func halves(p netip.Prefix) []netip.Prefix {
	p = p.Masked()
	if p.Bits() > 0 {
		return []netip.Prefix{p}
	}
	upper := p.Addr().AsSlice()
	upper[0] = 0x80
	half, _ := netip.AddrFromSlice(upper)
	return []netip.Prefix{netip.PrefixFrom(p.Addr(), 1), netip.PrefixFrom(half, 1)}
}

// covers reports whether a route needs not be there. One with the session's own MTU lets
// the host cut packets, or report them as too big, where the device's MTU would not.
func (n *network) covers(r route) bool {
	return r.mtu == 0 && slices.ContainsFunc(n.prefixes, func(p netip.Prefix) bool {
		return p.Bits() <= r.to.Bits() && p.Contains(r.to.Addr())
	})
}

func (n *network) acquireAddress(a netip.Addr) error {
	if n.addresses[a] == 0 {
		if err := n.link.addAddress(a); err != nil {
			return fmt.Errorf("userspace: add address %v: %w", a, err)
		}
	}
	n.addresses[a]++
	return nil
}

// keep adds addresses that stay for as long as the device does.
func (n *network) keep(addresses []netip.Addr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, a := range addresses {
		if err := n.acquireAddress(a); err != nil {
			return fmt.Errorf("%w (Options.Addresses[%d])", err, i)
		}
	}
	return nil
}

func (n *network) releaseAddress(a netip.Addr) {
	switch n.addresses[a] {
	case 0:
		return // never attached
	case 1:
		delete(n.addresses, a)
		n.report("remove address", a, n.link.removeAddress(a))
		if a.Is6() {
			return
		}
		for other := range n.addresses {
			if other.Is4() {
				return
			}
		}
		// The kernel takes all IPv4 routes to a device away with its last IPv4
		// address.
		for _, p := range n.prefixes {
			if p.Addr().Is4() {
				n.report("restore route", p, n.link.addRoute(route{to: p}))
			}
		}
	default:
		n.addresses[a]--
	}
}

func (n *network) acquireRoute(r route) error {
	shared := n.routes[r.to]
	switch {
	case shared != nil && (!shared.covered || n.covers(r)):
		shared.sessions++
		return nil
	case shared == nil:
		shared = &sharedRoute{src: r.src, mtu: int32(r.mtu), covered: n.covers(r)}
	default: // covered for others, but not for the MTU of this one
		shared = &sharedRoute{src: r.src, mtu: int32(r.mtu), sessions: shared.sessions}
	}
	// Some servers give their public address as the inner one too. A route to
	// it would send the tunnel's own packets into the tunnel.
	if !shared.covered && !(r.to.IsSingleIP() && n.outer.has(r.to.Addr())) {
		if err := n.link.addRoute(r); err != nil {
			return fmt.Errorf("userspace: add route %v: %w", r.to, err)
		}
		shared.added = true
	}
	shared.sessions++
	n.routes[r.to] = shared
	return nil
}

func (n *network) releaseRoute(to netip.Prefix) {
	shared := n.routes[to]
	if shared == nil {
		return // never attached
	}
	if shared.sessions--; shared.sessions > 0 {
		return
	}
	delete(n.routes, to)
	if shared.added {
		n.report("remove route", to, n.link.removeRoute(to))
	}
}

// report logs an error of going back, unless it is that there was nothing left to
// remove.
func (n *network) report(what string, which fmt.Stringer, err error) {
	if err == nil || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return
	}
	n.log.Warn("userspace: "+what, "which", which.String(), "err", err)
}

// netlinkConfig configures the TUN device by netlink.
type netlinkConfig struct {
	handle *netlink.Handle
	link   netlink.Link
	ipv6   bool // set by up: the device can have IPv6 addresses
}

// openNetlink finds the device in the network namespace of the calling thread,
// and stays there.
func openNetlink(device string) (*netlinkConfig, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("userspace: netlink: %w", err)
	}
	link, err := handle.LinkByName(device)
	if err != nil {
		handle.Close()
		return nil, fmt.Errorf("userspace: netlink: device %s: %w", device, err)
	}
	return &netlinkConfig{handle: handle, link: link}, nil
}

func (c *netlinkConfig) close() { c.handle.Close() }

// tunQueueLen is how many packets wait for a worker to read them, which it does
// unless it does not get a processor: for so long, milliseconds, nothing shall be
// lost. The kernel's 500 are few of the small ones.
const tunQueueLen = 2048

// up makes the device ready for packets and routes prefixes to it.
func (c *netlinkConfig) up(mtu int, prefixes []netip.Prefix) error {
	// The link-local addresses are those that IPV6CP agrees on. With one of its
	// own the host would look for routers in the tunnels, which the engine does,
	// for each by itself. A kernel without IPv6 refuses, which is as well.
	const addrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE
	_ = c.handle.LinkSetIP6AddrGenMode(c.link, addrGenModeNone)
	if err := c.handle.LinkSetMTU(c.link, mtu); err != nil {
		return fmt.Errorf("userspace: set the MTU of %s: %w", c.link.Attrs().Name, err)
	}
	if err := c.handle.LinkSetTxQLen(c.link, tunQueueLen); err != nil {
		return fmt.Errorf("userspace: set the queue length of %s: %w", c.link.Attrs().Name, err)
	}
	if err := c.handle.LinkSetUp(c.link); err != nil {
		return fmt.Errorf("userspace: set %s up: %w", c.link.Attrs().Name, err)
	}
	c.ipv6 = c.hasIPv6()
	for i, p := range prefixes {
		if err := c.addRoute(route{to: p}); err != nil {
			return fmt.Errorf("userspace: Options.Prefixes[%d]: add route %v: %w", i, p, err)
		}
	}
	return nil
}

func (c *netlinkConfig) addAddress(a netip.Addr) error {
	addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen()))}
	if a.Is6() {
		// IPV6CP and the router see to it that nobody else has it.
		addr.Flags = unix.IFA_F_NODAD
	}
	return c.handle.AddrAdd(c.link, addr)
}

// hasIPv6 reports whether the device can have IPv6 addresses: it may have been
// left out of the kernel or be disabled, and a device with a small MTU has none
// either. It is asked on a thread in the device's namespace.
func (c *netlinkConfig) hasIPv6() bool {
	disabled, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + c.link.Attrs().Name + "/disable_ipv6")
	return err == nil && strings.TrimSpace(string(disabled)) == "0"
}

func (c *netlinkConfig) removeAddress(a netip.Addr) error {
	return c.handle.AddrDel(c.link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen()))})
}

func (c *netlinkConfig) addRoute(r route) error {
	err := c.handle.RouteAdd(&netlink.Route{
		LinkIndex: c.link.Attrs().Index,
		Scope:     netlink.SCOPE_LINK,
		Protocol:  unix.RTPROT_STATIC,
		Dst:       ipNet(r.to),
		Src:       r.src.AsSlice(),
		MTU:       r.mtu,
	})
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("the host has such a route already: %w", err)
	}
	return err
}

func (c *netlinkConfig) removeRoute(to netip.Prefix) error {
	return c.handle.RouteDel(&netlink.Route{
		LinkIndex: c.link.Attrs().Index,
		Scope:     netlink.SCOPE_LINK,
		Dst:       ipNet(to),
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
