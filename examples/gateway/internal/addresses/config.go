package addresses

import (
	"net/netip"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// FromConfig returns what the gateway's configuration says of pools. fixed are the
// addresses of users that are known beforehand.
func FromConfig(c *config.Config, fixed []netip.Addr) Config {
	cfg := Config{Own: c.LocalAddress, Fixed: fixed, File: c.AddressesFile}
	for _, p := range c.NamedPools() {
		q := Pool{Name: p.Name, Next: p.Next, Sticky: p.Sticky, Quarantine: p.Quarantine}
		q.Ranges = make([]gopptp.PoolRange, len(p.Ranges))
		for i, r := range p.Ranges {
			q.Ranges[i] = r.Range
		}
		cfg.Pools = append(cfg.Pools, q)
	}
	return cfg
}
