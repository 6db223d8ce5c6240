// Package serve is the running gateway: it starts a gopptp.Server with what the
// configuration says, logs what its sessions do, takes another configuration when it is
// told to, and stops in order.
//
// A part of the gateway has a file here, which says how it is made of the configuration.
package serve

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
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
	// Listen replaces net.Listen, for tests and for sockets that are open already. Nil:
	// it does not.
	Listen func(addr netip.AddrPort) (net.Listener, error)

	// Load reads and checks the configuration anew, when Hangups say so, or an operator.
	// Nil: there is no such thing.
	Load    func() (*config.Config, *users.Store, diag.Problems)
	Hangups <-chan os.Signal
	// Level is that of Log, which follows the configuration. Nil: it does not.
	Level *slog.LevelVar
	// LostRecords is how many records the log has lost. Nil: none are.
	LostRecords func() uint64
	// Manager is told what the gateway is doing. Nil: nobody is.
	Manager Manager

	firewallNamespace int // for tests; see firewall.Config
}

// Manager is what runs the gateway as a service, and wants to know how it is.
type Manager interface {
	// Ready is when the gateway serves, or has taken a configuration or refused it.
	Ready()
	// Reloading is before that, Stopping when the gateway begins to stop, which takes so
	// long at the most.
	Reloading()
	Stopping(most time.Duration)
	// Watch calls check now and then until ctx ends: as long as that returns, the
	// gateway lives.
	Watch(ctx context.Context, check func())
}

// Run is the gateway, until an order to stop (nil) or a failure.
func Run(o Options) error {
	o.Log.Warn("PPTP is broken: passwords and traffic can be had from a recording of it, and MPPE does not protect integrity; serve only what can do nothing better")
	if o.Manager == nil {
		o.Manager = nobody{}
	}
	if o.LostRecords == nil {
		o.LostRecords = func() uint64 { return 0 }
	}
	g, err := open(o)
	defer g.close()
	if err != nil {
		return err
	}
	return g.run()
}

// run serves the listeners.
func (g *gateway) run() error {
	addrs := g.serve()
	defer g.endReloads()
	cfg := g.Config
	g.Log.Info("ready", "listen", join(addrs), "local", cfg.LocalAddress,
		"pools", join(cfg.Pools), "auth_methods", join(cfg.AuthMethods), "encryption", cfg.Encryption, "users", g.Users.Len())
	g.ready.Open(g.draining, g.full)
	g.Manager.Ready()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go g.Manager.Watch(ctx, func() { g.server.Stats() })

	// A reload may hang, as long as files do, and must not keep the gateway from stopping.
	hangups, reloaded := g.Hangups, make(chan struct{}, 1)
	for {
		select {
		case <-hangups:
			hangups = nil // until that is done
			go func() {
				_, _ = g.reload() // has said in the log what there is to say
				reloaded <- struct{}{}
			}()
		case <-reloaded:
			hangups = g.Hangups
		case sig := <-g.Signals:
			g.ready.Close("stopping")
			g.shutdown(sig)
			return nil
		case err := <-g.listeners.failed:
			g.server.Close()
			return err
		}
	}
}

// serve has the server accept clients. Operators may be in already, and reload.
func (g *gateway) serve() []net.Addr {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	g.listeners.serve(func(l net.Listener) error { return g.server.Serve(context.Background(), l) })
	return g.listeners.addrs()
}

// endReloads returns when nothing is reloaded any more.
func (g *gateway) endReloads() {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	g.stopped = true
}

// stopMargin is for what takes no time by itself when the gateway stops, but on a busy host.
const stopMargin = 10 * time.Second

// shutdown ends the sessions in order, for stop_timeout or until a second signal.
func (g *gateway) shutdown(sig os.Signal) {
	cfg := g.now()
	timeout := cfg.StopTimeout
	g.Manager.Stopping(timeout + cfg.Accounting.StopTimeout + stopMargin)
	g.Log.Info("stopping", "signal", sig, "sessions", g.server.Stats().Sessions, "timeout", timeout)
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- g.server.Shutdown(ctx) }()
	select {
	case sig := <-g.Signals:
		g.Log.Warn("dropping what is left", "signal", sig, "sessions", g.server.Stats().Sessions)
		g.server.Close()
	case err := <-done:
		if err != nil {
			g.Log.Warn("stop_timeout is over, sessions were dropped", "timeout", timeout)
		}
	}
	g.Log.Info("stopped", "took", time.Since(begin).Round(time.Millisecond))
}

// nobody manages a gateway that runs by itself.
type nobody struct{}

func (nobody) Ready()                        {}
func (nobody) Reloading()                    {}
func (nobody) Stopping(time.Duration)        {}
func (nobody) Watch(context.Context, func()) {}

// join lists things with spaces.
func join[T fmt.Stringer](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = v.String()
	}
	return strings.Join(texts, " ")
}
