package host

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Ports is how many ports a source address has for connections to one server; 0 if that
// is not known.
func Ports() int {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 0
	}
	var first, last int
	if _, err := fmt.Sscan(string(text), &first, &last); err != nil || last < first {
		return 0
	}
	return last - first + 1
}

// Add makes the addresses of s the host's own, in the network namespace of the calling
// thread, until the function that it returns is called. A network costs one route,
// however many addresses it has.
func (s Sources) Add() (remove func(), err error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	var added []*netlink.Route
	remove = func() {
		for _, r := range added {
			_ = nl.RouteDel(r)
		}
		nl.Close()
	}
	lo, err := nl.LinkByName("lo")
	if err != nil {
		remove()
		return nil, fmt.Errorf("device lo: %w", err)
	}
	for _, p := range s {
		r := &netlink.Route{
			LinkIndex: lo.Attrs().Index,
			Dst:       &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)},
			Type:      unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST,
		}
		switch err := nl.RouteAdd(r); {
		case errors.Is(err, unix.EEXIST): // it is there, and stays
		case err != nil:
			remove()
			return nil, fmt.Errorf("local route %v: %w", p, err)
		default:
			added = append(added, r)
		}
	}
	return remove, nil
}

// Dialer returns a dialer that connects from an address, if that is valid. The port is
// chosen with the server in mind, so that each address has all of its ports for each
// server.
func Dialer(from netip.Addr) *net.Dialer {
	d := new(net.Dialer)
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			if e := c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			}); e != nil {
				return e
			}
			return err
		}
	}
	return d
}

// CPUTime is what the process has used of processors.
func CPUTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
