package kernel

import (
	"math/bits"
	"math/rand/v2"
	"sync"
)

// callIDs are the call IDs of a plane, as a set of those in use.
type callIDs struct {
	first, last int

	mu   sync.Mutex
	used [1 << 16 / 64]uint64
	n    int // in use
}

// take returns an ID that is free, hard to guess for who would forge packets: the first
// from a random one on.
func (c *callIDs) take() (id uint16, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
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

func (c *callIDs) give(id uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[id/64] &^= 1 << (id % 64)
	c.n--
}
