// Package usercache remembers the users of a database, so that those who come again do
// not reach it, and can come in while it is down.
//
// What is remembered is rows, also that there is none. Whether somebody came in cannot be:
// the answer of an MS-CHAPv2 belongs to its challenge. But a flood of wrong passwords or
// of names that nobody has is answered from memory.
//
// Users who are changed are forgotten. Gateways look every few seconds for what has been
// changed, by whomever, and each record tells which change it is as of: one that is older
// than a change of its user is of no use, wherever it comes from. So caches that are
// shared, and queries that were under way, do no harm.
package usercache

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/singleflight"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

// ErrDown says that the database is not asked, since it has not answered for some time.
var ErrDown = errors.New("user database: it is down")

// Source is the database.
type Source interface {
	Lookup(ctx context.Context, name string) (userdb.Record, error)
	Changes(ctx context.Context, since int64) (changes []userdb.Change, all bool, last int64, err error)
	Trim(ctx context.Context, age time.Duration) error
}

var _ Source = (*userdb.Store)(nil)

// patience is how long a user who is remembered waits for a database that is slow, if
// what is remembered would do in its place.
const patience = 300 * time.Millisecond

// behindPause is how long a database that is behind is left alone.
const behindPause = 100 * time.Millisecond

// maxChanged is how many users are known to have been changed; when there are more, all
// that was remembered before is forgotten.
const maxChanged = 10000

// Cache is what is remembered. Its methods are safe for concurrent use.
type Cache struct {
	source Source
	cfg    config.UserCache
	shared *shared // nil: there is none
	log    *slog.Logger

	news    chan struct{} // has one when anything has changed
	flights singleflight.Group
	breaker breaker
	counts  counters

	ctx    context.Context // of queries; ends with Close
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	known   *simplelru.LRU[string, entry] // nil: nothing is remembered
	unknown *simplelru.LRU[string, entry] // apart, so that a flood of names does not displace users
	changed map[string]int64              // the latest change of each user who was changed lately
	floor   int64                         // a change that any of the others may be
}

// entry is a record and when it was read.
type entry struct {
	userdb.Record
	read time.Time
}

