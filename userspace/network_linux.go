package userspace

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
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
	prefixes []netip.Prefix // routed to the device anyway
	mtu      int            // of the device
	outer    *peerSet
	log      *slog.Logger

	// mu guards what follows, and keeps changes of the device in order.
	mu        sync.Mutex
	closed    bool
	link      linkConfig
	addresses map[netip.Addr]int // to the number of sessions
	routes    map[netip.Prefix]*sharedRoute
}

type sharedRoute struct {
	sessions int
	added    bool // false: was left out, for all of them
}

func newNetwork(link linkConfig, opts *Options, outer *peerSet) *network {
	return &network{
		prefixes:  opts.Prefixes,
		mtu:       opts.MTU,
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
	routes, err := n.plan(s)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errNetworkClosed
	}
	// The address is first: routes name it as their source.
	if err := n.acquireAddress(s.Local); err != nil {
		return err
	}
	for i, r := range routes {
		if err := n.acquireRoute(r); err != nil {
			for _, undo := range slices.Backward(routes[:i]) {
				n.releaseRoute(undo.to)
			}
			n.releaseAddress(s.Local)
			return err
		}
	}
	return nil
}

// Detach takes back what Attach of an equal s added.
func (n *network) Detach(s gopptp.Network) {
	routes, err := n.plan(s)
	if err != nil {
		return // was refused
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	for _, r := range slices.Backward(routes) {
		n.releaseRoute(r.to)
	}
	n.releaseAddress(s.Local)
}

// plan returns the routes that s needs, each once. It depends on s alone.
func (n *network) plan(s gopptp.Network) ([]route, error) {
	if !s.Local.Is4() || s.Local.IsUnspecified() {
		return nil, fmt.Errorf("userspace: Network.Local: %v is not an IPv4 address", s.Local)
	}
	mtu := 0
	if s.MTU > 0 && s.MTU < n.mtu {
		mtu = s.MTU
	}
	var routes []route
	add := func(to netip.Prefix) {
		// A route with the session's own MTU lets the host cut packets, or
		// report them as too big, where the device's MTU would not.
		if mtu == 0 && n.covers(to) {
			return
		}
		if !slices.ContainsFunc(routes, func(r route) bool { return r.to == to }) {
			routes = append(routes, route{to, s.Local, mtu})
		}
	}
	// A peer may have no address of its own, or not say.
	if s.Peer.Is4() && !s.Peer.IsUnspecified() && s.Peer != s.Local {
		add(netip.PrefixFrom(s.Peer, s.Peer.BitLen()))
	}
	for i, p := range s.Routes {
		if !p.IsValid() || !p.Addr().Is4() {
			return nil, fmt.Errorf("userspace: Network.Routes[%d]: %v is not an IPv4 prefix", i, p)
		}
		if p.Bits() > 0 {
			add(p.Masked())
			continue
		}
		// Halves of everything win against the host's default route without
		// replacing it, so that it is still there afterwards.
		add(netip.PrefixFrom(netip.IPv4Unspecified(), 1))
		add(netip.PrefixFrom(netip.AddrFrom4([4]byte{128}), 1))
	}
	return routes, nil
}

func (n *network) covers(to netip.Prefix) bool {
	return slices.ContainsFunc(n.prefixes, func(p netip.Prefix) bool {
		return p.Bits() <= to.Bits() && p.Contains(to.Addr())
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
		if len(n.addresses) > 0 {
			return
		}
		// The kernel takes all routes to a device away with its last address.
		for _, p := range n.prefixes {
			n.report("restore route", p, n.link.addRoute(route{to: p}))
		}
	default:
		n.addresses[a]--
	}
}

func (n *network) acquireRoute(r route) error {
	if shared := n.routes[r.to]; shared != nil {
		shared.sessions++
		return nil
	}
	shared := &sharedRoute{sessions: 1}
	// Some servers give their public address as the inner one too. A route to
	// it would send the tunnel's own packets into the tunnel.
	if !r.to.IsSingleIP() || !n.outer.has(r.to.Addr()) {
		if err := n.link.addRoute(r); err != nil {
			return fmt.Errorf("userspace: add route %v: %w", r.to, err)
		}
		shared.added = true
	}
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
	return &netlinkConfig{handle, link}, nil
}

func (c *netlinkConfig) close() { c.handle.Close() }

// up makes the device ready for packets and routes prefixes to it.
func (c *netlinkConfig) up(mtu int, prefixes []netip.Prefix) error {
	// The tunnels know no IPv6. Without a link-local address the host does not
	// look for routers in them. A kernel without IPv6 refuses, which is as well.
	const addrGenModeNone = 1 // IN6_ADDR_GEN_MODE_NONE
	_ = c.handle.LinkSetIP6AddrGenMode(c.link, addrGenModeNone)
	if err := c.handle.LinkSetMTU(c.link, mtu); err != nil {
		return fmt.Errorf("userspace: set the MTU of %s: %w", c.link.Attrs().Name, err)
	}
	if err := c.handle.LinkSetUp(c.link); err != nil {
		return fmt.Errorf("userspace: set %s up: %w", c.link.Attrs().Name, err)
	}
	for i, p := range prefixes {
		if err := c.addRoute(route{to: p}); err != nil {
			return fmt.Errorf("userspace: Options.Prefixes[%d]: add route %v: %w", i, p, err)
		}
	}
	return nil
}

func (c *netlinkConfig) addAddress(a netip.Addr) error {
	return c.handle.AddrAdd(c.link, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen()))})
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
