package config

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

// RADIUSServer is a RADIUS server, whatever it is asked.
type RADIUSServer struct {
	Address    string        `yaml:"address"`
	Secret     Secret        `yaml:"secret"`
	SecretFile string        `yaml:"secret_file"`
	TLS        *RADIUSTLS    `yaml:"tls"`
	Priority   int           `yaml:"priority"`
	Weight     int           `yaml:"weight"`
	Timeout    time.Duration `yaml:"timeout"`
	Tries      int           `yaml:"tries"`
}

// RADIUSTLS has RADIUS go over TLS (RFC 6614), where both ends have certificates.
type RADIUSTLS struct {
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`

	client *tls.Config
	files  [sha256.Size]byte // the certificates in them, as one hash
}

// Client is the configuration of the gateway's end; nil where there is no TLS.
func (t *RADIUSTLS) Client() *tls.Config {
	if t == nil {
		return nil
	}
	return t.client
}

// load reads the files, relative to dir. The key is that of what is wrong.
func (t *RADIUSTLS) load(dir, address string) (key string, err error) {
	for _, f := range []*string{&t.CAFile, &t.CertFile, &t.KeyFile} {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(dir, *f)
		}
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(address)
	}
	if t.CAFile == "" {
		return "ca_file", errors.New("is missing: it has the certificates that vouch for the server")
	}
	pem, err := os.ReadFile(t.CAFile)
	if err != nil {
		return "ca_file", unreadable(t.CAFile, err)
	}
	if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
		return "ca_file", fmt.Errorf("%s has no certificate in PEM", t.CAFile)
	}
	switch {
	case t.CertFile == "" && t.KeyFile == "":
	case t.CertFile == "":
		return "key_file", errors.New("has no cert_file with it")
	case t.KeyFile == "":
		return "cert_file", errors.New("has no key_file with it")
	default:
		for key, file := range map[string]string{"cert_file": t.CertFile, "key_file": t.KeyFile} {
			if f, err := os.Open(file); err != nil {
				return key, unreadable(file, err)
			} else {
				f.Close()
			}
		}
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return "cert_file", fmt.Errorf("%s and %s are no certificate with its key in PEM", t.CertFile, t.KeyFile)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	hash := sha256.New()
	hash.Write(pem)
	for _, pair := range c.Certificates {
		for _, der := range pair.Certificate {
			hash.Write(der)
		}
	}
	t.client, t.files = c, [sha256.Size]byte(hash.Sum(nil))
	return "", nil
}

func unreadable(file string, err error) error {
	p := Unreadable(file, err)
	return errors.New(p.File + " " + p.Text)
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
		if key, err := s.TLS.load(dir, s.Address); err != nil {
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
