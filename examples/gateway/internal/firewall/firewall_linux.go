package firewall

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
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
	table    *table
	peers    map[netip.Addr]struct{}  // that the table has
	bans     map[netip.Addr]time.Time // and these
	failing  bool                     // has been said in the log
	restored uint64

	stop, done chan struct{}
}

// Open makes the table. It fails where the kernel or the process cannot do what the settings
// want.
func Open(cfg Config) (*Firewall, error) {
	f := &Firewall{
		log: cfg.Log, namespace: cfg.Namespace, wanted: newWanted(), table: newTable(cfg.Settings),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	err := f.table.mayReplace(f.conn())
	if err == nil {
		err = f.install()
	}
	if err != nil {
		return nil, explain(err)
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
	c := f.conn()
	c.DelTable(f.table.Table)
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("firewall: table %s is left: %w", f.table.Name, err)
	}
	return nil
}

// Reload puts the table of other settings in the place of this one, at once and with the
// same peers and bans; counters begin anew. With an error nothing has changed.
func (f *Firewall) Reload(s Settings) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	last, next := f.table, newTable(s)
	if last.Name != next.Name {
		if err := next.mayReplace(f.conn()); err != nil {
			return explain(err)
		}
	}
	f.table = next
	if err := f.install(); err != nil {
		f.table = last
		return explain(errors.Join(err, f.install()))
	}
	if last.Name != s.Table {
		c := f.conn()
		c.DelTable(last.Table)
		if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
			f.log.Error("firewall: a table is left", "table", last.Name, "error", err)
		}
	}
	return nil
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
	if c.empty() {
		return
	}
	err := f.apply(f.conn(), c, nil)
	if err != nil { // something is not as this package knows it
		f.repair(err)
	}
}

// restore makes the table anew that others have removed, as does a flush of all rules.
func (f *Firewall) restore() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.conn().ListTableOfFamily(f.table.Name, nftables.TableFamilyINet)
	if err != nil || f.failing {
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
	f.peers, f.bans = make(map[netip.Addr]struct{}), make(map[netip.Addr]time.Time)
	c := f.conn()
	if err := f.table.create(c); err != nil {
		return err
	}
	return f.apply(c, all, f.table.rules)
}

// apply makes changes, in transactions of which c has the first; last is done in the last.
func (f *Firewall) apply(c *nftables.Conn, ch changes, last func(*nftables.Conn) error) error {
	b := batch{conn: c, next: f.conn}
	now := time.Now()
	if ch.networks {
		c.FlushSet(f.table.networks)
		b.add(f.table.networks, intervals(ch.networksNow))
	}
	b.remove(f.table.peers, keys(slices.DeleteFunc(slices.Clone(ch.removePeers), func(a netip.Addr) bool { _, there := f.peers[a]; return !there })))
	b.add(f.table.peers, keys(ch.addPeers))

	// What has run out in the table is not there.
	there := func(addr netip.Addr) bool { return f.bans[addr].After(now) }
	over := slices.Concat(ch.removeBans, slices.Collect(maps.Keys(ch.addBans)))
	b.remove(f.table.banned, keys(slices.DeleteFunc(slices.Clone(over), func(a netip.Addr) bool { return !there(a) })))
	var added []nftables.SetElement
	for addr, until := range ch.addBans {
		if left := until.Sub(now).Round(time.Millisecond); left > 0 {
			added = append(added, nftables.SetElement{Key: addr.AsSlice(), Timeout: left})
		}
	}
	b.add(f.table.banned, added)
	if last != nil && b.err == nil {
		b.err = last(b.conn)
	}
	if b.flush(); b.err != nil {
		return b.err
	}
	for _, addr := range ch.removePeers {
		delete(f.peers, addr)
	}
	for _, addr := range ch.addPeers {
		f.peers[addr] = struct{}{}
	}
	for _, addr := range over {
		delete(f.bans, addr)
	}
	maps.Copy(f.bans, ch.addBans)
	return nil
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
	b.each(list, func(some []nftables.SetElement) error { return b.conn.SetAddElements(set, some) })
}

func (b *batch) remove(set *nftables.Set, list []nftables.SetElement) {
	b.each(list, func(some []nftables.SetElement) error { return b.conn.SetDeleteElements(set, some) })
}

// each calls f with pieces of a list that fit the transactions.
func (b *batch) each(list []nftables.SetElement, f func([]nftables.SetElement) error) {
	for some := range slices.Chunk(list, maxElements) {
		if b.count > 0 && b.count+len(some) > maxElements {
			b.flush()
		}
		if b.err != nil {
			return
		}
		b.err = f(some)
		b.count += len(some)
	}
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
