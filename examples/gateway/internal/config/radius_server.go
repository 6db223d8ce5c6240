package config

import (
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

// RADIUSServer is a RADIUS server, whatever it is asked.
type RADIUSServer struct {
	Address    string        `yaml:"address"`
	Secret     Secret        `yaml:"secret"`
	SecretFile string        `yaml:"secret_file"`
	TLS        *ClientTLS    `yaml:"tls"`
	Priority   int           `yaml:"priority"`
	Weight     int           `yaml:"weight"`
	Timeout    time.Duration `yaml:"timeout"`
	Tries      int           `yaml:"tries"`
}

// radiusServers looks at a list of servers.
func (k *checker) radiusServers(path string, servers []RADIUSServer, port string) {
	seen := make(map[string]bool)
	for i, s := range servers {
		path := index(path, i)
		host, p, err := net.SplitHostPort(s.Address)
		switch {
		case k.cfg.Wrong(path + ".address"):
		case err != nil || host == "" || !portNumber(p):
			k.bad(path+".address", "%q is not a host and a port, like 192.0.2.10:%s", s.Address, port)
		case seen[s.Address]:
			k.bad(path+".address", "%s is listed twice", s.Address)
		}
		seen[s.Address] = true
		k.numberFrom(path+".priority", s.Priority, 0, 1000)
		k.numberFrom(path+".weight", s.Weight, 0, 1000)
		k.numberFrom(path+".tries", s.Tries, 0, 10)
		if s.Timeout != 0 {
			k.durationFrom(path+".timeout", s.Timeout, 100*time.Millisecond, time.Minute)
		}
	}
}

func portNumber(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// readServers reads the secrets and certificates that are in files of their own, relative
// to dir.
func (c *Config) readServers(path string, servers []RADIUSServer, dir string) (problems diag.Problems) {
	for i := range servers {
		s := &servers[i]
		path := index(path, i)
		problems.Add(c.readRADIUSSecret(path, &s.Secret, &s.SecretFile, s.TLS == nil, dir)...)
		if s.TLS == nil || c.wrongWithin(path+".tls") {
			continue
		}
		if s.TLS.CAFile == "" {
			problems.Add(c.At(path+".tls.ca_file", "is missing: it has the certificates that vouch for the server"))
			continue
		}
		host, _, _ := net.SplitHostPort(s.Address)
		if key, err := s.TLS.load(dir, host); err != nil {
			problems.Add(c.At(path+".tls."+key, err.Error()))
		}
	}
	return problems
}

// readRADIUSSecret reads a secret that is in a file of its own.
func (c *Config) readRADIUSSecret(path string, secret *Secret, file *string, needed bool, dir string) (problems diag.Problems) {
	problems.Add(readSecret(c, dir, path+".secret_file", file, func(text string) error {
		switch {
		case *secret != "":
			return errors.New("has no place beside a secret: it is one or the other")
		case text == "":
			return errors.New("is empty")
		}
		*secret = Secret(text)
		return nil
	})...)
	if needed && *secret == "" && *file == "" && !c.wrongWithin(path) {
		problems.Add(c.At(path, "needs a secret or a secret_file"))
	}
	return problems
}
