package userdb_test

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/database"
	"github.com/gopptp/gopptp/examples/gateway/internal/database/databasetest"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
	"github.com/gopptp/gopptp/ppp"
)

// each runs a test on a store in every kind of database.
func each(t *testing.T, clear bool, test func(t *testing.T, s *userdb.Store, db *database.DB)) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		db := databasetest.Open(t, cfg)
		test(t, userdb.New(db, clear), db)
	})
}

func set(t *testing.T, v userdb.Value, text string) {
	t.Helper()
	require.NoError(t, v.Set(text))
}

// all is a user with everything set.
func all(t *testing.T) *userdb.User {
	u := &userdb.User{Name: `CORP\o'hara%_é`, Disabled: true}
	u.SetPassword(chap.NTPasswordHash("one"), ppp.Secret("one"))
	set(t, &u.ExpiresAt, "2040-01-31T18:00:00Z")
	set(t, &u.PasswordExpiresAt, "2039-01-31T18:00:00Z")
	set(t, &u.Address, "10.8.0.20")
	set(t, &u.Note, "the one with everything; ' \" \\")
	for name, text := range map[string]string{
		"pool": "vip", "routes": "192.168.7.0/24, 2001:db8::/48", "rate_from_peer": "512k", "rate_to_peer": "10M", "quota": "20GiB",
		"session_timeout": "8h", "idle_timeout": "15m", "max_sessions": "2", "sources": "192.0.2.0/24 198.51.100.7",
		"hours": "Mon-Fri 08:00-18:00; Sat",
	} {
		found := false
		for _, s := range u.Settings.All() {
			if s.Column == name {
				set(t, s.Value, text)
				found = true
			}
		}
		require.True(t, found, name)
	}
	return u
}

func TestUsers(t *testing.T) {
	each(t, true, func(t *testing.T, s *userdb.Store, _ *database.DB) {
		ctx := t.Context()
		group := &userdb.Group{Name: "staff"}
		require.NoError(t, s.AddGroup(ctx, group))

		u := all(t)
		set(t, &u.Group, "staff")
		require.NoError(t, s.Add(ctx, u))
		got, err := s.Get(ctx, u.Name)
		require.NoError(t, err)
		assert.Equal(t, u, got)
		assert.ErrorIs(t, s.Add(ctx, all(t)), userdb.ErrExists)

		require.NoError(t, s.Update(ctx, u.Name, func(u *userdb.User) error {
			*u = userdb.User{Name: u.Name, CreatedAt: u.CreatedAt}
			u.Routes = userdb.Networks{}
			return nil
		}))
		got, err = s.Get(ctx, u.Name)
		require.NoError(t, err)
		assert.Equal(t, &userdb.User{Name: u.Name, Settings: userdb.Settings{Routes: userdb.Networks{}}, CreatedAt: u.CreatedAt, UpdatedAt: got.UpdatedAt}, got)

		require.NoError(t, s.Delete(ctx, u.Name))
		_, err = s.Get(ctx, u.Name)
		assert.ErrorIs(t, err, userdb.ErrNotFound)
		assert.ErrorContains(t, err, `user "CORP\\o'hara%_é": there is none of this name`)
		assert.ErrorIs(t, s.Delete(ctx, u.Name), userdb.ErrNotFound)
		assert.ErrorIs(t, s.Update(ctx, u.Name, nil), userdb.ErrNotFound)

		assert.Error(t, s.Add(ctx, &userdb.User{}))
		assert.Error(t, s.Add(ctx, &userdb.User{Name: "\xff"}))
		assert.Error(t, s.Add(ctx, &userdb.User{Name: "a\nb"}))
	})
}

