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
	seen, trimmed := int64(userdb.NoneSeen), time.Now()
	ticker := time.NewTicker(c.cfg.Poll)
	defer ticker.Stop()
	for {
		asked := time.Now()
		changes, all, last, err := c.source.Changes(c.ctx, seen)
		switch {
		case c.ctx.Err() != nil:
			return
		case err == nil:
			c.breaker.answers()
			c.forget(asked, changes, all, last)
			if all || len(changes) > 0 {
				c.tell()
			}
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

// tell has it be known that something has changed.
func (c *Cache) tell() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// forget forgets those who have been changed. With all, there were changes before these
// that may be anyone's; with none, the latest one was last when that was asked for.
func (c *Cache) forget(asked time.Time, changes []userdb.Change, all bool, last int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	floor := c.floor
	if all {
		floor = last
		if len(changes) > 0 {
			floor = changes[0].Seq - 1
		}
		clear(c.changed)
	}
	var names []string
	for _, change := range changes {
		if change.Name == "" {
			floor = change.Seq
			continue
		}
		names = append(names, change.Name)
		c.changed[change.Name] = change.Seq
		c.flights.Forget(change.Name) // whoever asks from now on begins anew
	}
	if len(c.changed) > maxChanged {
		floor = last
		clear(c.changed)
	}
	suspects := names
	if c.known != nil && (all || floor != c.floor) {
		suspects = append(c.known.Keys(), c.unknown.Keys()...)
	}
	c.floor = floor
	for _, name := range suspects {
		c.drop(name, asked, last)
	}
	if !all { // or else they are those from before our time
		c.counts.changes.Add(uint64(len(changes)))
		c.unshare(names...) // would be of no use, but holds hashes
	}
}

// drop forgets a user unless it has been read since its latest change. last is that of all,
// when that was asked for: what is of a later one and was there by then is of another
// database.
func (c *Cache) drop(name string, asked time.Time, last int64) {
	if c.known == nil {
		return
	}
	for _, some := range []*simplelru.LRU[string, entry]{c.known, c.unknown} {
		if e, found := some.Peek(name); found && (e.Seq < c.latest(name) || e.Seq > last && e.read.Before(asked)) {
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
		c.shared.remove(names)
	}
}