// New returns a cache in front of a source, which has passwords in clear or not. It looks for
// changes until Close.
func New(source Source, cfg config.UserCache, clear bool, log *slog.Logger) (*Cache, error) {
	c := &Cache{source: source, cfg: cfg, log: log, done: make(chan struct{}), news: make(chan struct{}, 1), changed: make(map[string]int64)}
	if cfg.Size > 0 {
		var err error
		if c.known, err = simplelru.NewLRU[string, entry](cfg.Size, nil); err != nil {
			return nil, err
		}
		if c.unknown, err = simplelru.NewLRU[string, entry](cfg.Size, nil); err != nil {
			return nil, err
		}
		if !cfg.Redis.IsZero() {
			if c.shared, err = openShared(cfg, clear, &c.counts.sharedErrors, log); err != nil {
				return nil, err
			}
		}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.watch()
	return c, nil
}

// Close ends what the cache does by itself. Users who are asked for afterwards are an
// error.
func (c *Cache) Close() {
	c.cancel()
	<-c.done
	if c.shared != nil {
		c.shared.close()
	}
}

// Get returns a user; nil and no error: there is none of that name.
func (c *Cache) Get(ctx context.Context, name string) (*userdb.User, error) {
	for try := 0; ; try++ {
		e, found := c.remembered(name)
		if found && c.fresh(e) {
			c.counts.hit(e.User != nil)
			return e.User, nil
		}
		flight := c.flights.DoChan(name, func() (any, error) { return c.fetch(name) })
		spare := found && c.usable(e)
		r, err := c.wait(ctx, flight, spare)
		switch {
		case err != nil && ctx.Err() == nil && spare && !c.outdated(name, e.Record):
			c.counts.stale.Add(1)
			return e.User, nil
		case err != nil:
			if errors.Is(err, ErrDown) {
				c.counts.refused.Add(1)
			}
			return nil, err
		case c.outdated(name, r): // was under way when the user was changed
			c.flights.Forget(name)
			if try > 0 { // asked after the change, and is behind: a replica, or a backup
				select {
				case <-time.After(behindPause):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			continue
		}
		return r.User, nil
	}
}

// errImpatient says that a flight is taking too long for who has something better.
var errImpatient = errors.New("the database is slow")

func (c *Cache) wait(ctx context.Context, flight <-chan singleflight.Result, impatient bool) (r userdb.Record, err error) {
	var slow <-chan time.Time
	if impatient {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		slow = timer.C
	}
	select {
	case result := <-flight:
		if result.Err != nil {
			return r, result.Err
		}
		return result.Val.(userdb.Record), nil
	case <-slow:
		return r, errImpatient
	case <-ctx.Done():
		return r, ctx.Err()
	}
}

// fetch asks the shared cache and then the database, once for all who want to know.
func (c *Cache) fetch(name string) (userdb.Record, error) {
	var spare entry
	if c.shared != nil {
		e, found, err := c.shared.get(name)
		c.counts.askedShared(found, err)
		if found && !c.outdated(name, e.Record) {
			if c.fresh(e) {
				c.remember(name, e)
				return e.Record, nil
			}
			spare = e // of use if the database has no answer
		}
	}
	r, err := c.ask(name)
	switch {
	case err != nil && spare.User != nil && c.usable(spare):
		c.counts.stale.Add(1)
		return spare.Record, nil
	case err != nil:
		return r, err
	}
	e := entry{r, time.Now()}
	if c.remember(name, e) && c.shared != nil && r.User != nil {
		c.shared.put(name, e)
	}
	return r, nil
}

// ask asks the database.
func (c *Cache) ask(name string) (userdb.Record, error) {
	if !c.breaker.allow() {
		return userdb.Record{}, ErrDown
	}
	c.counts.misses.Add(1)
	begin := time.Now()
	r, err := c.source.Lookup(c.ctx, name)
	c.counts.latency.Observe(time.Since(begin))
	if err != nil {
		c.counts.errors.Add(1)
	}
	var row *userdb.RowError // is one user's trouble
	wasDown, went := c.breaker.done(err == nil || errors.As(err, &row))
	switch {
	case went:
		c.log.Error("the user database is down: who is remembered can come in", "for", c.cfg.TTL+c.cfg.Stale, "err", err)
	case wasDown > 0:
		c.log.Info("the user database answers again", "after", wasDown.Round(time.Second))
	}
	return r, err
}

// fresh reports whether what is remembered needs no asking.
func (c *Cache) fresh(e entry) bool {
	ttl := c.cfg.TTL
	if e.User == nil {
		ttl = c.cfg.NegativeTTL
	}
	return time.Since(e.read) < ttl
}

// usable reports whether what is remembered does where there is no answer to be had. So
// does that there is no such user: DOMAIN\alice mostly is none, and alice is looked for then.
func (c *Cache) usable(e entry) bool { return time.Since(e.read) < c.cfg.TTL+c.cfg.Stale }

func (c *Cache) remembered(name string) (e entry, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		return e, false
	}
	if e, found = c.known.Get(name); !found {
		e, found = c.unknown.Get(name)
	}
	return e, found
}

// remember reports whether the entry is worth it.
func (c *Cache) remember(name string, e entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || e.Seq < c.latest(name) {
		return false
	}
	if e.User == nil {
		c.known.Remove(name)
		c.unknown.Add(name, e)
	} else {
		c.unknown.Remove(name)
		c.known.Add(name, e)
	}
	return true
}

// outdated reports whether the user has been changed since the record was read.
func (c *Cache) outdated(name string, r userdb.Record) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return r.Seq < c.latest(name)
}

// latest is the latest change of a user that is known of, or one that it may be.
func (c *Cache) latest(name string) int64 { return max(c.floor, c.changed[name]) }
