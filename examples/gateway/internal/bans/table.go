package bans

import (
	"net/netip"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/agenda"
)

// entry is a ban.
type entry struct {
	until  time.Time
	reason string
	times  int  // in a row; zero with those of operators
	manual bool // an operator's
}

// table is the bans by whom they are of. Some may be over already.
type table struct {
	entries map[key]*entry
	// ends of automatic bans and of manual ones, and how many there may be.
	ends [2]agenda.Agenda[key]
	max  [2]int
	// lengths counts the prefixes of sources by their bits, IPv6 behind IPv4.
	lengths [33 + 129]int
}

func newTable(size int) table {
	return table{entries: make(map[key]*entry), max: [2]int{size, maxManual}}
}

// kind indexes ends and max.
func (e *entry) kind() int {
	if e.manual {
		return 1
	}
	return 0
}

// full reports whether there is no place for another manual ban.
func (t *table) full(k key) bool {
	e := t.entries[k]
	return (e == nil || !e.manual) && t.ends[1].Len() >= t.max[1]
}

// put adds or replaces a ban. It returns those that had to go for it: others are over, and
// are taken out on the way.
func (t *table) put(k key, e entry, now time.Time) (gone []key) {
	t.expire(now)
	t.remove(k)
	kind := e.kind()
	gone = t.shrink(kind, t.max[kind]-1)
	t.entries[k] = &e
	t.ends[kind].Set(k, e.until)
	t.count(k.source, 1)
	return gone
}

// resize changes how many automatic bans there may be, and returns those that had to go.
func (t *table) resize(size int) (gone []key) {
	t.max[0] = size
	return t.shrink(0, size)
}

// shrink takes out those that are the first to end, until there are no more than so many.
func (t *table) shrink(kind, n int) (gone []key) {
	for t.ends[kind].Len() > n {
		at, _ := t.ends[kind].Next()
		first, _ := t.ends[kind].Due(at)
		t.remove(first)
		gone = append(gone, first)
	}
	return gone
}

// expire takes out those that are over.
func (t *table) expire(now time.Time) {
	for kind := range t.ends {
		for {
			k, due := t.ends[kind].Due(now)
			if !due {
				break
			}
			t.remove(k)
		}
	}
}

func (t *table) remove(k key) {
	e := t.entries[k]
	if e == nil {
		return
	}
	delete(t.entries, k)
	t.ends[e.kind()].Remove(k)
	t.count(k.source, -1)
}

func (t *table) count(p netip.Prefix, n int) {
	if p.IsValid() {
		t.lengths[place(p.Addr(), p.Bits())] += n
	}
}

// place indexes lengths.
func place(a netip.Addr, bits int) int {
	if a.Is4() {
		return bits
	}
	return 33 + bits
}

// bans reports whether one of the names is banned at a source, which may be not valid:
// everywhere.
func (t *table) bans(names []string, source netip.Addr, now time.Time) bool {
	if t.has(names, netip.Prefix{}, now) {
		return true
	}
	source = source.Unmap().WithZone("")
	for bits := source.BitLen(); source.IsValid() && bits >= 0; bits-- {
		if t.lengths[place(source, bits)] == 0 {
			continue
		}
		if p, _ := source.Prefix(bits); t.has(names, p, now) {
			return true
		}
	}
	return false
}

func (t *table) has(names []string, source netip.Prefix, now time.Time) bool {
	for _, name := range names {
		if e := t.entries[key{name, source}]; e != nil && e.until.After(now) {
			return true
		}
	}
	return false
}
