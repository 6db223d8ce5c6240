package bans

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
)

var rules = Rules{
	Automatic: true, Failures: 5, SourceFailures: 40, Patience: 10, Window: 10 * time.Minute,
	Duration: 10 * time.Minute, MaxDuration: time.Hour,
	Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
}

var (
	here  = netip.MustParseAddr("192.0.2.7")
	there = netip.MustParseAddr("203.0.113.9")
	own   = netip.MustParseAddr("198.51.100.20") // is allowed
)

// newBans returns bans with the rules, changed by options.
func newBans(t testing.TB, options ...func(*Config)) *Bans {
	cfg := Config{Settings: Settings{Rules: rules, Size: 1000}, Log: slog.New(slog.DiscardHandler)}
	for _, o := range options {
		o(&cfg)
	}
	b, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

func (b *Bans) fail(user string, source netip.Addr, times int) {
	for range times {
		if b.Check(user, source) == nil {
			b.Failed(user, source)
		}
	}
}

func banned(b *Bans, user string, source netip.Addr) bool { return b.Check(user, source) != nil }

// Each automatic ban is told of, and no other.
func TestBannedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []admin.Ban
		b := newBans(t, func(c *Config) { c.Banned = func(b admin.Ban) { told = append(told, b) } })
		require.NoError(t, b.Add(admin.Ban{User: "bob", Until: time.Now().Add(time.Hour)}))
		b.fail("Alice", here, 7)
		for i := range 20 {
			b.fail(fmt.Sprint("user", i), there, 1)
		}
		until := time.Now().Add(rules.Duration)
		assert.Equal(t, []admin.Ban{
			{User: "alice", Source: netip.PrefixFrom(here, 32), Until: until, Reason: "repeated failures"},
			{Source: netip.PrefixFrom(there, 32), Until: until, Reason: "failures of many names, or very many"},
		}, told)
	})
}

// A wrong password too many bans the user there, and nobody else.
func TestUserAtSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBans(t)
		b.fail("alice", here, 4)
		assert.False(t, banned(b, "alice", here))
		b.fail("alice", here, 1)
		assert.True(t, banned(b, "alice", here))
		assert.True(t, banned(b, "ALICE", here), "many stores take any case")
		assert.True(t, banned(b, `CORP\alice`, here), "who may be the same")
		assert.False(t, banned(b, "bob", here))
		assert.False(t, banned(b, "alice", there))
		assert.False(t, b.Refuses(here))

		var refusal *gopptp.AuthError
		require.ErrorAs(t, b.Check("alice", here), &refusal)
		assert.Equal(t, 649, refusal.Code)

		time.Sleep(10 * time.Minute)
		assert.False(t, banned(b, "alice", here), "it is over")
		assert.Empty(t, b.List())
	})
}

// Failures that are far apart, or come before a right password, are nobody's.
func TestForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBans(t)
		for range 20 {
			b.fail("alice", here, 4)
			b.Succeeded("alice", here)
		}
		assert.Zero(t, b.Stats().Bans)
		for range 20 {
			b.fail("bob", there, 4)
			time.Sleep(10 * time.Minute)
		}
		assert.Zero(t, b.Stats().Banned)
	})
}

// A client that has an old password and never stops costs its user, and nobody beside it.
func TestOldPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBans(t)
		for range 24 * 60 {
			b.fail("alice", here, 1)
			time.Sleep(time.Minute)
			require.False(t, b.Refuses(here))
		}
		assert.Positive(t, b.Stats().Banned)
		assert.Less(t, b.Stats().Failures, uint64(24*60/5), "bans grow")
	})
}

// Many names from a source are worse than many failures with one.
func TestSpraying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var changes []string
		b := newBans(t, func(c *Config) {
			c.Changed = func(p netip.Prefix, until time.Time) {
				changes = append(changes, fmt.Sprint(p, " ", time.Until(until)))
			}
		})
		for i := range 9 {
			b.fail(fmt.Sprint("user", i), here, 1)
			require.False(t, b.Refuses(here), i)
		}
		b.fail("user9", here, 1)
		assert.True(t, b.Refuses(here))
		assert.True(t, banned(b, "alice", here), "whoever it is")
		assert.False(t, b.Refuses(there))
		assert.Equal(t, []string{"192.0.2.7/32 10m0s"}, changes)
		assert.Equal(t, 1, b.Stats().SourceBans)
		assert.EqualValues(t, 1, b.Stats().RefusedConnections)
	})
}