// What does not go together changes nothing.
func TestReferences(t *testing.T) {
	each(t, false, func(t *testing.T, s *userdb.Store, _ *database.DB) {
		ctx := t.Context()
		alice, bob := &userdb.User{Name: "alice"}, &userdb.User{Name: "bob"}
		set(t, &alice.Address, "10.8.0.7")
		require.NoError(t, s.Add(ctx, alice))
		set(t, &bob.Address, "10.8.0.7")
		err := s.Add(ctx, bob)
		assert.ErrorIs(t, err, userdb.ErrInUse)
		assert.EqualError(t, err, `address 10.8.0.7 belongs to someone already: user "alice"`)
		bob.Address = userdb.Address{}
		set(t, &bob.Group, "staff")
		assert.EqualError(t, s.Add(ctx, bob), `group "staff": there is none of this name`)
		require.NoError(t, s.AddGroup(ctx, &userdb.Group{Name: "staff"}))
		assert.ErrorIs(t, s.AddGroup(ctx, &userdb.Group{Name: "staff"}), userdb.ErrExists)
		require.NoError(t, s.Add(ctx, bob))
		assert.ErrorIs(t, s.DeleteGroup(ctx, "staff"), userdb.ErrMembers)
		assert.ErrorIs(t, s.Update(ctx, "bob", func(u *userdb.User) error { return u.Address.Set("10.8.0.7") }), userdb.ErrInUse)
		require.NoError(t, s.Update(ctx, "alice", func(u *userdb.User) error { return u.Note.Set("keeps the address") }))
		fixed, err := s.Fixed(ctx)
		require.NoError(t, err)
		assert.Equal(t, []netip.Addr{netip.MustParseAddr("10.8.0.7")}, fixed)

		groups, users, err := s.Groups(ctx)
		require.NoError(t, err)
		require.Len(t, groups, 1)
		assert.Equal(t, map[string]int{"staff": 1}, users)
		require.NoError(t, s.Delete(ctx, "bob"))
		require.NoError(t, s.DeleteGroup(ctx, "staff"))
		assert.ErrorIs(t, s.DeleteGroup(ctx, "staff"), userdb.ErrNotFound)
		_, err = s.Group(ctx, "staff")
		assert.ErrorIs(t, err, userdb.ErrNotFound)
	})
}

func TestList(t *testing.T) {
	each(t, false, func(t *testing.T, s *userdb.Store, db *database.DB) {
		ctx := t.Context()
		require.NoError(t, s.AddGroup(ctx, &userdb.Group{Name: "odd"}))
		const n = 1100 // more than a page
		insert := "INSERT INTO users (name, group_name, disabled, created_at, updated_at) VALUES "
		for i := range n {
			group := "NULL"
			if i%2 == 1 {
				group = "'odd'"
			}
			insert += fmt.Sprintf("('user_%04d', %s, %v, 1, 1),", i, group, i%100 == 0)
		}
		databasetest.Exec(t, db.DB, strings.TrimSuffix(insert, ","))
		names := func(f userdb.Filter) (list []string) {
			require.NoError(t, s.List(ctx, f, func(u *userdb.User) error { list = append(list, u.Name); return nil }))
			return list
		}
		everybody := names(userdb.Filter{})
		assert.Len(t, everybody, n)
		assert.IsIncreasing(t, everybody)
		assert.Len(t, names(userdb.Filter{Group: "odd"}), n/2)
		assert.Len(t, names(userdb.Filter{Disabled: true}), n/100)
		assert.Equal(t, []string{"user_0007"}, names(userdb.Filter{Match: "R_0007"}))
		assert.Empty(t, names(userdb.Filter{Match: "%"}))
		mine := fmt.Errorf("enough")
		assert.ErrorIs(t, s.List(ctx, userdb.Filter{}, func(*userdb.User) error { return mine }), mine)
	})
}

