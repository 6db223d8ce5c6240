package config

import "net/netip"

// Metrics says where Prometheus and load balancers ask, beside the admin address.
type Metrics struct {
	Listen      []netip.AddrPort `yaml:"listen"`
	FullIsReady bool             `yaml:"full_is_ready"`
}
