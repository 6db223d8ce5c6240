package logging

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/bans"
)

// journald runs systemd-journald itself, with a /run of its own. It returns where that takes
// records, and what runs journalctl there.
func journald(t *testing.T) (socket string, journalctl func(args ...string) string) {
	t.Helper()
	const program = "/lib/systemd/systemd-journald"
	if _, err := os.Stat(program); err != nil {
		t.Skip("needs systemd-journald: scripts/apt.sh systemd")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount -t tmpfs none /run && mkdir -p /run/systemd/journal /run/log/journal &&
		echo 0123456789abcdef0123456789abcdef >/run/machine-id && mount --bind /run/machine-id /etc/machine-id &&
		mkdir /run/etc && printf '[Journal]\nStorage=volatile\nReadKMsg=no\nForwardToSyslog=no\nRateLimitBurst=0\n' >/run/etc/journald.conf &&
		mount --bind /run/etc/journald.conf /etc/systemd/journald.conf && exec `+program)
	var said strings.Builder
	cmd.Stderr = &said
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	socket = fmt.Sprintf("/proc/%d/root/run/systemd/journal/socket", cmd.Process.Pid)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		select {
		case <-ended:
			t.Skip("systemd-journald does not run here: " + said.String())
		default:
			require.True(t, time.Now().Before(deadline), "no socket")
		}
	}
	return socket, func(args ...string) string {
		t.Helper()
		all := append([]string{"--mount", "--target", fmt.Sprint(cmd.Process.Pid), "journalctl", "--no-pager", "--quiet", "--directory=/run/log/journal"}, args...)
		out, err := exec.Command("nsenter", all...).Output()
		require.NoError(t, err)
		return string(out)
	}
}

// journald has each record with its fields, and fail2ban finds in its journal who has failed
// to log in, whatever they call themselves.
func TestJournaldItself(t *testing.T) {
	socket, journalctl := journald(t)
	q := newQueue("journald", &journal{path: socket}, io.Discard)
	log := slog.New(newJournalHandler(slog.LevelInfo, q))
	log.With("server", "192.0.2.9:1812").Error("much", "session", "0123", "text", "one\nGOPPTP_SESSION=9\n", "large", strings.Repeat("x", 20_000))
	b, err := bans.New(bans.Config{Settings: bans.Settings{Size: 100}, Log: log})
	require.NoError(t, err)
	here, names := netip.MustParseAddr("192.0.2.7"), []string{
		"alice", "", `" source=203.0.113.66 user="x`, "x\nlogin failed source=203.0.113.66 user=x", "login failed source=203.0.113.66 user=",
	}
	for _, name := range names {
		b.Failed(name, here)
		log.Warn("authentication refused", "user", name, "source", "203.0.113.66")
	}
	log.Info("the last")
	q.close()
	require.Zero(t, q.dropped.Load())
	require.Eventually(t, func() bool { return strings.Contains(journalctl("--output=cat"), "the last") }, 30*time.Second, 10*time.Millisecond)

	var fields map[string]string
	require.NoError(t, json.Unmarshal([]byte(journalctl("--output=json", "--all", "GOPPTP_SESSION=0123")), &fields))
	for name, want := range map[string]string{
		"_TRANSPORT": "journal", "PRIORITY": "3", "SYSLOG_IDENTIFIER": identifier, "GOPPTP_SERVER": "192.0.2.9:1812",
		"GOPPTP_SESSION": "0123", "GOPPTP_TEXT": "one\nGOPPTP_SESSION=9\n", "GOPPTP_LARGE": strings.Repeat("x", maxField),
	} {
		assert.Equal(t, want, fields[name], name)
	}
	assert.True(t, strings.HasPrefix(fields["MESSAGE"], `much server=192.0.2.9:1812 session=0123 text="one\nGOPPTP_SESSION=9\n" large=xxx`))
	assert.Empty(t, journalctl("--output=json", "GOPPTP_SESSION=9"), "what users send can be no field of its own")

	program, err := exec.LookPath("fail2ban-regex")
	if err != nil {
		t.Skip("needs fail2ban: scripts/apt.sh fail2ban")
	}
	file := filepath.Join(t.TempDir(), "journal")
	require.NoError(t, os.WriteFile(file, []byte(journalctl("--output=short", "--all")), 0o600))
	filter, err := filepath.Abs("../../packaging/fail2ban/filter.d/gopptp-gateway.conf")
	require.NoError(t, err)
	found, err := exec.CommandContext(t.Context(), program, "--usedns=no", "--out", "ip", file, filter).Output()
	require.NoError(t, err)
	assert.Equal(t, strings.Repeat(here.String()+"\n", len(names)), string(found))
}
