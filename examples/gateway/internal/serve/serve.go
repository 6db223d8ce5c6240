// Package serve is the running gateway: it starts a gopptp.Server with what the
// configuration says, logs what its sessions do, and stops it in order.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/addresses"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/login"
	"github.com/gopptp/gopptp/examples/gateway/internal/policy"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
)

// Options is what Run needs.
type Options struct {
	Config *config.Config
	Users  *users.Store
	Log    *slog.Logger
	// Signals order to stop: the first one to end all sessions, the second to
	// drop them.
	Signals <-chan os.Signal
	// OpenDataplane opens the data plane, which Run closes.
	OpenDataplane func() (gopptp.Dataplane, error)
	// Listen replaces net.Listen, for tests. Nil: it does not.
	Listen func(addr netip.AddrPort) (net.Listener, error)
}

// Run is the gateway, until an order to stop (nil) or a failure.
func Run(o Options) error {
	o.Log.Warn("PPTP is broken: passwords and traffic can be had from a recording of it, and MPPE does not protect integrity; serve only what can do nothing better")

	// Ports are the first thing, as another gateway that runs already holds
	// them.
	listeners, err := listen(o)
	if err != nil {
		return err
	}
	operators, err := openAdministration(&o.Config.Admin)
	if err != nil {
		closeAll(listeners)
		return err
	}
	closeListeners := func() {
		closeAll(listeners)
		operators.close()
	}
	plane, err := o.OpenDataplane()
	if err != nil {
		closeListeners()
		return fmt.Errorf("data plane: %w", err)
	}
	defer plane.Close()
	live := sessions.New()
	live.Watch(logSessions(o.Log))
	live.Watch(operators.events.SessionEvent)
	database, err := openDatabase(o)
	if err != nil {
		closeListeners()
		return err
	}
	defer database.close() // once nobody logs in any more
	servers, err := startRADIUS(o, live)
	if err != nil {
		closeListeners()
		return err
	}
	defer servers.stop()
	operators.sections = append(operators.sections, servers.sections()...)
	core, err := newCore(o, plane, live, database, servers.authenticator)
	if err != nil {
		closeListeners()
		return err
	}
	server := core.server
	accounts, err := startAccounting(o, live)
	if err != nil {
		closeListeners()
		return err
	}
	defer accounts.stop(o) // once the sessions are over
	defer startQuotas(o, live)()

	defer operators.start(o, server, plane, live)() // tells of the end, too
	failed := make(chan error, len(listeners))
	addrs := make([]net.Addr, len(listeners))
	for i, l := range listeners {
		addrs[i] = l.Addr()
		go func() {
			if err := server.Serve(context.Background(), l); !errors.Is(err, gopptp.ErrServerClosed) {
				failed <- err
			}
		}()
	}
	o.Log.Info("ready", "listen", join(addrs), "local", o.Config.LocalAddress,
		"pools", join(o.Config.Pools), "auth_methods", join(o.Config.AuthMethods), "encryption", o.Config.Encryption, "users", o.Users.Len())

	select {
	case sig := <-o.Signals:
		stop(o, server, sig)
		return nil
	case err := <-failed:
		server.Close()
		return err
	}
}

func listen(o Options) (listeners []net.Listener, err error) {
	open := o.Listen
	if open == nil {
		open = func(addr netip.AddrPort) (net.Listener, error) { return net.Listen("tcp4", addr.String()) }
	}
	for _, addr := range o.Config.Listen {
		l, err := open(addr)
		if err != nil {
			closeAll(listeners)
			return nil, err
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close()
	}
}

// core is the server, and what it is made of that others look at.
type core struct {
	server *gopptp.Server
	pools  *addresses.Pools
	policy *policy.Policy
}

func newCore(o Options, plane gopptp.Dataplane, live *sessions.Registry, database *sqlUsers, remote gopptp.Authenticator) (*core, error) {
	cfg := o.Config
	pools, err := addresses.New(addresses.FromConfig(cfg, database.fixed(o)), o.Log)
	if err != nil {
		return nil, err
	}
	six, err := ipv6(&cfg.IPv6)
	if err != nil {
		return nil, err
	}
	who := policy.New(cfg, live, pools, o.Log)
	server, err := gopptp.NewServer(gopptp.ServerConfig{
		Dataplane:     plane,
		Authenticator: login.New(login.Config{Local: database.lookups(o), Remote: remote, Admit: who.Admit}),
		Pool:          pools,
		LocalAddress:  cfg.LocalAddress,
		DNS:           cfg.DNS,
		NBNS:          cfg.WINS,
		IPv6:          six,

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
		Observer:     live,
		Logger:       o.Log,
		Loops:        cfg.Loops,
	})
	if err != nil {
		return nil, err
	}
	who.Attach(server.Session)
	return &core{server, pools, who}, nil
}

// ipv6 is nil if sessions are to have none.
func ipv6(cfg *config.IPv6) (*gopptp.IPv6Config, error) {
	if !cfg.Enabled() {
		return nil, nil
	}
	pool, err := gopptp.NewIPv6Pool(cfg.Prefix.Prefix, cfg.Own())
	if err != nil {
		return nil, err
	}
	return &gopptp.IPv6Config{Pool: pool, DNS: cfg.Servers()}, nil
}

// stop ends the sessions in order, for stop_timeout or until a second signal.
func stop(o Options, server *gopptp.Server, sig os.Signal) {
	timeout := o.Config.StopTimeout
	o.Log.Info("stopping", "signal", sig, "sessions", server.Stats().Sessions, "timeout", timeout)
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- server.Shutdown(ctx) }()
	select {
	case sig := <-o.Signals:
		o.Log.Warn("dropping what is left", "signal", sig, "sessions", server.Stats().Sessions)
		server.Close()
	case err := <-done:
		if err != nil {
			o.Log.Warn("stop_timeout is over, sessions were dropped", "timeout", timeout)
		}
	}
	o.Log.Info("stopped", "took", time.Since(begin).Round(time.Millisecond))
}

// join lists things with spaces.
func join[T fmt.Stringer](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = v.String()
	}
	return strings.Join(texts, " ")
}
