package tunnels

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/userspace"
)

// tunnelMTU is what fits with MPPE.
const tunnelMTU = 1456

// Config says how our data plane is used. Plane is a name in Planes.
type Config struct {
	MPPE     bool
	Plane    string
	Sessions int
}

// Planes are the ways to open our data plane.
var Planes = map[string]func(*userspace.Options){
	"auto":       func(*userspace.Options) {},
	"raw":        func(o *userspace.Options) { o.XDP = userspace.XDPOff },
	"one worker": func(o *userspace.Options) { o.Workers = 1 },
	"plain TUN":  func(o *userspace.Options) { o.XDP, o.NoOffload = userspace.XDPOff, true },
}

// Ours is our client and our server.
func Ours(c Config) Kind {
	c.Sessions = max(c.Sessions, 1)
	return func(t *Tunnel) error {
		var err error
		if t.Gateway, err = child.StartRole(t.Server, "server", c, nil); err != nil {
			return err
		}
		_ = t.keep(t.Gateway, nil)
		t.Profiled, t.ServerAddress = true, innerServer
		return t.keep(child.StartRole(t.Client, "client", c, &t.ClientAddresses))
	}
}

// Roles are those of this program's processes.
var Roles = map[string]child.Role{"server": serverRole, "client": clientRole, "naive": naiveRole, "null": nullRole}

func (c *Config) parse(config json.RawMessage) error {
	if err := json.Unmarshal(config, c); err != nil {
		return err
	}
	// A control connection is a descriptor.
	limit := unix.Rlimit{Cur: uint64(c.Sessions) + 1000, Max: uint64(c.Sessions) + 1000}
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

func (c *Config) open(o userspace.Options) (*userspace.Plane, error) {
	change, ok := Planes[c.Plane]
	if !ok {
		return nil, fmt.Errorf("no such plane: %q", c.Plane)
	}
	o.TUNName = "pptp0"
	change(&o)
	return userspace.Open(o)
}

func (c *Config) policy() gopptp.EncryptionPolicy {
	if c.MPPE {
		return gopptp.EncryptionRequire
	}
	return gopptp.EncryptionDeny
}

const (
	user     = "bench"
	password = "a password of the benchmark"
)

func serverRole(config json.RawMessage) (any, <-chan error, error) {
	var c Config
	if err := c.parse(config); err != nil {
		return nil, nil, err
	}
	plane, err := c.open(userspace.Options{
		Addresses: []netip.Addr{innerServer}, Prefixes: []netip.Prefix{innerPool},
	})
	if err != nil {
		return nil, nil, err
	}
	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(innerPool)})
	if err != nil {
		return nil, nil, err
	}
	hash := chap.NTPasswordHash(password)
	server, err := gopptp.NewServer(gopptp.ServerConfig{
		Dataplane: plane,
		Authenticator: gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
			return &gopptp.LocalUser{NTHash: hash}, nil
		}),
		Pool:         pool,
		LocalAddress: innerServer,
		Encryption:   c.policy(),
		Limits:       gopptp.Limits{MaxPerSource: c.Sessions, MaxHalfOpen: c.Sessions},
		// Sessions that wait for their turn ask nothing.
		EchoInterval: time.Hour,
	})
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp4", netip.AddrPortFrom(outerServer.Addr(), gopptp.DefaultPort).String())
	if err != nil {
		return nil, nil, err
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(context.Background(), listener) }()
	return nil, failed, nil
}

// clientRole returns the addresses of its sessions.
func clientRole(config json.RawMessage) (any, <-chan error, error) {
	var c Config
	if err := c.parse(config); err != nil {
		return nil, nil, err
	}
	plane, err := c.open(userspace.Options{})
	if err != nil {
		return nil, nil, err
	}
	dialer := gopptp.NewDialer(gopptp.DialerConfig{})
	failed := make(chan error, 1)
	addresses := make([]netip.Addr, c.Sessions)
	// Few at once: more would wait for each other.
	const atOnce = 32
	var wg sync.WaitGroup
	var once sync.Once
	places := make(chan struct{}, atOnce)
	for i := range addresses {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			session, e := c.dial(dialer, plane)
			if e != nil {
				once.Do(func() { err = e })
				return
			}
			addresses[i] = session.Local()
			go func() {
				<-session.Done()
				select {
				case failed <- fmt.Errorf("session: %w", session.Err()):
				default:
				}
			}()
		})
	}
	wg.Wait()
	return addresses, failed, err
}

func (c *Config) dial(dialer *gopptp.Dialer, plane *userspace.Plane) (*gopptp.Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return dialer.Dial(ctx, outerServer.Addr().String(), gopptp.ClientConfig{
		Dataplane:    plane,
		User:         user,
		Password:     password,
		Encryption:   c.policy(),
		EchoInterval: time.Hour,
	})
}
