package accounting

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// Queue keeps records on disk until each of its sinks has them. Nobody who puts a record
// in waits for the disk: one goroutine writes what has come meanwhile in one transaction,
// and each sink has a goroutine that delivers.
//
// Where the disk fails, records are delivered from memory, where maxUnwritten may wait, and
// as many that a transaction is tried with; that is done again all the while.
type Queue struct {
	store store
	room  int           // records that may wait for the disk: maxUnwritten
	rest  time.Duration // after a first failure of the disk, or a sink: minRetry
	log   *slog.Logger
	live  func() []Record

	context context.Context // of deliveries
	cancel  context.CancelFunc
	wake    chan struct{} // for the writer
	writing sync.WaitGroup
	sending sync.WaitGroup

	mu      sync.Mutex
	max     int // records that may wait for a sink before Interims are given up
	seq     uint64
	lines   []*line  // of all sinks that there are or were; it only grows
	pending []*entry // not on disk, in order
	inHand  int      // of these, the first that a transaction is under way with
	seen    *checkpoint
	failing bool // the last transaction did
	// diskReported says that the log has that, and damaged what a reader found wrong.
	diskReported bool
	damaged      error
	closing      bool
	stats        QueueStats
}

// QueueOptions describe a Queue.
type QueueOptions struct {
	// File is where the queue is on disk.
	File string
	// Sinks are where records go at first; see Begin.
	Sinks []Sink
	// MaxRecords is how many may wait for a sink before it loses Interims, the oldest
	// first. Others are never given up.
	MaxRecords int
	// Live lists the sessions that are up, each as an Interim. It is asked when a file
	// has to be made anew.
	Live func() []Record
	Log  *slog.Logger

	rest time.Duration // for tests; zero: minRetry
}

// maxLines is how many sinks there may be over time: an entry has a bit for each.
const maxLines = 32

// maxUnwritten is how many records may wait for a disk that fails.
const maxUnwritten = 100_000

// entry is a record on its way to the disk.
type entry struct {
	seq     uint64
	record  Record
	left    uint32 // a bit for each line that it is still to be written for
	written bool   // the writer has it, or has had it
}

// checkpoint is the usage of all sessions at a time.
type checkpoint struct {
	at    time.Time
	usage map[string]Usage
}

// OpenQueue opens the file of a queue. Sessions that it says are up were so when the
// gateway crashed: their Stops are the first records. Then it delivers.
func OpenQueue(o QueueOptions) (*Queue, error) {
	q := &Queue{store: store{file: o.File}, max: o.MaxRecords, room: maxUnwritten, rest: cmp.Or(o.rest, minRetry), log: o.Log, live: o.Live, wake: make(chan struct{}, 1)}
	q.context, q.cancel = context.WithCancel(context.Background())
	left, err := q.load()
	if err != nil {
		q.cancel()
		q.store.close()
		return nil, err
	}
	for _, s := range o.Sinks {
		q.Begin(s)
	}
	for _, l := range q.lines {
		if !l.on && l.count > 0 {
			q.log.Warn("accounting: records wait for a sink that is not configured any more", "sink", l.name, "records", l.count)
		}
	}
	if n := len(left); n > 0 {
		q.log.Warn("accounting: these sessions were up when the gateway ended without a word; they are ended now", "sessions", n)
		q.Put(left...)
	}
	q.writing.Go(q.write)
	return q, nil
}

// Begin has records go to a sink from now on. If there is another of its name, it takes
// the place of that one, whose last Send may still go on; what waits is then for the new
// one. A sink that is an io.Closer is closed once nothing goes to it any more.
func (q *Queue) Begin(s Sink) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closing {
		closeSink(s)
		return
	}
	q.line(s.Name()).begin(s)
}

// End has records go to a sink no more. What waits for it still goes out for as long as
// patience says; the rest is on disk, until there is a sink of that name again.
func (q *Queue) End(sink string, patience time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.line(sink); l.on {
		l.end(patience)
	}
}

// line returns the line of a sink, which may be a new one.
func (q *Queue) line(sink string) *line {
	for _, l := range q.lines {
		if l.name == sink {
			return l
		}
	}
	l := newLine(q, sink, len(q.lines))
	q.lines = append(q.lines, l)
	return l
}

