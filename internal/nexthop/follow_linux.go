package nexthop

import "golang.org/x/sys/unix"

// way returns the way of a route, which is new if no path has it.
func (t *Table) way(r route) *way {
	key := neighbourKey{r.device, r.gateway}
	n := t.neighbours[key]
	if n == nil {
		l := t.link(r.device)
		n = &neighbour{key: key, link: l, ways: make(map[int]*way)}
		l.neighbours[n] = struct{}{}
		t.neighbours[key] = n
		t.readNeighbour(n)
	}
	w := n.ways[r.mtu]
	if w == nil {
		w = &way{neighbour: n, mtu: r.mtu}
		n.ways[r.mtu] = w
		w.update()
	}
	return w
}

func (t *Table) link(index uint32) *link {
	l := t.links[index]
	if l == nil {
		l = &link{device: device{index: index}, neighbours: make(map[*neighbour]struct{})}
		t.links[index] = l
		t.readLink(l)
	}
	return l
}

// move puts p on a way. A way that nobody is on any more goes, and what it alone
// needed.
func (t *Table) move(p *Path, to *way) {
	from := p.way.Load()
	if from == to {
		return
	}
	if to != nowhere {
		to.paths++
	}
	p.way.Store(to)
	if from == nowhere {
		return
	}
	if from.paths--; from.paths > 0 {
		return
	}
	n := from.neighbour
	delete(n.ways, from.mtu)
	if len(n.ways) > 0 {
		return
	}
	delete(t.neighbours, n.key)
	delete(t.stale, n)
	delete(n.link.neighbours, n)
	if len(n.link.neighbours) == 0 {
		delete(t.links, n.link.index)
	}
}

func (t *Table) readNeighbour(n *neighbour) {
	m := t.queries.ask1(unix.RTM_GETNEIGH, 0, askNeighbour(n.key, 0))
	var e entry
	if m.kind == unix.RTM_NEWNEIGH {
		_, e, _ = parseNeighbour(m)
	}
	t.setNeighbour(n, e)
}

func (t *Table) readLink(l *link) {
	m := t.queries.ask1(unix.RTM_GETLINK, 0, askDevice(l.index))
	d := device{index: l.index}
	if m.kind == unix.RTM_NEWLINK {
		if read, ok := parseDevice(m); ok {
			d = read
		}
	}
	l.set(d)
}

// readAgain is for when reports were lost.
func (t *Table) readAgain() {
	for _, l := range t.links {
		t.readLink(l)
	}
	for _, n := range t.neighbours {
		t.readNeighbour(n)
	}
}

// setNeighbour makes e what is known of n.
func (t *Table) setNeighbour(n *neighbour, e entry) {
	wasStale := n.state&unix.NUD_STALE != 0
	n.entry = e
	switch isStale := e.state&unix.NUD_STALE != 0; {
	case isStale && !wasStale:
		t.stale[n] = struct{}{}
		// The use that counts begins now.
		for _, w := range n.ways {
			w.used.Store(false)
		}
	case !isStale:
		delete(t.stale, n)
	}
	n.update()
}

// set makes d what is known of l, and reports whether that is something else.
func (l *link) set(d device) bool {
	d.change = 0
	if l.device == d {
		return false
	}
	l.device = d
	for n := range l.neighbours {
		n.update()
	}
	return true
}

// verify has the kernel ask stale neighbours that are in use.
func (t *Table) verify() {
	for n := range t.stale {
		used := false
		for _, w := range n.ways {
			used = w.used.Swap(false) || used
		}
		if !used {
			continue
		}
		e := n.entry
		e.state = unix.NUD_DELAY // which it does not report
		if t.queries.ask1(unix.RTM_NEWNEIGH, unix.NLM_F_ACK, askNeighbour(n.key, unix.NTF_USE)).refused() {
			e = entry{}
		}
		t.setNeighbour(n, e)
	}
}

// report takes a change that the kernel reports.
func (t *Table) report(m message) {
	switch m.kind {
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		if key, e, ok := parseNeighbour(m); ok {
			if n := t.neighbours[key]; n != nil {
				t.setNeighbour(n, e)
			}
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		d, ok := parseDevice(m)
		if !ok {
			return
		}
		if m.kind == unix.RTM_DELLINK {
			d.flags = 0
		}
		if l := t.links[d.index]; l != nil && l.set(d) || d.change != 0 {
			t.changed = true // routes come and go with devices
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if to, ok := hostRoute(m); ok && t.peers[to] == 0 {
			return
		}
		t.changed = true
	case unix.RTM_NEWADDR, unix.RTM_DELADDR, unix.RTM_NEWRULE, unix.RTM_DELRULE,
		unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP, unix.RTM_NEWNEXTHOPBUCKET, unix.RTM_DELNEXTHOPBUCKET:
		t.changed = true
	}
}
