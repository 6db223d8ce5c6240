package usercache

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
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

// lockedBuffer is a log that many write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func open(t *testing.T, cfg *config.Database) (*Users, *lockedBuffer) {
	t.Helper()
	log := new(lockedBuffer)
	cfg.Cache.Poll = 10 * time.Millisecond
	u, err := Open(cfg, false, slog.New(slog.NewTextHandler(log, nil)))
	require.NoError(t, err)
	t.Cleanup(u.Close)
	return u, log
}

func add(t *testing.T, u *Users, name, password string) {
	t.Helper()
	require.NoError(t, u.store.Add(t.Context(), &userdb.User{Name: name, NTHash: chap.NTPasswordHash(password)}))
}

// logIn is a log-in by PAP.
func logIn(u *Users, name, password string) (*gopptp.AuthResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return gopptp.NewLocalAuthenticator(u.Lookup).Authenticate(ctx, &gopptp.AuthRequest{
		AuthRequest: ppp.AuthRequest{Method: ppp.AuthPAP, Name: name, Password: ppp.Secret(password)},
	})
}

func TestLogIn(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		u, _ := open(t, cfg)
		add(t, u, "alice", "a")
		result, err := logIn(u, `CORP\alice`, "a")
		require.NoError(t, err)
		assert.Equal(t, "alice", result.User)
		assert.Equal(t, "sql", grant.From(result.Attributes).Backend)
		for _, name := range []string{"alice", "mallory", "\xff\x00", ""} {
			_, err = logIn(u, name, "b")
			assert.ErrorIs(t, err, gopptp.ErrBadCredentials, "%q", name)
		}

		// Disabled by somebody else: known, so that no other back end is asked, and
		// let in no more.
		databasetest.Exec(t, u.db.DB, "UPDATE users SET disabled = TRUE WHERE name = 'alice'")
		disabled := func() bool {
			var refusal *gopptp.AuthError
			_, err := logIn(u, "alice", "a")
			return errors.As(err, &refusal) && refusal.Code == int(chap.AccountDisabled)
		}
		require.Eventually(t, disabled, time.Minute, time.Millisecond)
		_, err = logIn(u, "alice", "b")
		assert.ErrorIs(t, err, gopptp.ErrBadCredentials, "who guesses is not told")
		l, err := u.Lookup(t.Context(), "alice")
		require.NoError(t, err)
		assert.NotNil(t, l)
	})
}

// A password that has expired is changed by its user, and the gateway knows it at once.
func TestChangePassword(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		u, _ := open(t, cfg)
		add(t, u, "alice", "a")
		require.NoError(t, u.store.Update(t.Context(), "alice", func(u *userdb.User) error {
			u.PasswordExpiresAt = userdb.At(time.Now().Add(-time.Hour))
			return nil
		}))
		_, err := logIn(u, "alice", "a")
		var refusal *gopptp.AuthError
		require.ErrorAs(t, err, &refusal)
		assert.Equal(t, 648, refusal.Code)
		assert.True(t, refusal.ChangePassword)

		l, err := u.Lookup(t.Context(), "alice")
		require.NoError(t, err)
		assert.ErrorContains(t, l.ChangePassword(t.Context(), &chap.NewPassword{}), "the new password is empty")
		require.NoError(t, l.ChangePassword(t.Context(), &chap.NewPassword{Password: ppp.Secret("b"), NTHash: chap.NTPasswordHash("b")}))
		_, err = logIn(u, "alice", "b")
		assert.NoError(t, err)
		// Who looked before knows the old one only.
		assert.ErrorIs(t, l.ChangePassword(t.Context(), &chap.NewPassword{Password: ppp.Secret("c"), NTHash: chap.NTPasswordHash("c")}), userdb.ErrChanged)
	})
}

