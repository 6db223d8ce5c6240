package usercache

import (
	"sync/atomic"

	"github.com/gopptp/gopptp/examples/gateway/internal/latency"
)

// Stats are the figures of a Cache. The counters only grow.
type Stats struct {
	Users   int  // remembered
	Unknown int  // names remembered that nobody has
	Down    bool // the database is taken for down

	Hits         uint64 // users who were answered from memory
	NegativeHits uint64 // names that nobody has that were
	Misses       uint64 // queries to the database
	Stale        uint64 // users who were answered from memory as the database was slow or down
	Refused      uint64 // who were not, and were told that it is down
	Errors       uint64 // queries that failed
	PollErrors   uint64 // looks for changes that failed
	Changes      uint64 // users who were forgotten since they were changed

	SharedHits   uint64 // answers of the shared cache that had the user
	SharedMisses uint64 // and that had not
	SharedErrors uint64

	Latency latency.Snapshot // of queries to the database
}

type counters struct {
	hits, negativeHits, misses, stale, refused, errors atomic.Uint64
	pollErrors, changes                                atomic.Uint64
	sharedHits, sharedMisses, sharedErrors             atomic.Uint64
	latency                                            latency.Histogram
}

func (c *counters) hit(known bool) {
	if known {
		c.hits.Add(1)
	} else {
		c.negativeHits.Add(1)
	}
}

func (c *counters) askedShared(found bool, err error) {
	switch {
	case err != nil: // has been counted, if it was asked
	case found:
		c.sharedHits.Add(1)
	default:
		c.sharedMisses.Add(1)
	}
}

// Stats returns the figures as they are now.
func (c *Cache) Stats() Stats {
	s := Stats{
		Down: c.breaker.down(),
		Hits: c.counts.hits.Load(), NegativeHits: c.counts.negativeHits.Load(), Misses: c.counts.misses.Load(),
		Stale: c.counts.stale.Load(), Refused: c.counts.refused.Load(), Errors: c.counts.errors.Load(),
		PollErrors: c.counts.pollErrors.Load(), Changes: c.counts.changes.Load(),
		SharedHits: c.counts.sharedHits.Load(), SharedMisses: c.counts.sharedMisses.Load(), SharedErrors: c.counts.sharedErrors.Load(),
		Latency: c.counts.latency.Snapshot(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known != nil {
		s.Users, s.Unknown = c.known.Len(), c.unknown.Len()
	}
	return s
}
