package bans

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/statefile"
)

// stored is a ban in the file.
type stored struct {
	User   string    `json:"user,omitempty"`
	Source string    `json:"source,omitempty"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason,omitempty"`
	Times  int       `json:"times,omitempty"`
	Manual bool      `json:"manual,omitempty"`
}

// contents of the file.
type contents struct {
	Version int      `json:"version"`
	Bans    []stored `json:"bans"`
}

const (
	version = 1
	// writeDelay is how long changes are gathered before they are written.
	writeDelay = time.Second
	// maxTimes is how often somebody can have been banned, as far as that matters.
	maxTimes = 64
)

// snapshot is what the file has of the bans.
func (b *Bans) snapshot() contents {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table.expire(time.Now())
	c := contents{Version: version, Bans: make([]stored, 0, len(b.table.entries))}
	for k, e := range b.table.entries {
		s := stored{User: k.user, Until: e.until.Round(0), Reason: e.reason, Times: e.times, Manual: e.manual}
		if k.source.IsValid() {
			s.Source = k.source.String()
		}
		c.Bans = append(c.Bans, s)
	}
	return c
}

// restore takes the bans of a file.
func (b *Bans) restore(name string) {
	c := contents{Version: version} // if there is no file
	err := statefile.Read(name, &c)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		b.log.Error("bans cannot be read, and those in the file are forgotten", "file", name, "error", err)
		return
	}
	b.take(c)
}

func (c *contents) check() error {
	if c.Version != version {
		return fmt.Errorf("version %d is unknown", c.Version)
	}
	return nil
}

// take adds the bans that can still be, and leaves out others.
func (b *Bans) take(c contents) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, s := range c.Bans {
		var source netip.Prefix
		if s.Source != "" {
			var err error
			if source, err = netip.ParsePrefix(s.Source); err != nil {
				continue
			}
		}
		k := keyOf(s.User, source)
		e := entry{until: s.Until, reason: s.Reason, times: min(max(0, s.Times), maxTimes), manual: s.Manual}
		if k == (key{}) || !e.until.After(now) || b.cfg.allows(k.source) || e.manual && b.table.full(k) || b.table.entries[k] != nil {
			continue
		}
		if !e.manual {
			b.history.Add(k, record{e.times, e.until})
		}
		b.put(k, e)
	}
}
