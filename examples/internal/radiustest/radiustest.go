// Package radiustest starts a real FreeRADIUS for tests, on free loopback ports and with
// a configuration of its own, and tells what has reached it. A Relay in front of it
// loses, delays and forges, so that a test has a server that is down, slow or lying.
package radiustest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Secret is what the server shares with clients on loopback addresses.
const Secret = "testing-123"

// patience is how long the server may take to start and to stop.
const patience = 30 * time.Second

// User is one whom the server knows.
type User struct {
	Name string
	// Password is in clear; or NTHash has 32 hexadecimal digits.
	Password string
	NTHash   string
	// Check are further conditions, like `NAS-Port-Type == Virtual`.
	Check []string
	// Reply are attributes of an Access-Accept, like `Framed-Pool = "gold"`, in
	// the words of FreeRADIUS's dictionaries. `+=` adds another of one kind.
	Reply []string
}

// Config is what the server is to be like.
type Config struct {
	Users []User
	// UnsignedReplies have no Message-Authenticator, as those of servers before
	// 2024 that nobody has told to send it.
	UnsignedReplies bool
	// EAP is the first method of EAP: "mschapv2", which is the default, "md5" or "tls". By
	// the last one those come in who have a Certificate.
	EAP string
}

// Server is a FreeRADIUS that runs.
type Server struct {
	Auth, Acct netip.AddrPort // where it listens, UDP
	Dir        string         // its configuration, and what it writes

	t    testing.TB
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	log  string        // the name of its log
	ca   *authority    // with EAP-TLS
}

// Start starts a server that ends with the test, or skips the test for want of it.
func Start(t testing.TB, cfg Config) *Server {
	t.Helper()
	need(t, "freeradius", "freeradius")
	s := &Server{t: t, Dir: t.TempDir()}
	s.log = filepath.Join(s.Dir, "log")
	if cfg.EAP == "tls" {
		s.ca = newAuthority(t, s.Dir)
		s.ca.issue("server")
	}
	var err error
	for range 5 { // others may take a port between our look and the server's bind
		s.Auth, s.Acct = freePort(t), freePort(t)
		if err = s.configure(cfg); err != nil {
			t.Fatal(err)
		}
		if err = s.start(); err == nil {
			t.Cleanup(s.Stop)
			return s
		}
	}
	t.Fatalf("FreeRADIUS: %v", err)
	return nil
}

// need skips the test where a daemon is not installed.
func need(t testing.TB, program, debian string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("needs %s: scripts/apt.sh %s", program, debian)
	}
}

// freePort is a UDP port that nobody has now.
func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Certificate is that of a user for EAP-TLS, as files: that of the authority that vouches
// for both ends, and the user's with its key.
func (s *Server) Certificate(user string) (ca, cert, key string) {
	s.t.Helper()
	cert, key = s.ca.issue(user)
	return s.ca.file, cert, key
}

// Restart starts a server anew that Stop has ended, at the same addresses, and with the
// records that it had.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.start(); err != nil {
		s.t.Fatalf("FreeRADIUS: %v", err)
	}
}

// Stop ends the server. Doing so again does nothing.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	end(s.cmd, s.done)
	s.cmd = nil
}

// end has a process end, one way or the other.
func end(cmd *exec.Cmd, done <-chan struct{}) {
	cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-done:
	case <-time.After(patience):
		cmd.Process.Kill()
		<-done
	}
}

// start returns when the server answers.
func (s *Server) start() error {
	cmd := exec.Command("freeradius", "-f", "-l", "stdout", "-d", s.Dir)
	done, err := run(cmd, s.log, "Ready to process requests")
	if err != nil {
		return err
	}
	s.cmd, s.done = cmd, done
	return nil
}

// run starts a daemon that writes to the file log, and returns when that has the words
// ready in it.
func run(cmd *exec.Cmd, log, ready string) (done chan struct{}, err error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done = make(chan struct{})
	go func() {
		cmd.Wait()
		close(done)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		text, err := os.ReadFile(log)
		if err != nil {
			end(cmd, done)
			return nil, err
		}
		if strings.Contains(string(text), ready) {
			return done, nil
		}
		select {
		case <-done:
			return nil, fmt.Errorf("it has ended: %s", text)
		case <-ctx.Done():
			end(cmd, done)
			return nil, fmt.Errorf("it is not ready: %s", text)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Log is what the server has said since it started, and how it ended if nobody stopped it.
func (s *Server) Log() string {
	text, _ := os.ReadFile(s.log)
	if s.cmd == nil {
		return string(text)
	}
	select {
	case <-s.done:
		return fmt.Sprintf("%sit has ended by itself: %v\n", text, s.cmd.ProcessState)
	default:
		return string(text)
	}
}

// Records are the accounting requests that the server has answered, in order, repeats
// included, since the first start.
func (s *Server) Records() []Record { return s.read("acct.detail") }

// Requests are the Access-Requests that it has answered, in order. What is secret in
// them is there in clear.
func (s *Server) Requests() []Record { return s.read("auth.detail") }

func (s *Server) read(file string) []Record {
	s.t.Helper()
	f, err := os.Open(filepath.Join(s.Dir, file))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	records, err := parseDetail(bufio.NewScanner(f))
	if err != nil {
		s.t.Fatal(err)
	}
	return records
}

// Await returns the records as soon as there are n of them, or ends the test.
func (s *Server) Await(n int) []Record {
	s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		records := s.Records()
		if len(records) >= n {
			return records
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d accounting records in %v, want %d", len(records), patience, n)
		}
	}
}
