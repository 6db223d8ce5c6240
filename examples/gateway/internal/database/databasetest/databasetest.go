// Package databasetest gives tests the databases that the gateway knows: SQLite in a file,
// and PostgreSQL servers.
package databasetest

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/database"
)

// The server that the tests of a package share, and how many databases are in it.
var (
	shared    *Server
	databases int
)

// Main is for TestMain of a package that uses Each or Postgres.
func Main(m *testing.M) int {
	defer func() {
		if shared != nil {
			shared.remove()
		}
	}()
	return m.Run()
}

// Each runs a test on every kind of database. It is empty and new each time. Tests that use it
// are not parallel.
func Each(t *testing.T, test func(t *testing.T, cfg *config.Database)) {
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite returns the configuration of a new SQLite database.
func SQLite(t *testing.T) *config.Database {
	return configOf(config.DatabaseURL{File: filepath.Join(t.TempDir(), "gateway.db")})
}

// Postgres returns the configuration of a new database in the server that all tests of the
// package share.
func Postgres(t *testing.T) *config.Database {
	t.Helper()
	bin := programs(t)
	if shared == nil {
		server, err := newServer(bin)
		require.NoError(t, err)
		shared = server
	}
	admin, err := database.Open(shared.Config())
	require.NoError(t, err)
	defer admin.Close()
	databases++
	name := fmt.Sprintf("test%d", databases)
	Exec(t, admin.DB, "CREATE DATABASE "+name)
	return shared.config(name)
}

func configOf(u config.DatabaseURL) *config.Database {
	cfg := config.Default().Database
	cfg.URL = u
	cfg.Timeout = 20 * time.Second // the machine may be slow; tests of timeouts set their own
	return &cfg
}

// Open opens a database, up to date, for as long as the test runs.
func Open(t *testing.T, cfg *config.Database) *database.DB {
	t.Helper()
	db, err := database.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	require.NoError(t, db.Migrate(t.Context()))
	return db
}

// Exec runs statements on a database, as another program would.
func Exec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		_, err := db.ExecContext(t.Context(), s)
		require.NoError(t, err, s)
	}
}
