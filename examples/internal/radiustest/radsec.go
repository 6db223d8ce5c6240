package radiustest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// RadSec is a radsecproxy that takes RADIUS over TLS and passes it on to a Server.
type RadSec struct {
	Addr netip.AddrPort // TCP
	// CA is the file of the certificates that vouch for both ends. Cert and Key are files
	// of a client's.
	CA, Cert, Key string

	t    testing.TB
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
}

// StartRadSec starts a radsecproxy in front of s, which ends with the test, or skips the
// test for want of it.
func StartRadSec(t testing.TB, s *Server) *RadSec {
	t.Helper()
	need(t, "radsecproxy", "radsecproxy")
	r := &RadSec{t: t, dir: t.TempDir()}
	ca := newAuthority(t, r.dir)
	r.CA = ca.file
	r.Cert, r.Key = ca.issue("client")
	cert, key := ca.issue("server")
	var err error
	for range 5 { // as with FreeRADIUS
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		r.Addr = l.Addr().(*net.TCPAddr).AddrPort()
		l.Close()
		write(t, filepath.Join(r.dir, "radsecproxy.conf"), fmt.Appendf(nil, radsecproxy, r.Addr, r.CA, cert, key,
			s.Auth.Port(), Secret, s.Acct.Port(), Secret))
		if err = r.start(); err == nil {
			t.Cleanup(r.Stop)
			return r
		}
	}
	t.Fatalf("radsecproxy: %v", err)
	return nil
}

// start returns when it takes connections, which is a little after it says so.
func (r *RadSec) start() (err error) {
	cmd := exec.Command("radsecproxy", "-f", "-c", filepath.Join(r.dir, "radsecproxy.conf"))
	if r.done, err = run(cmd, filepath.Join(r.dir, "log"), "listening for tls"); err != nil {
		return err
	}
	r.cmd = cmd
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp4", r.Addr.String())
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			r.Stop()
			return err
		}
	}
}

// Restart starts it anew after Stop, at the same address.
func (r *RadSec) Restart() {
	r.t.Helper()
	if err := r.start(); err != nil {
		r.t.Fatalf("radsecproxy: %v", err)
	}
}

// Stop ends it. Doing so again does nothing.
func (r *RadSec) Stop() {
	if r.cmd != nil {
		end(r.cmd, r.done)
		r.cmd = nil
	}
}

// Client is the configuration of a client, with its certificate.
func (r *RadSec) Client() *tls.Config {
	r.t.Helper()
	pair, err := tls.LoadX509KeyPair(r.Cert, r.Key)
	if err != nil {
		r.t.Fatal(err)
	}
	pem, err := os.ReadFile(r.CA)
	if err != nil {
		r.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

const radsecproxy = `
ListenTLS %v
LogLevel 3
tls default {
	CACertificateFile %s
	CertificateFile %s
	CertificateKeyFile %s
}
client gateway {
	host 127.0.0.0/8
	type TLS
	secret radsec
}
server access {
	host 127.0.0.1
	port %d
	type UDP
	secret %s
}
server accounting {
	host 127.0.0.1
	port %d
	type UDP
	secret %s
}
realm * {
	server access
	accountingServer accounting
}
`
