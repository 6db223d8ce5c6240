package accounting

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

const (
	maxWindow = 1024 // records that a line has in memory, those apart that stand aside
	maxSend   = 64   // of these, in one Send: as many come twice after a crash, at most
	// A record that has failed so often while others were delivered is one that the other
	// side cannot cope with: it stands aside, and is tried now and then, for ever. An On or
	// Off, which goes alone, is dropped once others turn out to be delivered.
	standAside = 5
	maxAside   = 10_000

	minRetry    = time.Second
	maxRetry    = time.Minute
	maxAsideTry = 10 * time.Minute

	// sendTimeout is how long a Send takes at most: a sink that hangs is one that fails.
	sendTimeout = time.Minute
)

// line is what waits for the sink of a name. A goroutine loads records from disk into a
// window, each once, and sends them, while there is such a sink; see stint.
type line struct {
	q    *Queue
	name string
	bit  uint32
	wake chan struct{}

	// Queue.mu protects the rest.
	on     bool    // records are taken in
	stint  *stint  // the last one; nil: there was none
	window []*item // in order
	next   uint64  // the number from which on nothing has been loaded
	count  int     // records that wait, wherever they are
	gone   []uint64

	// The Interim that waits of each session, and their order, in which numbers may be
	// that wait no more.
	interims map[string]uint64
	order    []waitingInterim

	stats  LineStats
	noted  uint64 // deliveries that the disk knows of
	noting uint64 // and will know of with the transaction under way
	misses int    // Sends that delivered nothing, since one that did
	down   bool   // there are such, and the log has it
}

type waitingInterim struct {
	seq     uint64
	session string
}

// item is a record in the window.
type item struct {
	seq    uint64
	record Record
	tries  int       // that failed while others did not
	retry  time.Time // not before
	gone   bool      // delivered, or superseded
}

func (it *item) aside() bool { return it.tries >= standAside }

// LineStats are figures of what waits for a sink.
type LineStats struct {
	Sink       string
	Waiting    int
	Oldest     time.Time // of those that are next; zero if there are none
	Down       bool      // the last attempt delivered nothing
	Delivered  uint64
	Failures   uint64 // attempts that delivered nothing
	Superseded uint64 // Interims that a later record made useless
	Dropped    uint64 // Interims that there was no room for
	Rejected   uint64 // records that can never be delivered
	Lost       uint64 // others than Interims that there was no memory for while the disk failed
}

func newLine(q *Queue, sink string, i int) *line {
	return &line{q: q, name: sink, bit: 1 << i, wake: make(chan struct{}, 1), interims: make(map[string]uint64)}
}

func (l *line) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *line) figures() LineStats {
	s := l.stats
	s.Sink, s.Waiting, s.Down = l.name, l.count, l.down
	if len(l.window) > 0 {
		s.Oldest = l.window[0].record.Time
	}
	return s
}

// scan finds what waits in the bucket of the line.
func (l *line) scan(b *bbolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if len(k) != 8 {
			return errCorrupt
		}
		l.count++
		var r Record
		if len(v) == 0 || Kind(v[0]) != Interim || r.decode(v) != nil {
			return nil
		}
		l.addInterim(binary.BigEndian.Uint64(k), r.Session)
		return nil
	})
}

// take has a record wait, or not, if it is an Interim that there is no room for.
func (l *line) take(e *entry) bool {
	r := &e.record
	if r.Kind == Interim || r.Kind == Stop {
		if old, ok := l.interims[r.Session]; ok {
			l.remove(old, r.Session)
			l.stats.Superseded++
		}
	}
	full := l.count >= l.q.max && !l.dropOldest()
	if r.Kind == Interim {
		if full {
			l.stats.Dropped++
			return false
		}
		l.addInterim(e.seq, r.Session)
	}
	l.count++
	return true
}

func (l *line) addInterim(seq uint64, session string) {
	if len(l.order) > 2*len(l.interims)+1024 {
		l.order = slices.DeleteFunc(l.order, func(w waitingInterim) bool { return l.interims[w.session] != w.seq })
	}
	l.interims[session] = seq
	l.order = append(l.order, waitingInterim{seq, session})
}

// dropOldest gives up the oldest Interim, if there is one.
func (l *line) dropOldest() bool {
	for len(l.order) > 0 {
		oldest := l.order[0]
		l.order = l.order[1:]
		if l.interims[oldest.session] == oldest.seq {
			l.remove(oldest.seq, oldest.session)
			l.stats.Dropped++
			return true
		}
	}
	return false
}

// drop gives up a record that is not on disk, and is not being delivered from memory.
func (l *line) drop(e *entry) {
	if _, ok := l.find(e.seq); ok {
		return
	}
	l.count--
	if e.record.Kind == Interim {
		delete(l.interims, e.record.Session) // which it is, or it would not be left
		l.stats.Dropped++
		return
	}
	l.stats.Lost++
}

