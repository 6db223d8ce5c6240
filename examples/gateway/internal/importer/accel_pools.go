package importer

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// accelPool is a pool by its name; empty is that of those for whom none is named.
type accelPool struct {
	name, next string
	ranges     []string
}

// pool takes in a line of [ip-pool]: a setting, or a range with its pool.
func (m *accel) pool(r reader, value, text string) {
	switch r.key {
	case "gw-ip-address":
		m.gateway(r, value)
		return
	case "attr":
		if value != "Framed-Pool" {
			r.note("not carried over: the attribute that has the name of a pool is Framed-Pool, not %s", quoted(value))
		}
		return
	case "vendor", "shuffle":
		return
	}
	fields := strings.Split(text, ",")
	name, next := "", ""
	for _, f := range fields[1:] {
		key, v, named := strings.Cut(strings.TrimSpace(f), "=")
		switch {
		case !named:
			name = key
		case key == "name":
			name = v
		case key == "next":
			next = v
		default:
			r.note("not carried over: %s of a pool is not known here", quoted(key))
		}
	}
	first := strings.TrimSpace(fields[0])
	if key, v, named := strings.Cut(first, "="); named { // name=range
		name, first = key, v
	}
	span, err := accelRange(first)
	if err != nil {
		r.note("not carried over: %v", err)
		return
	}
	p := m.byName[name]
	if p == nil {
		p = &accelPool{name: name}
		m.byName[name], m.pools = p, append(m.pools, p)
	}
	p.ranges = append(p.ranges, span)
	if next != "" {
		p.next = next
	}
}

// accelRange is a network, or a range in the last octet, as pools have it. The tunnel
// itself has no use for the first and the last address of a network.
func accelRange(text string) (string, error) {
	if network, err := netip.ParsePrefix(text); err == nil && network.Addr().Is4() {
		return network.Masked().String(), nil
	}
	from, to, _ := strings.Cut(text, "-")
	a, err := netip.ParseAddr(from)
	if err != nil || !a.Is4() {
		return "", fmt.Errorf("%q is not a range of addresses", text)
	}
	if to == "" {
		to = from
	}
	if b, err := netip.ParseAddr(to); err == nil && b.Is4() && !b.Less(a) {
		return a.String() + "-" + b.String(), nil
	}
	if n, err := strconv.Atoi(to); err != nil || n > 255 || n < int(a.As4()[3]) {
		return "", fmt.Errorf("%q is not a range of addresses", text)
	}
	return text, nil
}

// finishPools writes the pools: plain ranges if there is one without a name.
func (m *accel) finishPools() {
	if len(m.pools) == 0 {
		if !m.loaded("radius") {
			m.note(m.file, 0, "there is no pool: pools is 10.8.0.0/24 unless you change it")
		}
		return
	}
	if len(m.pools) == 1 && m.pools[0].name == "" && m.pools[0].next == "" {
		m.list("pools", m.pools[0].ranges)
		return
	}
	// The first one is for those for whom none is named.
	slices.SortStableFunc(m.pools, func(a, b *accelPool) int {
		rank := func(p *accelPool) int {
			if p.name == m.first {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	lines := make([]string, len(m.pools))
	for i, p := range m.pools {
		name := p.name
		if name == "" {
			name = "default"
		}
		lines[i] = fmt.Sprintf("{name: %s, ranges: %s", quoted(name), flow(p.ranges))
		if p.next != "" {
			lines[i] += ", next: " + quoted(p.next)
		}
		lines[i] += "}"
	}
	m.list("pools", lines)
}
