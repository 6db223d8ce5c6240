package kerneltest

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/gopptp/gopptp/kernel/internal/driver"
)

// device is what a unit is as a network device. It is guarded by host.mu.
type device struct {
	mtu       int
	up        bool
	addresses []Address
	from, to  police
}

// Address is one of a device. Peer is not valid if it has none; it is no route.
type Address struct {
	Local, Peer netip.Addr
}

// Route is one to a device. Of those to the same destination the newest counts.
type Route struct {
	To     netip.Prefix
	Source netip.Addr // not valid if it has none
}

// Device is a network device of a host, which is a session's.
type Device struct {
	Name       string
	CallID     uint16 // ours
	Up         bool
	MTU        int
	IPv4, IPv6 bool // users' packets pass
	// FromPeer and ToPeer limit users' packets; zero: not at all.
	FromPeer, ToPeer Rate
	Addresses        []Address
	Routes           []Route
}

// Devices returns the host's, the eldest first.
func (h *Host) Devices() []Device {
	h.mu.Lock()
	defer h.mu.Unlock()
	devices := make([]Device, 0, len(h.units))
	for _, u := range h.units {
		d := Device{
			Name: u.name, CallID: u.socket.id, Up: u.up, MTU: u.mtu, IPv4: u.ipv4, IPv6: u.ipv6,
			Addresses: slices.Clone(u.addresses),
			FromPeer:  Rate(u.from.rate), ToPeer: Rate(u.to.rate),
		}
		for _, r := range h.routes {
			if r.unit == u {
				d.Routes = append(d.Routes, r.Route)
			}
		}
		devices = append(devices, d)
	}
	return devices
}

// route is a Route with its device.
type route struct {
	Route
	unit *unit
}

// removeDevice has h.mu held.
func (h *Host) removeDevice(u *unit) {
	h.units = slices.DeleteFunc(h.units, func(other *unit) bool { return other == u })
	h.dropRoutes(func(r route) bool { return r.unit == u })
	for _, a := range u.addresses {
		h.forgetSource(a.Local)
	}
	u.device = device{}
}

func (h *Host) dropRoutes(which func(route) bool) { h.routes = slices.DeleteFunc(h.routes, which) }

// way returns the unit that leads to an address; nil if none does. h.mu is held.
func (h *Host) way(to netip.Addr) (u *unit) {
	longest := -1
	for _, r := range h.routes {
		if r.To.Contains(to) && r.To.Bits() > longest {
			u, longest = r.unit, r.To.Bits()
		}
	}
	return u
}

// SetMTU implements driver.Unit.
func (u *unit) SetMTU(octets int) error {
	leave, err := u.enter(OpSetMTU)
	defer leave()
	if err == nil && (octets < 68 || octets > 65535) {
		err = fmt.Errorf("set MTU: %w", syscall.EINVAL)
	}
	if err == nil {
		u.mtu = octets
	}
	return err
}

// SetUp implements driver.Unit.
func (u *unit) SetUp(up bool) error {
	leave, err := u.enter(OpSetUp)
	defer leave()
	if err != nil {
		return err
	}
	u.up = up
	if !up {
		u.host.dropRoutes(func(r route) bool { return r.unit == u })
	}
	return nil
}

// AddAddress implements driver.Unit.
func (u *unit) AddAddress(local, peer netip.Addr) error {
	leave, err := u.enter(OpAddAddress)
	defer leave()
	a := Address{local, peer}
	switch {
	case err != nil:
	case slices.Contains(u.addresses, a):
		err = fmt.Errorf("add address: %w", syscall.EEXIST)
	default:
		u.addresses = append(u.addresses, a)
	}
	return err
}

// RemoveAddress implements driver.Unit. A device that has no address of IPv4 left loses
// its routes of IPv4.
func (u *unit) RemoveAddress(local, peer netip.Addr) error {
	leave, err := u.enter(OpRemoveAddress)
	defer leave()
	if err != nil {
		return err
	}
	i := slices.Index(u.addresses, Address{local, peer})
	if i < 0 {
		return fmt.Errorf("remove address: %w", syscall.EADDRNOTAVAIL)
	}
	u.addresses = slices.Delete(u.addresses, i, i+1)
	if local.Is4() && !slices.ContainsFunc(u.addresses, func(a Address) bool { return a.Local.Is4() }) {
		u.host.dropRoutes(func(r route) bool { return r.unit == u && r.To.Addr().Is4() })
	}
	u.host.forgetSource(local)
	return nil
}

// forgetSource removes the routes that prefer an address which the host has no more.
func (h *Host) forgetSource(local netip.Addr) {
	for _, u := range h.units {
		if slices.ContainsFunc(u.addresses, func(a Address) bool { return a.Local == local }) {
			return
		}
	}
	h.dropRoutes(func(r route) bool { return r.Source == local })
}

// AddRoute implements driver.Unit.
func (u *unit) AddRoute(r driver.Route) error {
	leave, err := u.enter(OpAddRoute)
	defer leave()
	if err == nil && !u.up {
		err = fmt.Errorf("add route: %w", syscall.ENETDOWN)
	}
	if err != nil {
		return err
	}
	added := route{Route(r), u}
	if slices.Contains(u.host.routes, added) {
		return fmt.Errorf("add route: %w", syscall.EEXIST)
	}
	u.host.routes = slices.Insert(u.host.routes, 0, added)
	return nil
}

// RemoveRoute implements driver.Unit.
func (u *unit) RemoveRoute(r driver.Route) error {
	leave, err := u.enter(OpRemoveRoute)
	defer leave()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(u.host.routes, func(has route) bool {
		return has.unit == u && has.To == r.To && (has.Source == r.Source || !r.Source.IsValid())
	})
	if i < 0 {
		return fmt.Errorf("remove route: %w", syscall.ESRCH)
	}
	u.host.routes = slices.Delete(u.host.routes, i, i+1)
	return nil
}
