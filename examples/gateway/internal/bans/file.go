package bans

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"
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
	// maxFile bounds what is read of a file: more bans than anybody has.
	maxFile = 64 << 20
	// writeDelay is how long changes are gathered before they are written.
	writeDelay = time.Second
	// maxTimes is how often somebody can have been banned, as far as that matters.
	maxTimes = 64
)

// file is where the bans are kept. Only its goroutine writes.
type file struct {
	name     string
	snapshot func() contents
	log      *slog.Logger
	dirty    chan struct{}
	stop     chan struct{}
	done     chan struct{}
	failing  bool // has been said in the log
}

func startFile(name string, snapshot func() contents, log *slog.Logger) *file {
	f := &file{name: name, snapshot: snapshot, log: log, dirty: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go f.run()
	return f
}

// changed has the file be written soon.
func (f *file) changed() {
	select {
	case f.dirty <- struct{}{}:
	default:
	}
}

func (f *file) close() {
	close(f.stop)
	<-f.done
}

func (f *file) run() {
	defer close(f.done)
	for {
		select {
		case <-f.dirty:
		case <-f.stop:
			select {
			case <-f.dirty:
				f.write()
			default:
			}
			return
		}
		timer := time.NewTimer(writeDelay)
		select {
		case <-timer.C:
		case <-f.stop:
			timer.Stop()
		}
		f.write()
	}
}

// write replaces the file as a whole: a crash leaves the old one or the new one.
func (f *file) write() {
	err := replaceFile(f.name, f.snapshot())
	switch {
	case err == nil:
		f.failing = false
	case !f.failing:
		f.failing = true
		f.log.Error("bans cannot be written: a restart will forget them", "error", err)
	}
}

func replaceFile(name string, c contents) (err error) {
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // for its owner only
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

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
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var c contents
	if err == nil {
		defer f.Close()
		c, err = readContents(f)
	}
	if err != nil {
		b.log.Error("bans cannot be read, and those in the file are forgotten", "file", name, "error", err)
		return
	}
	b.take(c)
}

// readContents reads a file.
func readContents(r io.Reader) (c contents, err error) {
	if err = json.NewDecoder(io.LimitReader(r, maxFile)).Decode(&c); err != nil {
		return contents{}, err
	}
	if c.Version != version {
		return contents{}, fmt.Errorf("version %d is unknown", c.Version)
	}
	return c, nil
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