// What the group has counts where the user has nothing.
func TestLookup(t *testing.T) {
	each(t, false, func(t *testing.T, s *userdb.Store, _ *database.DB) {
		ctx := t.Context()
		g := &userdb.Group{Name: "staff", Settings: all(t).Settings}
		require.NoError(t, s.AddGroup(ctx, g))
		u := &userdb.User{Name: "alice"}
		u.SetPassword(chap.NTPasswordHash("one"), ppp.Secret("one"))
		set(t, &u.Group, "staff")
		set(t, &u.Quota, "0")
		set(t, &u.Routes, "none")
		require.NoError(t, s.Add(ctx, u))

		r, err := s.Lookup(ctx, "alice")
		require.NoError(t, err)
		require.NotNil(t, r.User)
		assert.Positive(t, r.Seq)
		want := g.Settings
		want.Quota, want.Routes = u.Quota, u.Routes
		assert.Equal(t, want, r.User.Settings)
		assert.Equal(t, chap.NTPasswordHash("one"), r.User.NTHash)
		assert.Nil(t, r.User.Password, "is not asked for")

		for _, name := range []string{"", "bob", "ALICE", "alice\x00", "\xff\xfe", strings.Repeat("a", 256), "'; DROP TABLE users; --", "a\nb"} {
			r, err := s.Lookup(ctx, name)
			assert.NoError(t, err, "%q", name)
			assert.Nil(t, r.User, "%q", name)
		}

		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err = s.Lookup(ended, "alice")
		assert.ErrorIs(t, err, context.Canceled)
	})
}

// What others write may make no sense.
func TestBadRow(t *testing.T) {
	each(t, false, func(t *testing.T, s *userdb.Store, db *database.DB) {
		require.NoError(t, s.Add(t.Context(), &userdb.User{Name: "alice"}))
		bob := &userdb.User{Name: "bob"}
		require.NoError(t, bob.Address.Set("10.8.0.7"))
		require.NoError(t, s.Add(t.Context(), bob))
		for column, text := range map[string]string{
			"nt_hash": "'00'", "routes": "'here'", "address": "'10.8.0'", "hours": "'noon'", "quota": "-1", "max_sessions": "-7",
		} {
			databasetest.Exec(t, db.DB, "UPDATE users SET "+column+" = "+text+" WHERE name = 'alice'")
			_, err := s.Lookup(t.Context(), "alice")
			var bad *userdb.RowError
			if assert.ErrorAs(t, err, &bad, column) {
				assert.Equal(t, column, bad.Column)
			}
			// So does who manages users, and nobody else's address is given away.
			assert.ErrorAs(t, s.List(t.Context(), userdb.Filter{}, func(*userdb.User) error { return nil }), &bad, column)
			assert.Equal(t, "alice", bad.User)
			fixed, err := s.Fixed(t.Context())
			require.NoError(t, err, column)
			assert.Equal(t, []netip.Addr{netip.MustParseAddr("10.8.0.7")}, fixed)
			databasetest.Exec(t, db.DB, "UPDATE users SET "+column+" = NULL WHERE name = 'alice'")
		}
		r, err := s.Lookup(t.Context(), "alice")
		require.NoError(t, err)
		assert.NotNil(t, r.User)
	})
}

