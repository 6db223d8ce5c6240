package usercache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

// table is a database of users, which can be slow or fail.
type table struct {
	mu      sync.Mutex
	users   map[string]*userdb.User
	changes []userdb.Change
	lookups int
	slow    time.Duration // each query takes that long
	err     error
	hold    chan struct{} // not nil: answers wait for it, after the row has been read
	late    time.Duration // what has changed is told that late
}

func (s *table) set(name string, u *userdb.User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name != "" {
		s.users[name] = u
	}
	s.changes = append(s.changes, userdb.Change{Seq: int64(len(s.changes) + 1), Name: name})
}

func (s *table) fail(err error, slow time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.slow = err, slow
}

func (s *table) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lookups
}

func (s *table) Lookup(_ context.Context, name string) (userdb.Record, error) {
	s.mu.Lock()
	s.lookups++
	r, err, slow, hold := userdb.Record{User: s.users[name], Seq: int64(len(s.changes))}, s.err, s.slow, s.hold
	s.mu.Unlock()
	time.Sleep(slow)
	if hold != nil {
		<-hold
	}
	return r, err
}

func (s *table) Changes(_ context.Context, since int64) ([]userdb.Change, bool, int64, error) {
	defer time.Sleep(s.late)
	s.mu.Lock()
	defer s.mu.Unlock()
	last := int64(len(s.changes))
	switch {
	case s.err != nil:
		return nil, false, since, s.err
	case last < since:
		return nil, true, last, nil
	case since < 0:
		return s.changes, true, last, nil
	}
	return s.changes[since:], false, last, nil
}

func (s *table) Trim(context.Context, time.Duration) error { return nil }

// world runs a test in virtual time, on a table with the users alice and bob.
func world(t *testing.T, change func(*config.UserCache), test func(t *testing.T, c *Cache, s *table)) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config.Default().Database.Cache
		if change != nil {
			change(&cfg)
		}
		s := &table{users: make(map[string]*userdb.User)}
		for _, name := range []string{"alice", "bob"} {
			s.set(name, &userdb.User{Name: name})
		}
		c, err := New(s, cfg, false, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		defer c.Close()
		synctest.Wait()
		test(t, c, s)
	})
}

func get(t *testing.T, c *Cache, name string) *userdb.User {
	t.Helper()
	u, err := c.Get(t.Context(), name)
	require.NoError(t, err)
	return u
}

func TestTimeToLive(t *testing.T) {
	world(t, nil, func(t *testing.T, c *Cache, s *table) {
		for range 3 {
			assert.Equal(t, "alice", get(t, c, "alice").Name)
			assert.Nil(t, get(t, c, "mallory"))
		}
		assert.Equal(t, 2, s.asked())
		time.Sleep(10*time.Second - 1)
		get(t, c, "mallory")
		assert.Equal(t, 2, s.asked())
		time.Sleep(time.Nanosecond)
		get(t, c, "mallory")
		assert.Equal(t, 3, s.asked(), "negative_ttl is over")
		time.Sleep(5*time.Minute - 10*time.Second - 1)
		get(t, c, "alice")
		assert.Equal(t, 3, s.asked())
		time.Sleep(time.Nanosecond)
		get(t, c, "alice")
		assert.Equal(t, 4, s.asked(), "ttl is over")

		got := c.Stats()
		assert.EqualValues(t, 4, got.Misses)
		assert.EqualValues(t, 3, got.Hits)
		assert.EqualValues(t, 3, got.NegativeHits)
		assert.EqualValues(t, 4, got.Latency.Count)
		assert.Equal(t, 1, got.Users)
		assert.Equal(t, 1, got.Unknown)
	})
}

// A thousand log-ins of one user at once are one query.
func TestOneFlight(t *testing.T) {
	world(t, nil, func(t *testing.T, c *Cache, s *table) {
		s.fail(nil, time.Second)
		var all sync.WaitGroup
		for range 1000 {
			all.Go(func() { assert.Equal(t, "alice", get(t, c, "alice").Name) })
		}
		all.Wait()
		assert.Equal(t, 1, s.asked())

		// Who goes away does not take the others' answer along.
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		all.Go(func() { assert.Equal(t, "bob", get(t, c, "bob").Name) })
		_, err := c.Get(ctx, "bob")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		all.Wait()
	})
}

// Memory is bounded, and names that nobody has do not displace users.
func TestSize(t *testing.T) {
	world(t, func(c *config.UserCache) { c.Size = 10 }, func(t *testing.T, c *Cache, s *table) {
		get(t, c, "alice")
		for i := range 1000 {
			assert.Nil(t, get(t, c, fmt.Sprint("nobody", i)))
		}
		before := s.asked()
		get(t, c, "alice")
		assert.Equal(t, before, s.asked())
		for i := range 1000 {
			name := fmt.Sprint("user", i)
			s.set(name, &userdb.User{Name: name})
		}
		time.Sleep(time.Second) // to hear of it
		synctest.Wait()
		for i := range 1000 {
			assert.NotNil(t, get(t, c, fmt.Sprint("user", i)))
		}
		got := c.Stats()
		assert.Equal(t, 10, got.Users)
		assert.Equal(t, 10, got.Unknown)
		assert.EqualValues(t, 1000, got.Changes)
	})
}

