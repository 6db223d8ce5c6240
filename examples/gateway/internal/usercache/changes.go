package usercache

import (
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

// Changes that are older than this are of no use to any gateway: it has been told, or it
// has been cut off for so long that it forgets everybody.
const (
	keepChanges = 24 * time.Hour
	trimEvery   = time.Hour
)

// watch looks for changes until the end.
func (c *Cache) watch() {
	defer close(c.done)
	seen, trimmed := int64(-1), time.Now()
	ticker := time.NewTicker(c.cfg.Poll)
	defer ticker.Stop()
	for {
		changes, all, last, err := c.source.Changes(c.ctx, seen)
		switch {
		case c.ctx.Err() != nil:
			return
		case err == nil:
			c.breaker.answers()
			c.forget(changes, all, last)
			seen = last
			if time.Since(trimmed) > trimEvery {
				trimmed = time.Now()
				if err := c.source.Trim(c.ctx, keepChanges); err != nil {
					c.log.Warn("old changes of users stay in the database", "err", err)
				}
			}
		default:
			c.counts.pollErrors.Add(1)
			c.log.Debug("no changes of users can be looked for", "err", err)
		}
		select {
		case <-ticker.C:
		case <-c.ctx.Done():
			return
		}
	}
}

// forget forgets those who have been changed. With all, that may be anyone, and the
// latest change is last.
func (c *Cache) forget(changes []userdb.Change, all bool, last int64) {
	c.mu.Lock()
	for _, change := range changes {
		if change.Name == "" {
			all = true
			continue
		}
		c.changed[change.Name] = change.Seq
		c.drop(change.Name)
	}
	if all || len(c.changed) > maxChanged {
		c.floor = last
		clear(c.changed)
		if c.known != nil {
			for _, name := range append(c.known.Keys(), c.unknown.Keys()...) {
				c.drop(name)
			}
		}
	}
	c.mu.Unlock()

	c.counts.changes.Add(uint64(len(changes)))
	var names []string
	for _, change := range changes {
		if change.Name != "" {
			names = append(names, change.Name)
			c.flights.Forget(change.Name) // whoever asks from now on begins anew
		}
	}
	c.unshare(names...) // would be of no use, but holds hashes
}

// drop forgets a user unless it has been read since its latest change.
func (c *Cache) drop(name string) {
	if c.known == nil {
		return
	}
	for _, some := range []*simplelru.LRU[string, entry]{c.known, c.unknown} {
		if e, found := some.Peek(name); found && e.Seq < c.latest(name) {
			some.Remove(name)
		}
	}
}

// Forget forgets a user whom this gateway has changed itself, before it hears of that.
func (c *Cache) Forget(name string) {
	c.mu.Lock()
	if c.known != nil {
		c.known.Remove(name)
		c.unknown.Remove(name)
	}
	c.mu.Unlock()
	c.flights.Forget(name)
	c.unshare(name)
}

// unshare has the shared cache forget users.
func (c *Cache) unshare(names ...string) {
	if c.shared != nil && len(names) > 0 {
		c.counts.failedShared(c.shared.remove(c.ctx, names))
	}
}
