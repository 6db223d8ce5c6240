package serve

import (
	"fmt"
	"log/slog"
	"net"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// administration is where operators come in. Its addresses are opened before anything else,
// and served once there is a gateway.
type administration struct {
	cfg     *config.Admin
	private net.Listener // nil: there is none
	web     *admin.Web   // nil: there is none
	metrics []net.Listener
	events  admin.Events
	// sections are what parts of the gateway say of their state; they are added before start.
	sections []admin.Section
}

func openAdministration(all *config.Config, log *slog.Logger) (a *administration, err error) {
	cfg := &all.Admin
	a = &administration{cfg: cfg}
	for _, addr := range all.Metrics.Listen {
		l, err := net.Listen("tcp4", addr.String())
		if err != nil {
			a.close()
			return nil, fmt.Errorf("metrics.listen: %w", err)
		}
		a.metrics = append(a.metrics, l)
	}
	if !cfg.Listen.IsZero() {
		if a.private, err = admin.Listen(cfg.Listen, cfg.Group); err != nil {
			a.close()
			return nil, fmt.Errorf("admin address: %w", err)
		}
	}
	if cfg.Web.Listen.IsValid() {
		if a.web, err = admin.ListenWeb(&cfg.Web, log); err != nil {
			a.close()
			return nil, fmt.Errorf("admin.web: %w", err)
		}
	}
	return a, nil
}

// close closes addresses that are not served yet.
func (a *administration) close() {
	if a.private != nil {
		a.private.Close()
	}
	if a.web != nil {
		a.web.Close()
	}
	for _, l := range a.metrics {
		l.Close()
	}
}

// start serves the addresses until the function that it returns.
func (a *administration) start(g *gateway) (stop func()) {
	s := admin.New(admin.Gateway{
		Server: g.server, Dataplane: g.plane, Live: g.live, Events: &a.events, Sections: a.sections, Bans: g.bans, Reload: g.reloadNow,
		Metrics: g.metrics.Handler(), Ready: g.ready, Log: g.Log,
	})
	if a.private != nil {
		s.Serve(a.private)
		g.Log.Info("admin address", "listen", a.cfg.Listen.String())
	}
	if a.web != nil {
		s.ServeWeb(a.web)
		g.Log.Info("admin page", "listen", a.web.Addr().String(), "tls", a.cfg.Web.Certificate != "")
	}
	for _, l := range a.metrics {
		s.ServeMonitoring(l)
		g.Log.Info("metrics", "listen", l.Addr().String())
	}
	return s.Close
}
