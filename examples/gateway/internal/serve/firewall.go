package serve

import (
	"fmt"
	"net/netip"
	"reflect"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/firewall"
)

// openFirewall makes the gateway's table in the host's firewall, if there is to be one. It
// returns who is to be told of banned sources: nil is nobody.
func (g *gateway) openFirewall() (banned func(netip.Prefix, time.Time), err error) {
	cfg := g.Config
	if !cfg.Firewall.Enabled {
		return nil, nil
	}
	if cfg.Firewall.Forwarding {
		if err := firewall.Forward(cfg.IPv6.Enabled()); err != nil {
			return nil, err
		}
	}
	f, err := firewall.Open(firewall.Config{Settings: firewallSettings(cfg), Namespace: g.firewallNamespace, Log: g.Log})
	if err != nil {
		return nil, err
	}
	g.firewall = f
	g.onClose(func() {
		if err := f.Close(); err != nil {
			g.Log.Error("firewall", "error", err)
		}
	})
	g.operators.sections = append(g.operators.sections, admin.Section{Name: "firewall", Snapshot: func() any {
		s, err := f.Snapshot()
		if err != nil {
			return map[string]string{"error": err.Error()}
		}
		return s
	}})
	g.Log.Info("firewall", "table", cfg.Firewall.Table, "gre_from_peers_only", cfg.Firewall.PeersOnly, "masquerade", join(cfg.Masqueraded()))
	return f.Ban, nil
}

// reloadFirewall takes the settings of a configuration, where they differ.
func (g *gateway) reloadFirewall(old, cfg *config.Config) error {
	from, to := firewallSettings(old), firewallSettings(cfg)
	if g.firewall == nil || reflect.DeepEqual(from, to) {
		return nil
	}
	if err := g.firewall.Reload(to); err != nil {
		return fmt.Errorf("section firewall: %w", err)
	}
	return nil
}

func firewallSettings(cfg *config.Config) firewall.Settings {
	s := firewall.Settings{
		Table: cfg.Firewall.Table, PeersOnly: cfg.Firewall.PeersOnly,
		Masquerade: firewall.Disjoint(cfg.Masqueraded()), Interfaces: cfg.Firewall.NAT.Interfaces,
		Tunnels: cfg.Tunnels(), ClampMSS: cfg.Clamped(),
	}
	for _, l := range cfg.Listen {
		s.Ports = append(s.Ports, l.Port())
	}
	return s
}