func TestNoCache(t *testing.T) {
	world(t, func(c *config.UserCache) { c.Size = 0 }, func(t *testing.T, c *Cache, s *table) {
		for range 3 {
			assert.NotNil(t, get(t, c, "alice"))
		}
		assert.Equal(t, 3, s.asked())
		s.fail(errors.New("down"), 0)
		_, err := c.Get(t.Context(), "alice")
		assert.EqualError(t, err, "down")
	})
}

func TestChanged(t *testing.T) {
	world(t, nil, func(t *testing.T, c *Cache, s *table) {
		get(t, c, "alice")
		get(t, c, "bob")
		assert.Nil(t, get(t, c, "carol"))
		s.set("alice", &userdb.User{Name: "alice", Disabled: true})
		s.set("carol", &userdb.User{Name: "carol"})
		time.Sleep(time.Second)
		synctest.Wait()
		assert.True(t, get(t, c, "alice").Disabled)
		assert.NotNil(t, get(t, c, "carol"))
		assert.Equal(t, 5, s.asked())
		get(t, c, "bob")
		assert.Equal(t, 5, s.asked(), "bob is remembered")

		s.set("", nil) // a group
		time.Sleep(time.Second)
		synctest.Wait()
		get(t, c, "bob")
		assert.Equal(t, 6, s.asked())

		c.Forget("bob")
		get(t, c, "bob")
		assert.Equal(t, 7, s.asked())

		s.set("bob", &userdb.User{Name: "bob", Disabled: true})
		c.Forget("bob")
		assert.True(t, get(t, c, "bob").Disabled)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.True(t, get(t, c, "bob").Disabled)
		assert.Equal(t, 8, s.asked(), "was read after the change already")
	})
}

// A query that was under way while its user was changed leaves nothing behind, and who
// asks afterwards does not get its answer.
func TestChangedMeanwhile(t *testing.T) {
	world(t, nil, func(t *testing.T, c *Cache, s *table) {
		s.hold = make(chan struct{})
		var first, second *userdb.User
		var all sync.WaitGroup
		all.Go(func() { first = get(t, c, "alice") })
		synctest.Wait() // the row has been read
		s.set("alice", &userdb.User{Name: "alice", Disabled: true})
		time.Sleep(time.Second)
		synctest.Wait() // it is known
		all.Go(func() { second = get(t, c, "alice") })
		synctest.Wait()
		close(s.hold)
		all.Wait()
		assert.True(t, first.Disabled)
		assert.True(t, second.Disabled)
		assert.True(t, get(t, c, "alice").Disabled)
	})
}

// While the database is down, who is remembered comes in, the others fail at once, and
// when it is back all is as before.
// Somebody who is read while changes are looked for is of a later change than these.
func TestReadMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &table{users: make(map[string]*userdb.User), late: time.Second}
		s.set("alice", &userdb.User{Name: "alice"})
		c, err := New(s, config.Default().Database.Cache, false, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		defer c.Close()
		synctest.Wait()
		s.set("bob", &userdb.User{Name: "bob"})
		get(t, c, "bob")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s.fail(errors.New("down"), 0)
		assert.Equal(t, "bob", get(t, c, "bob").Name)
		assert.Equal(t, 1, s.asked())
	})
}

func TestDown(t *testing.T) {
	world(t, nil, func(t *testing.T, c *Cache, s *table) {
		get(t, c, "alice")
		assert.Nil(t, get(t, c, `CORP\alice`))
		down := errors.New("connection refused")
		s.fail(down, 0)
		time.Sleep(5 * time.Minute)
		assert.NotNil(t, get(t, c, "alice"))
		assert.Nil(t, get(t, c, `CORP\alice`), "is known not to be, so that alice can come in by that name")
		for range trips - 2 {
			_, err := c.Get(t.Context(), "bob")
			assert.ErrorIs(t, err, down)
		}
		assert.True(t, c.Stats().Down)
		before := s.asked()
		for range 100 {
			_, err := c.Get(t.Context(), "bob")
			assert.ErrorIs(t, err, ErrDown)
			assert.NotNil(t, get(t, c, "alice"))
		}
		assert.Equal(t, before, s.asked(), "it is left alone")
		time.Sleep(time.Hour - 1)
		assert.NotNil(t, get(t, c, "alice"))
		time.Sleep(time.Nanosecond)
		_, err := c.Get(t.Context(), "alice")
		assert.ErrorIs(t, err, ErrDown, "stale is over")

		s.fail(nil, 0)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.NotNil(t, get(t, c, "bob"))
		assert.NotNil(t, get(t, c, "alice"))
		got := c.Stats()
		assert.False(t, got.Down)
		assert.EqualValues(t, 103, got.Stale)
		assert.EqualValues(t, trips, got.Errors)
		assert.Positive(t, got.PollErrors)
		assert.EqualValues(t, 101, got.Refused)
	})
}

