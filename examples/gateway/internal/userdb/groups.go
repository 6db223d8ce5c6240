package userdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Groups returns the groups in the order of their names, and how many users are in each.
func (s *Store) Groups(ctx context.Context) (groups []*Group, users map[string]int, err error) {
	ctx, cancel := s.db.Context(ctx)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, groupQuery(", (SELECT COUNT(*) FROM users u WHERE u.group_name = g.name)")+" ORDER BY name")
	if err != nil {
		return nil, nil, fmt.Errorf("user database: %w", err)
	}
	defer rows.Close()
	users = make(map[string]int)
	for rows.Next() {
		g, n := new(Group), 0
		if err := rows.Scan(append(dest(g.fields()), &n)...); err != nil {
			return nil, nil, fmt.Errorf("user database: %w", err)
		}
		groups = append(groups, g)
		users[g.Name] = n
	}
	return groups, users, rows.Err()
}

// Members is how many users are in a group.
func (s *Store) Members(ctx context.Context, group string) (n int, err error) {
	ctx, cancel := s.db.Context(ctx)
	defer cancel()
	if err := s.db.QueryRowContext(ctx, members, group).Scan(&n); err != nil {
		return 0, fmt.Errorf("user database: %w", err)
	}
	return n, nil
}

const members = "SELECT COUNT(*) FROM users WHERE group_name = $1"

func groupQuery(more string) string {
	var columns []string
	for _, f := range new(Group).fields() {
		columns = append(columns, "g."+f.column)
	}
	return "SELECT " + strings.Join(columns, ", ") + more + " FROM user_groups g"
}

// Group finds a group by its name.
func (s *Store) Group(ctx context.Context, name string) (*Group, error) {
	ctx, cancel := s.db.Context(ctx)
	defer cancel()
	return readGroup(s.db.QueryRowContext(ctx, groupQuery("")+" WHERE g.name = $1", name), name)
}

func readGroup(row *sql.Row, name string) (*Group, error) {
	g := new(Group)
	switch err := row.Scan(dest(g.fields())...); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("group %q: %w", name, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("user database: %w", err)
	}
	return g, nil
}

// AddGroup adds a group.
func (s *Store) AddGroup(ctx context.Context, g *Group) error {
	if !Possible(g.Name) {
		return fmt.Errorf("%q cannot be the name of a group", g.Name)
	}
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		g.CreatedAt = At(time.Now())
		g.UpdatedAt = g.CreatedAt
		added, err := insert(ctx, tx, "user_groups", g.fields())
		if err == nil && !added {
			err = fmt.Errorf("group %q %w", g.Name, ErrExists)
		}
		return err
	})
}

// UpdateGroup has change alter a group; with an error of its, nothing is changed.
func (s *Store) UpdateGroup(ctx context.Context, name string, change func(*Group) error) error {
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		g, err := readGroup(tx.QueryRowContext(ctx, groupQuery("")+" WHERE g.name = $1", name), name)
		if err != nil {
			return err
		}
		if err := change(g); err != nil {
			return err
		}
		g.UpdatedAt = At(time.Now())
		return update(ctx, tx, "user_groups", name, g.fields())
	})
}

// DeleteGroup removes a group that has no users.
func (s *Store) DeleteGroup(ctx context.Context, name string) error {
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var users int
		if err := tx.QueryRowContext(ctx, members, name).Scan(&users); err != nil {
			return fmt.Errorf("user database: %w", err)
		}
		if users > 0 {
			return fmt.Errorf("group %q %w: %d", name, ErrMembers, users)
		}
		return one(tx.ExecContext(ctx, "DELETE FROM user_groups WHERE name = $1", name))(fmt.Errorf("group %q: %w", name, ErrNotFound))
	})
}
