package kernel

import (
	"math/bits"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gopptp/gopptp/gre"
)

// callIDs are the call IDs of a plane, as a set of those that cannot be taken. The
// kernel finds a call by the ID alone, so that there is one set for all peers, where
// gre.Demux has one for each. Times must not go back.
type callIDs struct {
	first, last int

	mu   sync.Mutex
	used [1 << 16 / 64]uint64
	n    int // used
	// resting are those that were given back less than gre.Quarantine ago, the oldest
	// first: packets of their calls may still be on the way.
	resting []restingID
}

type restingID struct {
	id    uint16
	until time.Time
}

// take returns an ID that is free, hard to guess for who would forge packets: the first
// from a random one on.
func (c *callIDs) take(now time.Time) (id uint16, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	over := 0
	for ; over < len(c.resting) && !now.Before(c.resting[over].until); over++ {
		c.free(c.resting[over].id)
	}
	if c.resting = c.resting[over:]; len(c.resting) == 0 {
		c.resting = nil // and its memory with it
	}
	if c.n == c.last-c.first+1 {
		return 0, false
	}
	start := c.first + rand.IntN(c.last-c.first+1)
	at := c.nextFree(start)
	if at > c.last {
		at = c.nextFree(c.first)
	}
	c.used[at/64] |= 1 << (at % 64)
	c.n++
	return uint16(at), true
}

// nextFree returns the first ID from at on that is not in use, which may be beyond last.
func (c *callIDs) nextFree(at int) int {
	for at <= c.last {
		if rest := ^c.used[at/64] >> (at % 64); rest != 0 {
			return at + bits.TrailingZeros64(rest)
		}
		at = (at/64 + 1) * 64
	}
	return at
}

// give gives back the ID of a call that has ended.
func (c *callIDs) give(id uint16, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resting = append(c.resting, restingID{id, now.Add(gre.Quarantine)})
}

// untake gives back an ID that had no call.
func (c *callIDs) untake(id uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free(id)
}

func (c *callIDs) free(id uint16) {
	c.used[id/64] &^= 1 << (id % 64)
	c.n--
}
