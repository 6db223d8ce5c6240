package addresses

import (
	"cmp"
	"net/netip"
	"time"
)

// record is an address that was given back, and by whom.
type record struct {
	addr           netip.Addr
	user           string
	since          time.Time
	order          uint64  // which of all that were given back, of all pools
	older, newer   *record // of all
	before, behind *record // of the user: the next older one, and the next newer one
}

// inOrder compares records by when their addresses were given back.
func inOrder(a, b *record) int { return cmp.Compare(a.order, b.order) }

// memory has records in the order in which addresses were given back.
type memory struct {
	byAddr         map[netip.Addr]*record
	byUser         map[string]*record // the newest of each
	oldest, newest *record
}

func newMemory() memory {
	return memory{byAddr: make(map[netip.Addr]*record), byUser: make(map[string]*record)}
}

func (m *memory) len() int { return len(m.byAddr) }

// add has an address that is not there yet, the last in order. since is never before that
// of the newest, but for a clock that was set, which harms nobody.
func (m *memory) add(addr netip.Addr, user string, since time.Time, order uint64) {
	r := &record{addr: addr, user: user, since: since, order: order, older: m.newest}
	if m.newest == nil {
		m.oldest = r
	} else {
		m.newest.newer = r
	}
	m.newest = r
	if r.before = m.byUser[user]; r.before != nil {
		r.before.behind = r
	}
	m.byAddr[addr], m.byUser[user] = r, r
}

func (m *memory) remove(r *record) {
	if r.older == nil {
		m.oldest = r.newer
	} else {
		r.older.newer = r.newer
	}
	if r.newer == nil {
		m.newest = r.older
	} else {
		r.newer.older = r.older
	}
	if r.before != nil {
		r.before.behind = r.behind
	}
	switch {
	case r.behind != nil:
		r.behind.before = r.before
	case r.before != nil:
		m.byUser[r.user] = r.before
	default:
		delete(m.byUser, r.user)
	}
	delete(m.byAddr, r.addr)
}
