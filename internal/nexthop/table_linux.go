package nexthop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// How many routes are asked for in one system call. Their answers have to fit
	// the socket's buffer.
	batchSize = 64
	// All paths are looked up at changes, no more often than this and than takes a
	// tenth of a processor; again after settleTime, as the kernel reports some
	// changes before it has made them; and after refreshTime without any.
	minPassGap  = 20 * time.Millisecond
	passRest    = 9 // times as long as a pass took
	settleTime  = time.Second
	refreshTime = time.Minute
	// How often it is looked whether stale neighbours are in use.
	verifyTime = time.Second
	// How many reports are read before other work gets its turn.
	maxReports = 256
)

// Table keeps paths current. Its methods may be called from any goroutine.
type Table struct {
	events *events
	done   chan struct{}

	mu     sync.Mutex
	closed bool
	paths  map[pathKey]*Path
	news   []*Path // watched or released since the goroutine looked

	// Only the goroutine touches what follows.

	queries *querier
	ipsec   ipsec
	scratch []byte

	all        []*Path
	peers      map[ip4]int // to the number of paths
	links      map[uint32]*link
	neighbours map[neighbourKey]*neighbour
	stale      map[*neighbour]struct{}

	due       []*Path // to be looked up, the last first: new ones do not wait
	busy      time.Duration
	changed   bool // since the last pass began
	lost      bool // reports, since then
	drained   bool // no report is left to be received
	passAt    time.Time
	refreshAt time.Time
	verifyAt  time.Time
}

// Open makes a table for the network namespace of the calling thread.
func Open() (*Table, error) {
	t := &Table{
		done:       make(chan struct{}),
		paths:      make(map[pathKey]*Path),
		peers:      make(map[ip4]int),
		links:      make(map[uint32]*link),
		neighbours: make(map[neighbourKey]*neighbour),
		stale:      make(map[*neighbour]struct{}),
		refreshAt:  time.Now().Add(refreshTime),
	}
	var err error
	if t.queries, err = openQuerier(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("nexthop: rtnetlink: %w", err)
	}
	if t.ipsec, err = openIPsec(); err != nil {
		t.queries.close()
		return nil, fmt.Errorf("nexthop: IPsec policies: %w", err)
	}
	t.events, err = openEvents(unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH, unix.RTNLGRP_IPV4_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_NEXTHOP)
	if err != nil {
		t.ipsec.close()
		t.queries.close()
		return nil, fmt.Errorf("nexthop: rtnetlink: %w", err)
	}
	go t.run()
	return t, nil
}

func isNotSupported(err error) bool {
	return errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT)
}

// Close ends the goroutine. Paths lead nowhere from then on.
func (t *Table) Close() error {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		t.events.file.Close()
	}
	t.mu.Unlock()
	<-t.done
	return nil
}

// Watch returns the path from a local address to a peer, to be released when it
// is no longer needed. It does not wait for the first look-up.
func (t *Table) Watch(local, peer netip.Addr) *Path {
	key := pathKey{local.Unmap(), peer.Unmap()}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.paths[key]
	if p == nil {
		p = &Path{table: t, key: key, index: -1}
		p.way.Store(nowhere)
		t.paths[key] = p
		if key.local.Is4() && key.peer.Is4() && !key.local.IsUnspecified() {
			p.local, p.peer = key.local.As4(), key.peer.As4()
			t.tell(p)
		}
	}
	p.refs++
	return p
}

func (t *Table) release(p *Path) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.refs--; p.refs > 0 {
		return
	}
	if p.refs < 0 {
		panic("nexthop: path released more often than watched")
	}
	delete(t.paths, p.key)
	t.tell(p)
}

// tell has the goroutine look at p. It is called under mu.
func (t *Table) tell(p *Path) {
	if t.closed {
		return
	}
	t.news = append(t.news, p)
	if len(t.news) == 1 {
		// It may be waiting for reports. An error means that it is not.
		_ = t.events.file.SetReadDeadline(time.Unix(1, 0))
	}
}

