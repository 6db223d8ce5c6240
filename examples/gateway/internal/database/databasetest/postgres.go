package databasetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/database"
)

// Server is a PostgreSQL server. It listens on a Unix socket.
type Server struct {
	bin, dir string
	as       func(*exec.Cmd) // has a command run as another user than root
	cmd      *exec.Cmd
}

// Start runs a server of its own for a test, until that ends.
func Start(t *testing.T) *Server {
	t.Helper()
	s, err := newServer(programs(t))
	require.NoError(t, err)
	t.Cleanup(s.remove)
	return s
}

// programs is where those of PostgreSQL are.
func programs(t *testing.T) string {
	list, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(list) == 0 {
		t.Skip("needs postgresql: scripts/apt.sh postgresql")
	}
	return filepath.Dir(slices.Max(list))
}

func newServer(bin string) (s *Server, err error) {
	s = &Server{bin: bin}
	// The name of a Unix socket is short, and a test's own directory is closed to others.
	if s.dir, err = os.MkdirTemp("", "gopptp-pg"); err != nil {
		return nil, err
	}
	if s.as, err = unprivileged(s.dir); err == nil {
		initdb := s.command("initdb", "-D", s.data(), "-U", "gateway", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")
		var out []byte
		if out, err = initdb.CombinedOutput(); err != nil {
			err = fmt.Errorf("initdb: %w: %s", err, out)
		}
	}
	if err == nil {
		err = s.start()
	}
	if err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	s.as(cmd)
	return cmd
}

// Config returns the configuration of a database in the server.
func (s *Server) Config() *config.Database { return s.config("postgres") }

func (s *Server) config(name string) *config.Database {
	u := url.URL{Scheme: "postgres", User: url.User("gateway"), Path: "/" + name, RawQuery: url.Values{"host": {s.dir}}.Encode()}
	return configOf(config.DatabaseURL{Postgres: config.Secret(u.String())})
}

// Start starts a server that has been stopped.
func (s *Server) Start(t *testing.T) {
	t.Helper()
	require.NoError(t, s.start())
}

func (s *Server) start() error {
	name := filepath.Join(s.dir, "log")
	log, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = s.command("postgres", "-D", s.data(), "-k", s.dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=40", "-c", "shared_buffers=16MB")
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	db, err := database.Open(s.Config())
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for db.PingContext(ctx) != nil {
		if ctx.Err() != nil {
			text, _ := os.ReadFile(name)
			return errors.New("postgres does not answer: " + string(text))
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// Stop ends the server, and with it the connections to it.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(syscall.SIGQUIT) // at once
	s.cmd.Wait()
	s.cmd = nil
}

func (s *Server) remove() {
	s.Stop()
	os.RemoveAll(s.dir)
}
