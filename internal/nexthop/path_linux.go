package nexthop

import (
	"net/netip"
	"sync/atomic"
)

// Hop is what frames to a peer begin with. It never changes.
type Hop struct {
	Ifindex int
	MTU     int // of the device, or less if the route or the path has less
	Source  [6]byte
	Dest    [6]byte
}

// Path is the way to a peer. Its methods may be called from any goroutine.
type Path struct {
	table *Table
	local ip4
	peer  ip4
	key   pathKey

	way atomic.Pointer[way] // never nil

	refs int // under Table.mu

	// Only the table's goroutine touches these.
	index  int  // in Table.all, or -1
	queued bool // is in Table.due
}

type pathKey struct{ local, peer netip.Addr }

// Load returns where frames to the peer go now. With nil the packet has to go by a
// socket of the kernel.
func (p *Path) Load() *Hop {
	w := p.way.Load()
	hop := w.hop.Load()
	// Of many that use a way, almost all find it noted.
	if hop != nil && !w.used.Load() {
		w.used.Store(true)
	}
	return hop
}

// Release ends what a call of Table.Watch began.
func (p *Path) Release() { p.table.release(p) }

// way is what the paths by one neighbour with one MTU have in common.
type way struct {
	hop  atomic.Pointer[Hop]
	used atomic.Bool // since the entry became stale, or the last look

	// Only the table's goroutine touches these.
	neighbour *neighbour
	mtu       int // the route's, or 0
	paths     int // how many
}

// nowhere is the way of paths that have none. It is not changed.
var nowhere = &way{}

// neighbour is an entry of the kernel's table that paths go by.
type neighbour struct {
	key  neighbourKey
	link *link
	entry
	ways map[int]*way // by the route's MTU
}

// link is a device that paths go by.
type link struct {
	device
	neighbours map[*neighbour]struct{}
}

// update makes the way's hop what neighbour and device say.
func (w *way) update() {
	n, l := w.neighbour, w.neighbour.link
	if n.state&valid == 0 || !l.usable() {
		w.hop.Store(nil)
		return
	}
	hop := Hop{Ifindex: int(l.index), MTU: l.mtu, Source: l.mac, Dest: n.mac}
	if w.mtu != 0 {
		hop.MTU = min(hop.MTU, w.mtu)
	}
	if old := w.hop.Load(); old == nil || *old != hop {
		w.hop.Store(&hop)
	}
}

func (n *neighbour) update() {
	for _, w := range n.ways {
		w.update()
	}
}
