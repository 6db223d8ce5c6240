// Package database opens the gateway's SQL database, SQLite or PostgreSQL, and brings
// its tables up to date. Both take the same queries: arguments are written $1, $2; times
// are seconds since 1970; what is not set is NULL.
//
// Whoever asks a database gives it a deadline, by Context or by a context of its own: a
// database that is slow or gone must cost no more than that.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// Dialect is what differs between databases.
type Dialect string

// The dialects.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// DB is a pool of connections to a database.
type DB struct {
	*sql.DB
	Dialect Dialect

	timeout time.Duration
	ready   atomic.Bool // the tables are up to date
}

// Open returns the database of a configuration, which must have one. A file is created
// if it is not there; a server is not asked yet.
func Open(cfg *config.Database) (*DB, error) {
	db := &DB{timeout: cfg.Timeout}
	if file := cfg.URL.File; file != "" {
		pool, err := openFile(file, cfg.Timeout)
		if err != nil {
			return nil, fmt.Errorf("database %v: %w", cfg.URL, err)
		}
		db.DB, db.Dialect = pool, SQLite
	} else {
		conn, err := pgx.ParseConfig(string(cfg.URL.Postgres))
		if err != nil { // has no password in it
			return nil, fmt.Errorf("database: %w", err)
		}
		if conn.ConnectTimeout == 0 {
			conn.ConnectTimeout = cfg.Timeout
		}
		if _, set := conn.RuntimeParams["application_name"]; !set {
			conn.RuntimeParams["application_name"] = "gopptp-gateway"
		}
		db.DB, db.Dialect = stdlib.OpenDB(*conn), Postgres
	}
	db.SetMaxOpenConns(cfg.Connections)
	db.SetMaxIdleConns(cfg.Connections)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(30 * time.Minute) // so that a cluster's new members get some
	return db, nil
}

// openFile opens an SQLite database. Readers do not wait for the one writer, who waits
// for another one; a transaction is one for writing from its beginning, so that none has
// to be given up half-way.
func openFile(file string, wait time.Duration) (*sql.DB, error) {
	// It holds secrets; SQLite itself would have the umask decide.
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		err = giveAway(f, filepath.Dir(file))
		f.Close()
	case errors.Is(err, os.ErrExist):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	options := url.Values{"_txlock": {"immediate"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", wait.Milliseconds()), "journal_mode(WAL)", "foreign_keys(1)", "synchronous(FULL)",
	}}
	name := url.URL{Scheme: "file", OmitHost: true, Path: file, RawQuery: options.Encode()}
	return sql.Open("sqlite", name.String())
}

// Context returns a context that ends after the time that the configuration gives a
// query.
func (db *DB) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, db.timeout)
}

// Tx has f do its work in one transaction, of which an error leaves nothing.
func (db *DB) Tx(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
