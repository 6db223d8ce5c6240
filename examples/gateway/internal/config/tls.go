package config

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ClientTLS is the gateway's end of TLS to a server: whom it believes, and what certificate
// it has itself.
type ClientTLS struct {
	CAFile     string `yaml:"ca_file"`
	CertFile   string `yaml:"cert_file"`
	KeyFile    string `yaml:"key_file"`
	ServerName string `yaml:"server_name"`

	client *tls.Config
	files  [sha256.Size]byte // the certificates in them, as one hash
}

// Client is the configuration; nil where there is none.
func (t *ClientTLS) Client() *tls.Config {
	if t == nil {
		return nil
	}
	return t.client
}

// load reads the files, relative to dir, for a server on host. The key is that of what is
// wrong.
func (t *ClientTLS) load(dir, host string) (key string, err error) {
	for _, f := range []*string{&t.CAFile, &t.CertFile, &t.KeyFile} {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(dir, *f)
		}
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if c.ServerName == "" {
		c.ServerName = host
	}
	hash := sha256.New()
	if t.CAFile != "" { // or else the host's certificates
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return "ca_file", unreadable(t.CAFile, err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(pem) {
			return "ca_file", fmt.Errorf("%s has no certificate in PEM", t.CAFile)
		}
		hash.Write(pem)
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