// Where users are in, or were of late, others are at stake.
func TestManyBehindOneAddress(t *testing.T) {
	for name, option := range map[string]func(*Config){
		"sessions": func(c *Config) { c.HasSessions = func(a netip.Addr) bool { return a == here } },
		"log-in":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b *Bans
				if option != nil {
					b = newBans(t, option)
				} else {
					b = newBans(t)
					b.Succeeded("alice", here)
					time.Sleep(23 * time.Hour)
				}
				for i := range 99 {
					b.fail(fmt.Sprint("user", i), here, 1)
					require.False(t, b.Refuses(here), i)
				}
				b.fail("mallory", here, 4)
				assert.True(t, b.Refuses(here), "there is an end to it")
			})
		})
	}
}

// A source does not become patient again by one account that an attacker has.
func TestOneAccountForgivesNothing(t *testing.T) {
	b := newBans(t)
	for i := range 100 {
		b.fail(fmt.Sprint("user", i), here, 1)
		b.Succeeded("mallory", here)
	}
	assert.True(t, b.Refuses(here))
}

func TestBansGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBans(t)
		var lengths []time.Duration
		again := func() {
			b.fail("alice", here, 5)
			list := b.List()
			require.Len(t, list, 1)
			d := time.Until(list[0].Until)
			lengths = append(lengths, d)
			time.Sleep(d)
		}
		for range 5 {
			again()
		}
		time.Sleep(time.Hour)
		again()
		const m = time.Minute
		assert.Equal(t, []time.Duration{10 * m, 20 * m, 40 * m, 60 * m, 60 * m, 10 * m}, lengths)
		b.Succeeded("alice", here)
		again()
		assert.Equal(t, 10*m, lengths[6])
	})
}

func TestAllowed(t *testing.T) {
	b := newBans(t)
	for i := range 200 {
		b.fail(fmt.Sprint("user", i), own, 5)
	}
	b.fail("alice", own, 100)
	assert.False(t, banned(b, "alice", own))
	assert.False(t, b.Refuses(own))

	require.NoError(t, b.Add(admin.Ban{User: "alice", Until: time.Now().Add(time.Hour)}))
	assert.True(t, banned(b, "alice", own), "an operator's ban of the user is of everywhere")

	b.fail("bob", here, 5)
	b.Reload(Settings{Rules: Rules{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.0.0/8")}}, Size: 1000})
	assert.False(t, banned(b, "bob", here))
	b.fail("bob", there, 100)
	assert.False(t, banned(b, "bob", there), "not automatic any more")
}

func TestManual(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBans(t)
		until := time.Now().Add(time.Hour)
		prefix := netip.MustParsePrefix
		for _, tc := range []struct {
			user   string
			source netip.Prefix
			until  time.Time
			err    string
		}{
			{"", netip.Prefix{}, until, errNobody.Error()},
			{"alice", netip.Prefix{}, time.Now(), errOver.Error()},
			{"", prefix("0.0.0.0/0"), until, errTooWide.Error()},
			{"", prefix("2000::/3"), until, errTooWide.Error()},
			{"", prefix("198.51.0.0/16"), until, "bans: 198.51.0.0/16, or a part of it, is never banned: see bans.allow"},
			{"alice", prefix("198.51.100.7/32"), until, "bans: 198.51.100.7/32, or a part of it, is never banned: see bans.allow"},
		} {
			assert.EqualError(t, b.Add(admin.Ban{User: tc.user, Source: tc.source, Until: tc.until}), tc.err)
		}
		require.NoError(t, b.Add(admin.Ban{Source: prefix("203.0.113.77/24"), Until: until}))
		require.NoError(t, b.Add(admin.Ban{User: "Alice", Until: until, Reason: "left us"}))
		require.NoError(t, b.Add(admin.Ban{User: "bob", Source: prefix("192.0.2.7/32"), Until: until}))
		require.NoError(t, b.Add(admin.Ban{Source: prefix("2001:db8::/48"), Until: until}))
		require.NoError(t, b.Add(admin.Ban{Source: prefix("::ffff:192.0.2.128/121"), Until: until}))
		for _, tc := range []struct {
			user   string
			source string
			want   bool
		}{
			{"carol", "203.0.113.1", true}, {"carol", "203.0.114.1", false},
			{"alice", "192.0.2.1", true}, {`CORP\alice`, "192.0.2.1", true},
			{"bob", "192.0.2.7", true}, {"bob", "192.0.2.8", false}, {"bob", "::ffff:192.0.2.7", true},
			{"carol", "2001:db8::9", true}, {"carol", "2001:db8:1::9", false},
			{"carol", "192.0.2.129", true}, {"carol", "192.0.2.127", false},
		} {
			assert.Equal(t, tc.want, banned(b, tc.user, netip.MustParseAddr(tc.source)), tc)
		}
		require.NoError(t, b.Add(admin.Ban{User: "bob", Source: prefix("192.0.2.7/32"), Until: until.Add(time.Hour)}), "changed")
		assert.Len(t, b.List(), 5)
		assert.True(t, b.Remove("ALICE", netip.Prefix{}))
		assert.False(t, b.Remove("alice", netip.Prefix{}))
		assert.False(t, banned(b, "alice", here))
		time.Sleep(time.Hour)
		assert.Len(t, b.List(), 1)
		assert.True(t, banned(b, "bob", here))

		for i := range maxManual - 1 {
			require.NoError(t, b.Add(admin.Ban{User: fmt.Sprint("user", i), Until: time.Now().Add(time.Hour)}))
		}
		assert.ErrorIs(t, b.Add(admin.Ban{User: "one more", Until: time.Now().Add(time.Hour)}), errFull)
		assert.NoError(t, b.Add(admin.Ban{User: "user1", Until: time.Now().Add(2 * time.Hour)}))
	})
}

// A flood of sources and names costs what is configured, and operators' bans stay.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended int
		b := newBans(t, func(c *Config) {
			c.Size = 100
			c.Failures = 1
			c.SourceFailures = nameWeight
			c.Changed = func(_ netip.Prefix, until time.Time) {
				if until.IsZero() {
					ended++
				}
			}
		})
		require.NoError(t, b.Add(admin.Ban{User: "mallory", Until: time.Now().Add(time.Second)}))
		for i := range 5000 {
			b.fail(fmt.Sprintf("%0*d", maxName+i, i), netip.AddrFrom4([4]byte{100, 0, byte(i >> 8), byte(i)}), 1)
		}
		s := b.Stats()
		assert.EqualValues(t, 10_000, s.Banned)
		assert.Equal(t, 101, s.Bans)
		assert.LessOrEqual(t, s.Sources, 100)
		assert.LessOrEqual(t, s.SourceUsers, 100)
		assert.Equal(t, 5000-s.SourceBans, ended, "each that had to go was told of")
		for _, ban := range b.List() {
			assert.LessOrEqual(t, len(ban.User), maxName)
		}
		b.Reload(Settings{Rules: rules, Size: 10})
		s = b.Stats()
		assert.Equal(t, 11, s.Bans)
		assert.LessOrEqual(t, s.Sources, 10)
		assert.LessOrEqual(t, s.SourceUsers, 10)
		assert.Equal(t, 5000-s.SourceBans, ended)
		assert.True(t, banned(b, "mallory", own))
	})
}

