package config

import (
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

// Accounting says who is told what sessions have had. It is off where nobody is.
type Accounting struct {
	Servers     []AccountingServer `yaml:"servers"`
	Directory   string             `yaml:"directory"`
	Interval    time.Duration      `yaml:"interval"`
	MinInterval time.Duration      `yaml:"min_interval"`
	Jitter      int                `yaml:"jitter"`
	Checkpoint  time.Duration      `yaml:"checkpoint"`
	MaxRecords  int                `yaml:"max_records"`
	StopTimeout time.Duration      `yaml:"stop_timeout"`
}

// AccountingServer is a RADIUS server for accounting.
type AccountingServer struct {
	Address    string `yaml:"address"`
	Secret     Secret `yaml:"secret"`
	SecretFile string `yaml:"secret_file"`
	Priority   int    `yaml:"priority"`
	Weight     int    `yaml:"weight"`
}

func defaultAccounting() Accounting {
	return Accounting{
		Servers:     []AccountingServer{},
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

// readSecrets reads the secrets that are in files of their own, relative to dir.
func (a *Accounting) readSecrets(c *Config, dir string) (problems diag.Problems) {
	for i := range a.Servers {
		s := &a.Servers[i]
		path := index("accounting.servers", i)
		problems.Add(readSecret(c, dir, path+".secret_file", &s.SecretFile, func(text string) error {
			switch {
			case s.Secret != "":
				return errors.New("a server has a secret or a secret_file, not both")
			case text == "":
				return errors.New("is empty")
			}
			s.Secret = Secret(text)
			return nil
		})...)
		if s.Secret == "" && s.SecretFile == "" && !c.Wrong(path+".secret") {
			problems.Add(c.At(path, "needs a secret or a secret_file"))
		}
	}
	return problems
}

func (k *checker) accounting() {
	a := &k.cfg.Accounting
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
	seen := make(map[string]bool)
	for i, s := range a.Servers {
		path := index("accounting.servers", i)
		if host, port, err := net.SplitHostPort(s.Address); err != nil || host == "" || !portNumber(port) {
			k.bad(path+".address", "%q is not a host and a port, like 192.0.2.10:1813", s.Address)
		}
		if seen[s.Address] {
			k.bad(path+".address", "%s is listed twice", s.Address)
		}
		seen[s.Address] = true
		if s.Weight < 0 || s.Weight > 1000 {
			k.bad(path+".weight", "%d is not from 0 to 1000", s.Weight)
		}
		if s.Priority < 0 || s.Priority > 1000 {
			k.bad(path+".priority", "%d is not from 0 to 1000", s.Priority)
		}
	}
}

func portNumber(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}
