package usercache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/database"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

// Users is the users of a database, remembered, as those who log in need them.
type Users struct {
	db    *database.DB
	store *userdb.Store
	cache *Cache
}

// Open returns the users of the database of cfg, and brings its tables up to date. One
// that does not answer now is asked again later. With clear, passwords in clear are
// looked up and kept, for CHAP-MD5.
func Open(cfg *config.Database, clear bool, log *slog.Logger) (*Users, error) {
	db, err := database.Open(cfg)
	if err != nil {
		return nil, err
	}
	u := &Users{db: db, store: userdb.New(db, clear)}
	s := &source{Store: u.store, db: db}
	switch err := db.Prepare(context.Background()); {
	case err == nil:
	case db.Unreachable(err):
		log.Warn("the user database does not answer; the gateway goes on without it until it does", "database", cfg.URL, "err", err)
	default:
		db.Close()
		return nil, fmt.Errorf("database %v: %w", cfg.URL, err)
	}
	if u.cache, err = New(s, cfg.Cache, clear, log); err != nil {
		db.Close()
		return nil, err
	}
	return u, nil
}

// Close closes the database.
func (u *Users) Close() {
	u.cache.Close()
	u.db.Close()
}

// source is the store of a database whose tables may not be up to date yet.
type source struct {
	*userdb.Store
	db *database.DB
}

// Changes brings the tables up to date first, if that has not been done.
func (s *source) Changes(ctx context.Context, since int64) ([]userdb.Change, bool, int64, error) {
	if err := s.db.Prepare(ctx); err != nil {
		return nil, false, since, err
	}
	return s.Store.Changes(ctx, since)
}

// Lookup finds a user by its very name: nil is no such user. One who is disabled or has
// expired is known, and cannot come in.
func (u *Users) Lookup(ctx context.Context, name string) (*gopptp.LocalUser, error) {
	if !userdb.Possible(name) { // and not worth remembering
		return nil, nil
	}
	user, err := u.cache.Get(ctx, name)
	if user == nil || err != nil {
		return nil, err
	}
	l := user.LocalUser(time.Now())
	l.ChangePassword = func(ctx context.Context, new *chap.NewPassword) error {
		if len(new.Password) == 0 {
			return errors.New("the new password is empty")
		}
		defer u.cache.Forget(name) // also where it turns out to be another's
		return u.store.ChangePassword(ctx, name, user.NTHash, new)
	}
	return l, nil
}

// News has a value when users have been changed, or when it is not known whether they have
// been, as at first.
func (u *Users) News() <-chan struct{} { return u.cache.news }

// Fixed returns the fixed addresses of users, which the pools must not give to others.
func (u *Users) Fixed(ctx context.Context) ([]netip.Addr, error) { return u.store.Fixed(ctx) }

// Stats returns the figures of the cache.
func (u *Users) Stats() Stats { return u.cache.Stats() }