// Whoever changes a row, gateways hear of it, in order.
func TestChanges(t *testing.T) {
	each(t, false, func(t *testing.T, s *userdb.Store, db *database.DB) {
		ctx := t.Context()
		changes, all, last, err := s.Changes(ctx, -1)
		require.NoError(t, err)
		assert.True(t, all)
		assert.Empty(t, changes)
		hear := func(want ...string) {
			t.Helper()
			changes, all, now, err := s.Changes(ctx, last)
			require.NoError(t, err)
			assert.False(t, all)
			var names []string
			for _, c := range changes {
				assert.Greater(t, c.Seq, last)
				last = c.Seq
				names = append(names, c.Name)
			}
			assert.Equal(t, last, now)
			assert.ElementsMatch(t, want, names)
		}
		hear()
		require.NoError(t, s.AddGroup(ctx, &userdb.Group{Name: "staff"}))
		require.NoError(t, s.Add(ctx, &userdb.User{Name: "alice"}))
		hear("alice")
		require.NoError(t, s.Update(ctx, "alice", func(u *userdb.User) error { return u.Group.Set("staff") }))
		require.NoError(t, s.UpdateGroup(ctx, "staff", func(g *userdb.Group) error { return g.Pool.Set("vip") }))
		hear("alice", "")
		databasetest.Exec(t, db.DB, "INSERT INTO users (name, created_at, updated_at) VALUES ('bob', 1, 1), ('carol', 1, 1)",
			"UPDATE users SET name = 'robert' WHERE name = 'bob'", "DELETE FROM users WHERE name = 'carol'", "UPDATE user_groups SET name = 'team'")
		hear("bob", "carol", "bob", "robert", "carol", "", "alice") // alice has another group's name
		r, err := s.Lookup(ctx, "alice")
		require.NoError(t, err)
		assert.Equal(t, last, r.Seq)
		assert.Equal(t, "vip", r.User.Pool.V)

		// Who begins now is told all of it, and what may be older.
		changes, all, now, err := s.Changes(ctx, userdb.NoneSeen)
		require.NoError(t, err)
		assert.True(t, all)
		assert.Len(t, changes, 10)
		assert.Equal(t, last, now)
		if db.Dialect == database.Postgres {
			databasetest.Exec(t, db.DB, "CREATE TABLE kept AS SELECT * FROM users", "TRUNCATE users")
			hear("")
			databasetest.Exec(t, db.DB, "INSERT INTO users SELECT * FROM kept")
			hear("alice", "robert")
		}

		// Trimming keeps the number; who has missed something is told so.
		require.NoError(t, s.Trim(ctx, -time.Hour))
		hear()
		require.NoError(t, s.Delete(ctx, "robert"))
		hear("robert")
		_, all, _, err = s.Changes(ctx, last-3)
		require.NoError(t, err)
		assert.True(t, all)
		_, all, _, err = s.Changes(ctx, last+1) // another database, or a backup of it
		require.NoError(t, err)
		assert.True(t, all)
	})
}

