// Package userdb keeps the gateway's users and their groups in an SQL database.
//
// A user is found by its name as it is written. What a user is granted is in its row, or
// where that says nothing in its group's. Others may write the tables as well, such as a
// billing system: triggers note who is changed, and Changes tells of it.
//
// Passwords are kept as NT hashes, which are worth as much as the passwords themselves to
// who steals them, but hide what else they open; in clear they are kept beside, if the
// configuration asks for CHAP-MD5.
package userdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/database"
	"github.com/gopptp/gopptp/examples/gateway/internal/secrets"
	"github.com/gopptp/gopptp/ppp"
)

// Errors of the Store. They are wrapped in what says who is meant.
var (
	ErrNotFound = errors.New("there is none of this name")
	ErrExists   = errors.New("is there already")
	ErrInUse    = errors.New("belongs to someone already")
	ErrMembers  = errors.New("has users in it")
	ErrChanged  = errors.New("the password has been changed meanwhile")
)

// RowError says that somebody has written what cannot be into the row of a user, or of its
// group.
type RowError struct {
	User, Column string
	Err          error
}

func (e *RowError) Error() string {
	return fmt.Sprintf("user database: user %q: %s: %v", e.User, e.Column, e.Err)
}

func (e *RowError) Unwrap() error { return e.Err }

// Store is the tables of a database. Its methods are safe for concurrent use, and take no
// longer than the configuration gives a query.
type Store struct {
	db *database.DB
	// clear: passwords are kept in clear beside their hashes.
	clear bool

	lookup, get string // queries
}

// New returns the store of a database. With clear, passwords that are set are kept in
// clear as well.
func New(db *database.DB, clear bool) *Store {
	s := &Store{db: db, clear: clear}
	var own, merged []string
	var u User
	inherited := make(map[string]bool)
	for _, setting := range u.Settings.All() {
		inherited[setting.Column] = true
	}
	for _, f := range u.fields() {
		own = append(own, "u."+f.column)
		if inherited[f.column] {
			merged = append(merged, fmt.Sprintf("COALESCE(u.%[1]s, g.%[1]s)", f.column))
		} else {
			merged = append(merged, "u."+f.column)
		}
	}
	s.get = "SELECT " + strings.Join(own, ", ") + " FROM users u"
	s.lookup = "SELECT (SELECT COALESCE(MAX(seq), 0) FROM user_changes), " + strings.Join(merged, ", ") +
		" FROM (SELECT 1 AS one) o LEFT JOIN users u ON u.name = $1 LEFT JOIN user_groups g ON g.name = u.group_name"
	return s
}

// Record is a user as it logs in, with the settings of its group merged in, as of the
// change numbered Seq. User is nil if there is none of that name.
type Record struct {
	User *User
	Seq  int64
}

// Lookup finds a user by its name, which may be anything that a peer has sent.
func (s *Store) Lookup(ctx context.Context, name string) (r Record, err error) {
	if !Possible(name) { // a database would not say it as politely
		return r, nil
	}
	ctx, cancel := s.db.Context(ctx)
	defer cancel()
	u := new(User)
	var bad error
	err = s.db.QueryRowContext(ctx, s.lookup, name).Scan(append([]any{&r.Seq}, u.dest(&bad)...)...)
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && strings.HasPrefix(pg.Code, "22"):
		return r, nil // a name with characters that this database cannot have
	case err != nil:
		return r, fmt.Errorf("user database: %w", err)
	case u.Name == "": // there is none, and so all columns are NULL
		return r, nil
	case bad != nil:
		return r, bad
	}
	r.User = u
	if !s.clear {
		u.Password = nil
	}
	return r, nil
}

// dest is where a row goes. What makes no sense is left out, and the first of it told by bad.
func (u *User) dest(bad *error) (list []any) {
	for _, f := range u.fields() {
		list = append(list, scanner(func(v any) error {
			if err := f.value.Scan(v); err != nil && *bad == nil {
				*bad = &RowError{User: u.Name, Column: f.column, Err: err}
			}
			return nil
		}))
	}
	return list
}

