package serve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
	"github.com/gopptp/gopptp/ppp"
)

// taken are the keys, with all that is within them, that a running gateway can change.
// Others take a restart: what they say is open, or names the gateway to others.
var taken = []string{
	"listen", "pools", "dns", "wins", "ipv6.dns", "auth_methods", "reauthenticate", "encryption", "mppe_key_lengths",
	"mppe_modes", "mtu", "secrets_file", "users", "groups", "policy", "radius.servers", "radius.source", "radius.patience",
	"radius.in_flight", "radius.require_message_authenticator", "radius.dead_after", "radius.hold_down",
	"radius.status_server", "dynauth.clients", "dynauth.require_event_timestamp", "accounting", "bans", "firewall",
	"echo", "limits", "stop_timeout", "log.level",
	"metrics.full_is_ready",
}

// isTaken reports whether a key is one of taken, or within one.
func isTaken(key string) bool {
	return slices.ContainsFunc(taken, func(t string) bool {
		rest, within := strings.CutPrefix(key, t)
		return within && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// maxTold bounds how many changes are told one by one.
const maxTold = 200

// reloadNow is for operators.
func (g *gateway) reloadNow(context.Context) ([]string, error) { return g.reload() }

// reload takes the configuration anew, as a whole: with an error nothing has changed. It
// says what has, a line a change. Sessions that are up go on.
func (g *gateway) reload() (changes []string, err error) {
	if g.Load == nil {
		return nil, errors.New("this gateway was started without a configuration that it could read anew")
	}
	g.loading.Lock()
	defer g.loading.Unlock()
	cfg, store, problems := g.Load()
	g.reloading.Lock()
	defer g.reloading.Unlock()
	if g.stopped {
		return nil, errors.New("the gateway is stopping")
	}
	g.Manager.Reloading()
	defer g.Manager.Ready()
	changes, err = g.take(cfg, store, problems)
	if err != nil {
		g.Log.Error("the configuration is not taken, and nothing has changed")
		var problems diag.Problems
		if !errors.As(err, &problems) {
			g.Log.Error("configuration", "problem", err)
		}
		for _, p := range problems {
			g.Log.Error("configuration", "problem", p)
		}
		return nil, err
	}
	changes = bounded(changes)
	for _, c := range changes {
		g.Log.Info("configuration", "change", c)
	}
	g.Log.Info("configuration taken anew", "changes", len(changes))
	return changes, nil
}

// take has the gateway go by another configuration. What may fail comes first, and is
// undone if something after it does.
func (g *gateway) take(cfg *config.Config, store *users.Store, problems diag.Problems) ([]string, error) {
	if wrong := problems.Errors(); len(wrong) > 0 {
		return nil, wrong
	}
	for _, p := range problems {
		g.Log.Warn("configuration", "problem", p)
	}
	old := g.current // only changed here
	if cfg.IsEmpty() && !old.cfg.IsEmpty() {
		return nil, diag.Problems{cfg.At("", "has nothing in it any more, as while somebody writes it")}
	}
	differences := config.Diff(old.cfg, cfg)
	if wrong := g.unchangeable(old.cfg, cfg, differences); len(wrong) > 0 {
		return nil, wrong
	}
	within := func(section string) bool {
		return slices.ContainsFunc(differences, func(c config.Change) bool { return strings.HasPrefix(c.Key, section) })
	}
	var undo []func()
	fail := func(err error) ([]string, error) {
		for _, f := range slices.Backward(undo) {
			f()
		}
		return nil, err
	}

	servers, err := g.radius.prepare(cfg, within("radius.") || within("encryption"), g.Log)
	if err != nil {
		return fail(err)
	}
	undo = append(undo, servers.drop)
	accounting, takeAccounting, err := g.accounts.prepare(cfg, within("accounting.servers") || within("radius.source"), g.Log)
	if err != nil {
		return fail(err)
	}
	undo = append(undo, accounting.Drop)
	if err := g.pools.Reload(g.pooled(cfg, store)); err != nil {
		return fail(err)
	}
	undo = append(undo, func() { _ = g.pools.Reload(g.pooled(old.cfg, old.users)) }) // was good
	if err := g.routePools(cfg); err != nil {
		return fail(err)
	}
	undo = append(undo, func() { _ = g.routePools(old.cfg) }) // was good
	if err := g.reloadFirewall(old.cfg, cfg); err != nil {
		return fail(err)
	}
	undo = append(undo, func() { _ = g.reloadFirewall(cfg, old.cfg) }) // was good
	listening, err := g.listeners.prepare(cfg.Listen)
	if err != nil {
		return fail(err)
	}
	undo = append(undo, listening.drop)
	if err := g.server.Reconfigure(g.serverConfig(cfg)); err != nil {
		return fail(err)
	}

	// Nothing fails any more.
	listening.finish()
	g.policy.Reload(cfg)
	g.bans.Reload(banSettings(&cfg.Bans))
	closer := g.radius.replace(servers)
	g.gate.Set(g.logins(store), closer)
	g.radius.orders.Reload(dynAuthClients(cfg), !cfg.DynAuth.RequireTimestamp)
	takeAccounting()
	if g.Level != nil {
		g.Level.Set(cfg.Log.Level)
	}
	g.mu.Lock()
	g.current = state{cfg, store}
	g.mu.Unlock()

	var changes []string
	for _, c := range differences {
		changes = append(changes, c.String())
	}
	return append(changes, users.Diff(old.users, store)...), nil
}

// routePools has the data plane route the pools as a whole, if that is how it does it.
func (g *gateway) routePools(cfg *config.Config) error {
	if plane, ok := g.plane.(interface{ SetPrefixes([]netip.Prefix) error }); ok {
		return plane.SetPrefixes(cfg.Networks())
	}
	return nil
}

// unchangeable says which changes need a restart.
func (g *gateway) unchangeable(old, cfg *config.Config, changes []config.Change) (wrong diag.Problems) {
	for _, c := range changes {
		why := ""
		switch {
		case !isTaken(c.Key):
			why = "cannot change while the gateway runs"
		case c.Key == "auth_methods" && cfg.Database.Enabled() && (old.MethodPath(ppp.AuthCHAPMD5) != "") != (cfg.MethodPath(ppp.AuthCHAPMD5) != ""):
			why = "cannot gain or lose chap-md5 while the gateway runs, as it means other secrets of the database"
		case c.Key == "accounting.directory" && g.accounts.accountant.HasQueue():
			why = "cannot change while the gateway runs, as the queue is in it"
		}
		if why != "" {
			value := ""
			if c.From != c.To {
				value = fmt.Sprintf(" (%s, now %s)", c.From, c.To)
			}
			wrong.Add(cfg.At(c.Key, why+value+": it takes a restart"))
		}
	}
	return wrong
}

// bounded leaves out of a long list what nobody would read.
func bounded(changes []string) []string {
	if more := len(changes) - maxTold; more > 0 {
		changes = append(changes[:maxTold:maxTold], fmt.Sprintf("and %d more", more))
	}
	return changes
}
