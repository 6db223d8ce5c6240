package firewall

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

const (
	// sweepInterval is how often the firewall looks what is over, and whether its table is
	// there still.
	sweepInterval = 5 * time.Second
	// maxElements bounds a transaction, which must fit the socket's buffer.
	maxElements = 1024
)

// Firewall is the table at work. Its methods are safe for concurrent use.
type Firewall struct {
	log       *slog.Logger
	namespace int
	wanted    *wanted

	mu       sync.Mutex // of what is done to the table
	table    *table     // nil: there is none
	failing  bool       // has been said in the log
	restored uint64

	stop, done chan struct{}
}

// Open makes the table, if there is to be one. It fails where the kernel or the process
// cannot do what the settings want.
func Open(cfg Config) (*Firewall, error) {
	f := &Firewall{
		log: cfg.Log, namespace: cfg.Namespace, wanted: newWanted(),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	if err := f.Reload(cfg.Settings); err != nil {
		return nil, err
	}
	go f.run()
	return f, nil
}

// explain says what a host lacks.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("firewall: needs the capability CAP_NET_ADMIN: %w", err)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("firewall: this kernel has no nftables, or not all of it that is needed: nf_tables with the family inet, and for masquerade nft_masq and nft_chain_nat: %w", err)
	}
	return fmt.Errorf("firewall: %w", err)
}

// Close removes the table. Listeners and connections are to be closed before.
func (f *Firewall) Close() error {
	close(f.stop)
	<-f.done
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.remove(f.table)
}

// Reload puts the table of other settings in the place of this one, with the same peers and
// bans. Where the table has the same name, its rules are exchanged at once, so that no packet
// passes between the old ones and the new. With an error nothing has changed.
func (f *Firewall) Reload(s Settings) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.table
	if !s.Enabled {
		f.table = nil
		f.drop(last)
		return nil
	}
	next := newTable(s)
	same := last != nil && last.Name == next.Name
	if same && f.exchange(next) == nil {
		f.table = next
		return nil
	}
	if !same {
		if err := next.mayReplace(f.conn()); err != nil {
			return explain(err)
		}
	}
	f.table = next
	err := f.install()
	switch {
	case err != nil && same: // it is not as this package knows it, or may be half of the next
		f.table = last
		return explain(errors.Join(err, f.install()))
	case err != nil:
		f.table = last
		_ = f.remove(next) // what there may be of it
		return explain(err)
	case !same:
		f.drop(last)
	}
	return nil
}

// exchange has the table have the rules of another. f.mu is held.
func (f *Firewall) exchange(next *table) error {
	c := f.conn()
	next.clear(c)
	if err := next.rules(c); err != nil {
		return err
	}
	return c.Flush()
}

// remove removes a table, if there is one. f.mu is held.
func (f *Firewall) remove(t *table) error {
	if t == nil {
		return nil
	}
	c := f.conn()
	c.DelTable(t.Table)
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("firewall: table %s is left: %w", t.Name, err)
	}
	return nil
}

// drop removes one that is not in the way if that fails.
func (f *Firewall) drop(t *table) {
	if err := f.remove(t); err != nil {
		f.log.Error("firewall", "error", err)
	}
}

// Ban has the table ban a source until then; the zero time: not any more.
func (f *Firewall) Ban(source netip.Prefix, until time.Time) { f.wanted.ban(source, until) }

// Listener returns l with connections from whose sources GRE is let in.
func (f *Firewall) Listener(l net.Listener) net.Listener { return newListener(l, f.wanted) }

// Snapshot reads the counters.
func (f *Firewall) Snapshot() (s Snapshot, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Peers, s.Banned = f.wanted.figures()
	s.Restored = f.restored
	if f.table == nil {
		return s, nil
	}
	s.Enabled = true
	objects, err := f.conn().GetObjects(f.table.Table)
	if err != nil {
		return s, fmt.Errorf("firewall: %w", err)
	}
	for _, o := range objects {
		counter, ok := o.(*nftables.CounterObj)
		switch {
		case ok && counter.Name == counterStrangers:
			s.StrangersPackets, s.StrangersOctets = counter.Packets, counter.Bytes
		case ok && counter.Name == counterBanned:
			s.BannedPackets, s.BannedOctets = counter.Packets, counter.Bytes
		}
	}
	return s, nil
}