type scanner func(any) error

func (s scanner) Scan(v any) error { return s(v) }

// Possible reports whether a user can have the name, which may be anything.
func Possible(name string) bool { return utf8.ValidString(name) && secrets.CheckName(name) == nil }

// Get finds a user by its name, without its group's settings.
func (s *Store) Get(ctx context.Context, name string) (*User, error) {
	ctx, cancel := s.db.Context(ctx)
	defer cancel()
	return s.read(s.db.QueryRowContext(ctx, s.get+" WHERE u.name = $1", name), name)
}

func (s *Store) read(row interface{ Scan(...any) error }, name string) (*User, error) {
	u := new(User)
	var bad error
	switch err := row.Scan(u.dest(&bad)...); {
	case errors.Is(err, sql.ErrNoRows):
		return nil, fmt.Errorf("user %q: %w", name, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("user database: %w", err)
	case bad != nil:
		return nil, bad
	}
	return u, nil
}

func dest(fields []field) (list []any) {
	for _, f := range fields {
		list = append(list, f.value)
	}
	return list
}

// Filter says which users are meant; the zero value is all of them.
type Filter struct {
	Match    string // is in the name
	Group    string
	Disabled bool // only those who are
}

// page is how many users are read at a time: no query is long, or has the database wait
// for a terminal.
const page = 1000

// List calls f for the users in the order of their names, until it returns an error.
func (s *Store) List(ctx context.Context, which Filter, f func(*User) error) error {
	query := s.get + ` WHERE u.name > $1 AND ($2 = '' OR LOWER(u.name) LIKE LOWER($3) ESCAPE '\')
		AND ($4 = '' OR u.group_name = $5) AND (u.disabled OR NOT $6) ORDER BY u.name LIMIT $7`
	like := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(which.Match) + "%"
	for last := ""; ; {
		users, err := s.page(ctx, query, last, which.Match, like, which.Group, which.Group, which.Disabled, page)
		if err != nil {
			return err
		}
		for _, u := range users {
			if err := f(u); err != nil {
				return err
			}
		}
		if len(users) < page {
			return nil
		}
		last = users[len(users)-1].Name
	}
}

func (s *Store) page(ctx context.Context, query string, args ...any) (users []*User, err error) {
	ctx, cancel := s.db.Context(ctx)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("user database: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		u, err := s.read(rows, "")
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("user database: %w", err)
	}
	return users, nil
}

// Fixed returns the fixed addresses of users, which the pools must not give to others. What
// is no address is its user's trouble alone.
func (s *Store) Fixed(ctx context.Context) (list []netip.Addr, err error) {
	ctx, cancel := s.db.Context(ctx)
	defer cancel()
	rows, err := s.db.QueryContext(ctx, "SELECT address FROM users WHERE address IS NOT NULL")
	if err != nil {
		return nil, fmt.Errorf("user database: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, fmt.Errorf("user database: %w", err)
		}
		var a Address
		if a.Set(text) == nil && a.IsValid() {
			list = append(list, a.Addr)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("user database: %w", err)
	}
	return list, nil
}

// write has f change users. Writers take turns, see the triggers of PostgreSQL, and so
// nobody changes what f has read.
func (s *Store) write(ctx context.Context, f func(ctx context.Context, tx *sql.Tx) error) error {
	ctx, cancel := s.db.Context(ctx)
	defer cancel()
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		if s.db.Dialect == database.Postgres {
			if _, err := tx.ExecContext(ctx, "LOCK TABLE user_changes IN EXCLUSIVE MODE"); err != nil {
				return fmt.Errorf("user database: %w", err)
			}
		}
		return f(ctx, tx)
	})
}

// Add adds a user.
func (s *Store) Add(ctx context.Context, u *User) error {
	if err := secrets.CheckName(u.Name); err != nil {
		return err
	}
	if !utf8.ValidString(u.Name) {
		return fmt.Errorf("the name %q is not UTF-8", u.Name)
	}
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		u.CreatedAt = At(time.Now())
		u.UpdatedAt = u.CreatedAt
		if err := references(ctx, tx, u); err != nil {
			return err
		}
		added, err := insert(ctx, tx, "users", u.fields())
		if err == nil && !added {
			err = fmt.Errorf("user %q %w", u.Name, ErrExists)
		}
		return err
	})
}

