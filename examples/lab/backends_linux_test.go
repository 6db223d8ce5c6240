package lab

import (
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
)

// postgres is a PostgreSQL server of the environment, which is alone with its port.
type postgres struct {
	*process
	t        *testing.T // as long as which it runs
	bin, dir string
}

// postgresURL has a password, which the server does not ask for: it must not get into a
// log.
const (
	postgresPassword = "database-secret"
	postgresURL      = "postgres://gateway:" + postgresPassword + "@127.0.0.1:5432/postgres?sslmode=disable"
)

// startPostgres starts a server with nothing in it, or skips the test for want of it.
func startPostgres(t *testing.T) *postgres {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		t.Skip("needs postgresql: scripts/apt.sh postgresql")
	}
	// A test's own directory is closed to others.
	p := &postgres{t: t, bin: slices.Max(found), dir: "/run/postgres"}
	_, err := run("install", "-d", "-o", "postgres", "-m", "0700", p.dir)
	require.NoError(t, err)
	_, err = run(p.command("initdb", "-D", p.dir, "-U", "gateway", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")...)
	require.NoError(t, err)
	p.restart()
	return p
}

// command is one of its programs, which do not run as root.
func (p *postgres) command(name string, args ...string) []string {
	return append([]string{"setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", filepath.Join(p.bin, name)}, args...)
}

// restart starts a server that has not been started or has ended.
func (p *postgres) restart() {
	p.t.Helper()
	p.process = start(p.t, "postgres", p.command("postgres", "-D", p.dir, "-k", p.dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=16MB")...)
	db := openPostgres(p.t)
	defer db.Close()
	eventually(p.t, 30*time.Second, "PostgreSQL answers", func() bool { return db.Ping() == nil })
}

// kill ends the server and the connections to it at once.
func (p *postgres) kill(t *testing.T) {
	t.Helper()
	p.signal(syscall.SIGQUIT)
	require.True(t, p.ends(10*time.Second), "PostgreSQL has not ended")
}

// hang has the server neither answer nor end until resume is called, which is safe to do
// twice.
func (p *postgres) hang(t *testing.T) (resume func()) {
	t.Helper()
	pids := append(descendants(p.cmd.Process.Pid, "postgres"), p.cmd.Process.Pid)
	require.Greater(t, len(pids), 3)
	tell := func(s syscall.Signal) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, s) // a connection's may have ended
		}
	}
	tell(syscall.SIGSTOP)
	resume = func() { tell(syscall.SIGCONT) }
	t.Cleanup(resume)
	return resume
}

func openPostgres(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", postgresURL)
	require.NoError(t, err)
	return db
}

// smallDisk is a directory with a megabyte of room.
type smallDisk string

func newSmallDisk(t *testing.T) smallDisk {
	t.Helper()
	d := smallDisk(t.TempDir())
	require.NoError(t, syscall.Mount("tmpfs", string(d), "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { _ = syscall.Unmount(string(d), syscall.MNT_DETACH) })
	return d
}

func (d smallDisk) other() string { return filepath.Join(string(d), "other") }

// fill takes all the room that there is.
func (d smallDisk) fill(t *testing.T) {
	t.Helper()
	f, err := os.Create(d.other())
	require.NoError(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
}

// free gives it back.
func (d smallDisk) free(t *testing.T) {
	t.Helper()
	require.NoError(t, os.Remove(d.other()))
}

// pinger asks all the time.
type pinger struct{ *process }

// startPing pings through a device, twenty times a second.
func startPing(t *testing.T, h host, name, dev, to string) pinger {
	t.Helper()
	p := pinger{h.start(t, name, "ping", "-n", "-i", "0.05", "-I", dev, to)}
	p.dull = true
	return p
}

// answers counts the answers so far. None is missing and none came twice.
func (p pinger) answers(t *testing.T) int {
	t.Helper()
	n := 0
	for _, l := range p.find(`icmp_seq=`) {
		_, rest, _ := strings.Cut(l.text, "icmp_seq=")
		n++
		require.Equal(t, strconv.Itoa(n), strings.Fields(rest)[0], "%s: %s", p.name, l.text)
	}
	return n
}

// goesOn requires that it gets answers now.
func (p pinger) goesOn(t *testing.T) {
	t.Helper()
	before := p.answers(t)
	eventually(t, 10*time.Second, p.name+" gets answers", func() bool { return p.answers(t) >= before+5 })
}

// end ends it, and tells how many packets it has sent, of which all but one that may have
// been under way have been answered.
func (p pinger) end(t *testing.T) int {
	t.Helper()
	p.signal(syscall.SIGINT)
	p.exitCode(t, 5*time.Second)
	m, _ := p.await(t, `^(\d+) packets transmitted, (\d+) received`, time.Second)
	sent, err := strconv.Atoi(m[1])
	require.NoError(t, err)
	require.GreaterOrEqual(t, p.answers(t), sent-1)
	return sent
}
