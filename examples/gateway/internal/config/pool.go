package config

import (
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/gopptp/gopptp"
)

// Pool is an entry of pools: a pool with a name, or a range of the pool DefaultPool,
// written as a Range.
type Pool struct {
	Name       string        `yaml:"name"`
	Ranges     []Range       `yaml:"ranges"`
	Next       string        `yaml:"next"`
	Sticky     time.Duration `yaml:"sticky"`
	Quarantine time.Duration `yaml:"quarantine"`

	plain bool // written as a range
}

// DefaultPool is the name of the pool of those ranges for which none is given.
const DefaultPool = "default"

// defaults implements defaulter.
func (p *Pool) defaults() { *p = Pool{Sticky: 24 * time.Hour, Quarantine: time.Minute} }

func plainPool(r Range) (p Pool) {
	p.defaults()
	p.Name, p.Ranges, p.plain = DefaultPool, []Range{r}, true
	return p
}

func parsePool(text string) (Pool, error) {
	r, err := parseRange(text)
	if err != nil {
		return Pool{}, err
	}
	return plainPool(r), nil
}

// NamedPools returns the pools, one a name: all ranges without one are the pool
// DefaultPool.
func (c *Config) NamedPools() (list []Pool) {
	at := -1
	for _, p := range c.Pools {
		if p.plain && at >= 0 {
			list[at].Ranges = append(list[at].Ranges, p.Ranges...)
			continue
		}
		if p.plain {
			at = len(list)
		}
		p.Ranges = slices.Clone(p.Ranges)
		list = append(list, p)
	}
	return list
}

// HasPool reports whether there is a pool of that name.
func (c *Config) HasPool(name string) bool {
	return slices.ContainsFunc(c.Pools, func(p Pool) bool { return p.Name == name })
}

// Size is the number of addresses.
func (p Pool) Size() (n int) {
	for _, r := range p.Ranges {
		n += r.Size()
	}
	return n
}

// String is the pool for a log.
func (p Pool) String() string {
	text := p.Name + "="
	if p.plain {
		text = ""
	}
	for i, r := range p.Ranges {
		if i > 0 {
			text += ","
		}
		text += r.String()
	}
	return text
}

// maxPool is the largest range that gopptp.NewPool takes.
const maxPool = 1 << 24

// pools looks at the ranges of all pools, and at how the pools go together.
func (k *checker) pools() {
	k.ranges()
	k.poolNames()
	k.chains()
	if file := k.cfg.AddressesFile; file != "" && !filepath.IsAbs(file) {
		k.bad("addresses_file", "%q is not an absolute name, like /var/lib/gopptp/addresses.json", file)
	}
	for i, p := range k.cfg.Pools {
		for _, d := range []struct {
			key   string
			value time.Duration
		}{{"sticky", p.Sticky}, {"quarantine", p.Quarantine}} {
			const most = 30 * 24 * time.Hour
			if d.value < 0 || d.value > most {
				k.bad(index("pools", i)+"."+d.key, "%v is not from 0s to %v", d.value, most)
			}
		}
	}
}

// eachRange calls f with all ranges that were read without a problem.
func (c *Config) eachRange(f func(path string, r Range)) {
	for i, p := range c.Pools {
		for j, r := range p.Ranges {
			path := index("pools", i)
			if !p.plain {
				path = index(path+".ranges", j)
			}
			if r.valid() {
				f(path, r)
			}
		}
	}
}

