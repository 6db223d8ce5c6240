package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/hours"
)

// Policy says which users may come in whose password is right, and for how long.
type Policy struct {
	Rules
	OnExcess      Excess         `yaml:"on_excess"`
	MaxPerSource  int            `yaml:"max_sessions_per_source"`
	DeniedSources []netip.Prefix `yaml:"denied_sources"`
	TimeZone      *time.Location `yaml:"time_zone"`
}

func defaultPolicy() Policy {
	return Policy{
		Rules:         Rules{Sources: []netip.Prefix{}, Hours: []hours.Window{}},
		OnExcess:      ExcessRefuse,
		DeniedSources: []netip.Prefix{},
		TimeZone:      time.Local,
	}
}

// Group has rules for its users.
type Group struct {
	Name          string         `yaml:"name"`
	Pool          string         `yaml:"pool"`
	DeniedSources []netip.Prefix `yaml:"denied_sources"`
	Rules
}

// Rules are for all users, those of a group, or one. The zero value of each is none.
type Rules struct {
	MaxSessions    int            `yaml:"max_sessions"`
	Sources        []netip.Prefix `yaml:"sources"`
	Hours          []hours.Window `yaml:"hours"`
	SessionTimeout time.Duration  `yaml:"session_timeout"`
	IdleTimeout    time.Duration  `yaml:"idle_timeout"`
	RateFromPeer   BitRate        `yaml:"rate_from_peer"`
	RateToPeer     BitRate        `yaml:"rate_to_peer"`
	Quota          Octets         `yaml:"quota"`
}

// Rates are the rules' as the library takes them.
func (r *Rules) Rates() gopptp.Rates {
	return gopptp.Rates{
		FromPeer: gopptp.BitRate{BitsPerSecond: uint64(r.RateFromPeer)},
		ToPeer:   gopptp.BitRate{BitsPerSecond: uint64(r.RateToPeer)},
	}
}

// Excess is what happens when users have more sessions than they may.
type Excess string

// The ways.
const (
	ExcessRefuse  Excess = "refuse"
	ExcessReplace Excess = "replace"
)

func parseExcess(text string) (Excess, error) {
	switch e := Excess(text); e {
	case ExcessRefuse, ExcessReplace:
		return e, nil
	}
	return "", notOneOf(text, string(ExcessRefuse), string(ExcessReplace))
}

func parseZone(text string) (*time.Location, error) {
	zone, err := time.LoadLocation(text)
	if err != nil || text == "" {
		return nil, fmt.Errorf("%q is not a time zone of this host, like Local, UTC or Europe/Berlin", text)
	}
	return zone, nil
}

// BitRate is in bits per second; zero: no limit.
type BitRate uint64

// Octets is an amount of data; zero: no limit.
type Octets uint64

// scale is a unit of these.
type scale struct {
	name string
	size uint64
}

var (
	bitScales   = []scale{{"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"", 1}}
	octetScales = []scale{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}
)

func parseBitRate(text string) (BitRate, error) {
	n, err := scaled(text, bitScales, "a rate in bits per second, like 512k, 10M or 1G; 0 is no limit")
	return BitRate(n), err
}

func parseOctets(text string) (Octets, error) {
	n, err := scaled(text, octetScales, "an amount of data, like 500MiB or 20GiB; 0 is no limit")
	return Octets(n), err
}

// String is the rate as it may be written.
func (r BitRate) String() string {
	return scaledText(uint64(r), []scale{{"G", 1e9}, {"M", 1e6}, {"k", 1e3}})
}

// String is the amount as it may be written.
func (o Octets) String() string {
	return scaledText(uint64(o), []scale{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}})
}

// scaledText takes the first scale that leaves no rest.
func scaledText(n uint64, scales []scale) string {
	for _, s := range scales {
		if n > 0 && n%s.size == 0 {
			return strconv.FormatUint(n/s.size, 10) + s.name
		}
	}
	return strconv.FormatUint(n, 10)
}

func scaled(text string, scales []scale, what string) (uint64, error) {
	if text == "0" {
		return 0, nil
	}
	for _, s := range scales {
		digits, found := strings.CutSuffix(text, s.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange), err == nil && n > 1<<62/s.size:
			return 0, fmt.Errorf("%s is too much", text)
		case err == nil:
			return n * s.size, nil
		}
	}
	return 0, fmt.Errorf("%q is not %s", text, what)
}

// policy looks at the rules, and at what groups and users refer to.
func (k *checker) policy() {
	p := &k.cfg.Policy
	k.rules("policy.", &p.Rules)
	if p.MaxPerSource < 0 {
		k.bad("policy.max_sessions_per_source", "%d is negative; 0 is no limit", p.MaxPerSource)
	}
	groups := make(map[string]int)
	for i := range k.cfg.Groups {
		g, path := &k.cfg.Groups[i], index("groups", i)
		k.rules(path+".", &g.Rules)
		k.poolName(path+".pool", g.Pool)
		first, twice := groups[g.Name]
		switch {
		case k.cfg.Wrong(path) || k.cfg.Wrong(path+".name"): // reported already
		case g.Name == "":
			k.bad(path, "has no name")
		case !plainName(g.Name):
			k.bad(path+".name", "%q is not a name of 1 to 63 letters, digits, dots, dashes and underscores", g.Name)
		case twice:
			k.bad(path+".name", "%q is in line %d already", g.Name, k.cfg.source.line(index("groups", first)))
		default:
			groups[g.Name] = i
		}
	}
	for i := range k.cfg.Users {
		u, path := &k.cfg.Users[i], index("users", i)
		k.rules(path+".", &u.Rules)
		k.poolName(path+".pool", u.Pool)
		if _, there := groups[u.Group]; !there && u.Group != "" && !k.cfg.Wrong(path+".group") {
			k.bad(path+".group", "there is no group %q", u.Group)
		}
		if u.Address.IsValid() && u.Pool != "" {
			k.warn(path+".pool", "means nothing to a user with an address")
		}
		if u.Address.IsValid() && u.MaxSessions > 1 {
			k.warn(path+".max_sessions", "means nothing to a user with an address: only one session can have that")
		}
	}
}

func (k *checker) poolName(path, name string) {
	if name != "" && !k.cfg.HasPool(name) && !k.cfg.Wrong(path) {
		k.bad(path, "there is no pool %q", name)
	}
}

// rules looks at the rules whose keys begin with prefix.
func (k *checker) rules(prefix string, r *Rules) {
	if r.MaxSessions < 0 {
		k.bad(prefix+"max_sessions", "%d is negative; 0 is no limit of its own", r.MaxSessions)
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"session_timeout", r.SessionTimeout}, {"idle_timeout", r.IdleTimeout}} {
		if d.value != 0 && d.value < time.Second {
			k.bad(prefix+d.key, "%v is neither 0s nor at least 1s", d.value)
		}
	}
}
