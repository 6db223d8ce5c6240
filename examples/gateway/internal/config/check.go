package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

// check looks at values that are well formed: whether they are in range, and go
// together. Users are checked by package users, which knows all of them.
func (c *Config) check() diag.Problems {
	k := checker{cfg: c}
	k.listen()
	k.sockets()
	k.addresses()
	k.pools()
	k.policy()
	k.ipv6()
	k.numbers()
	k.durations()
	k.limits()
	k.names()
	k.dataplane()
	k.security()
	k.admin()
	k.log()
	k.database()
	k.radius()
	k.accounting()
	k.bans()
	k.firewall()
	return k.problems
}

type checker struct {
	cfg      *Config
	problems diag.Problems
}

func (k *checker) bad(path, format string, args ...any) {
	k.problems.Add(k.cfg.At(path, fmt.Sprintf(format, args...)))
}

func (k *checker) warn(path, format string, args ...any) {
	p := k.cfg.At(path, fmt.Sprintf(format, args...))
	p.Warning = true
	k.problems.Add(p)
}

func (k *checker) listen() {
	if len(k.cfg.Listen) == 0 {
		k.bad("listen", "must have at least one address")
	}
	for i, l := range k.cfg.Listen {
		path := index("listen", i)
		if !l.IsValid() { // reported already
			continue
		}
		if l.Port() != 0 && l.Port() != 1723 {
			k.warn(path, "most clients know no other port than 1723")
		}
		k.cfg.eachRange(func(_ string, r Range) {
			if r.Contains(l.Addr()) {
				k.bad(path, "%v is within the pool %v: packets to the gateway would go into a tunnel", l.Addr(), r)
			}
		})
	}
}

func (k *checker) addresses() {
	if a := k.cfg.LocalAddress; !unicast(a) {
		k.bad("local_address", "%v cannot be the address of a host", a)
	}
	for _, servers := range []struct {
		key  string
		list []netip.Addr
	}{{"dns", k.cfg.DNS}, {"wins", k.cfg.WINS}} {
		if len(servers.list) > 2 {
			k.bad(servers.key, "has %d addresses; clients can be told two", len(servers.list))
		}
		for i, a := range servers.list {
			if a.IsValid() && !unicast(a) {
				k.bad(index(servers.key, i), "%v cannot be the address of a server", a)
			}
		}
	}
}

func (k *checker) numbers() {
	c := k.cfg
	if c.MTU != 0 && (c.MTU < 576 || c.MTU > 1500) {
		k.bad("mtu", "%d is neither 0 nor from 576 to 1500", c.MTU)
	}
	for _, n := range []struct {
		path            string
		value, min, max int
	}{
		{"loops", c.Loops, 0, 1024},
		{"echo.failures", c.Echo.Failures, 1, 100},
	} {
		if n.value < n.min || n.value > n.max {
			k.bad(n.path, "%d is not from %d to %d", n.value, n.min, n.max)
		}
	}
}

func (k *checker) durations() {
	c := k.cfg
	for _, n := range []struct {
		path            string
		value, min, max time.Duration
	}{
		{"stop_timeout", c.StopTimeout, 0, time.Hour},
		{"echo.interval", c.Echo.Interval, time.Second, 24 * time.Hour},
	} {
		if n.value < n.min || n.value > n.max {
			k.bad(n.path, "%v is not from %v to %v", n.value, n.min, n.max)
		}
	}
}

func (k *checker) names() {
	c := k.cfg
	switch {
	case c.Name == "" || len(c.Name) > 63:
		k.bad("name", "must have 1 to 63 octets, not %d", len(c.Name))
	case strings.ContainsFunc(c.Name, func(r rune) bool { return r <= ' ' || r > '~' }):
		k.bad("name", "%q has other characters than printable ASCII ones", c.Name)
	}
	if !deviceName(c.TUN) {
		k.bad("tun", "%q cannot be the name of a network device", c.TUN)
	}
}

// unicast reports whether a host in a tunnel can have the address.
func unicast(a netip.Addr) bool {
	return a.Is4() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && a.As4()[0] != 0 && a.As4()[0] < 240
}

// valid reports whether the range was read without a problem.
func (r Range) valid() bool { return r.Range.First.IsValid() }

// plainName reports whether a name needs no quotes anywhere: in a label of a metric, a
// command or a log.
func plainName(name string) bool {
	return name != "" && len(name) <= 63 && !strings.ContainsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".-_", r))
	})
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
