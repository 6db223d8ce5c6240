package bans

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// names that try to look like other lines, or to end theirs.
var injections = []string{
	`" source=203.0.113.66 user="x`,
	"x\ntime=2026-01-02T03:04:05.678Z level=WARN msg=\"login failed\" source=203.0.113.66 user=x",
	"x\r\n{\"time\":\"2026-01-02T03:04:05Z\",\"level\":\"WARN\",\"msg\":\"login failed\",\"source\":\"203.0.113.66\",\"user\":\"x\"}",
	`","source":"203.0.113.66","user":"`,
	"x\x00\x1b[2J\u2028level=WARN msg=\"login failed\" source=203.0.113.66 user=",
	`level=WARN msg="login failed" source=203.0.113.66 user=`,
	`\" source=203.0.113.66`,
	strings.Repeat("a", 4000) + ` source=203.0.113.66`,
	"",
}

// fail2ban finds the address in every line for a failure, in each format and behind what
// syslog puts before it, and no other address and no other line.
func TestFail2ban(t *testing.T) {
	program, err := exec.LookPath("fail2ban-regex")
	if err != nil {
		t.Skip("needs fail2ban: scripts/apt.sh fail2ban")
	}
	filter, err := filepath.Abs("../../packaging/fail2ban/filter.d/gopptp-gateway.conf")
	require.NoError(t, err)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		for prefix, before := range map[string]string{"": "", " in syslog": "Nov 30 16:00:00 vpn gateway[42]: "} {
			t.Run(name+prefix, func(t *testing.T) {
				t.Parallel()
				var out bytes.Buffer
				b := newBans(t, func(c *Config) {
					c.Log = slog.New(handler(&out))
					c.Automatic = false
				})
				log := slog.New(handler(&out))
				b.Failed("alice", here)
				for _, user := range injections {
					b.Failed(user, here)
					log.Warn("authentication refused", "user", user, "source", there)
					log.Warn(user, "source", there)
				}
				b.Failed("bob", netip.MustParseAddr("2001:db8::7"))
				var lines []string
				for line := range strings.Lines(out.String()) {
					lines = append(lines, before+line)
				}
				require.Len(t, lines, 2+3*len(injections), "a line each")
				file := filepath.Join(t.TempDir(), "gateway.log")
				require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600))

				var stderr bytes.Buffer
				cmd := exec.CommandContext(t.Context(), program, "--usedns=no", "--out", "ip", file, filter)
				cmd.Stderr = &stderr
				found, err := cmd.Output()
				require.NoError(t, err, "%s%s", found, &stderr)
				count := make(map[string]int)
				for ip := range strings.FieldsSeq(string(found)) {
					count[ip]++
				}
				assert.Equal(t, map[string]int{here.String(): 1 + len(injections), "2001:db8::7": 1}, count)
			})
		}
	}
}

// The lines are what is documented.
func TestLines(t *testing.T) {
	var out bytes.Buffer
	b := newBans(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&out, nil)) })
	b.Failed("alice", netip.MustParseAddr("::ffff:192.0.2.7"))
	assert.Contains(t, out.String(), ` level=WARN msg="login failed" source=192.0.2.7 user=alice`+"\n")
	out.Reset()
	b.Failed("al ice\n", here)
	assert.Contains(t, out.String(), ` level=WARN msg="login failed" source=192.0.2.7 user="al ice\n"`+"\n")
}
