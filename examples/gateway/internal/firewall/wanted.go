package firewall

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// linger is for how long an address stays a peer after its last control connection: what is
// on its way still is no stranger's, and neither is one who comes again at once.
const linger = 10 * time.Second

// peer is an address with control connections.
type peer struct {
	connections int
	until       time.Time // without any
}

// wanted is what the sets of the table should have, and what has changed of it since
// somebody last looked. Its methods are safe for concurrent use.
type wanted struct {
	mu    sync.Mutex
	peers map[netip.Addr]*peer
	bans  map[netip.Prefix]time.Time

	changedPeers map[netip.Addr]struct{}
	changedBans  map[netip.Prefix]struct{}
	// waiting is of those who joined, and closed when the table has them; underway is that
	// of the changes that were taken. Nil: there are none.
	waiting, underway chan struct{}
	poke              chan struct{} // has a value when something has changed
}

func newWanted() *wanted {
	return &wanted{
		peers: make(map[netip.Addr]*peer), bans: make(map[netip.Prefix]time.Time),
		changedPeers: make(map[netip.Addr]struct{}), changedBans: make(map[netip.Prefix]struct{}),
		poke: make(chan struct{}, 1),
	}
}

// join notes a control connection. It returns what is closed once the address is in the
// table; nil if it is.
func (w *wanted) join(addr netip.Addr) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.peers[addr]
	if p == nil {
		p = new(peer)
		w.peers[addr] = p
		w.changePeer(addr)
	}
	p.connections++
	if _, pending := w.changedPeers[addr]; !pending {
		return w.underway // may be with it
	}
	if w.waiting == nil {
		w.waiting = make(chan struct{})
	}
	return w.waiting
}

// leave notes the end of one.
func (w *wanted) leave(addr netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.peers[addr]
	p.connections--
	p.until = time.Now().Add(linger)
}

// sweep forgets peers who have lingered, and bans that are over.
func (w *wanted) sweep(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for addr, p := range w.peers {
		if p.connections == 0 && !p.until.After(now) {
			delete(w.peers, addr)
			w.changePeer(addr)
		}
	}
	for source, until := range w.bans {
		if !until.After(now) {
			delete(w.bans, source)
			w.changeBan(source)
		}
	}
}

// ban notes that a source is banned until then; the zero time: it is not.
func (w *wanted) ban(source netip.Prefix, until time.Time) {
	if !source.Addr().Is4() {
		return // there are no control connections over IPv6
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if until.IsZero() {
		delete(w.bans, source)
	} else {
		w.bans[source] = until
	}
	w.changeBan(source)
}

func (w *wanted) changePeer(addr netip.Addr) {
	w.changedPeers[addr] = struct{}{}
	w.wake()
}

func (w *wanted) changeBan(source netip.Prefix) {
	w.changedBans[source] = struct{}{}
	w.wake()
}

func (w *wanted) wake() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

// changes are what is different from what the table has.
type changes struct {
	addPeers, removePeers []netip.Addr
	addBans               map[netip.Addr]time.Time
	removeBans            []netip.Addr // come first: bans of addBans may have another end so far
	networks              bool         // those banned have changed, and are all of networksNow
	networksNow           []netip.Prefix
	waiting               chan struct{}
}

// take returns the changes, which are then none any more.
func (w *wanted) take() changes {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := changes{addBans: make(map[netip.Addr]time.Time), waiting: w.waiting}
	for addr := range w.changedPeers {
		if w.peers[addr] != nil {
			c.addPeers = append(c.addPeers, addr)
		} else {
			c.removePeers = append(c.removePeers, addr)
		}
	}
	for source := range w.changedBans {
		if !source.IsSingleIP() {
			c.networks = true
			continue
		}
		c.removeBans = append(c.removeBans, source.Addr())
		if until, banned := w.bans[source]; banned {
			c.addBans[source.Addr()] = until
		}
	}
	w.fill(&c)
	return c
}

// all returns everything, as for a table that is empty. There are no changes then.
func (w *wanted) all() changes {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := changes{addBans: make(map[netip.Addr]time.Time), networks: true, waiting: w.waiting}
	for addr := range w.peers {
		c.addPeers = append(c.addPeers, addr)
	}
	for source, until := range w.bans {
		if source.IsSingleIP() {
			c.addBans[source.Addr()] = until
		}
	}
	w.fill(&c)
	return c
}

// fill adds the networks, and ends the changes. w.mu is held.
func (w *wanted) fill(c *changes) {
	if c.networks {
		for source := range w.bans {
			if !source.IsSingleIP() {
				c.networksNow = append(c.networksNow, source)
			}
		}
		c.networksNow = Disjoint(c.networksNow)
	}
	clear(w.changedPeers)
	clear(w.changedBans)
	w.waiting, w.underway = nil, w.waiting
}

// empty reports whether there is nothing to do.
func (c *changes) empty() bool {
	return len(c.addPeers)+len(c.removePeers)+len(c.addBans)+len(c.removeBans) == 0 && !c.networks
}

// settle tells those who wait for changes that these are done.
func (w *wanted) settle(c changes) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c.waiting == nil {
		return
	}
	if w.underway == c.waiting {
		w.underway = nil
	}
	close(c.waiting)
}

func (w *wanted) figures() (peers, bans int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.peers), len(w.bans)
}

// Disjoint leaves out the networks that are within others.
func Disjoint(list []netip.Prefix) (out []netip.Prefix) {
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	for _, p := range list {
		if n := len(out); n == 0 || !out[n-1].Overlaps(p) {
			out = append(out, p)
		}
	}
	return out
}
