package serve

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/addresses"
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

// fixed are the addresses that belong to users, as last read.
func (d *sqlUsers) fixed(store *users.Store) []netip.Addr {
	return slices.Concat(store.Fixed(), d.addresses)
}

// read has the database say which addresses are fixed to users, and reports whether it has
// said something else before.
func (d *sqlUsers) read(ctx context.Context) (changed bool, err error) {
	if d.users == nil {
		return false, nil
	}
	list, err := d.users.Fixed(ctx) // which takes no longer than database.timeout
	if err != nil {
		return false, err
	}
	slices.SortFunc(list, netip.Addr.Compare)
	changed = !slices.Equal(list, d.addresses)
	d.addresses = list
	return changed, nil
}

// fixedPause is how long changes of users are gathered before it is read what is fixed.
const fixedPause = 10 * time.Second

// followFixed keeps what is fixed to users of the database from others, from soon after it
// is. Before that it is theirs as long as no other session has it.
func (g *gateway) followFixed() (stop func()) {
	if g.database.users == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for known := true; ; {
			if known {
				select {
				case <-g.database.users.News():
				case <-ctx.Done():
					return
				}
			}
			known = g.refix(ctx)
			select {
			case <-time.After(fixedPause):
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// refix reports whether it is known what is fixed.
func (g *gateway) refix(ctx context.Context) bool {
	if !g.reloading.TryLock() { // a reload reads it itself, and may take long
		return false
	}
	defer g.reloading.Unlock()
	changed, err := g.database.read(ctx)
	if err != nil || !changed {
		return err == nil
	}
	if err := g.pools.Reload(addresses.FromConfig(g.current.cfg, g.database.fixed(g.current.users))); err != nil {
		g.Log.Error("addresses that are fixed to users in the database are not kept from others", "err", err)
		return true
	}
	g.Log.Info("addresses are kept for users in the database to whom they are fixed", "addresses", len(g.database.addresses))
	return true
}
