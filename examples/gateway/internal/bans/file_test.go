package bans

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/statefile"
)

func in(file string) func(*Config) { return func(c *Config) { c.File = file } }

// Bans, and how often there were some, outlast a restart; one that comes without an order
// costs the last second at most.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "bans.json")
		b := newBans(t, in(name))
		b.fail("alice", here, 5)
		time.Sleep(10 * time.Minute)
		b.fail("alice", here, 5)
		require.NoError(t, b.Add(admin.Ban{User: "bob\xff", Source: netip.MustParsePrefix("203.0.113.0/24"), Until: time.Now().Add(time.Hour), Reason: "left us"}))
		require.NoError(t, b.Add(admin.Ban{User: "carol", Until: time.Now().Add(time.Minute)}))
		time.Sleep(2 * writeDelay)
		synctest.Wait()
		info, err := os.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode())

		time.Sleep(10 * time.Minute)
		var told []netip.Prefix
		again := newBans(t, in(name), func(c *Config) {
			c.Changed = func(p netip.Prefix, _ time.Time) { told = append(told, p) }
		})
		assert.True(t, banned(again, "alice", here))
		assert.True(t, banned(again, "bob\xff", there))
		assert.False(t, banned(again, "carol", there))
		assert.Len(t, again.List(), 2)
		assert.Empty(t, told)
		time.Sleep(10 * time.Minute)
		again.fail("alice", here, 5)
		for _, ban := range again.List() {
			if ban.User == "alice" {
				assert.Equal(t, 40*time.Minute, time.Until(ban.Until), "the third in a row")
			}
		}
		again.Remove("alice", netip.PrefixFrom(here, 32))
		again.Close()
		again.file = nil
		last := newBans(t, in(name))
		assert.False(t, banned(last, "alice", here), "written at the end")
		left, err := os.ReadDir(filepath.Dir(name))
		require.NoError(t, err)
		assert.Len(t, left, 1)
	})
}

// Another file has the bans that there are from then on, beside those that it had.
func TestAnotherFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		first, second := filepath.Join(dir, "first.json"), filepath.Join(dir, "second.json")
		elsewhere := newBans(t, in(second))
		elsewhere.fail("bob", there, 5)
		elsewhere.Close()
		elsewhere.file = nil

		b := newBans(t)
		b.fail("alice", here, 5)
		s := Settings{Rules: rules, Size: 1000, File: first}
		b.Reload(s)
		read := func(name string) (users []string) {
			var c contents
			require.NoError(t, statefile.Read(name, &c))
			require.NoError(t, c.check())
			for _, s := range c.Bans {
				users = append(users, s.User)
			}
			return users
		}
		time.Sleep(2 * writeDelay)
		synctest.Wait()
		assert.ElementsMatch(t, []string{"alice"}, read(first))
		b.fail("carol", here, 5)
		s.File = second
		b.Reload(s)
		assert.ElementsMatch(t, []string{"alice", "carol"}, read(first), "written at its end")
		assert.True(t, banned(b, "bob", there))
		time.Sleep(2 * writeDelay)
		synctest.Wait()
		assert.ElementsMatch(t, []string{"alice", "bob", "carol"}, read(second))
		s.File = ""
		b.Reload(s)
		b.Remove("bob", netip.PrefixFrom(there, 32))
		time.Sleep(2 * writeDelay)
		synctest.Wait()
		assert.Len(t, read(second), 3, "is nobody's any more")
	})
}

// A file that cannot be read or written is said, and is not the end of the gateway.
func TestBadFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, text := range []string{"", "{", `{"version":7}`, `{"version":1,"bans":[{"until":"soon"}]}`, "\x00\xff"} {
			name := filepath.Join(dir, "bans.json")
			require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
			var out bytes.Buffer
			b := newBans(t, in(name), func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&out, nil)) })
			assert.Equal(t, 1, strings.Count(out.String(), "level=ERROR msg=\"bans cannot be read"), "%q: %s", text, &out)
			assert.Empty(t, b.List())
		}
		var out bytes.Buffer
		b := newBans(t, in(filepath.Join(dir, "none", "bans.json")), func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&out, nil)) })
		for _, user := range []string{"alice", "bob"} {
			b.fail(user, here, 5)
			time.Sleep(2 * writeDelay)
			synctest.Wait()
		}
		assert.Equal(t, 1, strings.Count(out.String(), "bans cannot be written"))
		assert.True(t, banned(b, "alice", here))
	})
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"bans":[{"user":"alice","source":"192.0.2.7/32","until":"2100-01-01T00:00:00Z","times":3}]}`))
	f.Add([]byte(`{"version":1,"bans":[{"source":"::ffff:1.2.3.4/100","until":"2100-01-01T00:00:00Z","manual":true,"times":-1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c contents
		if json.Unmarshal(text, &c) != nil || c.check() != nil {
			return
		}
		b := newBans(t)
		b.take(c)
		once, err := json.Marshal(b.snapshot())
		require.NoError(t, err)
		var back contents
		require.NoError(t, json.Unmarshal(once, &back))
		require.NoError(t, back.check())
		again := newBans(t)
		again.take(back)
		require.ElementsMatch(t, b.snapshot().Bans, again.snapshot().Bans)
	})
}