// The drill: the database is stopped while users log in, and started again.
func TestDatabaseStopped(t *testing.T) {
	server := databasetest.Start(t)
	cfg := server.Config()
	cfg.Timeout = time.Second
	cfg.Cache.TTL = time.Second // less than the database is away for
	u, log := open(t, cfg)
	add(t, u, "alice", "a")
	add(t, u, "bob", "b")
	_, err := logIn(u, "alice", "a")
	require.NoError(t, err)

	var users sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		users.Go(func() {
			for {
				_, err := logIn(u, "alice", "a")
				if !assert.NoError(t, err, "who is remembered comes in all the time") {
					return
				}
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	server.Stop()
	require.Eventually(t, func() bool { _, err := logIn(u, "bob", "b"); return errors.Is(err, ErrDown) }, time.Minute, 10*time.Millisecond)
	stale := u.Stats().Stale
	require.Eventually(t, func() bool { return u.Stats().Stale > stale }, time.Minute, 10*time.Millisecond, "alice's time to live is over")
	begin := u.Stats()
	for range 100 {
		_, err := logIn(u, "bob", "b")
		assert.ErrorIs(t, err, ErrDown, "fails at once, and is not a refusal")
	}
	assert.Equal(t, begin.Misses, u.Stats().Misses)
	assert.True(t, u.Stats().Down)

	// A gateway that is started now does without it until it is there.
	late, lateLog := open(t, cfg)
	assert.Contains(t, lateLog.String(), "the user database does not answer")
	_, err = logIn(late, "alice", "a")
	assert.Error(t, err)
	assert.Empty(t, late.News())

	server.Start(t)
	require.Eventually(t, func() bool { _, err := logIn(late, "bob", "b"); return err == nil }, time.Minute, 10*time.Millisecond)
	require.Eventually(t, func() bool { _, err := logIn(u, "bob", "b"); return err == nil }, time.Minute, 10*time.Millisecond)
	assert.False(t, u.Stats().Down)
	<-late.News() // what is fixed to users, which it could not be told, is to be asked for
	close(stop)
	users.Wait()
	text := log.String()
	assert.Contains(t, text, "the user database is down")
	assert.Contains(t, text, "the user database answers again")
}

// The drill: a table is locked, so that queries wait until they are given up.
func TestDatabaseSlow(t *testing.T) {
	cfg := databasetest.Postgres(t)
	cfg.Timeout = 500 * time.Millisecond
	cfg.Cache.TTL = time.Second
	u, _ := open(t, cfg)
	add(t, u, "alice", "a")
	add(t, u, "bob", "b")
	_, err := logIn(u, "alice", "a")
	require.NoError(t, err)

	other, err := database.Open(cfg)
	require.NoError(t, err)
	defer other.Close()
	tx, err := other.Begin()
	require.NoError(t, err)
	defer tx.Rollback()
	_, err = tx.Exec("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := logIn(u, "alice", "a")
		assert.NoError(t, err)
		return u.Stats().Stale > 0
	}, time.Minute, 10*time.Millisecond)
	_, err = logIn(u, "bob", "b")
	require.Error(t, err)
	assert.NotErrorIs(t, err, gopptp.ErrBadCredentials)
	require.NoError(t, tx.Rollback())
	require.Eventually(t, func() bool { _, err := logIn(u, "bob", "b"); return err == nil }, time.Minute, 10*time.Millisecond)
}

// What will not get better by itself is said at once.
func TestOpenFails(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	cfg := databasetest.SQLite(t)
	require.NoError(t, os.WriteFile(cfg.URL.File, bytes.Repeat([]byte("not a database\n"), 100), 0o600))
	_, err := Open(cfg, false, log)
	assert.ErrorContains(t, err, "file is not a database")

	cfg = databasetest.SQLite(t)
	databasetest.Exec(t, databasetest.Open(t, cfg).DB, "INSERT INTO schema_version VALUES (9999, 0)")
	_, err = Open(cfg, false, log)
	var newer *database.NewerError
	assert.ErrorAs(t, err, &newer)

	cfg = databasetest.Postgres(t)
	cfg.URL.Postgres += "&dbname=missing"
	_, err = Open(cfg, false, log)
	assert.ErrorContains(t, err, `database "missing" does not exist`)
}
