package serve

import (
	"fmt"
	"reflect"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/firewall"
)

// openFirewall makes the gateway's table in the host's firewall, if there is to be one. The
// firewall is to be told of banned sources.
func (g *gateway) openFirewall() (err error) {
	cfg := g.Config
	if err := forward(nil, cfg); err != nil {
		return err
	}
	g.firewall, err = firewall.Open(firewall.Config{Settings: firewallSettings(cfg), Namespace: g.firewallNamespace, Log: g.Log})
	if err != nil {
		return err
	}
	g.onClose(func() {
		if err := g.firewall.Close(); err != nil {
			g.Log.Error("firewall", "error", err)
		}
	})
	g.operators.sections = append(g.operators.sections, admin.Section{Name: "firewall", Snapshot: func() any {
		s, err := g.firewall.Snapshot()
		if err != nil {
			return map[string]string{"error": err.Error()}
		}
		return s
	}})
	if cfg.Firewall.Enabled {
		g.Log.Info("firewall", "table", cfg.Firewall.Table, "gre_from_peers_only", cfg.Firewall.PeersOnly, "masquerade", join(cfg.Masqueraded()))
	}
	return nil
}

// reloadFirewall takes the settings of a configuration, where they differ.
func (g *gateway) reloadFirewall(old, cfg *config.Config) error {
	if err := forward(old, cfg); err != nil {
		return err
	}
	from, to := firewallSettings(old), firewallSettings(cfg)
	if reflect.DeepEqual(from, to) {
		return nil
	}
	if err := g.firewall.Reload(to); err != nil {
		return fmt.Errorf("section firewall: %w", err)
	}
	return nil
}

// forward switches forwarding on if a configuration wants it that the old one, if any, has not.
func forward(old, cfg *config.Config) error {
	wants := func(c *config.Config) bool { return c != nil && c.Firewall.Enabled && c.Firewall.Forwarding }
	if !wants(cfg) || wants(old) {
		return nil
	}
	return firewall.Forward(cfg.IPv6.Enabled())
}

func firewallSettings(cfg *config.Config) firewall.Settings {
	s := firewall.Settings{
		Enabled: cfg.Firewall.Enabled, Table: cfg.Firewall.Table, PeersOnly: cfg.Firewall.PeersOnly,
		Masquerade: firewall.Disjoint(cfg.Masqueraded()), Interfaces: cfg.Firewall.NAT.Interfaces,
		Tunnels: cfg.Tunnels(), ClampMSS: cfg.Clamped(),
	}
	for _, l := range cfg.Listen {
		s.Ports = append(s.Ports, l.Port())
	}
	return s
}
