package pptp

import (
	"math/rand/v2"
	"sync/atomic"
)

// Serials gives out call serial numbers. They are for logs: with the address of
// whoever assigned it, a number identifies a call on both sides (RFC 2637
// sections 2.7 and 2.9). The zero value begins with 1. It may be used by all
// goroutines.
type Serials struct{ last atomic.Uint32 }

// Next returns the next number. It is never 0, which many peers send for none.
func (s *Serials) Next() uint16 {
	for {
		if n := uint16(s.last.Add(1)); n != 0 {
			return n
		}
	}
}

// connSerials is for all Conns that are not told otherwise. It begins anywhere,
// so that a program that is started again does not repeat the numbers of a
// moment ago.
var connSerials Serials

func init() { connSerials.last.Store(rand.Uint32()) }

func (c *Control) defaultSerial(n *uint16) {
	if *n == 0 {
		*n = c.cfg.Serials.Next()
	}
}
