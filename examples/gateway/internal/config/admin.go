package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
)

// Admin says where the operator can look into the running gateway.
type Admin struct {
	Listen AdminAddr `yaml:"listen"`
}

// AdminAddr is an address as packages net takes it. The zero value is none.
type AdminAddr struct {
	Network string // unix or tcp
	Address string
}

// IsZero reports whether there is no address.
func (a AdminAddr) IsZero() bool { return a == AdminAddr{} }

// String is the address as it is written.
func (a AdminAddr) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Address
	}
	return a.Address
}

// maxSocketPath is the length of the name of a Unix socket on Linux.
const maxSocketPath = 107

func parseAdminAddr(text string) (AdminAddr, error) {
	if text == "" {
		return AdminAddr{}, nil
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		switch {
		case !filepath.IsAbs(path):
			return AdminAddr{}, fmt.Errorf("%q is not a Unix socket: it needs an absolute name, like unix:/run/gopptp/admin.sock", text)
		case len(path) > maxSocketPath:
			return AdminAddr{}, fmt.Errorf("the name of a Unix socket has at most %d octets, not %d", maxSocketPath, len(path))
		case strings.ContainsRune(path, 0):
			return AdminAddr{}, errors.New("the name of a Unix socket has no NUL")
		}
		return AdminAddr{"unix", filepath.Clean(path)}, nil
	}
	addr, err := netip.ParseAddrPort(text)
	switch {
	case err != nil || addr.Port() == 0:
		return AdminAddr{}, fmt.Errorf("%q is neither a Unix socket, like unix:/run/gopptp/admin.sock, nor a loopback address and port, like 127.0.0.1:9180", text)
	case !addr.Addr().Unmap().IsLoopback():
		return AdminAddr{}, fmt.Errorf("%v can be reached from elsewhere, and whoever reaches this address may ask anything, as it knows no tokens yet: "+
			"take a Unix socket, or a loopback address like 127.0.0.1:9180", addr)
	}
	return AdminAddr{"tcp", netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()).String()}, nil
}

// admin looks whether the address is free of the gateway's own.
func (k *checker) admin() {
	a := k.cfg.Admin.Listen
	if a.Network != "tcp" {
		return
	}
	addr, _ := netip.ParseAddrPort(a.Address)
	for _, l := range k.cfg.Listen {
		if l.IsValid() && l.Port() == addr.Port() && addr.Addr().Is4() && (l.Addr().IsUnspecified() || l.Addr() == addr.Addr()) {
			k.bad("admin.listen", "%v is where clients connect, by listen", a)
		}
	}
}
