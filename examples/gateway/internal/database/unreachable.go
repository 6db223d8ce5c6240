package database

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Unreachable reports whether an error says no more than that the database does not
// answer now. Others want somebody to do something about them.
func (db *DB) Unreachable(err error) bool {
	if db.Dialect == SQLite {
		return errors.Is(err, context.DeadlineExceeded) // someone else writes
	}
	var said *pgconn.PgError
	if !errors.As(err, &said) {
		return err != nil // nothing was said
	}
	for _, class := range []string{"08", "53", "57"} { // connection, resources, operator intervention
		if strings.HasPrefix(said.Code, class) {
			return true
		}
	}
	return false
}