// Another program, with a role of its own and no more rights than it needs.
func TestOtherRole(t *testing.T) {
	db := databasetest.Open(t, databasetest.Postgres(t))
	s := userdb.New(db, false)
	_, _, last, err := s.Changes(t.Context(), -1)
	require.NoError(t, err)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	for _, statement := range []string{
		"CREATE ROLE billing", "GRANT SELECT, INSERT, UPDATE, DELETE ON users TO billing", "GRANT INSERT, UPDATE ON user_changes TO billing",
		"SET ROLE billing",
		"INSERT INTO users (name, created_at, updated_at) VALUES ('alice', 1, 1)",
		"UPDATE users SET disabled = TRUE WHERE name = 'alice'",
		"DELETE FROM users WHERE name = 'alice'",
		"RESET ROLE", "DROP OWNED BY billing", "DROP ROLE billing", // which all databases of the server have
	} {
		_, err := conn.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	changes, _, _, err := s.Changes(t.Context(), last)
	require.NoError(t, err)
	assert.Len(t, changes, 3)
}

// Transactions that end in another order than they began in are heard of all the same,
// and there is no deadlock between them.
func TestChangesInOrder(t *testing.T) {
	each(t, false, func(t *testing.T, s *userdb.Store, _ *database.DB) {
		ctx := t.Context()
		const users, rounds = 4, 10
		for i := range users {
			require.NoError(t, s.Add(ctx, &userdb.User{Name: fmt.Sprint(i)}))
		}
		_, _, last, err := s.Changes(ctx, -1)
		require.NoError(t, err)
		var writers sync.WaitGroup
		for i := range users {
			writers.Go(func() {
				for j := range rounds {
					assert.NoError(t, s.Update(ctx, fmt.Sprint((i+j)%users), func(u *userdb.User) error {
						n := u.MaxSessions.Or(0)
						return u.MaxSessions.Set(fmt.Sprint(n + 1))
					}))
				}
			})
		}
		done := make(chan struct{})
		go func() { writers.Wait(); close(done) }()
		heard := 0
		for finished := false; ; {
			changes, all, now, err := s.Changes(ctx, last)
			require.NoError(t, err)
			require.False(t, all)
			heard += len(changes)
			last = now
			if finished {
				break
			}
			select {
			case <-done:
				finished = true // and once more
			default:
			}
		}
		assert.Equal(t, users*rounds, heard)
		for i := range users {
			u, err := s.Get(ctx, fmt.Sprint(i))
			require.NoError(t, err)
			assert.EqualValues(t, rounds, u.MaxSessions.V, "no update is lost")
		}
	})
}

func TestChangePassword(t *testing.T) {
	for _, clear := range []bool{false, true} {
		each(t, clear, func(t *testing.T, s *userdb.Store, _ *database.DB) {
			ctx := t.Context()
			one, two := chap.NTPasswordHash("one"), chap.NTPasswordHash("two")
			u := &userdb.User{Name: "alice", NTHash: one, PasswordExpiresAt: userdb.At(time.Now())}
			require.NoError(t, s.Add(ctx, u))
			change := &chap.NewPassword{Password: ppp.Secret("two"), NTHash: two}
			require.NoError(t, s.ChangePassword(ctx, "alice", one, change))
			change.Wipe()
			got, err := s.Get(ctx, "alice")
			require.NoError(t, err)
			assert.Equal(t, two, got.NTHash)
			assert.False(t, got.PasswordExpiresAt.Valid)
			if clear {
				assert.Equal(t, ppp.Secret("two"), got.Password)
			} else {
				assert.Nil(t, got.Password)
			}
			assert.ErrorIs(t, s.ChangePassword(ctx, "alice", one, change), userdb.ErrChanged)
		})
	}
}

func TestLocalUser(t *testing.T) {
	now := time.Date(2039, 1, 1, 0, 0, 0, 0, time.UTC)
	u := all(t)
	l := u.LocalUser(now)
	assert.Equal(t, &gopptp.AuthError{Code: 647, Message: "Account disabled"}, l.Refusal)
	assert.Equal(t, u.NTHash, l.NTHash, "or nobody would hear why")
	assert.Nil(t, l.Result.Attributes)

	u.Disabled = false
	l = u.LocalUser(now)
	assert.Equal(t, u.NTHash, l.NTHash)
	assert.Equal(t, u.Name, l.Result.User)
	assert.False(t, l.Expired)
	assert.Nil(t, l.Refusal)
	assert.Equal(t, netip.MustParseAddr("10.8.0.20"), l.Address)
	assert.Len(t, l.Result.Routes, 2)
	assert.Equal(t, 8*time.Hour, l.Result.SessionTimeout)
	assert.Equal(t, 15*time.Minute, l.Result.IdleTimeout)
	assert.EqualValues(t, 512_000, l.Result.Rates.FromPeer.BitsPerSecond)
	assert.EqualValues(t, 10_000_000, l.Result.Rates.ToPeer.BitsPerSecond)
	assert.Equal(t, &grant.Grant{
		Backend: "sql", Pool: "vip", Quota: 20 << 30, MaxSessions: 2,
		Hours:   u.Hours.Windows(),
		Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.7/32")},
	}, l.Result.Attributes)

	// Large numbers that somebody has written for none.
	for _, v := range []interface{ Scan(any) error }{&u.SessionTimeout, &u.IdleTimeout, &u.MaxSessions} {
		require.NoError(t, v.Scan(int64(9_999_999_999)))
	}
	u.ExpiresAt = userdb.Time{}
	l = u.LocalUser(now)
	assert.Greater(t, l.Result.SessionTimeout, 200*365*24*time.Hour)
	assert.Greater(t, l.Result.IdleTimeout, 200*365*24*time.Hour)
	assert.Equal(t, math.MaxInt32, grant.From(l.Result.Attributes).MaxSessions)
	u.ExpiresAt = all(t).ExpiresAt

	assert.True(t, u.LocalUser(u.PasswordExpiresAt.Time()).Expired)
	end := u.ExpiresAt.Time()
	assert.Equal(t, time.Hour, u.LocalUser(end.Add(-time.Hour)).Result.SessionTimeout, "a session does not outlive its user")
	assert.Equal(t, &gopptp.AuthError{Code: 647, Message: "Account expired"}, u.LocalUser(end).Refusal)
}