func TestFailureWithoutName(t *testing.T) {
	b := newBans(t)
	b.fail("", here, 10)
	assert.False(t, b.Refuses(here))
	b.fail("", here, 27)
	assert.True(t, b.Refuses(here), "as any source with so many")
}

func TestLogBan(t *testing.T) {
	var out bytes.Buffer
	b := newBans(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&out, nil)) })
	b.fail("alice", here, 5)
	assert.Contains(t, out.String(), `level=WARN msg="banned for failures" source=192.0.2.7 user=alice for=10m0s reason="repeated failures"`)
}

// Whatever names and addresses there are, a ban that was made can be ended as it is listed.
func FuzzNames(f *testing.F) {
	f.Add("alice", []byte{192, 0, 2, 7}, uint8(24))
	f.Add("\xff\\\x00", []byte{198, 51, 100, 7}, uint8(32))
	f.Add("İ", make([]byte, 16), uint8(128))
	f.Fuzz(func(t *testing.T, user string, addr []byte, bits uint8) {
		b := newBans(t)
		source, _ := netip.AddrFromSlice(addr)
		b.fail(user, source, 50)
		b.Succeeded(user, source)
		_ = b.Add(admin.Ban{User: user, Source: netip.PrefixFrom(source, int(bits)), Until: time.Now().Add(time.Hour)})
		for _, ban := range b.List() {
			if !b.Remove(ban.User, ban.Source) {
				t.Fatalf("%+v is not there", ban)
			}
		}
		if banned(b, user, source) || b.Refuses(source) {
			t.Fatal("still banned")
		}
		for i, n := range b.table.lengths {
			if n != 0 {
				t.Fatal(i, n)
			}
		}
	})
}