func (k *checker) ranges() {
	size, wrong := 0, false
	var seen []Range
	k.cfg.eachRange(func(path string, r Range) {
		switch {
		case !unicast(r.Range.First) || !unicast(r.Range.Last):
			k.bad(path, "%v has addresses that no host can have", r)
		case r.Size() > maxPool:
			k.bad(path, "%v has %d addresses, more than %d", r, r.Size(), maxPool)
		}
		for _, other := range seen {
			if r.overlaps(other) {
				k.bad(path, "%v overlaps %v", r, other)
			}
		}
		seen = append(seen, r)
		size += r.Size()
		if r.Contains(k.cfg.LocalAddress) {
			size--
		}
	})
	for i, p := range k.cfg.Pools {
		path := index("pools", i)
		wrong = wrong || k.cfg.wrongWithin(path)
		if len(p.Ranges) == 0 && !k.cfg.wrongWithin(path) {
			k.bad(path, "has no ranges")
			wrong = true
		}
	}
	if len(k.cfg.Pools) > 0 && size == 0 && !wrong {
		k.bad("pools", "holds no address but the gateway's own")
	}
}

func (k *checker) poolNames() {
	seen := make(map[string]int)
	for i, p := range k.cfg.Pools {
		path := index("pools", i)
		if p.plain {
			if first, twice := seen[p.Name]; twice && !k.cfg.Pools[first].plain {
				k.bad(path, "ranges without a name are the pool %s, which is defined in line %d", DefaultPool, k.cfg.source.line(index("pools", first)))
			} else if !twice {
				seen[p.Name] = i
			}
			continue
		}
		first, twice := seen[p.Name]
		switch {
		case k.cfg.Wrong(path) || k.cfg.Wrong(path+".name"): // reported already
			continue
		case p.Name == "":
			k.bad(path, "has no name")
			continue
		case !plainName(p.Name):
			k.bad(path+".name", "%q is not a name of 1 to 63 letters, digits, dots, dashes and underscores", p.Name)
		case twice && k.cfg.Pools[first].plain:
			k.bad(path+".name", "ranges without a name, as in line %d, are the pool %s already", k.cfg.source.line(index("pools", first)), DefaultPool)
		case twice:
			k.bad(path+".name", "%q is in line %d already", p.Name, k.cfg.source.line(index("pools", first)))
		}
		if !twice {
			seen[p.Name] = i
		}
	}
}

// chains follows next: to pools that there are, and not round and round.
func (k *checker) chains() {
	next := make(map[string]string)
	for _, p := range k.cfg.Pools {
		if _, twice := next[p.Name]; !twice {
			next[p.Name] = p.Next
		}
	}
	for i, p := range k.cfg.Pools {
		path := index("pools", i) + ".next"
		switch {
		case p.Next == "" || k.cfg.Wrong(path):
			continue
		case !k.cfg.HasPool(p.Next):
			k.bad(path, "there is no pool %q", p.Next)
			continue
		}
		at := p.Next
		for range k.cfg.Pools { // no chain is longer
			if at == p.Name {
				k.bad(path, "goes round: %q comes after itself", p.Name)
				break
			}
			at = next[at]
		}
	}
}

// PoolContains reports whether addr is in one of the pools.
func (c *Config) PoolContains(addr netip.Addr) (there bool) {
	c.eachRange(func(_ string, r Range) { there = there || r.Contains(addr) })
	return there
}

// Networks returns the networks of all pools, each address once, and that of IPv6.
func (c *Config) Networks() (list []netip.Prefix) {
	for _, p := range c.Pools {
		for _, r := range p.Ranges {
			list = append(list, r.Prefixes()...)
		}
	}
	if c.IPv6.Enabled() {
		list = append(list, c.IPv6.Prefix.Prefix)
	}
	return list
}

// Addresses are the gateway's own in the tunnels.
func (c *Config) Addresses() []netip.Addr {
	list := []netip.Addr{c.LocalAddress}
	if c.IPv6.Enabled() {
		list = append(list, c.IPv6.Address())
	}
	return list
}

// DeviceMTU is the MTU of the TUN device: what the sessions will have most
// likely, as each that differs costs a route.
func (c *Config) DeviceMTU() int {
	switch {
	case c.MTU != 0:
		return c.MTU
	case c.Encryption == gopptp.EncryptionDeny:
		return 1460
	}
	return 1456
}
