package serve

import (
	"fmt"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/bans"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// openBans has the listeners keep banned sources out, and the firewall.
func (g *gateway) openBans() (err error) {
	cfg := &g.Config.Bans
	g.bans, err = bans.New(bans.Config{
		Settings:    banSettings(cfg),
		HasSessions: g.live.HasSource, Changed: g.firewall.Ban, Log: g.Log,
		Banned: func(b admin.Ban) { g.operators.events.Publish(admin.BanEvent(b, b.Reason)) },
	})
	if err != nil {
		return fmt.Errorf("bans: %w", err)
	}
	g.onClose(g.bans.Close)
	g.listeners.wrap(g.bans.Listener)
	g.operators.sections = append(g.operators.sections, admin.Section{Name: "bans", Snapshot: func() any { return g.bans.Stats() }})
	return nil
}

func banSettings(cfg *config.Bans) bans.Settings {
	return bans.Settings{
		Rules: bans.Rules{
			Automatic: cfg.Automatic, Failures: cfg.Failures, SourceFailures: cfg.SourceFailures, Patience: cfg.Patience,
			Window: cfg.Window, Duration: cfg.Duration, MaxDuration: cfg.MaxDuration, Allow: cfg.Allow,
		},
		Size: cfg.Size, File: cfg.File,
	}
}