// load opens the file and finds what is in it, and the Stops of sessions left up.
func (q *Queue) load() (left []Record, err error) {
	err = q.store.open()
	if err == nil {
		left, err = q.scan()
	}
	switch {
	case err == nil:
		return left, nil
	case errors.Is(err, errCorrupt):
		return nil, q.startAnew(err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		// There is no file, as one that is there can be opened on a full disk. It is made
		// once there is room.
		q.diskFailed(err)
		return nil, nil
	}
	return nil, fmt.Errorf("the queue of accounting: %w", err)
}

// scan finds out what waits in the file, and makes Stops of sessions that it says are up.
func (q *Queue) scan() (left []Record, err error) {
	err = q.store.view(func(tx *bbolt.Tx) error {
		lines := tx.Bucket(bucketLines)
		err := lines.ForEachBucket(func(name []byte) error {
			if len(q.lines) == maxLines {
				return errCorrupt
			}
			b := lines.Bucket(name)
			if last, _ := b.Cursor().Last(); len(last) == 8 {
				q.seq = max(q.seq, binary.BigEndian.Uint64(last))
			}
			return q.line(string(name)).scan(b)
		})
		if err != nil {
			return err
		}
		usage := tx.Bucket(bucketUsage)
		return tx.Bucket(bucketOpen).ForEach(func(k, v []byte) error {
			var r Record
			if err := r.decode(v); err != nil {
				q.log.Error("accounting: a session that was up cannot be read", "session", string(k), "error", err)
				return nil
			}
			if at, u, ok := decodeUsage(usage.Get(k)); ok && u.Duration >= r.Duration {
				r.Time, r.Usage = at, u
			}
			r.Kind, r.Cause, r.Reason = Stop, NASReboot, "crash"
			left = append(left, r)
			return nil
		})
	})
	return left, err
}

// startAnew moves a damaged file away and makes another, with what is in memory.
func (q *Queue) startAnew(cause error) error {
	aside, err := q.store.moveAside(time.Now())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	q.log.Error("accounting: the file of the queue was damaged and is put aside; what waited in it is lost, and a new one is made",
		"file", q.store.file, "aside", aside, "error", cause)
	q.mu.Lock()
	defer q.mu.Unlock()
	var left []*entry
	for _, l := range q.lines {
		left = append(left, l.forget()...)
	}
	q.pending = append(q.pending, left...)
	slices.SortStableFunc(q.pending, func(a, b *entry) int { return cmp.Compare(a.seq, b.seq) })
	q.pending = mergeEntries(q.pending)
	return q.store.open()
}

// mergeEntries joins neighbours of the same number, which are of several lines.
func mergeEntries(list []*entry) []*entry {
	out := list[:0]
	for _, e := range list {
		if n := len(out); n > 0 && out[n-1].seq == e.seq {
			out[n-1].left |= e.left
			continue
		}
		out = append(out, e)
	}
	return out
}

// Put takes records in, for all sinks. It does not wait.
func (q *Queue) Put(records ...Record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.put(q.lines, records)
}

// PutFor takes records in that are for one sink.
func (q *Queue) PutFor(sink string, records ...Record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.put([]*line{q.line(sink)}, records)
}

func (q *Queue) put(lines []*line, records []Record) {
	if q.closing {
		return
	}
	for i := range records {
		q.seq++
		e := &entry{seq: q.seq, record: records[i]}
		for _, l := range lines {
			if l.on && l.take(e) {
				e.left |= l.bit
			}
		}
		q.pending = append(q.pending, e)
		q.stats.Records++
	}
	if over := len(q.pending) - q.inHand - q.room; over > 0 {
		q.shed(over + q.room/10) // and some, as it goes through all
	}
	q.signal()
}

// SetMax sets how many records may wait for a sink before it loses Interims.
func (q *Queue) SetMax(records int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.max = records
}

// pendingFrom is what is not on disk of the records from a number on.
func (q *Queue) pendingFrom(seq uint64) []*entry {
	i, _ := slices.BinarySearchFunc(q.pending, seq, func(e *entry, seq uint64) int { return cmp.Compare(e.seq, seq) })
	return q.pending[i:]
}

// Checkpoint takes in the usage of all sessions that are up, for the Stops of those that
// are still up when the gateway crashes.
func (q *Queue) Checkpoint(at time.Time, usage map[string]Usage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seen = &checkpoint{at, usage}
	q.signal()
}

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// shed makes room for records that cannot be written: Interims go first, then Starts, as
// a Stop says all that they do, and then the oldest.
func (q *Queue) shed(over int) {
	for _, kind := range []Kind{Interim, Start, 0} {
		q.pending = slices.DeleteFunc(q.pending, func(e *entry) bool {
			if over <= 0 || e.written || kind != 0 && e.record.Kind != kind {
				return false
			}
			over--
			for _, l := range q.lines {
				if e.left&l.bit != 0 {
					l.drop(e)
				}
			}
			return true
		})
	}
}

// QueueStats are figures of a Queue. The counters only grow.
type QueueStats struct {
	Records      uint64 // taken in
	Commits      uint64 // transactions, each with an fsync or two
	CommitErrors uint64
	Unwritten    int  // records that are not on disk now
	DiskFails    bool // the last transaction did
	Lines        []LineStats
}

// Stats returns the figures of the queue.
func (q *Queue) Stats() QueueStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Unwritten, s.DiskFails = len(q.pending), q.failing
	for _, l := range q.lines {
		if l.on || l.count > 0 {
			s.Lines = append(s.Lines, l.figures())
		}
	}
	return s
}

// Close takes nothing more in, delivers what it can until ctx ends, and leaves the rest
// on disk. It says how much that is if there is any, and what is lost if the disk fails.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	q.closing = true
	if ctx.Err() == nil { // else there is no time for another try
		for _, l := range q.lines {
			l.hurry()
		}
	}
	q.mu.Unlock()

	done := make(chan struct{})
	go func() {
		q.sending.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	q.cancel()
	<-done
	q.signal()
	q.writing.Wait()
	err := q.store.close()
	if n := q.Stats().Unwritten; n > 0 {
		err = errors.Join(err, fmt.Errorf("accounting: %d records are lost, as the disk takes nothing", n))
	}
	return err
}
