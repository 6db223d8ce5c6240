package driver

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netlinkHandle configures devices. It is safe for concurrent use.
type netlinkHandle struct {
	handle *netlink.Handle
	// counts reads counters. A handle carries out one request at a time, and session loops,
	// which ask for counters, must not stand in line behind thousands of devices that are
	// being made or removed.
	counts *netlink.Handle
}

// openNetlink stays in the network namespace of the calling thread.
func openNetlink() (n *netlinkHandle, err error) {
	n = new(netlinkHandle)
	if n.handle, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	if n.counts, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		n.handle.Close()
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return n, nil
}

func (n *netlinkHandle) close() {
	n.handle.Close()
	n.counts.Close()
}

// device is a link of which no more than the index is known.
func device(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

// nameUnit gives the device of a unit the name that is wanted, which may be a pattern,
// and returns the name and its index.
func (n *netlinkHandle) nameUnit(name, want string) (string, int, error) {
	link, err := n.handle.LinkByName(name)
	if err != nil {
		return "", 0, fmt.Errorf("device %s: %w", name, err)
	}
	index := link.Attrs().Index
	if want == "" || want == "ppp%d" || want == name {
		return name, index, nil
	}
	if err := n.handle.LinkSetName(link, want); err != nil {
		return "", 0, fmt.Errorf("rename device %s to %s: %w", name, want, err)
	}
	if link, err = n.handle.LinkByIndex(index); err != nil {
		return "", 0, fmt.Errorf("device %s: %w", want, err)
	}
	return link.Attrs().Name, index, nil
}

func (n *netlinkHandle) stats(index int) (Stats, error) {
	link, err := n.counts.LinkByIndex(index)
	if err != nil {
		return Stats{}, fmt.Errorf("statistics: %w", err)
	}
	s := link.Attrs().Statistics
	if s == nil {
		return Stats{}, fmt.Errorf("statistics: the kernel tells none")
	}
	return Stats{
		ReceivedPackets: s.RxPackets, ReceivedOctets: s.RxBytes,
		SentPackets: s.TxPackets, SentOctets: s.TxBytes,
	}, nil
}

func (n *netlinkHandle) setMTU(index, octets int) error {
	return wrap(n.handle.LinkSetMTU(device(index), octets), "set MTU %d", octets)
}

func (n *netlinkHandle) setUp(index int, up bool) error {
	if up {
		return wrap(n.handle.LinkSetUp(device(index)), "set up")
	}
	return wrap(n.handle.LinkSetDown(device(index)), "set down")
}

func (n *netlinkHandle) addAddress(index int, local, peer netip.Addr) error {
	return wrap(n.handle.AddrAdd(device(index), address(local, peer)), "add address %v", local)
}

func (n *netlinkHandle) removeAddress(index int, local, peer netip.Addr) error {
	return wrap(n.handle.AddrDel(device(index), address(local, peer)), "remove address %v", local)
}

func address(local, peer netip.Addr) *netlink.Addr {
	a := &netlink.Addr{IPNet: host(local)}
	if peer.IsValid() {
		a.Peer = host(peer)
		// What is first with a destination is last to have it otherwise.
		a.Flags = unix.IFA_F_NOPREFIXROUTE
	}
	return a
}

func (n *netlinkHandle) addRoute(index int, r Route) error {
	// Without NLM_F_EXCL, NLM_F_APPEND and NLM_F_REPLACE it is put before others.
	return wrap(n.handle.RouteAddEcmp(route(index, r)), "add route %v", r.To)
}

func (n *netlinkHandle) removeRoute(index int, r Route) error {
	return wrap(n.handle.RouteDel(route(index, r)), "remove route %v", r.To)
}

func route(index int, r Route) *netlink.Route {
	return &netlink.Route{
		LinkIndex: index,
		Scope:     netlink.SCOPE_LINK,
		Protocol:  unix.RTPROT_STATIC,
		Dst:       ipNet(r.To),
		Src:       r.Source.AsSlice(),
	}
}

func host(a netip.Addr) *net.IPNet { return ipNet(netip.PrefixFrom(a, a.BitLen())) }

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