// find returns where in the window a record is.
func (l *line) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(l.window, seq, func(it *item, seq uint64) int { return cmp.Compare(it.seq, seq) })
}

// remove has a record wait no more, wherever it is.
func (l *line) remove(seq uint64, session string) {
	l.count--
	if l.interims[session] == seq {
		delete(l.interims, session)
	}
	if i, ok := l.find(seq); ok {
		l.window[i].gone = true
		l.window = slices.Delete(l.window, i, i+1)
	}
	if list := l.q.pendingFrom(seq); len(list) > 0 && list[0].seq == seq {
		e := list[0]
		if e.left &^= l.bit; !e.written {
			return // and will not be
		}
	}
	l.gone = append(l.gone, seq)
	l.q.signal()
}

// forget returns what is in memory, to be written again, as what is on disk is lost.
func (l *line) forget() (list []*entry) {
	for _, it := range l.window {
		list = append(list, &entry{seq: it.seq, record: it.record, left: l.bit})
	}
	l.count, l.gone, l.order = len(list), nil, nil
	clear(l.interims)
	for _, it := range l.window {
		if it.record.Kind == Interim {
			l.addInterim(it.seq, it.record.Session)
		}
	}
	for _, e := range l.q.pendingFrom(l.next) {
		if e.left&l.bit == 0 {
			continue
		}
		l.count++
		if e.record.Kind == Interim {
			l.addInterim(e.seq, e.record.Session)
		}
	}
	return list
}

// run delivers, until the stint is over, or nothing waits and nothing more will.
func (l *line) run(s *stint) {
	wait := l.q.rest
	for l.isOf(s) {
		if !l.isNoted() {
			l.idle(s, time.Time{}) // until the writer is done
			continue
		}
		l.load()
		batch, until, empty := l.pick(time.Now())
		if len(batch) == 0 {
			if empty {
				return
			}
			l.idle(s, until)
			continue
		}
		switch {
		case l.send(s, batch), !l.isOf(s), !s.rest(jitter(wait)):
			wait = l.q.rest
		default:
			wait = min(2*wait, maxRetry)
		}
	}
}

// deliveries is how many records have gone, whose last trace is on disk.
func (l *line) deliveries() uint64 { return l.stats.Delivered + l.stats.Rejected }

// isNoted reports whether the disk knows what has been delivered, or is no help.
func (l *line) isNoted() bool {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	return l.q.failing || l.noted == l.deliveries()
}

// jitter keeps gateways from trying all at once.
func jitter(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5)
}

// idle waits until there may be something to send.
func (l *line) idle(s *stint, until time.Time) {
	var due <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-l.wake:
	case <-due:
	case <-s.context.Done():
	}
}

// load fills the window, from the disk or, where that fails, from what is not on it.
func (l *line) load() {
	l.q.mu.Lock()
	from, commits := l.next, l.q.stats.Commits
	room := maxWindow - len(l.window)
	for _, it := range l.window {
		if it.aside() {
			room++
		}
	}
	room = min(room, maxWindow+maxAside-len(l.window))
	l.q.mu.Unlock()
	if room <= 0 {
		return
	}
	found, err := l.read(from, room)

	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if errors.Is(err, errCorrupt) {
		l.q.damaged = err
		l.q.signal()
		return
	}
	for _, f := range found {
		l.next = f.seq + 1
		switch {
		case f.torn != nil:
			l.q.log.Error("accounting: a record on disk cannot be read, and is dropped", "sink", l.name, "error", f.torn)
			l.stats.Rejected++
			l.remove(f.seq, "")
		case f.record.Kind == Interim && l.interims[f.record.Session] != f.seq: // superseded
		default:
			l.window = append(l.window, &item{seq: f.seq, record: f.record})
		}
	}
	// If there was a transaction meanwhile, what has become of it is on disk, and is next.
	if room -= len(found); room > 0 && l.q.failing && commits == l.q.stats.Commits {
		for _, e := range l.q.pendingFrom(l.next) {
			if e.left&l.bit == 0 {
				continue
			}
			if room--; room < 0 {
				break
			}
			l.next = e.seq + 1
			l.window = append(l.window, &item{seq: e.seq, record: e.record})
		}
	}
}

// found is a record on disk, or what is wrong with it.
type found struct {
	seq    uint64
	record Record
	torn   error
}

