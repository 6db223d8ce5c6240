package serve

import (
	"context"
	"log/slog"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/addresses"
	"github.com/gopptp/gopptp/examples/gateway/internal/login"
	"github.com/gopptp/gopptp/examples/gateway/internal/radius"
)

// measure has the metrics look at all parts of the gateway that there are.
func (g *gateway) measure() {
	m := g.metrics
	m.Server(g.server.Stats)
	m.Ready(g.ready.Ready)
	m.Log(g.LostRecords)
	m.Dataplane(g.plane)
	m.Pools(g.pools.Stats)
	m.Policy(g.policy.Stats)
	m.Bans(g.bans.Stats)
	m.Firewall(g.firewall.Snapshot)
	m.DynAuth(g.radius.orders.Stats)
	m.RADIUS(map[string]func() *radius.Client{
		"login":      func() *radius.Client { return g.radius.now.Load().client },
		"accounting": g.accounts.client.Load,
	})
	if g.database.users != nil {
		m.UserDatabase(g.database.users.Stats)
	}
	m.Accounting(g.accounts.accountant.Stats)
}

// loggedIn follows log-ins.
func (g *gateway) loggedIn(a login.Attempt) {
	g.metrics.Login(a)
	ctx, r := context.Background(), a.Request
	if !g.Log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.Any("session", r.Session), slog.Any("remote", r.Remote), slog.String("user", r.Name),
		slog.String("outcome", a.Outcome.String()), slog.Bool("radius", a.Remote), slog.Duration("took", a.Took.Round(time.Microsecond))}
	if a.Err != nil {
		attrs = append(attrs, slog.Any("error", a.Err))
	}
	g.Log.LogAttrs(ctx, slog.LevelDebug, "log-in", attrs...)
}

// draining is a check of readiness.
func (g *gateway) draining() string {
	if g.server.Draining() {
		return "draining"
	}
	return ""
}

// full is one, too.
func (g *gateway) full() string {
	if g.now().Metrics.FullIsReady || !exhausted(g.pools.Stats()) {
		return ""
	}
	return "no address is left"
}

// exhausted reports whether nothing is left in the first pool and those after it in its
// chain: that is what users get an address from who have no pool of their own.
func exhausted(pools []addresses.Stats) bool {
	byName := make(map[string]*addresses.Stats, len(pools))
	for i := range pools {
		byName[pools[i].Name] = &pools[i]
	}
	if len(pools) == 0 {
		return false
	}
	used, size := 0, 0
	for p, hops := &pools[0], 0; p != nil && hops < len(pools); p, hops = byName[p.Next], hops+1 {
		used, size = used+p.Used, size+p.Size
	}
	return size > 0 && used >= size
}
