package accounting

import (
	"errors"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// maxCommit is how many records go into one transaction.
const maxCommit = 10_000

// maxDiskWait is how long the writer waits at most after a transaction that failed; each
// wait is twice the last.
const maxDiskWait = 30 * time.Second

// batch is what one transaction writes.
type batch struct {
	entries []*entry
	left    []uint32 // for each entry, the lines that it is for
	lines   []*line
	gone    [][]uint64 // for each line, the numbers that are to be deleted
	seen    *checkpoint
	damaged error
	anew    []Record // all sessions that are up, where the file does not know
	whole   bool     // anew says all there is
}

// write is the writer. It ends when the queue is closed and all is on disk, or cannot be.
func (q *Queue) write() {
	wait := q.rest
	for {
		b, last := q.collect()
		if b == nil {
			if last {
				return
			}
			<-q.wake
			continue
		}
		err := q.commit(b)
		if errors.Is(err, errCorrupt) {
			if again := q.startAnew(err); again != nil {
				err = again
			}
		}
		q.committed(b, err)
		switch {
		case err == nil:
			wait = q.rest
		case last: // this was the last try
			return
		default:
			q.pause(wait)
			wait = min(2*wait, maxDiskWait)
		}
	}
}

// pause waits, but not for the end of the queue.
func (q *Queue) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-q.context.Done():
	}
}

// collect takes what there is to write, nil if there is nothing; last says that nothing
// more will come.
func (q *Queue) collect() (b *batch, last bool) {
	q.mu.Lock()
	whole := q.failing // which nobody but the writer changes
	q.mu.Unlock()
	b = &batch{whole: whole}
	if whole && q.live != nil {
		// Before the entries, and with all of them: whoever ends or begins from now on has
		// a Stop or Start among them.
		b.anew = q.live()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	last = q.closing && q.context.Err() != nil
	b.seen, b.damaged = q.seen, q.damaged
	q.seen, q.damaged = nil, nil
	n := len(q.pending)
	if !whole {
		n = min(n, maxCommit)
	}
	b.entries, q.inHand = slices.Clone(q.pending[:n]), n
	b.left = make([]uint32, n)
	for i, e := range b.entries {
		e.written = true
		b.left[i] = e.left
	}
	b.lines = slices.Clone(q.lines)
	b.gone = make([][]uint64, len(b.lines))
	gone := 0
	for i, l := range b.lines {
		b.gone[i], l.gone = l.gone, nil
		l.noting = l.deliveries()
		gone += len(b.gone[i])
	}
	if n == 0 && gone == 0 && b.seen == nil && b.damaged == nil && !whole {
		return nil, last
	}
	return b, last
}

// commit writes a batch.
func (q *Queue) commit(b *batch) error {
	if b.damaged != nil {
		return b.damaged
	}
	if q.store.closed() { // it could not be opened so far
		if err := q.store.open(); err != nil {
			return err
		}
	}
	encoded := make([][]byte, len(b.entries))
	for i, e := range b.entries {
		encoded[i] = e.record.encode(nil)
	}
	return q.store.update(func(tx *bbolt.Tx) error {
		if err := q.commitOpen(tx, b, encoded); err != nil {
			return err
		}
		for i, l := range b.lines {
			bucket, err := tx.Bucket(bucketLines).CreateBucketIfNotExists([]byte(l.name))
			if err != nil {
				return err
			}
			bucket.FillPercent = 1 // keys only grow
			for j, e := range b.entries {
				if b.left[j]&l.bit == 0 {
					continue
				}
				if err := bucket.Put(key(e.seq), encoded[j]); err != nil {
					return err
				}
			}
			for _, seq := range b.gone[i] {
				if err := bucket.Delete(key(seq)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// commitOpen notes which sessions are up, in the transaction that their records are in:
// after a crash, each has its Stop in a line, or is noted as up, and not both.
func (q *Queue) commitOpen(tx *bbolt.Tx, b *batch, encoded [][]byte) error {
	open, usage := tx.Bucket(bucketOpen), tx.Bucket(bucketUsage)
	if b.whole {
		if open, usage = emptied(tx, bucketOpen), emptied(tx, bucketUsage); open == nil || usage == nil {
			return errCorrupt
		}
		for i := range b.anew {
			r := &b.anew[i]
			if err := open.Put([]byte(r.Session), r.encode(nil)); err != nil {
				return err
			}
		}
	}
	for i, e := range b.entries {
		session := []byte(e.record.Session)
		var err error
		switch e.record.Kind {
		case Start:
			if open.Get(session) == nil { // else a sink that is new is told of what is known
				err = open.Put(session, encoded[i])
			}
		case Interim: // has a usage of its own
			err = errors.Join(open.Put(session, encoded[i]), usage.Delete(session))
		case Stop:
			err = errors.Join(open.Delete(session), usage.Delete(session))
		}
		if err != nil {
			return err
		}
	}
	if b.seen == nil {
		return nil
	}
	for session, u := range b.seen.usage {
		if open.Get([]byte(session)) == nil { // has ended meanwhile
			continue
		}
		if err := usage.Put([]byte(session), encodeUsage(b.seen.at, &u)); err != nil {
			return err
		}
	}
	return nil
}

func emptied(tx *bbolt.Tx, name []byte) *bbolt.Bucket {
	if tx.DeleteBucket(name) != nil {
		return nil
	}
	b, err := tx.CreateBucket(name)
	if err != nil {
		return nil
	}
	return b
}

// committed follows a transaction.
func (q *Queue) committed(b *batch, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inHand = 0
	if err != nil {
		q.stats.CommitErrors++
		for _, e := range b.entries {
			e.written = false
		}
		for i, l := range b.lines {
			l.gone = append(l.gone, b.gone[i]...)
		}
		if q.seen == nil {
			q.seen = b.seen
		}
		q.failing = true
		if !errors.Is(err, errCorrupt) {
			q.reportDisk(err)
		}
		// What has been delivered meanwhile need not be written any more.
		q.pending = slices.DeleteFunc(q.pending, func(e *entry) bool { return e.left == 0 })
	} else {
		q.stats.Commits++
		for _, l := range b.lines {
			l.noted = l.noting
		}
		q.pending = slices.Delete(q.pending, 0, len(b.entries))
		if q.failing {
			q.failing = false
			q.reportDisk(nil)
		}
	}
	for _, l := range q.lines {
		l.signal()
	}
}

// diskFailed notes that the disk does not even have a file.
func (q *Queue) diskFailed(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failing = true
	q.reportDisk(err)
	q.signal()
}

// reportDisk says when the disk begins to fail, and when it works again.
func (q *Queue) reportDisk(err error) {
	switch {
	case err == nil && q.diskReported:
		q.diskReported = false
		q.log.Info("accounting: the disk works again; all records are on it", "file", q.store.file)
	case err != nil && !q.diskReported:
		q.diskReported = true
		q.log.Error("accounting: the disk fails; records are kept in memory meanwhile, and are lost if the gateway ends", "file", q.store.file, "error", err)
	}
}
