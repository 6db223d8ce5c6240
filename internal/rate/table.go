package rate

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// Table has a bucket for each of very many addresses, in memory that does not grow.
// Where there are too many, the one that has kept away longest is forgotten, which then
// has a new bucket.
type Table struct {
	limit Limit
	seed  maphash.Seed
	epoch time.Time
	sets  []set
}

const ways = 4

// set holds addresses that fall into one place.
type set [ways]struct {
	key uint64        // hash of the address: nobody can choose those that meet
	due time.Duration // of the bucket, since epoch
}

// NewTable returns a Table for about n addresses at once.
func NewTable(l Limit, n int, now time.Time) *Table {
	return &Table{limit: l, seed: maphash.MakeSeed(), epoch: now, sets: make([]set, max(1, n/ways))}
}

// SetLimit changes the limit. What has come counts under the new one.
func (t *Table) SetLimit(l Limit) { t.limit = l }

// Allow counts an event of addr, if there is room for it.
func (t *Table) Allow(addr netip.Addr, now time.Time) bool {
	if t.limit.interval == 0 {
		return true
	}
	key := maphash.Comparable(t.seed, addr)
	s := &t.sets[key%uint64(len(t.sets))]
	place := 0
	for i := range s {
		if s[i].key == key {
			place = i
			break
		}
		if s[i].due < s[place].due {
			place = i
		}
	}
	e := &s[place]
	if e.key != key {
		e.key, e.due = key, 0
	}
	b := Bucket{t.epoch.Add(e.due)}
	ok := t.limit.Allow(&b, now)
	e.due = b.due.Sub(t.epoch)
	return ok
}