// A backup is put in the place of the database: what was remembered of that is forgotten,
// as are changes that have the numbers of others then.
func TestRestored(t *testing.T) {
	world(t, nil, func(t *testing.T, c *Cache, s *table) {
		for range 5 {
			s.set("bob", &userdb.User{Name: "bob"})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		get(t, c, "alice")
		s.mu.Lock()
		s.changes = s.changes[:2]
		s.users["alice"] = &userdb.User{Name: "alice", Disabled: true}
		s.mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		assert.True(t, get(t, c, "alice").Disabled)
		s.set("alice", &userdb.User{Name: "alice"})
		time.Sleep(time.Second)
		synctest.Wait()
		assert.False(t, get(t, c, "alice").Disabled)
	})
}

// A database that is behind is asked again and again, but not at once.
func TestBehind(t *testing.T) {
	world(t, nil, func(t *testing.T, c *Cache, s *table) {
		c.mu.Lock()
		c.changed["alice"] = 99
		c.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), 950*time.Millisecond)
		defer cancel()
		_, err := c.Get(ctx, "alice")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 11, s.asked())
	})
}

// A row that makes no sense is trouble for its user only.
func TestBadRow(t *testing.T) {
	world(t, nil, func(t *testing.T, c *Cache, s *table) {
		s.fail(&userdb.RowError{User: "alice", Column: "routes", Err: errors.New("what?")}, 0)
		for range 2 * trips {
			_, err := c.Get(t.Context(), "alice")
			assert.EqualError(t, err, `user database: user "alice": routes: what?`)
		}
		assert.False(t, c.Stats().Down)
		assert.EqualValues(t, 2*trips, c.Stats().Errors)
	})
}

// A database that answers who looks for changes, but no queries, is tried by one query at
// a time.
func TestHalfDown(t *testing.T) {
	world(t, nil, func(t *testing.T, c *Cache, s *table) {
		var b breaker
		for i := range trips {
			require.True(t, b.allow())
			_, went := b.done(false)
			assert.Equal(t, i == trips-1, went)
		}
		assert.False(t, b.allow())
		b.answers()
		assert.True(t, b.allow())
		assert.False(t, b.allow())
		b.done(false)
		assert.False(t, b.allow())
		b.answers()
		assert.True(t, b.allow())
		time.Sleep(time.Minute)
		was, _ := b.done(true)
		assert.Equal(t, time.Minute, was)
		assert.True(t, b.allow())
		assert.True(t, b.allow())
		b.done(false)
		b.done(false)
		assert.False(t, b.down())
	})
}

// Who is remembered does not wait for a slow database.
func TestSlow(t *testing.T) {
	world(t, nil, func(t *testing.T, c *Cache, s *table) {
		get(t, c, "alice")
		time.Sleep(5 * time.Minute)
		s.fail(nil, 10*time.Second)
		begin := time.Now()
		assert.NotNil(t, get(t, c, "alice"))
		assert.Equal(t, patience, time.Since(begin))
		assert.NotNil(t, get(t, c, "bob"))
		assert.Equal(t, patience+10*time.Second, time.Since(begin))
		before := s.asked()
		assert.NotNil(t, get(t, c, "alice"))
		assert.Equal(t, before, s.asked(), "the slow answer is remembered")
	})
}

// Users who are changed by the thousand are not listed without end.
func TestManyChanges(t *testing.T) {
	world(t, nil, func(t *testing.T, c *Cache, s *table) {
		get(t, c, "alice")
		for i := range maxChanged + 1 {
			s.set(fmt.Sprint(i), nil)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Empty(t, c.changed)
		assert.Zero(t, c.Stats().Users)
		get(t, c, "alice")
		get(t, c, "alice")
		assert.Equal(t, 2, s.asked())
	})
}

// Who is remembered costs next to nothing.
func BenchmarkHit(b *testing.B) {
	s := &table{users: make(map[string]*userdb.User)}
	s.set("alice", &userdb.User{Name: "alice"})
	c, err := New(s, config.Default().Database.Cache, false, slog.New(slog.DiscardHandler))
	require.NoError(b, err)
	defer c.Close()
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if u, err := c.Get(context.Background(), "alice"); err != nil || u == nil {
				b.Error(u, err)
			}
		}
	})
}
