package serve

import (
	"fmt"
	"net"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// administration is where operators come in. Its addresses are opened before anything else,
// and served once there is a gateway.
type administration struct {
	cfg     *config.Admin
	private net.Listener // nil: there is none
	events  admin.Events
	// sections are what parts of the gateway say of their state; they are added before start.
	sections []admin.Section
}

func openAdministration(cfg *config.Admin) (*administration, error) {
	a := &administration{cfg: cfg}
	if cfg.Listen.IsZero() {
		return a, nil
	}
	l, err := admin.Listen(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin address: %w", err)
	}
	a.private = l
	return a, nil
}

// close closes addresses that are not served yet.
func (a *administration) close() {
	if a.private != nil {
		a.private.Close()
	}
}

// start serves the addresses until the function that it returns.
func (a *administration) start(g *gateway) (stop func()) {
	s := admin.New(admin.Gateway{Server: g.server, Dataplane: g.plane, Live: g.live, Events: &a.events, Sections: a.sections, Reload: g.reloadNow, Log: g.Log})
	if a.private != nil {
		s.Serve(a.private)
		g.Log.Info("admin address", "listen", a.cfg.Listen.String())
	}
	return s.Close
}
