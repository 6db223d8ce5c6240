package userdb

import (
	"context"
	"fmt"
	"time"
)

// Change is one that somebody has made.
type Change struct {
	Seq  int64
	Name string // empty: of everybody
}

// maxChanges is how many changes are worth telling one by one.
const maxChanges = 10000

// NoneSeen is for who has not seen any change.
const NoneSeen = -1

// Changes returns what has been changed after the change numbered since, in order, and the
// number of the latest change. all says that there were changes before these which cannot be
// told one by one. Who has seen none is told those that there still are, so as to know what
// may be older.
func (s *Store) Changes(ctx context.Context, since int64) (changes []Change, all bool, last int64, err error) {
	ctx, cancel := s.db.Context(ctx)
	defer cancel()
	var first int64
	if err := s.db.QueryRowContext(ctx, "SELECT COALESCE(MIN(seq), 0), COALESCE(MAX(seq), 0) FROM user_changes").Scan(&first, &last); err != nil {
		return nil, false, since, fmt.Errorf("user database: %w", err)
	}
	switch {
	case last == since:
		return nil, false, since, nil
	case since < 0:
		all, since = true, first-1
	case last < since, first > since+1: // another database; some are missing
		return nil, true, last, nil
	}
	rows, err := s.db.QueryContext(ctx, "SELECT seq, name FROM user_changes WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3", since, last, maxChanges+1)
	if err != nil {
		return nil, false, since, fmt.Errorf("user database: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c Change
		if err := rows.Scan(&c.Seq, &c.Name); err != nil {
			return nil, false, since, fmt.Errorf("user database: %w", err)
		}
		changes = append(changes, c)
	}
	if err := rows.Err(); err != nil {
		return nil, false, since, fmt.Errorf("user database: %w", err)
	}
	if len(changes) > maxChanges {
		return nil, true, last, nil
	}
	return changes, all, last, nil
}

// Trim forgets changes that are older than age. The latest one always stays.
func (s *Store) Trim(ctx context.Context, age time.Duration) error {
	ctx, cancel := s.db.Context(ctx)
	defer cancel()
	_, err := s.db.ExecContext(ctx, "DELETE FROM user_changes WHERE at < $1 AND seq < (SELECT MAX(seq) FROM user_changes)", time.Now().Add(-age).Unix())
	if err != nil {
		return fmt.Errorf("user database: %w", err)
	}
	return nil
}
