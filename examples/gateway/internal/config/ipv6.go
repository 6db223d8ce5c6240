package config

import (
	"fmt"
	"net/netip"
)

// IPv6 says what sessions get beside IPv4.
type IPv6 struct {
	Prefix IPv6Network `yaml:"prefix"`
	DNS    []IPv6Addr  `yaml:"dns"`
}

// IPv6Network is a network of which each session gets a part; not valid: none.
type IPv6Network struct{ netip.Prefix }

// IPv6Addr is an IPv6 address.
type IPv6Addr struct{ netip.Addr }

// Enabled reports whether sessions may have IPv6.
func (c *IPv6) Enabled() bool { return c.Prefix.IsValid() }

// Own is the part of the network that no session gets, and Address the gateway's
// address in it.
func (c *IPv6) Own() netip.Prefix { return netip.PrefixFrom(c.Prefix.Addr(), 64) }

// Address is the gateway's own, in all tunnels.
func (c *IPv6) Address() netip.Addr { return c.Prefix.Addr().Next() }

// Servers are the name servers that clients are told.
func (c *IPv6) Servers() (list []netip.Addr) {
	for _, a := range c.DNS {
		list = append(list, a.Addr)
	}
	return list
}

func parseIPv6Network(text string) (IPv6Network, error) {
	if text == "" {
		return IPv6Network{}, nil
	}
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !network.Addr().Is6() || network.Addr().Is4In6():
		return IPv6Network{}, fmt.Errorf("%q is not an IPv6 network, like 2001:db8:1::/48", text)
	case network != network.Masked():
		return IPv6Network{}, fmt.Errorf("%q has bits set behind its prefix: did you mean %v?", text, network.Masked())
	}
	return IPv6Network{network}, nil
}

func parseIPv6Addr(text string) (IPv6Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is6() || addr.Is4In6() || addr.Zone() != "" {
		return IPv6Addr{}, fmt.Errorf("%q is not an IPv6 address", text)
	}
	return IPv6Addr{addr}, nil
}

// maxIPv6DNS is how many name servers gopptp.IPv6Config takes.
const maxIPv6DNS = 8

func (k *checker) ipv6() {
	c := &k.cfg.IPv6
	if len(c.DNS) > maxIPv6DNS {
		k.bad("ipv6.dns", "has %d addresses; clients can be told %d", len(c.DNS), maxIPv6DNS)
	}
	for i, a := range c.DNS {
		if a.IsValid() && (a.IsUnspecified() || a.IsMulticast() || a.IsLoopback()) {
			k.bad(index("ipv6.dns", i), "%v cannot be the address of a server", a)
		}
	}
	switch p := c.Prefix; {
	case !c.Enabled():
		if len(c.DNS) > 0 {
			k.warn("ipv6.dns", "is told to nobody without ipv6.prefix")
		}
		return
	case p.Bits() < 40 || p.Bits() > 63:
		k.bad("ipv6.prefix", "%v has %d bits, not 40 to 63: each session gets one of 64, and so does the gateway", p, p.Bits())
	case !p.Addr().IsGlobalUnicast():
		k.bad("ipv6.prefix", "hosts cannot have addresses in %v", p)
	}
	if m := k.cfg.MTU; m != 0 && m < 1280 {
		k.bad("mtu", "%d is below 1280, which IPv6 needs", m)
	}
}
