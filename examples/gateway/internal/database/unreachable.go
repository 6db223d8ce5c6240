package database

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite" // which is the driver "sqlite", too
)

// Unreachable reports whether an error says no more than that the database does not
// answer now. Others want somebody to do something about them.
func (db *DB) Unreachable(err error) bool {
	if db.Dialect == SQLite { // somebody else is writing
		const busy, primary = 5, 0xff // SQLITE_BUSY, and the octet of a code that tells it
		var said *sqlite.Error
		return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &said) && said.Code()&primary == busy
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