func (t *Table) run() {
	defer close(t.done)
	defer t.queries.close()
	defer t.ipsec.close()
	for t.receive(t.next()) {
		t.takeNews()
		now := time.Now()
		if len(t.stale) > 0 && !now.Before(t.verifyAt) {
			t.verifyAt = now.Add(verifyTime)
			t.verify()
		}
		if len(t.due) == 0 {
			due := !now.Before(t.refreshAt) || t.changed && !now.Before(t.passAt)
			// What is read again must be newer than the reports that are left, or
			// these would undo it.
			if due && (t.drained || !t.lost) {
				t.beginPass(now)
			}
		}
		t.lookUp()
	}
	for _, p := range t.all {
		p.way.Store(nowhere)
	}
}

// next returns when there is something to do, if nothing happens.
func (t *Table) next() time.Time {
	if len(t.due) > 0 {
		return time.Time{}
	}
	at := t.refreshAt
	if t.changed && t.passAt.Before(at) {
		at = t.passAt
	}
	if len(t.stale) > 0 && t.verifyAt.Before(at) {
		at = t.verifyAt
	}
	return at
}

// receive takes what the kernel reports, and waits for it until then. It returns
// false when the table is closed.
func (t *Table) receive(until time.Time) bool {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return false
	}
	wait := len(t.news) == 0 && time.Until(until) > 0
	if wait {
		_ = t.events.file.SetReadDeadline(until)
	}
	t.mu.Unlock()
	t.drained = false
	for range maxReports {
		b, err := t.events.receive(wait)
		wait = false
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			// unix.ENOBUFS, or closed, which the next turn sees.
			t.lost, t.changed = true, true
			continue
		}
		if len(b) == 0 {
			t.drained = true
			return true
		}
		for m := range messages(b) {
			t.report(m)
		}
	}
	return true
}

// takeNews takes in the paths that were watched or released.
func (t *Table) takeNews() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.news {
		switch {
		case p.refs > 0 && p.index < 0:
			p.index = len(t.all)
			t.all = append(t.all, p)
			t.peers[p.peer]++
			t.enqueue(p)
		case p.refs == 0 && p.index >= 0:
			last := t.all[len(t.all)-1]
			t.all[p.index], last.index = last, p.index
			t.all[len(t.all)-1] = nil
			t.all = t.all[:len(t.all)-1]
			p.index = -1
			if t.peers[p.peer]--; t.peers[p.peer] == 0 {
				delete(t.peers, p.peer)
			}
			t.move(p, nowhere)
		}
	}
	clear(t.news)
	t.news = t.news[:0]
}

func (t *Table) enqueue(p *Path) {
	if !p.queued {
		p.queued = true
		t.due = append(t.due, p)
	}
}

// beginPass has all paths looked up.
func (t *Table) beginPass(now time.Time) {
	t.refreshAt = now.Add(refreshTime)
	if t.changed {
		t.refreshAt = now.Add(settleTime)
	}
	if t.lost {
		t.readAgain()
	}
	t.changed, t.lost = false, false
	for _, p := range t.all {
		t.enqueue(p)
	}
}

// lookUp looks up a batch of those that are due.
func (t *Table) lookUp() {
	if len(t.due) == 0 {
		return
	}
	start := time.Now()
	batch := t.due[max(0, len(t.due)-batchSize):]
	t.due = t.due[:len(t.due)-len(batch)]
	for _, p := range batch {
		p.queued = false
		t.scratch = askRoute(t.scratch[:0], p.local, p.peer)
		t.queries.add(unix.RTM_GETROUTE, 0, t.scratch)
	}
	var routes [batchSize]route
	if !t.queries.ask(func(i int, m message) { routes[i] = parseRoute(m, batch[i].peer) }) {
		t.changed = true // another try
	}
	ipsec := t.ipsec.inUse()
	for i, p := range batch {
		if p.index < 0 {
			continue // released
		}
		w := nowhere
		if routes[i].ok && !ipsec {
			w = t.way(routes[i])
		}
		t.move(p, w)
	}
	clear(batch)
	t.busy += time.Since(start)
	if len(t.due) == 0 {
		t.passAt = time.Now().Add(max(minPassGap, passRest*t.busy))
		t.busy = 0
	}
}
