package serve

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/gopptp/gopptp/examples/gateway/internal/login"
	"github.com/gopptp/gopptp/examples/gateway/internal/usercache"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
	"github.com/gopptp/gopptp/ppp"
)

// sqlUsers are the users in an SQL database, if there is one.
type sqlUsers struct {
	users     *usercache.Users
	addresses []netip.Addr // fixed to them, as the database has last said
}

func openDatabase(o Options) (*sqlUsers, error) {
	if !o.Config.Database.Enabled() {
		return &sqlUsers{}, nil
	}
	users, err := usercache.Open(&o.Config.Database, o.Config.MethodPath(ppp.AuthCHAPMD5) != "", o.Log)
	if err != nil {
		return nil, err
	}
	o.Log.Info("user database", "database", o.Config.Database.URL)
	return &sqlUsers{users: users}, nil
}

func (d *sqlUsers) close() {
	if d.users != nil {
		d.users.Close()
	}
}

// lookups are who is asked for a user, in this order.
func (d *sqlUsers) lookups(store *users.Store) []login.Lookup {
	list := []login.Lookup{store.Lookup}
	if d.users != nil {
		list = append(list, d.users.Lookup)
	}
	return append(list, store.Anyone)
}

// fixed are the addresses that belong to users. Those that are given to users of the
// database later are theirs as long as no other session has them.
func (d *sqlUsers) fixed(store *users.Store, log *slog.Logger) []netip.Addr {
	list := slices.Clone(store.Fixed())
	if d.users == nil {
		return list
	}
	more, err := d.users.Fixed(context.Background())
	if err != nil {
		log.Warn("the pools may give away fixed addresses of users in the database, as it does not say which they are", "err", err)
		return append(list, d.addresses...)
	}
	d.addresses = more
	return append(list, more...)
}
