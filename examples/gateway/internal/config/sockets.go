package config

import "net/netip"

// socket is a TCP address that the gateway opens, and its key.
type socket struct {
	path string
	addr netip.AddrPort
}

// sockets looks whether all of them can be open at the same time.
func (k *checker) sockets() {
	c := k.cfg
	var list []socket
	add := func(path string, addr netip.AddrPort) {
		if addr.IsValid() { // or is reported already, or none
			list = append(list, socket{path, addr})
		}
	}
	for i, addr := range c.Listen {
		add(index("listen", i), addr)
	}
	if c.Admin.Listen.Network == "tcp" {
		addr, _ := netip.ParseAddrPort(c.Admin.Listen.Address)
		add("admin.listen", addr)
	}
	add("admin.web.listen", c.Admin.Web.Listen.AddrPort)
	for i, addr := range c.Metrics.Listen {
		add(index("metrics.listen", i), addr)
	}
	for i, s := range list {
		for _, other := range list[:i] {
			switch {
			case s.addr == other.addr:
				k.bad(s.path, "%v is %s already", s.addr, other.path)
			case s.covers(other) || other.covers(s):
				k.bad(s.path, "%v cannot be open beside %s, %v", s.addr, other.path, other.addr)
			default:
				continue
			}
			break // one reason is enough
		}
	}
}

// covers reports whether a socket takes all connections that another one is for. That of all
// addresses of IPv6 takes those of IPv4, too.
func (s socket) covers(other socket) bool {
	all := s.addr.Addr()
	return s.addr.Port() == other.addr.Port() && s.addr.Port() != 0 &&
		all.IsUnspecified() && (all.Is6() || other.addr.Addr().Is4())
}