func (l *line) read(from uint64, n int) (list []found, err error) {
	err = l.q.store.view(func(tx *bbolt.Tx) error {
		b := lineBucket(tx, l.name)
		if b == nil {
			return nil
		}
		c := b.Cursor()
		for k, v := c.Seek(key(from)); k != nil && len(list) < n; k, v = c.Next() {
			if len(k) != 8 {
				return errCorrupt
			}
			f := found{seq: binary.BigEndian.Uint64(k)}
			f.torn = f.record.decode(v)
			list = append(list, f)
		}
		return nil
	})
	return list, err
}

// pick chooses what to send now: the first records of sessions, or one of the gateway
// itself if nothing is before it. until is when there may be more, if time alone brings
// it; empty says that there is nothing and will be nothing.
func (l *line) pick(now time.Time) (batch []*item, until time.Time, empty bool) {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	busy := make(map[string]bool)
	held := false // something that does not stand aside has to go first
	for _, it := range l.window {
		if len(batch) == maxSend {
			break
		}
		early := it.retry.After(now)
		if early && (until.IsZero() || it.retry.Before(until)) {
			until = it.retry
		}
		session := it.record.Session
		switch {
		case !it.record.Kind.OfSession():
			if it.aside() { // those behind it show whether it is only this one
				continue
			}
			// What is before it may be what is refused: it has its turn then, too.
			if len(batch) == 0 && !held || l.misses >= standAside && l.misses%2 == 1 {
				batch = []*item{it}
			}
			return batch, until, false
		case early || busy[session]:
			if !it.aside() {
				busy[session], held = true, true
			}
		default:
			busy[session] = true
			batch = append(batch, it)
		}
	}
	return batch, until, (l.q.closing || !l.on) && l.count == 0
}

// send sends, and reports whether it got anywhere.
func (l *line) send(s *stint, batch []*item) bool {
	records := make([]Record, len(batch))
	for i, it := range batch {
		records[i] = it.record
	}
	ctx, cancel := context.WithTimeout(s.context, sendTimeout)
	defer cancel()
	var some atomic.Bool
	err := s.sink.Send(ctx, records, func(i int, err error) {
		some.Store(true)
		l.done(batch[i], err)
	})

	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if some.Load() {
		l.someSent(batch, err)
		return true
	}
	l.noneSent(s, batch, err)
	return false
}

// noneSent follows a Send that has got nowhere: the other side is down, most likely.
func (l *line) noneSent(s *stint, batch []*item, err error) {
	l.stats.Failures++
	l.misses++
	if !l.down && s.context.Err() == nil {
		l.down = true
		l.q.log.Warn("accounting: nothing can be delivered; records wait on disk", "sink", l.name, "waiting", l.count, "error", err)
	}
	if !batch[0].record.Kind.OfSession() {
		batch[0].tries++ // it was alone, so it may be the only one that is refused
		return
	}
	for _, it := range l.window {
		if !it.record.Kind.OfSession() && it.aside() {
			it.tries = 0 // it is not
		}
	}
}

// someSent follows a Send that has delivered some of the batch, or all.
func (l *line) someSent(batch []*item, err error) {
	l.misses = 0
	if l.down {
		l.down = false
		l.q.log.Info("accounting: records are delivered again", "sink", l.name, "waiting", l.count)
	}
	for _, it := range batch {
		if it.gone {
			continue
		}
		it.tries++
		it.retry = time.Now().Add(jitter(min(minRetry<<it.tries, maxAsideTry)))
		if it.tries == standAside {
			l.q.log.Warn("accounting: a record is refused again and again while others are not; it is tried now and then",
				"sink", l.name, "kind", it.record.Kind.String(), "session", it.record.Session, "error", err)
		}
		it.tries = min(it.tries, 16)
	}
	// An On or Off that others have overtaken would do harm now: it ends sessions that
	// have begun after it.
	for _, it := range slices.Clone(l.window) {
		if !it.record.Kind.OfSession() && it.aside() {
			l.q.log.Warn("accounting: a record is refused again and again while others are not; it is dropped", "sink", l.name, "kind", it.record.Kind.String())
			l.stats.Rejected++
			l.remove(it.seq, "")
		}
	}
}

// done follows the delivery of a record.
func (l *line) done(it *item, err error) {
	if err != nil {
		l.q.log.LogAttrs(context.Background(), slog.LevelError, "accounting: a record can never be delivered, and is dropped",
			slog.String("sink", l.name), slog.String("kind", it.record.Kind.String()), slog.String("session", it.record.Session), slog.Any("error", err))
	}
	if err == nil && it.record.Kind.OfSession() {
		l.q.log.Debug("accounting: delivered", "session", it.record.Session, "kind", it.record.Kind.String(), "sink", l.name)
	}
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if it.gone { // or superseded meanwhile
		return
	}
	if err != nil {
		l.stats.Rejected++
	} else {
		l.stats.Delivered++
	}
	l.remove(it.seq, it.record.Session)
	l.q.signal()
}
