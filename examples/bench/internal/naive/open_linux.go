package naive

import (
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Options say what Open opens.
type Options struct {
	Device string // of TUN, to be made
	Peer   netip.Addr
	MPPE   bool // else in clear
	Server bool // one end is, which settles who has which key
}

// Open makes a TUN device and returns the function that forwards packets between it
// and the peer.
func Open(o Options) (run func() error, err error) {
	host, err := openTUN(o.Device)
	if err != nil {
		return nil, fmt.Errorf("TUN device: %w", err)
	}
	wire, err := openRaw(o.Peer)
	if err != nil {
		host.Close()
		return nil, fmt.Errorf("raw socket: %w", err)
	}
	return newForwarder(host, wire, o.MPPE, o.Server).run, nil
}

func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openRaw connects a raw GRE socket, so that Write sends to the peer, and Read
// returns what comes from it, with the IP header.
func openRaw(peer netip.Addr) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_GRE)
	if err != nil {
		return nil, err
	}
	// The same room as the data plane of package userspace has.
	for option, size := range map[int]int{unix.SO_RCVBUFFORCE: 4 << 20, unix.SO_SNDBUFFORCE: 2 << 20} {
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, size)
		}
	}
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Addr: peer.As4()})
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "raw GRE socket"), nil
}
