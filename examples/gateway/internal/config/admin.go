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
	Group  string    `yaml:"group"`
	Web    AdminWeb  `yaml:"web"`
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
		return AdminAddr{}, fmt.Errorf("%v can be reached from elsewhere, and whoever reaches this address may look at everything: "+
			"take a Unix socket, a loopback address like 127.0.0.1:9180, or admin.web.listen", addr)
	}
	return AdminAddr{"tcp", netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()).String()}, nil
}

// admin looks at what goes together.
func (k *checker) admin() {
	a := &k.cfg.Admin
	if a.Group != "" && a.Listen.Network != "unix" {
		k.bad("admin.group", "is for a Unix socket, which admin.listen is not")
	}
	k.adminWeb()
}
