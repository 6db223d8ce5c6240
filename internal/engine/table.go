package engine

import (
	"net/netip"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
)

// table finds the call that an inner destination is behind, by its longest
// prefix. It is a trie of an octet a level for each family: a lookup takes as many
// steps as the longest prefix on the way has octets, four at the most for IPv4 and
// mostly eight for IPv6, whatever the number of calls, and no lock. Changes wait
// for each other.
//
// A node has 4 KiB on 64-bit systems. Prefixes near each other share most of
// theirs: 65,536 prefixes of 64 bits out of one of 48 make 257.
//
// A map replaced at each change would be simpler, and would make a storm of
// reconnecting sessions cost the square of their number.
type table struct {
	root [families]tableNode

	mu sync.Mutex // held to change anything
}

// tableNode is an octet of addresses. Prefixes that end within the octet are
// spread over all slots they cover.
type tableNode struct {
	slots [256]tableSlot

	// Guarded by the table's mu.
	routes   map[tableKey]*tableRoute
	children int
}

type tableSlot struct {
	child atomic.Pointer[tableNode]
	best  atomic.Pointer[tableRoute]
}

// tableKey is the part of a prefix that ends within a node.
type tableKey struct{ octet, bits uint8 }

// tableRoute is who has one prefix. It is replaced, never changed, and never
// empty.
type tableRoute struct {
	groups [][]tableCall // sorted by local address, each and together; none is empty
	last   *call         // the newest
	count  int           // of calls
	order  uint64        // of the newest that there ever was
}

type tableCall struct {
	local string // the octets of the address
	order uint64 // of insertion
	call  *call
}

// keyOf returns the prefix of the given bits that octet is in.
func keyOf(octet uint8, bits int) tableKey {
	return tableKey{octet &^ (0xff >> bits), uint8(bits)}
}

// lookup returns nil for an address behind no call. Where several calls have
// the same prefix, that whose local address is src has precedence: they are
// sessions to one server, and each carries what was sent from its own address.
//
// Addresses are as they are in a packet, of 4 or 16 octets both.
func (t *table) lookup(dst, src []byte) *call {
	var best *tableRoute
	n := &t.root[ipv4]
	if len(dst) != 4 {
		n = &t.root[ipv6]
	}
	for _, octet := range dst {
		s := &n.slots[octet]
		if r := s.best.Load(); r != nil {
			best = r
		}
		if n = s.child.Load(); n == nil {
			break
		}
	}
	switch {
	case best == nil:
		return nil
	case best.count == 1:
		return best.last
	}
	return best.from(src)
}

// from returns the newest call with the local address src, or else the newest of
// all: it is a peer that has come back before its old session was found to be
// dead.
func (r *tableRoute) from(src []byte) *call {
	g := sort.Search(len(r.groups), func(i int) bool { return r.groups[i][0].local > string(src) }) - 1
	if g < 0 {
		return r.last
	}
	calls := r.groups[g]
	i := sort.Search(len(calls), func(i int) bool { return calls[i].local > string(src) })
	if calls[i-1].local == string(src) {
		return calls[i-1].call
	}
	return r.last
}

// maxGroup bounds what a change of a route with many calls has to copy.
const maxGroup = 256

// with returns r, which may be nil, with one more call.
func (r *tableRoute) with(c tableCall) *tableRoute {
	if r == nil {
		return &tableRoute{groups: [][]tableCall{{c}}, last: c.call, count: 1}
	}
	n := &tableRoute{last: c.call, count: r.count + 1, order: r.order + 1}
	c.order = n.order
	g := max(sort.Search(len(r.groups), func(i int) bool { return r.groups[i][0].local > c.local })-1, 0)
	calls := r.groups[g]
	i := sort.Search(len(calls), func(i int) bool { return calls[i].local > c.local })
	calls = slices.Insert(slices.Clone(calls), i, c)
	if len(calls) <= maxGroup {
		n.groups = slices.Clone(r.groups)
		n.groups[g] = calls
	} else {
		n.groups = slices.Concat(r.groups[:g], [][]tableCall{calls[:maxGroup/2], calls[maxGroup/2:]}, r.groups[g+1:])
	}
	return n
}

