package serve

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/radius"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// remote is what RADIUS has to do with sessions.
type remote struct {
	now     atomic.Pointer[asked]
	orders  *radius.DynAuth
	sockets []net.PacketConn
	serving sync.WaitGroup
}

// asked is what asks RADIUS servers about users; its fields are nil where nobody is asked.
type asked struct {
	authenticator gopptp.Authenticator
	client        *radius.Client
}

// startRADIUS has RADIUS servers be asked and listened to, if there are any.
func startRADIUS(o Options, live *sessions.Registry) (*remote, error) {
	r := new(remote)
	asked, err := newAsked(o.Config, o.Log)
	if err != nil {
		return nil, err
	}
	r.now.Store(asked)
	if err := r.listen(o, identity(o.Config), live); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func identity(cfg *config.Config) radius.Identity {
	return radius.Identity{NAS: cfg.NAS(), Address: cfg.RADIUS.Address()}
}

// newAsked makes what asks the servers of a configuration, which may have none.
func newAsked(cfg *config.Config, log *slog.Logger) (*asked, error) {
	if !cfg.RADIUS.Enabled() {
		return new(asked), nil
	}
	identity := identity(cfg)
	client, err := radius.NewClient(radius.ClientConfig{
		Servers:       radiusServers(cfg.RADIUS.Servers),
		InFlight:      cfg.RADIUS.InFlight,
		Patience:      cfg.RADIUS.Patience,
		AllowUnsigned: !cfg.RADIUS.RequireMAC,
		DeadAfter:     cfg.RADIUS.DeadAfter,
		HoldDown:      cfg.RADIUS.HoldDown,
		StatusServer:  cfg.RADIUS.StatusServer,
		Identity:      identity.Attributes(),
		Source:        cfg.RADIUS.From(),
		Log:           log,
	})
	if err != nil {
		return nil, err
	}
	return &asked{client: client, authenticator: radius.NewAuthenticator(radius.AuthenticatorConfig{
		Client: client, Identity: identity, Encryption: cfg.Encryption, Own: cfg.LocalAddress, Prefixes: cfg.IPv6.Prefix.Prefix, Log: log,
	})}, nil
}

// prepare makes what asks the servers of another configuration, if that differs; nil if
// it does not.
func (r *remote) prepare(cfg *config.Config, differs bool, log *slog.Logger) (*asked, error) {
	if !differs {
		return nil, nil
	}
	return newAsked(cfg, log)
}

// replace has the servers asked of what was prepared. The function closes what asked the
// last ones; it is nil if there is no such thing.
func (r *remote) replace(next *asked) (closer func()) {
	if next == nil {
		return nil
	}
	last := r.now.Swap(next)
	if last.client == nil {
		return nil
	}
	return func() { last.client.Close() }
}

// drop is for what was prepared in vain.
func (a *asked) drop() {
	if a != nil && a.client != nil {
		a.client.Close()
	}
}

// listen takes the orders of section dynauth.
func (r *remote) listen(o Options, identity radius.Identity, live *sessions.Registry) error {
	cfg := &o.Config.DynAuth
	r.orders = radius.NewDynAuth(radius.DynAuthConfig{
		Clients: dynAuthClients(o.Config), Sessions: live, Identity: identity, AllowUndated: !cfg.RequireTimestamp, Log: o.Log,
	})
	for _, addr := range cfg.Listen {
		socket, err := net.ListenPacket("udp4", addr.String())
		if err != nil {
			return fmt.Errorf("dynauth: %w", err)
		}
		r.sockets = append(r.sockets, socket)
		r.serving.Go(func() { r.orders.Serve(socket) })
		o.Log.Info("orders of RADIUS servers are taken", "listen", socket.LocalAddr().String())
	}
	return nil
}

func dynAuthClients(cfg *config.Config) []radius.DynAuthClient {
	list := make([]radius.DynAuthClient, len(cfg.DynAuth.Clients))
	for i, c := range cfg.DynAuth.Clients {
		list[i] = radius.DynAuthClient{Source: c.Source, Secret: string(c.Secret)}
	}
	return list
}

// stop takes no orders any more, and ends all questions.
func (r *remote) stop() {
	for _, s := range r.sockets {
		s.Close()
	}
	r.serving.Wait()
	r.now.Load().drop()
}

// sections are what operators can see of it.
func (r *remote) sections() (list []admin.Section) {
	list = append(list, admin.Section{Name: "radius", Snapshot: func() any {
		if client := r.now.Load().client; client != nil {
			return client.Stats()
		}
		return radius.ClientStats{}
	}})
	if len(r.sockets) > 0 {
		list = append(list, admin.Section{Name: "dynauth", Snapshot: func() any { return r.orders.Stats() }})
	}
	return list
}

// radiusServers are those of a list.
func radiusServers(list []config.RADIUSServer) []radius.ServerConfig {
	servers := make([]radius.ServerConfig, len(list))
	for i, s := range list {
		servers[i] = radius.ServerConfig{
			Address: s.Address, Secret: string(s.Secret), TLS: s.TLS.Client(),
			Priority: s.Priority, Weight: s.Weight, Timeout: s.Timeout, Tries: s.Tries,
		}
	}
	return servers
}
