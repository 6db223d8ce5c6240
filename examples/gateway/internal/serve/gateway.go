package serve

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/addresses"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/bans"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/firewall"
	"github.com/gopptp/gopptp/examples/gateway/internal/login"
	"github.com/gopptp/gopptp/examples/gateway/internal/metrics"
	"github.com/gopptp/gopptp/examples/gateway/internal/policy"
	"github.com/gopptp/gopptp/examples/gateway/internal/readiness"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
)

// gateway is all that a running gateway consists of.
type gateway struct {
	Options // with what was configured at first; see now

	listeners *listeners
	operators *administration
	metrics   *metrics.Metrics
	observer  gopptp.Observer // of metrics, and then of live
	ready     *readiness.Gate
	plane     gopptp.Dataplane
	live      *sessions.Registry
	firewall  *firewall.Firewall
	bans      *bans.Bans
	database  *sqlUsers
	radius    *remote
	accounts  *accounts
	pools     *addresses.Pools
	six       *gopptp.IPv6Pool // nil: there is no IPv6
	policy    *policy.Policy
	gate      *login.Switch
	server    *gopptp.Server

	closers []func() // what is to be undone, the last first

	loading   sync.Mutex // held by reload, which may hang as long as files do
	reloading sync.Mutex // held while things are replaced, within loading
	stopped   bool       // nothing is reloaded any more; guarded by reloading
	mu        sync.Mutex
	current   state
}

// state is what the gateway goes by now.
type state struct {
	cfg   *config.Config
	users *users.Store
}

// open makes a gateway that does not serve yet. It is to be closed, with an error, too.
func open(o Options) (*gateway, error) {
	g := &gateway{Options: o, current: state{o.Config, o.Users}, live: sessions.New(), metrics: metrics.New(o.Log), ready: readiness.New()}
	g.observer = g.metrics.Observer(g.live)
	cfg := o.Config
	var err error
	// Ports are the first thing, as another gateway that runs already holds them.
	g.listeners, err = listen(cfg.Listen, o.Listen, g.Log)
	g.onClose(g.listeners.close)
	if err != nil {
		return g, err
	}
	if g.operators, err = openAdministration(cfg, g.Log); err != nil {
		return g, err
	}
	g.onClose(g.operators.close)
	if g.plane, err = o.OpenDataplane(); err != nil {
		return g, fmt.Errorf("data plane: %w", err)
	}
	g.onClose(func() { g.plane.Close() })
	g.live.Watch(logSessions(o.Log))
	g.live.Watch(g.operators.events.SessionEvent)
	g.live.Watch(g.metrics.SessionEvent)
	if err = g.openFirewall(); err != nil {
		return g, err
	}
	if err = g.openBans(); err != nil {
		return g, err
	}
	g.listeners.wrap(g.firewall.Listener) // of those who are let in; there may be a table later
	if g.database, err = openDatabase(o); err != nil {
		return g, err
	}
	g.onClose(g.database.close) // once nobody logs in any more
	if g.radius, err = startRADIUS(o, g.live); err != nil {
		return g, err
	}
	g.onClose(g.radius.stop)
	g.operators.sections = append(g.operators.sections, admin.Section{Name: "pools", Snapshot: func() any { return g.pools.Stats() }})
	g.operators.sections = append(g.operators.sections, g.radius.sections()...)
	if err = g.newServer(); err != nil {
		return g, err
	}
	if g.accounts, err = startAccounting(o, g.live); err != nil {
		return g, err
	}
	g.onClose(func() { g.accounts.stop(g.now(), o.Log) }) // once the sessions are over
	g.operators.sections = append(g.operators.sections, g.accounts.section())
	g.onClose(startQuotas(o, g.live))
	g.measure()
	g.onClose(g.operators.start(g)) // tells of the end, too
	return g, nil
}

func (g *gateway) onClose(f func()) { g.closers = append(g.closers, f) }

func (g *gateway) close() {
	for _, f := range slices.Backward(g.closers) {
		f()
	}
}

// now is the configuration that holds.
func (g *gateway) now() *config.Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current.cfg
}

// newServer makes the server and what it asks.
func (g *gateway) newServer() (err error) {
	cfg := g.Config
	if g.pools, err = addresses.New(g.pooled(cfg, g.Users), g.Log); err != nil {
		return err
	}
	g.onClose(g.pools.Close) // once the sessions are over
	g.onClose(g.followFixed())
	if cfg.IPv6.Enabled() {
		if g.six, err = gopptp.NewIPv6Pool(cfg.IPv6.Prefix.Prefix, cfg.IPv6.Own()); err != nil {
			return err
		}
	}
	g.policy = policy.New(cfg, g.live, g.pools, g.Log)
	g.gate = login.NewSwitch(g.logins(g.Users))
	if g.server, err = gopptp.NewServer(g.serverConfig(cfg)); err != nil {
		return err
	}
	g.policy.Attach(g.server.Session)
	return nil
}

// pooled is what the pools are by a configuration.
func (g *gateway) pooled(cfg *config.Config, store *users.Store) addresses.Config {
	if _, err := g.database.read(context.Background()); err != nil {
		g.Log.Warn("until the database says which addresses are fixed to its users, they may be given to others", "err", err)
	}
	return addresses.FromConfig(cfg, g.database.fixed(store))
}

// logins decides about users of a store, and of all others.
func (g *gateway) logins(store *users.Store) gopptp.Authenticator {
	return login.New(login.Config{Local: g.database.lookups(store), Remote: g.radius.now.Load().authenticator, Guard: g.bans, Admit: g.policy.Admit, Observe: g.loggedIn})
}

// serverConfig is what the server is by a configuration. What it asks stays the same.
func (g *gateway) serverConfig(cfg *config.Config) gopptp.ServerConfig {
	server := gopptp.ServerConfig{
		Dataplane:     g.plane,
		Authenticator: g.gate,
		Pool:          g.pools,
		LocalAddress:  cfg.LocalAddress,
		DNS:           cfg.DNS,
		NBNS:          cfg.WINS,

		AuthMethods:     cfg.AuthMethods,
		Reauthenticate:  cfg.Reauthenticate,
		Encryption:      cfg.Encryption,
		KeyLengths:      cfg.KeyLengths(),
		EncryptionModes: cfg.Modes(),

		MTU:          cfg.MTU,
		Name:         cfg.Name,
		Limits:       cfg.Limits.Server(),
		EchoInterval: cfg.Echo.Interval,
		EchoFailures: cfg.Echo.Failures,
		Observer:     g.observer,
		Logger:       g.Log,
		Loops:        cfg.Loops,
	}
	if g.six != nil {
		server.IPv6 = &gopptp.IPv6Config{Pool: g.six, DNS: cfg.IPv6.Servers()}
	}
	return server
}
