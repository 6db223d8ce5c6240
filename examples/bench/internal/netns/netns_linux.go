// Package netns makes network namespaces without names: they go with the process,
// however it ends, and leave nothing to be cleaned up.
package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace, and a thread in it.
type Namespace struct {
	work chan func()
	fd   int
	nl   *netlink.Handle
}

// New makes a namespace with nothing but loopback. It needs CAP_SYS_ADMIN.
func New() (*Namespace, error) {
	ns := &Namespace{work: make(chan func()), fd: -1}
	entered := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody else gets
		// to run in the namespace.
		runtime.LockOSThread()
		entered <- ns.enter()
		for f := range ns.work {
			f()
		}
	}()
	if err := <-entered; err != nil {
		ns.Close()
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	return ns, nil
}

func (ns *Namespace) enter() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	if ns.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if ns.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	return ns.up("lo")
}

// Close lets go of the namespace, which stays while a process is in it. Processes
// that Start has started there are killed.
func (ns *Namespace) Close() {
	if ns.nl != nil {
		ns.nl.Close()
	}
	if ns.fd >= 0 {
		unix.Close(ns.fd)
	}
	close(ns.work)
}

// Do runs f on the thread in the namespace. Sockets that f makes stay there,
// whoever uses them later.
func (ns *Namespace) Do(f func()) {
	done := make(chan struct{})
	ns.work <- func() { defer close(done); f() }
	<-done
}

// Start starts a process in the namespace, which does not outlive ours.
func (ns *Namespace) Start(cmd *exec.Cmd) (err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ns.Do(func() { err = cmd.Start() })
	return err
}

// Device is the end of a veth pair.
const Device = "eth0"

// Pair makes two namespaces that are joined by a veth pair.
func Pair(a, b netip.Prefix) (first, second *Namespace, err error) {
	if first, err = New(); err != nil {
		return nil, nil, err
	}
	if second, err = New(); err != nil {
		first.Close()
		return nil, nil, err
	}
	if err := Join(first, second, Device, Device, a, b); err != nil {
		first.Close()
		second.Close()
		return nil, nil, err
	}
	return first, second, nil
}

// Join joins two namespaces by a veth pair, whose ends have these names and addresses.
func Join(first, second *Namespace, nameA, nameB string, a, b netip.Prefix) error {
	if err := join(first, second, nameA, nameB, a, b); err != nil {
		return fmt.Errorf("veth pair: %w", err)
	}
	return nil
}

func join(first, second *Namespace, nameA, nameB string, a, b netip.Prefix) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = nameA
	if err := first.nl.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(second.fd)}); err != nil {
		return err
	}
	ends := []struct {
		ns      *Namespace
		name    string
		address netip.Prefix
	}{{first, nameA, a}, {second, nameB, b}}
	for _, end := range ends {
		link, err := end.ns.nl.LinkByName(end.name)
		if err != nil {
			return err
		}
		if err := end.ns.add(link, &netlink.Addr{IPNet: ipNet(end.address.Addr(), end.address.Bits())}); err != nil {
			return err
		}
	}
	// What is sent too early is lost, and the kernel takes a second to look for the
	// neighbour again.
	for range 500 {
		if first.isUp(nameA) && second.isUp(nameB) {
			return nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return errors.New("does not come up")
}

// Configure gives a device the address of one end of a tunnel, and an MTU, and sets
// it up.
func (ns *Namespace) Configure(device string, local, peer netip.Addr, mtu int) error {
	link, err := ns.nl.LinkByName(device)
	if err != nil {
		return err
	}
	if err := ns.nl.LinkSetMTU(link, mtu); err != nil {
		return err
	}
	return ns.add(link, &netlink.Addr{IPNet: ipNet(local, local.BitLen()), Peer: ipNet(peer, peer.BitLen())})
}

func (ns *Namespace) add(link netlink.Link, address *netlink.Addr) error {
	if err := ns.nl.AddrAdd(link, address); err != nil {
		return err
	}
	return ns.nl.LinkSetUp(link)
}

// Route has packets to a network go by way of a neighbour.
func (ns *Namespace) Route(to netip.Prefix, by netip.Addr) error {
	return ns.nl.RouteAdd(&netlink.Route{Dst: ipNet(to.Addr(), to.Bits()), Gw: by.AsSlice()})
}

func ipNet(a netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}
}

func (ns *Namespace) up(device string) error {
	link, err := ns.nl.LinkByName(device)
	if err != nil {
		return err
	}
	return ns.nl.LinkSetUp(link)
}

func (ns *Namespace) isUp(device string) bool {
	link, err := ns.nl.LinkByName(device)
	return err == nil && link.Attrs().OperState == netlink.OperUp
}

// MAC is the address of Device.
func (ns *Namespace) MAC() ([]byte, error) {
	link, err := ns.nl.LinkByName(Device)
	if err != nil {
		return nil, err
	}
	return link.Attrs().HardwareAddr, nil
}
