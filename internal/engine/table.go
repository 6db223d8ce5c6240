package engine

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// table finds the call that an inner destination is behind, by its longest
// prefix. It is a trie of an octet a level: a lookup takes four steps at the
// most, whatever the number of calls, and no lock. Changes wait for each other.
//
// A map replaced at each change would be simpler, and would make a storm of
// reconnecting sessions cost the square of their number.
type table struct {
	root tableNode

	mu sync.Mutex // held to change anything
}

// tableNode is an octet of addresses. Prefixes that end within the octet are
// spread over all slots they cover.
type tableNode struct {
	slots [256]tableSlot

	// Guarded by the table's mu.
	routes   map[tableKey][]*call // by prefix, the newest call last
	children int
}

type tableSlot struct {
	child atomic.Pointer[tableNode]
	best  atomic.Pointer[call]
}

// tableKey is the part of a prefix that ends within a node.
type tableKey struct{ octet, bits uint8 }

// keyOf returns the prefix of the given bits that octet is in.
func keyOf(octet uint8, bits int) tableKey {
	return tableKey{octet &^ (0xff >> bits), uint8(bits)}
}

// lookup returns nil for an address behind no call.
func (t *table) lookup(addr uint32) (best *call) {
	n := &t.root
	for shift := 24; shift >= 0; shift -= 8 {
		s := &n.slots[uint8(addr>>shift)]
		if c := s.best.Load(); c != nil {
			best = c
		}
		if n = s.child.Load(); n == nil {
			break
		}
	}
	return best
}

// insert routes p to c. Where another call has the same prefix, the newest gets
// the packets: it is a peer that has come back before its old session was found
// to be dead. The older one gets them again if the newest goes first.
func (t *table) insert(p netip.Prefix, c *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	addr, levels, bits := splitPrefix(p)
	n := &t.root
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
	if n.routes == nil {
		n.routes = make(map[tableKey][]*call)
	}
	n.routes[key] = append(n.routes[key], c)
	n.spread(key)
}

// remove undoes one insert.
func (t *table) remove(p netip.Prefix, c *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	addr, levels, bits := splitPrefix(p)
	var path [4]*tableNode
	n := &t.root
	for i, octet := range addr[:levels] {
		path[i] = n
		if n = n.slots[octet].child.Load(); n == nil {
			return
		}
	}
	key := keyOf(addr[levels], bits)
	calls := n.routes[key]
	i := slices.Index(calls, c)
	if i < 0 {
		return
	}
	if calls = slices.Delete(calls, i, i+1); len(calls) == 0 {
		delete(n.routes, key)
	} else {
		n.routes[key] = calls
	}
	n.spread(key)

	// A node that has become empty goes. A lookup in it at this moment finds
	// nothing, which is right.
	for i := levels - 1; i >= 0 && len(n.routes) == 0 && n.children == 0; i-- {
		n = path[i]
		n.slots[addr[i]].child.Store(nil)
		n.children--
	}
}

// spread sets anew the slots that a prefix covers.
func (n *tableNode) spread(key tableKey) {
	for i := range 256 >> key.bits {
		octet := key.octet + uint8(i)
		var best *call
		for bits := 8; bits >= 0; bits-- {
			if calls := n.routes[keyOf(octet, bits)]; len(calls) > 0 {
				best = calls[len(calls)-1]
				break
			}
		}
		n.slots[octet].best.Store(best)
	}
}

// splitPrefix returns how many octets of addr lead to the node in which p ends,
// and how many bits of the octet after them belong to p.
func splitPrefix(p netip.Prefix) (addr [4]byte, levels, bits int) {
	bits = p.Bits()
	if bits > 8 {
		levels = (bits - 1) / 8
		bits -= 8 * levels
	}
	return p.Addr().As4(), levels, bits
}
