package serve

import (
	"fmt"
	"net"
	"sync"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/radius"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// remote is what RADIUS has to do with sessions.
type remote struct {
	authenticator gopptp.Authenticator // nil: nobody is asked

	client  *radius.Client // the same
	orders  *radius.DynAuth
	sockets []net.PacketConn
	serving sync.WaitGroup
}

// startRADIUS has RADIUS servers be asked and listened to, if there are any.
func startRADIUS(o Options, live *sessions.Registry) (*remote, error) {
	cfg := o.Config
	r := new(remote)
	identity := radius.Identity{NAS: cfg.NAS(), Address: cfg.RADIUS.Address()}
	if cfg.RADIUS.Enabled() {
		client, err := radius.NewClient(radius.ClientConfig{
			Servers:       radiusServers(cfg.RADIUS.Servers),
			InFlight:      cfg.RADIUS.InFlight,
			Patience:      cfg.RADIUS.Patience,
			AllowUnsigned: !cfg.RADIUS.RequireMAC,
			DeadAfter:     cfg.RADIUS.DeadAfter,
			HoldDown:      cfg.RADIUS.HoldDown,
			StatusServer:  cfg.RADIUS.StatusServer,
			Identity:      identity.Attributes(),
			Log:           o.Log,
		})
		if err != nil {
			return nil, err
		}
		r.client = client
		r.authenticator = radius.NewAuthenticator(radius.AuthenticatorConfig{
			Client: client, Identity: identity, Encryption: cfg.Encryption, Own: cfg.LocalAddress, Log: o.Log,
		})
	}
	if err := r.listen(o, identity, live); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

// listen takes the orders of section dynauth.
func (r *remote) listen(o Options, identity radius.Identity, live *sessions.Registry) error {
	cfg := &o.Config.DynAuth
	c := radius.DynAuthConfig{Sessions: live, Identity: identity, AllowUndated: !cfg.RequireTimestamp, Log: o.Log}
	for _, client := range cfg.Clients {
		c.Clients = append(c.Clients, radius.DynAuthClient{Source: client.Source, Secret: string(client.Secret)})
	}
	r.orders = radius.NewDynAuth(c)
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

// stop takes no orders any more, and ends all questions.
func (r *remote) stop() {
	for _, s := range r.sockets {
		s.Close()
	}
	r.serving.Wait()
	if r.client != nil {
		r.client.Close()
	}
}

// sections are what operators can see of it.
func (r *remote) sections() (list []admin.Section) {
	if r.client != nil {
		list = append(list, admin.Section{Name: "radius", Snapshot: func() any { return r.client.Stats() }})
	}
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
