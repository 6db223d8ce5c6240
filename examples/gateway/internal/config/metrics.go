package config

import "net/netip"

// Metrics says where Prometheus and load balancers ask, beside the admin address.
type Metrics struct {
	Listen      []netip.AddrPort `yaml:"listen"`
	FullIsReady bool             `yaml:"full_is_ready"`
}

// metrics looks whether the addresses are free of the gateway's own.
func (k *checker) metrics() {
	seen := make(map[netip.AddrPort]bool)
	for i, l := range k.cfg.Metrics.Listen {
		path := index("metrics.listen", i)
		if !l.IsValid() { // reported already
			continue
		}
		if seen[l] {
			k.bad(path, "%v is listed twice", l)
		}
		seen[l] = true
		for _, pptp := range k.cfg.Listen {
			if pptp.IsValid() && sameSocket(pptp, l) {
				k.bad(path, "%v is where clients connect, by listen", l)
			}
		}
		if a := k.cfg.Admin.Listen; a.Network == "tcp" && a.Address == l.String() {
			k.bad(path, "%v is the admin address, which has the metrics already", l)
		}
	}
}
