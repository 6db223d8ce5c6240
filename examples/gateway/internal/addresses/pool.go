package addresses

import (
	"context"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
)

// pool is one pool at work. Each of its addresses is free, rests in the memory, or is
// held by a session; to the bitmap, the last two are the same.
type pool struct {
	Pool
	free    *gopptp.Pool
	rest    memory
	most    int    // addresses that rest
	used    int    // addresses that sessions have
	refused uint64 // requests that found nothing in the whole chain

	chain  []*pool // itself, and where the search goes on
	heads  []*pool // those that have it in their chain, itself among them
	filled level   // of its chain, as last told
}

// maxResting bounds the memory of one pool: to some 30 MiB. It is twice the sessions that
// a gateway can have at a time.
const maxResting = 1 << 17

// forgetting is how many are forgotten at a time: more than come in, so that the memory
// does not grow, and few enough that nobody waits for it.
const forgetting = 16

// forget frees what has rested for long enough.
func (q *pool) forget(now time.Time) {
	for range forgetting {
		r := q.rest.oldest
		if r == nil || !q.over(r, now) && q.rest.len() <= q.most {
			return
		}
		q.rest.remove(r)
		q.free.Release(r.addr)
	}
}

// over reports whether an address has rested for long enough.
func (q *pool) over(r *record, now time.Time) bool {
	return now.Sub(r.since) >= q.rests()
}

// rests is how long an address does that was given back.
func (q *pool) rests() time.Duration { return max(q.Sticky, q.Quarantine) }

// again gives users what they had before.
func (q *pool) again(user string) (netip.Addr, bool) {
	return q.wake(q.rest.byUser[user])
}

// fresh gives what nobody is remembered for, or what is out of quarantine.
func (q *pool) fresh(now time.Time) (netip.Addr, bool) {
	if addr, err := q.free.Acquire(context.Background(), gopptp.PoolRequest{}); err == nil {
		return addr, true
	}
	if r := q.rest.oldest; r != nil && now.Sub(r.since) >= q.Quarantine {
		return q.wake(r)
	}
	return netip.Addr{}, false
}

// any gives what has rested for longest, however short that is.
func (q *pool) any() (netip.Addr, bool) { return q.wake(q.rest.oldest) }

func (q *pool) wake(r *record) (netip.Addr, bool) {
	if r == nil {
		return netip.Addr{}, false
	}
	q.rest.remove(r)
	return r.addr, true
}

// take takes an address that no session has.
func (q *pool) take(addr netip.Addr) {
	if _, resting := q.wake(q.rest.byAddr[addr]); !resting {
		q.free.Take(addr)
	}
}

func (q *pool) giveBack(addr netip.Addr, user string, now time.Time, order uint64) {
	q.used--
	if q.rests() == 0 {
		q.free.Release(addr)
		return
	}
	q.rest.add(addr, user, now, order)
}

// quarantined counts what others than the last user do not get yet.
func (q *pool) quarantined(now time.Time) (n int) {
	for r := q.rest.newest; r != nil && now.Sub(r.since) < q.Quarantine; r = r.older {
		n++
	}
	return n
}
