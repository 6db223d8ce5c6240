package config

import (
	"net/netip"
	"path/filepath"
	"time"
)

// Bans says who is kept out for failures to log in, and for how long.
type Bans struct {
	Automatic      bool           `yaml:"automatic"`
	Failures       int            `yaml:"failures"`
	SourceFailures int            `yaml:"source_failures"`
	Patience       int            `yaml:"patience"`
	Window         time.Duration  `yaml:"window"`
	Duration       time.Duration  `yaml:"duration"`
	MaxDuration    time.Duration  `yaml:"max_duration"`
	Allow          []netip.Prefix `yaml:"allow"`
	Size           int            `yaml:"size"`
	File           string         `yaml:"file"`
}

func defaultBans() Bans {
	return Bans{
		Automatic:      true,
		Failures:       10,
		SourceFailures: 60,
		Patience:       10,
		Window:         10 * time.Minute,
		Duration:       10 * time.Minute,
		MaxDuration:    24 * time.Hour,
		Allow:          []netip.Prefix{},
		Size:           20_000,
	}
}

func (k *checker) bans() {
	b := &k.cfg.Bans
	inRange(k, "bans.failures", b.Failures, 1, 1000)
	inRange(k, "bans.source_failures", b.SourceFailures, 1, 1_000_000)
	inRange(k, "bans.patience", b.Patience, 1, 1000)
	inRange(k, "bans.size", b.Size, 100, 1_000_000)
	inRange(k, "bans.window", b.Window, time.Second, 24*time.Hour)
	inRange(k, "bans.duration", b.Duration, time.Second, 30*24*time.Hour)
	inRange(k, "bans.max_duration", b.MaxDuration, time.Second, 365*24*time.Hour)
	if b.MaxDuration >= time.Second && b.MaxDuration < b.Duration {
		k.bad("bans.max_duration", "%v is shorter than duration, %v", b.MaxDuration, b.Duration)
	}
	if b.File != "" && !filepath.IsAbs(b.File) {
		k.bad("bans.file", "%q is not an absolute name, like /var/lib/gopptp/bans.json", b.File)
	}
	if b.Automatic && b.SourceFailures < b.Failures {
		k.warn("bans.source_failures", "%d are fewer than failures, %d: a single user's old password bans all at its address", b.SourceFailures, b.Failures)
	}
}
