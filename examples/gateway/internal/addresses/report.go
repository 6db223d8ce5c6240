package addresses

import (
	"context"
	"log/slog"
	"time"
)

// Stats is how a pool stands. Size is Used, Quarantined, Remembered and what is simply
// free.
type Stats struct {
	Name string
	Next string // empty: none
	// Size is how many addresses there are for users: without those that are fixed to
	// some, and the gateway's own.
	Size int
	// Used is how many sessions have.
	Used int
	// Quarantined are kept from others than the last user, Remembered for the last user
	// as long as nobody else needs them.
	Quarantined, Remembered int
	// Refused is how many requests to it found nothing, in its chain neither.
	Refused uint64
}

// Stats returns how the pools stand, in their order.
func (p *Pools) Stats() []Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	list := make([]Stats, len(p.pools))
	for i, q := range p.pools {
		q.forget(now)
		s := Stats{Name: q.Name, Next: q.Next, Size: q.free.Size(), Used: q.used, Quarantined: q.quarantined(now), Refused: q.refused}
		s.Remembered = q.rest.len() - s.Quarantined
		list[i] = s
	}
	return list
}

// level is how full a pool is with all that is after it in its chain: where that has
// room, nothing is wrong with a pool that is full.
type level int

const (
	roomy level = iota
	high
	critical
	empty // and somebody was refused
)

// levels are entered at a share of use, in percent, and left at a lower one, so that what
// goes up and down there is told once.
var levels = [...]struct{ enter, leave int }{high: {80, 75}, critical: {95, 90}, empty: {101, 100}}

// notice is something to tell of a pool, when it is no longer locked.
type notice struct {
	pool       string
	level      level
	worse      bool
	used, size int
}

// changed looks at the chains that a pool is in.
func (q *pool) changed() (notices []notice) {
	for _, head := range q.heads {
		notices = append(notices, head.judge()...)
	}
	return notices
}

// exhausted is when nothing was left.
func (q *pool) exhausted() []notice { return q.fill(empty) }

// judge looks whether a chain has come to another level.
func (q *pool) judge() []notice {
	used, size := q.sum()
	now := q.filled
	for now > roomy && used*100 < levels[now].leave*size {
		now--
	}
	for now < critical && size > 0 && used*100 >= levels[now+1].enter*size {
		now++
	}
	return q.fill(now)
}

func (q *pool) fill(to level) []notice {
	if to == q.filled {
		return nil
	}
	used, size := q.sum()
	n := notice{pool: q.Name, level: to, worse: to > q.filled, used: used, size: size}
	q.filled = to
	return []notice{n}
}

func (q *pool) sum() (used, size int) {
	for _, c := range q.chain {
		used, size = used+c.used, size+c.free.Size()
	}
	return used, size
}

// tell logs what there is to be told.
func (p *Pools) tell(notices []notice) {
	for _, n := range notices {
		severity, text := slog.LevelWarn, "address pool fills up"
		switch {
		case n.level == empty:
			severity, text = slog.LevelError, "address pool is exhausted: users are refused"
		case !n.worse:
			severity, text = slog.LevelInfo, "address pool has room again"
		}
		attrs := []slog.Attr{slog.String("pool", n.pool), slog.Int("used", n.used), slog.Int("size", n.size)}
		if n.size > 0 {
			attrs = append(attrs, slog.Int("percent", n.used*100/n.size))
		}
		p.log.LogAttrs(context.Background(), severity, text, attrs...)
	}
}
