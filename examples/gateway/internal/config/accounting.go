package config

import (
	"path/filepath"
	"time"
)

// Accounting says who is told what sessions have had. It is off where nobody is.
type Accounting struct {
	Servers     []RADIUSServer `yaml:"servers"`
	SQL         bool           `yaml:"sql"`
	Directory   string         `yaml:"directory"`
	Interval    time.Duration  `yaml:"interval"`
	MinInterval time.Duration  `yaml:"min_interval"`
	Jitter      int            `yaml:"jitter"`
	Checkpoint  time.Duration  `yaml:"checkpoint"`
	MaxRecords  int            `yaml:"max_records"`
	StopTimeout time.Duration  `yaml:"stop_timeout"`
}

func defaultAccounting() Accounting {
	return Accounting{
		Servers:     []RADIUSServer{},
		Directory:   "/var/lib/gopptp",
		Interval:    10 * time.Minute,
		MinInterval: time.Minute,
		Jitter:      10,
		Checkpoint:  30 * time.Second,
		MaxRecords:  1_000_000,
		StopTimeout: 5 * time.Second,
	}
}

// File is the file of the queue.
func (a *Accounting) File() string { return filepath.Join(a.Directory, "accounting.db") }

func (k *checker) accounting() {
	a := &k.cfg.Accounting
	if d := &k.cfg.Database; a.SQL && !d.Enabled() && d.URLFile == "" && !k.cfg.Wrong("database.url") {
		k.bad("accounting.sql", "needs a database, by database.url")
	}
	if !filepath.IsAbs(a.Directory) {
		k.bad("accounting.directory", "%q is not an absolute name, like /var/lib/gopptp", a.Directory)
	}
	for _, n := range []struct {
		path            string
		value, min, max time.Duration
	}{
		{"accounting.interval", a.Interval, 0, 24 * time.Hour},
		{"accounting.min_interval", a.MinInterval, 10 * time.Second, time.Hour},
		{"accounting.checkpoint", a.Checkpoint, time.Second, time.Hour},
		{"accounting.stop_timeout", a.StopTimeout, 0, 5 * time.Minute},
	} {
		if n.value < n.min || n.value > n.max {
			k.bad(n.path, "%v is not from %v to %v", n.value, n.min, n.max)
		}
	}
	if a.Interval > 0 && a.Interval < a.MinInterval {
		k.warn("accounting.interval", "%v is shorter than min_interval, which is what counts: %v", a.Interval, a.MinInterval)
	}
	for _, n := range []struct {
		path            string
		value, min, max int
	}{
		{"accounting.jitter", a.Jitter, 0, 50},
		{"accounting.max_records", a.MaxRecords, 1000, 100_000_000},
	} {
		if n.value < n.min || n.value > n.max {
			k.bad(n.path, "%d is not from %d to %d", n.value, n.min, n.max)
		}
	}
	k.radiusServers("accounting.servers", a.Servers, "1813")
}
