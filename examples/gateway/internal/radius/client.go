package radius

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"layeh.com/radius"
)

// ClientConfig describes a Client.
type ClientConfig struct {
	Servers []ServerConfig
	// InFlight bounds the requests at a time; who comes beyond it waits. Default 256.
	InFlight int
	// Patience is how long one request may take in all, with every server. Default 10 s.
	Patience time.Duration
	// AllowUnsigned takes answers to an Access-Request that have no
	// Message-Authenticator. Over TLS they are taken anyway.
	AllowUnsigned bool
	// DeadAfter is how many requests in a row a server leaves unanswered before it is
	// taken for dead: others are asked first. Default 3.
	DeadAfter int
	// HoldDown is how often a dead server is tried: by Status-Server, if StatusServer is
	// set, and by a request otherwise. Default 30 s.
	HoldDown     time.Duration
	StatusServer bool
	// Identity are the attributes that name this gateway, for Status-Server.
	Identity radius.Attributes
	// Source is the address from which servers are asked; not valid: as routes say.
	Source netip.Addr
	// Log is where the client reports. Nil is silent.
	Log *slog.Logger
}

// Client asks a cluster of RADIUS servers. Its methods are safe for concurrent use.
type Client struct {
	cfg     ClientConfig
	servers []*Server
	slots   chan struct{}

	life    context.Context
	stop    context.CancelFunc
	running sync.WaitGroup

	waiting          atomic.Int64
	busy, unanswered atomic.Uint64
}

// Why there is no answer.
var (
	// ErrBusy: as many requests as there may be have been on their way for all the time.
	ErrBusy = errors.New("radius: too many requests are on their way")
	// ErrNoAnswer: no server has answered.
	ErrNoAnswer = errors.New("radius: no server has answered")
)

// errAnother: what has begun with a server cannot go on, as the client has been replaced.
var errAnother = errors.New("radius: the server that was asked first is not there any more")

// NewClient returns a Client, which has asked nobody yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	if len(cfg.Servers) == 0 {
		return nil, errors.New("radius: there are no servers")
	}
	if cfg.InFlight <= 0 {
		cfg.InFlight = 256
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 10 * time.Second
	}
	if cfg.DeadAfter <= 0 {
		cfg.DeadAfter = 3
	}
	if cfg.HoldDown <= 0 {
		cfg.HoldDown = 30 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg, slots: make(chan struct{}, cfg.InFlight)}
	for _, sc := range cfg.Servers {
		if err := sc.check(); err != nil {
			return nil, fmt.Errorf("radius: server %s: %w", sc.Address, err)
		}
		c.servers = append(c.servers, &Server{
			client: c, cfg: sc, secret: []byte(sc.Secret), log: cfg.Log.With("server", sc.Address),
		})
	}
	c.life, c.stop = context.WithCancel(context.Background())
	return c, nil
}

// Close ends all requests.
func (c *Client) Close() error {
	c.stop()
	for _, s := range c.servers {
		s.close()
	}
	c.running.Wait()
	return nil
}

// Stats returns the figures of the client and its servers.
func (c *Client) Stats() ClientStats {
	st := ClientStats{
		InFlight: len(c.slots), MaxInFlight: cap(c.slots), Waiting: int(c.waiting.Load()),
		Busy: c.busy.Load(), Unanswered: c.unanswered.Load(),
	}
	for _, s := range c.servers {
		st.Servers = append(st.Servers, s.stats())
	}
	return st
}

// Exchange asks, and returns the first authentic answer. It asks one server, repeats
// that, and asks another when the time of the first is over, whose answer is welcome
// still; and so on, round and round, for as long as Patience and the caller allow.
func (c *Client) Exchange(caller context.Context, r *Request) (*Reply, error) {
	if r.Server != nil && r.Server.client != c {
		return nil, errAnother
	}
	ctx, cancel := context.WithTimeout(caller, c.cfg.Patience)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	defer func() { <-c.slots }()

	servers := c.order(r)
	answers := make(chan *Reply, len(servers))
	attempts := make([]*attempt, 0, len(servers))
	defer func() {
		for _, a := range attempts {
			a.end()
		}
	}()
	var last error
	for turn := 0; ctx.Err() == nil; turn++ {
		first := turn < len(servers)
		if first {
			attempts = append(attempts, newAttempt(servers[turn], r, answers))
		}
		reply, err := attempts[turn%len(servers)].turn(ctx, first)
		if reply != nil {
			return reply, nil
		}
		if errors.Is(err, errSeal) {
			return nil, err
		}
		if err != nil {
			last = fmt.Errorf("%s: %w", attempts[turn%len(servers)].server.Name(), err)
		}
	}
	if err := caller.Err(); err != nil {
		return nil, err
	}
	c.unanswered.Add(1)
	if last != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, last)
	}
	return nil, ErrNoAnswer
}

// enter waits until there are fewer than InFlight requests.
func (c *Client) enter(ctx context.Context) error {
	select {
	case c.slots <- struct{}{}:
		return nil
	default:
	}
	c.waiting.Add(1)
	defer c.waiting.Add(-1)
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		c.busy.Add(1)
		return ErrBusy
	}
}

// order returns the servers in the order in which to ask them: the living before the
// dead, by priority, and at random by weight within one. Before all goes a dead one that
// is due, whatever its priority: if nobody asked it, it would be dead for ever.
func (c *Client) order(r *Request) []*Server {
	if r.Server != nil {
		return []*Server{r.Server}
	}
	type rank struct {
		server *Server
		dead   bool
		key    float64
	}
	ranks := make([]rank, len(c.servers))
	for i, s := range c.servers {
		// The smallest of exponentially distributed keys is each one's as often as its
		// weight says.
		ranks[i] = rank{s, s.isDead(), rand.ExpFloat64() / float64(s.cfg.Weight)}
	}
	slices.SortFunc(ranks, func(a, b rank) int {
		switch {
		case a.dead != b.dead && b.dead:
			return -1
		case a.dead != b.dead:
			return 1
		case a.server.cfg.Priority != b.server.cfg.Priority:
			return a.server.cfg.Priority - b.server.cfg.Priority
		case a.key < b.key:
			return -1
		}
		return 1
	})
	servers := make([]*Server, len(ranks))
	for i, k := range ranks {
		servers[i] = k.server
	}
	if i := slices.IndexFunc(servers, (*Server).due); i > 0 {
		due := servers[i]
		copy(servers[1:], servers[:i])
		servers[0] = due
	}
	return servers
}