// Update has change alter a user; with an error of its, nothing is changed.
func (s *Store) Update(ctx context.Context, name string, change func(*User) error) error {
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		u, err := s.read(tx.QueryRowContext(ctx, s.get+" WHERE u.name = $1", name), name)
		if err != nil {
			return err
		}
		if err := change(u); err != nil {
			return err
		}
		u.UpdatedAt = At(time.Now())
		if err := references(ctx, tx, u); err != nil {
			return err
		}
		return update(ctx, tx, "users", name, u.fields())
	})
}

// references looks whether the group is there and the address is free, to say it better
// than a database would.
func references(ctx context.Context, tx *sql.Tx, u *User) error {
	var there string
	if u.Group.Valid {
		err := tx.QueryRowContext(ctx, "SELECT name FROM user_groups WHERE name = $1", u.Group.V).Scan(&there)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("group %q: %w", u.Group.V, ErrNotFound)
		}
		if err != nil {
			return fmt.Errorf("user database: %w", err)
		}
	}
	if u.Address.IsValid() {
		err := tx.QueryRowContext(ctx, "SELECT name FROM users WHERE address = $1 AND name <> $2", u.Address.String(), u.Name).Scan(&there)
		if err == nil {
			return fmt.Errorf("address %v %w: user %q", u.Address.Addr, ErrInUse, there)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("user database: %w", err)
		}
	}
	return nil
}

// Delete removes a user.
func (s *Store) Delete(ctx context.Context, name string) error {
	return s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return one(tx.ExecContext(ctx, "DELETE FROM users WHERE name = $1", name))(fmt.Errorf("user %q: %w", name, ErrNotFound))
	})
}

// SetPassword gives a user a password. A nil one leaves only its hash.
func (u *User) SetPassword(h chap.NTHash, password ppp.Secret) {
	u.NTHash, u.Password, u.PasswordExpiresAt = h, password, Time{}
}

// ChangePassword is how a user sets a new password, with the old one as proof. It fails
// with ErrChanged if old is no longer the password.
func (s *Store) ChangePassword(ctx context.Context, name string, old chap.NTHash, new *chap.NewPassword) error {
	return s.Update(ctx, name, func(u *User) error {
		if u.NTHash != old {
			return ErrChanged
		}
		u.SetPassword(new.NTHash, s.Kept(new.Password))
		return nil
	})
}

// Kept is what is kept of a password in clear: a copy, or nothing.
func (s *Store) Kept(password ppp.Secret) ppp.Secret {
	if !s.clear {
		return nil
	}
	return ppp.Secret(strings.Clone(string(password)))
}

func insert(ctx context.Context, tx *sql.Tx, table string, fields []field) (added bool, err error) {
	var columns, places []string
	for i, f := range fields {
		columns = append(columns, f.column)
		places = append(places, fmt.Sprintf("$%d", i+1))
	}
	result, err := tx.ExecContext(ctx, "INSERT INTO "+table+" ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(places, ", ")+") ON CONFLICT (name) DO NOTHING", dest(fields)...)
	if err != nil {
		return false, fmt.Errorf("user database: %w", err)
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

func update(ctx context.Context, tx *sql.Tx, table, name string, fields []field) error {
	var sets []string
	for i, f := range fields {
		sets = append(sets, fmt.Sprintf("%s = $%d", f.column, i+1))
	}
	args := append(dest(fields), name)
	query := fmt.Sprintf("UPDATE %s SET %s WHERE name = $%d", table, strings.Join(sets, ", "), len(args))
	return one(tx.ExecContext(ctx, query, args...))(ErrNotFound)
}

// one returns an error, or missing if no row was affected.
func one(result sql.Result, err error) func(missing error) error {
	return func(missing error) error {
		if err != nil {
			return fmt.Errorf("user database: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, missing)
		}
		return nil
	}
}
