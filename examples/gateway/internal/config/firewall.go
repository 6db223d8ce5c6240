package config

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/gopptp/gopptp/dataplane"
)

// Firewall is what the gateway does to the host's firewall.
type Firewall struct {
	Enabled    bool   `yaml:"enabled"`
	Table      string `yaml:"table"`
	PeersOnly  bool   `yaml:"gre_from_peers_only"`
	MSSClamp   bool   `yaml:"mss_clamp"`
	Forwarding bool   `yaml:"forwarding"`
	NAT        NAT    `yaml:"nat"`
}

// NAT says whose addresses nobody outside gets to see.
type NAT struct {
	Masquerade     bool           `yaml:"masquerade"`
	MasqueradeIPv6 bool           `yaml:"masquerade_ipv6"`
	Interfaces     []string       `yaml:"interfaces"`
	Networks       []netip.Prefix `yaml:"networks"`
}

func defaultFirewall() Firewall {
	return Firewall{
		Table:     "gopptp",
		PeersOnly: true,
		MSSClamp:  true,
		NAT:       NAT{Interfaces: []string{}, Networks: []netip.Prefix{}},
	}
}

// Tunnels are the names of the devices of tunnels. A * at the end stands for any number.
func (c *Config) Tunnels() []string { return append([]string{c.TUN}, c.kernelTunnels()...) }

// kernelTunnels are those of tunnels in the kernel.
func (c *Config) kernelTunnels() []string {
	if c.Dataplane.Mode == dataplane.Userspace {
		return nil
	}
	before, _, _ := strings.Cut(c.Dataplane.Device, "%d")
	return []string{before + "*"}
}

// Clamped are the devices whose packets the firewall clamps: userspace does so itself.
func (c *Config) Clamped() []string {
	if !c.Firewall.MSSClamp {
		return nil
	}
	return c.kernelTunnels()
}

// Masqueraded are the networks of clients who are masqueraded.
func (c *Config) Masqueraded() (list []netip.Prefix) {
	n := &c.Firewall.NAT
	if n.Masquerade {
		list = append(list, n.Networks...)
		if len(n.Networks) == 0 {
			c.eachRange(func(_ string, r Range) { list = append(list, r.Prefixes()...) })
		}
	}
	if n.MasqueradeIPv6 {
		list = append(list, c.IPv6.Prefix.Prefix)
	}
	return list
}

var tableName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

func (k *checker) firewall() {
	f := &k.cfg.Firewall
	if !tableName.MatchString(f.Table) {
		k.bad("firewall.table", "%q is not a name of 1 to 63 letters, digits and underscores, a letter first", f.Table)
	}
	for i, name := range f.NAT.Interfaces {
		if !deviceName(name) && !k.cfg.Wrong(index("firewall.nat.interfaces", i)) {
			k.bad(index("firewall.nat.interfaces", i), "%q cannot be the name of a network device", name)
		}
	}
	if f.NAT.MasqueradeIPv6 && !k.cfg.IPv6.Enabled() && !k.cfg.Wrong("ipv6.prefix") {
		k.bad("firewall.nat.masquerade_ipv6", "needs ipv6.prefix")
	}
	if f.Enabled {
		return
	}
	for _, s := range []struct {
		path string
		set  bool
	}{
		{"firewall.forwarding", f.Forwarding},
		{"firewall.nat.masquerade", f.NAT.Masquerade},
		{"firewall.nat.masquerade_ipv6", f.NAT.MasqueradeIPv6},
	} {
		if s.set {
			k.warn(s.path, "means nothing without firewall.enabled")
		}
	}
}

// deviceName reports whether Linux takes it as the name of a network device.
func deviceName(name string) bool {
	return name != "" && len(name) <= 15 && name != "." && name != ".." && !strings.ContainsAny(name, "/: \t\n%")
}
