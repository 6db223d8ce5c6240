package database_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/database"
	"github.com/gopptp/gopptp/examples/gateway/internal/database/databasetest"
)

// Several gateways start at the same time on an empty database, and later again.
func TestMigrate(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				db, err := database.Open(cfg)
				if !assert.NoError(t, err) {
					return
				}
				defer db.Close()
				assert.NoError(t, db.Migrate(t.Context()))
				assert.NoError(t, db.Migrate(t.Context()))
			})
		}
		all.Wait()

		db := databasetest.Open(t, cfg)
		var versions, users int
		require.NoError(t, db.QueryRow("SELECT COUNT(*), (SELECT COUNT(*) FROM users) FROM schema_version").Scan(&versions, &users))
		assert.Positive(t, versions)
		assert.Zero(t, users)

		databasetest.Exec(t, db.DB, "INSERT INTO schema_version VALUES (9999, 0)")
		var newer *database.NewerError
		require.ErrorAs(t, db.Migrate(t.Context()), &newer)
		assert.Equal(t, 9999, newer.Have)
	})
}

func TestTx(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		db := databasetest.Open(t, cfg)
		databasetest.Exec(t, db.DB, "CREATE TABLE things (n BIGINT)")
		insert := func(tx *sql.Tx) error {
			_, err := tx.Exec("INSERT INTO things VALUES ($1)", 1)
			return err
		}
		mine := errors.New("mine")
		assert.ErrorIs(t, db.Tx(t.Context(), func(tx *sql.Tx) error { return errors.Join(insert(tx), mine) }), mine)
		assert.NoError(t, db.Tx(t.Context(), insert))
		var n int
		require.NoError(t, db.QueryRow("SELECT COUNT(*) FROM things").Scan(&n))
		assert.Equal(t, 1, n)
	})
}

// The file is for nobody but its owner, and writers wait for each other.
func TestSQLiteFile(t *testing.T) {
	cfg := databasetest.SQLite(t)
	db := databasetest.Open(t, cfg)
	info, err := os.Stat(cfg.URL.File)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	var mode string
	var keys int
	require.NoError(t, db.QueryRow("PRAGMA journal_mode").Scan(&mode))
	require.NoError(t, db.QueryRow("PRAGMA foreign_keys").Scan(&keys))
	assert.Equal(t, "wal", mode)
	assert.Equal(t, 1, keys)

	databasetest.Exec(t, db.DB, "CREATE TABLE counter AS SELECT 0 AS n")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				assert.NoError(t, db.Tx(context.Background(), func(tx *sql.Tx) error {
					var n int
					if err := tx.QueryRow("SELECT n FROM counter").Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec("UPDATE counter SET n = $1", n+1)
					return err
				}))
			}
		})
	}
	all.Wait()
	var n int
	require.NoError(t, db.QueryRow("SELECT n FROM counter").Scan(&n))
	assert.Equal(t, 80, n)
}

// What is over by itself is told apart from what somebody has to do something about.
func TestUnreachable(t *testing.T) {
	cfg := databasetest.SQLite(t)
	writer := databasetest.Open(t, cfg)
	other := *cfg
	other.Timeout = 100 * time.Millisecond
	db, err := database.Open(&other)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, writer.Tx(t.Context(), func(*sql.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := db.Migrate(ctx)
		assert.ErrorContains(t, err, "database is locked")
		assert.True(t, db.Unreachable(err))
		return nil
	}))
	require.NoError(t, db.Prepare(t.Context()))
	_, err = db.Exec("SELECT nothing")
	assert.False(t, db.Unreachable(err))

	cfg = databasetest.Postgres(t)
	db = databasetest.Open(t, cfg)
	_, err = db.Exec("SELECT nothing")
	assert.False(t, db.Unreachable(err))
	_, err = db.Exec("SELECT pg_terminate_backend(pg_backend_pid())")
	assert.True(t, db.Unreachable(err), "%v", err)
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, err = db.ExecContext(ctx, "SELECT 1")
	assert.True(t, db.Unreachable(err), "%v", err)
}

func TestOpenFails(t *testing.T) {
	cfg := databasetest.SQLite(t)
	cfg.URL.File = filepath.Join(t.TempDir(), "no", "such", "dir.db")
	_, err := database.Open(cfg)
	assert.ErrorContains(t, err, "no such file or directory")

	cfg.URL = config.DatabaseURL{Postgres: "postgres://gw:secret@db/users?sslmode=perhaps"}
	_, err = database.Open(cfg)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "secret")

	// Nobody is there: Open does not ask, and who does gets an answer soon.
	cfg.URL = config.DatabaseURL{Postgres: config.Secret("postgres://gw:secret@/users?host=" + t.TempDir())}
	cfg.Timeout = time.Second
	db, err := database.Open(cfg)
	require.NoError(t, err)
	defer db.Close()
	ctx, cancel := db.Context(t.Context())
	defer cancel()
	err = db.PingContext(ctx)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "secret")
}