// run keeps the table as it is wanted. Changes that come while a transaction is under way
// are the next one.
func (f *Firewall) run() {
	defer close(f.done)
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-f.wanted.poke:
			f.update()
		case now := <-ticker.C:
			f.wanted.sweep(now)
			f.restore()
		case <-f.stop:
			f.wanted.settle(f.wanted.take())
			return
		}
	}
}

// update has the table follow the changes.
func (f *Firewall) update() {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.wanted.take()
	defer f.wanted.settle(c)
	if f.table == nil || c.empty() {
		return
	}
	if err := f.apply(f.conn(), c, nil); err != nil { // something is not as this package knows it
		f.repair(err)
	}
}

// restore makes the table anew that others have removed, as does a flush of all rules.
func (f *Firewall) restore() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.table == nil {
		return
	}
	if err := f.table.whole(f.conn()); err != nil || f.failing {
		f.repair(err)
	}
}

// repair makes the whole table anew. f.mu is held.
func (f *Firewall) repair(why error) {
	err := f.install()
	switch {
	case err == nil:
		f.failing = false
		f.restored++
		f.log.Warn("firewall: the table was not as the gateway had left it, and is made anew", "table", f.table.Name, "error", why)
	case !f.failing:
		f.failing = true
		f.log.Error("firewall: the table cannot be changed", "table", f.table.Name, "error", err)
	}
}

// install makes the table with all that is wanted: in one transaction, or, where that would
// be too much for one, with its rules in the last.
func (f *Firewall) install() error {
	all := f.wanted.all()
	defer f.wanted.settle(all)
	c := f.conn()
	if err := f.table.create(c); err != nil {
		return err
	}
	return f.apply(c, all, f.table.rules)
}

// apply makes changes, in transactions of which c has the first; last is done in the last.
func (f *Firewall) apply(c *nftables.Conn, ch changes, last func(*nftables.Conn) error) error {
	b := batch{conn: c, next: f.conn}
	if ch.networks {
		c.FlushSet(f.table.networks)
		b.add(f.table.networks, intervals(ch.networksNow))
	}
	b.remove(f.table.peers, keys(ch.removePeers))
	b.add(f.table.peers, keys(ch.addPeers))
	b.remove(f.table.banned, keys(ch.removeBans))
	var added []nftables.SetElement
	now := time.Now()
	for addr, until := range ch.addBans {
		if left := until.Sub(now).Round(time.Millisecond); left > 0 {
			added = append(added, nftables.SetElement{Key: addr.AsSlice(), Timeout: left})
		}
	}
	b.add(f.table.banned, added)
	if last != nil && b.err == nil {
		b.err = last(b.conn)
	}
	b.flush()
	return b.err
}

// conn begins a transaction.
func (f *Firewall) conn() *nftables.Conn {
	return &nftables.Conn{NetNS: f.namespace}
}

// batch is elements on their way into the table.
type batch struct {
	conn  *nftables.Conn
	next  func() *nftables.Conn
	count int
	err   error
}

func (b *batch) add(set *nftables.Set, list []nftables.SetElement) {
	for some := range slices.Chunk(list, maxElements) {
		if b.room(len(some)) {
			b.err = b.conn.SetAddElements(set, some)
		}
	}
}

// remove takes elements out, and those that are not there, too: some may have run out in the
// table, some never came so far. So each is put in first.
func (b *batch) remove(set *nftables.Set, list []nftables.SetElement) {
	for some := range slices.Chunk(list, maxElements/2) {
		if b.room(2 * len(some)) {
			b.err = errors.Join(b.conn.SetAddElements(set, some), b.conn.SetDeleteElements(set, some))
		}
	}
}

// room begins another transaction if this one has no room for so many elements.
func (b *batch) room(elements int) bool {
	if b.count > 0 && b.count+elements > maxElements {
		b.flush()
	}
	b.count += elements
	return b.err == nil
}

func (b *batch) flush() {
	if b.err == nil {
		b.err = b.conn.Flush()
	}
	b.conn, b.count = b.next(), 0
}

func keys(list []netip.Addr) []nftables.SetElement {
	elements := make([]nftables.SetElement, len(list))
	for i, a := range list {
		elements[i].Key = a.AsSlice()
	}
	return elements
}
