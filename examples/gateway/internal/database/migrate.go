package database

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The steps in which the tables have become what they are. A file is never changed once
// it has been released. It is 0001_name.sql, or with the dialect that it is for
// 0001_name.sqlite.sql.
//
//go:embed migrations/*.sql
var files embed.FS

// NewerError says that the database has been brought up to date by a newer gateway.
type NewerError struct{ Have, Want int }

func (e *NewerError) Error() string {
	return fmt.Sprintf("database: its tables have version %d, and this gateway knows no later one than %d: use the newer gateway", e.Have, e.Want)
}

// lockKey is "gopptp" as a number: what gateways take that bring a PostgreSQL database up
// to date.
const lockKey = 0x676f70707470

// maxMigration is how long a database may take to be brought up to date once it answers.
const maxMigration = time.Minute

// Prepare brings the tables up to date, once. If the database does not answer, that is
// known as soon as with a query.
func (db *DB) Prepare(ctx context.Context) error {
	if db.ready.Load() {
		return nil
	}
	soon, cancel := db.Context(ctx)
	defer cancel()
	if err := db.PingContext(soon); err != nil {
		return err
	}
	ctx, cancel = context.WithTimeout(ctx, maxMigration)
	defer cancel()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	db.ready.Store(true)
	return nil
}

// Migrate brings the tables up to date, all steps or none. Of several gateways at a time,
// one does it.
func (db *DB) Migrate(ctx context.Context) error {
	steps, err := stepsOf(files, db.Dialect)
	if err != nil {
		return err
	}
	return db.Tx(ctx, func(tx *sql.Tx) error {
		if db.Dialect == Postgres { // a transaction of SQLite is alone anyhow
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockKey)); err != nil {
				return err
			}
		}
		const table = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied_at BIGINT NOT NULL)"
		if _, err := tx.ExecContext(ctx, table); err != nil {
			return err
		}
		var have int
		if err := tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM schema_version").Scan(&have); err != nil {
			return err
		}
		if want := steps[len(steps)-1].version; have > want {
			return &NewerError{Have: have, Want: want}
		}
		for _, s := range steps {
			if s.version <= have {
				continue
			}
			if _, err := tx.ExecContext(ctx, s.text); err != nil {
				return fmt.Errorf("database: %s: %w", s.file, err)
			}
		}
		for v := have + 1; v <= steps[len(steps)-1].version; v++ {
			if _, err := tx.ExecContext(ctx, "INSERT INTO schema_version VALUES ($1, $2)", v, time.Now().Unix()); err != nil {
				return err
			}
		}
		return nil
	})
}

type step struct {
	version    int
	file, text string
}

// stepsOf returns the steps of a dialect in order.
func stepsOf(files fs.FS, d Dialect) ([]step, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var steps []step
	for _, name := range names {
		parts := strings.Split(strings.TrimPrefix(name, "migrations/"), ".")
		if len(parts) == 3 && parts[1] != string(d) {
			continue
		}
		number, _, _ := strings.Cut(parts[0], "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("database: %s has no number", name)
		}
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{version, name, string(text)})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.version, b.version) })
	return steps, nil
}
