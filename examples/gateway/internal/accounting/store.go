package accounting

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// The buckets of the file. Each sink has one more, by its name.
var (
	bucketOpen  = []byte("open")  // session → its record, of each session that is up
	bucketUsage = []byte("usage") // session → when it was last seen up, and its usage then
	bucketLines = []byte("lines") // sink → sequence number → record
)

var (
	errCorrupt = errors.New("accounting: the file of the queue is damaged")
	errClosed  = fmt.Errorf("accounting: %w", fs.ErrClosed)
	errInUse   = errors.New("another gateway has it open")
)

// store is the file of the queue: an embedded database, whose transactions are on disk
// when they return.
type store struct {
	file string

	mu sync.RWMutex
	db *bbolt.DB // nil: it could not be opened
}

// open opens the file, and makes it if there is none. An error that is errCorrupt is about
// what is in it.
func (s *store) open() error {
	if err := os.MkdirAll(filepath.Dir(s.file), 0o700); err != nil {
		return err
	}
	info, err := os.Stat(s.file)
	fresh := err != nil || info.Size() == 0
	if !fresh {
		if err := s.check(); err != nil {
			return err
		}
	}
	var db *bbolt.DB
	err = guard(func() (err error) {
		db, err = bbolt.Open(s.file, 0o600, &bbolt.Options{
			Timeout:      lockTimeout,
			FreelistType: bbolt.FreelistMapType,
			// Else each transaction would write the list of free pages, which is long
			// once a long queue has become short.
			NoFreelistSync: true,
		})
		if err != nil {
			return s.judge(err)
		}
		return makeBuckets(db)
	})
	if err != nil {
		if abandon(db); fresh {
			os.Remove(s.file) // there is nothing in it, or half of its beginning
		}
		return err
	}
	s.mu.Lock()
	s.db = db
	s.mu.Unlock()
	return nil
}

// makeBuckets writes nothing to a file that has them: it can be opened on a full disk.
func makeBuckets(db *bbolt.DB) error {
	names, found := [][]byte{bucketOpen, bucketUsage, bucketLines}, 0
	err := db.View(func(tx *bbolt.Tx) error {
		for _, name := range names {
			if tx.Bucket(name) != nil {
				found++
			}
		}
		return nil
	})
	if err != nil || found == len(names) {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range names {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
}

// lockTimeout is how long a gateway that is about to end may keep the file.
const lockTimeout = time.Second

// check reads the file through. Opening it for writing does so, too, but on a goroutine of
// bbolt, where a panic would end the process.
func (s *store) check() error {
	return guard(func() error {
		db, err := bbolt.Open(s.file, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
		if err != nil {
			return s.judge(err)
		}
		err = db.View(func(tx *bbolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return readThrough(b) })
		})
		return errors.Join(err, db.Close())
	})
}

func readThrough(b *bbolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v != nil {
			return nil
		}
		if nested := b.Bucket(k); nested != nil {
			return readThrough(nested)
		}
		return errCorrupt
	})
}

// judge tells an error that the operating system has with the file from one that bbolt has
// with what is in it.
func (s *store) judge(err error) error {
	var errno syscall.Errno
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("%s: %w", s.file, errInUse)
	case errors.As(err, &errno):
		return err
	}
	return fmt.Errorf("%w: %w", errCorrupt, err)
}

// moveAside gives the file another name, which it returns, so that a new one can be made.
func (s *store) moveAside(now time.Time) (string, error) {
	s.mu.Lock()
	db := s.db
	s.db = nil
	s.mu.Unlock()
	abandon(db)
	aside := s.file + ".damaged-" + now.UTC().Format("20060102T150405.000Z")
	return aside, os.Rename(s.file, aside)
}

// abandon closes a database that may be too damaged for that: it may never return.
func abandon(db *bbolt.DB) {
	if db != nil {
		go guard(db.Close)
	}
}

func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db == nil {
		return nil
	}
	db := s.db
	s.db = nil
	return guard(db.Close)
}

// closed reports whether there is no file open.
func (s *store) closed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.db == nil
}

// update runs a transaction that writes. It is on disk after a nil error, and nothing
// has changed after any other.
func (s *store) update(f func(*bbolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return errClosed
	}
	return guard(func() error {
		tx, err := s.db.Begin(true)
		if err != nil {
			return err
		}
		// Not by db.Update: after a panic, that has bbolt read the file through on another
		// goroutine, where the next panic would end the process. The file is abandoned then.
		if err := f(tx); err != nil {
			return errors.Join(err, tx.Rollback())
		}
		return tx.Commit()
	})
}

// view runs a transaction that reads.
func (s *store) view(f func(*bbolt.Tx) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return errClosed
	}
	return guard(func() error { return s.db.View(f) })
}

// guard makes errors of the two ways in which bbolt ends a process over a damaged file:
// it panics, or it touches memory that the file, which it has mapped, does not reach to.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errCorrupt, p)
		}
	}()
	return f()
}

// lineBucket is the bucket of a sink, nil if it has none.
func lineBucket(tx *bbolt.Tx, sink string) *bbolt.Bucket {
	return tx.Bucket(bucketLines).Bucket([]byte(sink))
}

// key is a sequence number as a key: their orders are the same.
func key(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// usageSize is that of the value in bucketUsage.
const usageSize = 6 * 8

func encodeUsage(at time.Time, u *Usage) []byte {
	b := make([]byte, 0, usageSize)
	for _, n := range []uint64{uint64(at.UnixNano()), uint64(u.Duration), u.ReceivedOctets, u.ReceivedPackets, u.SentOctets, u.SentPackets} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func decodeUsage(b []byte) (at time.Time, u Usage, ok bool) {
	if len(b) != usageSize {
		return at, u, false
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[i*8:]) }
	return time.Unix(0, int64(n(0))).UTC(), Usage{time.Duration(n(1)), n(2), n(3), n(4), n(5)}, true
}