// without returns r, which may be nil, without one call, or nil if it was the
// only one.
func (r *tableRoute) without(c tableCall) *tableRoute {
	if r == nil {
		return nil
	}
	// Calls with one local address may be in several groups.
	g := max(sort.Search(len(r.groups), func(i int) bool { return r.groups[i][0].local >= c.local })-1, 0)
	for ; g < len(r.groups) && r.groups[g][0].local <= c.local; g++ {
		i := slices.IndexFunc(r.groups[g], func(o tableCall) bool { return o.call == c.call && o.local == c.local })
		if i < 0 {
			continue
		}
		if r.count == 1 {
			return nil
		}
		n := &tableRoute{last: r.last, count: r.count - 1, order: r.order, groups: slices.Clone(r.groups)}
		if n.groups[g] = slices.Delete(slices.Clone(r.groups[g]), i, i+1); len(n.groups[g]) == 0 {
			n.groups = slices.Delete(n.groups, g, g+1)
		}
		if c.call == r.last {
			n.last = n.newest()
		}
		return n
	}
	return r
}

func (r *tableRoute) newest() *call {
	var last tableCall
	for _, calls := range r.groups {
		for _, c := range calls {
			if last.call == nil || c.order > last.order {
				last = c
			}
		}
	}
	return last.call
}

// insert routes p to c, which has the given local address.
func (t *table) insert(p netip.Prefix, local string, c *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	addr, levels, bits := splitPrefix(p)
	n := t.rootOf(p)
	for _, octet := range addr[:levels] {
		s := &n.slots[octet]
		child := s.child.Load()
		if child == nil {
			child = new(tableNode)
			s.child.Store(child)
			n.children++
		}
		n = child
	}
	key := keyOf(addr[levels], bits)
	n.set(key, n.routes[key].with(tableCall{local: local, call: c}))
}

// remove undoes one insert.
func (t *table) remove(p netip.Prefix, local string, c *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	addr, levels, bits := splitPrefix(p)
	var path [16]*tableNode
	n := t.rootOf(p)
	for i, octet := range addr[:levels] {
		path[i] = n
		if n = n.slots[octet].child.Load(); n == nil {
			return
		}
	}
	key := keyOf(addr[levels], bits)
	n.set(key, n.routes[key].without(tableCall{local: local, call: c}))

	// A node that has become empty goes. A lookup in it at this moment finds
	// nothing, which is right.
	for i := levels - 1; i >= 0 && len(n.routes) == 0 && n.children == 0; i-- {
		n = path[i]
		n.slots[addr[i]].child.Store(nil)
		n.children--
	}
}

// set changes a route, nil for none, in all slots that it covers.
func (n *tableNode) set(key tableKey, r *tableRoute) {
	switch {
	case r == nil:
		delete(n.routes, key)
	case n.routes == nil:
		n.routes = map[tableKey]*tableRoute{key: r}
	default:
		n.routes[key] = r
	}
	for i := range 256 >> key.bits {
		octet := key.octet + uint8(i)
		var best *tableRoute
		for bits := 8; bits >= 0 && best == nil; bits-- {
			best = n.routes[keyOf(octet, bits)]
		}
		n.slots[octet].best.Store(best)
	}
}

// splitPrefix returns how many octets of addr lead to the node in which p ends,
// and how many bits of the octet after them belong to p.
func splitPrefix(p netip.Prefix) (addr []byte, levels, bits int) {
	bits = p.Bits()
	if bits > 8 {
		levels = (bits - 1) / 8
		bits -= 8 * levels
	}
	return p.Addr().AsSlice(), levels, bits
}

func (t *table) rootOf(p netip.Prefix) *tableNode {
	if p.Addr().Is4() {
		return &t.root[ipv4]
	}
	return &t.root[ipv6]
}
