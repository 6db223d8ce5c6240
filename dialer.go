package gopptp

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"
)

// ErrDialerClosed is returned by the methods of a Dialer after Close.
var ErrDialerClosed = fmt.Errorf("gopptp: dialer closed: %w", net.ErrClosed)

// DialerConfig describes a Dialer. Its zero value is useful.
type DialerConfig struct {
	// Loops is the number of event loops that share the sessions. Zero: one a
	// processor.
	Loops int
}

// Dialer makes sessions that share event loops and the goroutine that calls their
// Observers, so that one process can be tens of thousands of clients. The function
// Dial gives a session a loop of its own. Its methods are safe for concurrent use.
type Dialer struct {
	workers []*worker
	events  *eventQueue

	// dialling ends with Close.
	dialling context.Context
	stop     context.CancelFunc

	mu      sync.Mutex
	closed  bool
	next    int // round robin over the workers
	clients map[*client]struct{}
	empty   chan struct{} // closed when closed is set and no client is left
}

// NewDialer returns a Dialer. Close ends its goroutines.
func NewDialer(cfg DialerConfig) *Dialer {
	d := &Dialer{
		events:  newEventQueue(),
		clients: make(map[*client]struct{}),
		empty:   make(chan struct{}),
	}
	d.dialling, d.stop = context.WithCancel(context.Background())
	if cfg.Loops <= 0 {
		cfg.Loops = runtime.GOMAXPROCS(0)
	}
	for range cfg.Loops {
		d.workers = append(d.workers, newWorker(nil))
	}
	return d
}

// Dial is the function Dial, on a loop of the Dialer.
func (d *Dialer) Dial(ctx context.Context, addr string, cfg ClientConfig) (*Session, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	connecting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.dialling, cancel)()
	nc, err := connect(connecting, addr, &cfg)
	if err != nil {
		if d.dialling.Err() != nil {
			err = ErrDialerClosed
		}
		return nil, err
	}
	c := &client{cfg: &cfg, ready: make(chan struct{})}
	if err := d.begin(c, nc); err != nil {
		return nil, err
	}
	return c.wait(ctx)
}

// Start begins a session on a TCP connection that is there, and returns it at once:
// cfg.Observer and Session.Done say what becomes of it, and cfg.SetupTimeout bounds
// how long it may take to come up. The session has nc, which is closed after an error
// too. No goroutine waits for the session meanwhile, as one does in Dial.
func (d *Dialer) Start(nc net.Conn, cfg ClientConfig) (*Session, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		nc.Close()
		return nil, err
	}
	c := &client{cfg: &cfg}
	if err := d.begin(c, nc); err != nil {
		return nil, err
	}
	return c.session, nil
}

func (d *Dialer) begin(c *client, nc net.Conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		nc.Close()
		return ErrDialerClosed
	}
	c.dialer, c.worker = d, d.workers[d.next]
	d.next = (d.next + 1) % len(d.workers)
	c.start(nc, d.events)
	d.clients[c] = struct{}{}
	return nil
}

// forget takes note that nothing is left of a session.
func (d *Dialer) forget(c *client) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.clients, c)
	if d.closed && len(d.clients) == 0 {
		close(d.empty)
	}
}

// dialerClosed ends a session. Who still waits for it is told why.
func (c *client) dialerClosed(now time.Time) {
	var err error
	if c.session.link.stage < StateUp {
		err = ErrDialerClosed
	}
	c.session.end(CauseLocal, err, now)
}

// Sessions returns the number of sessions, those that come up or end included.
func (d *Dialer) Sessions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.clients)
}

// Close ends all sessions in order, and waits until nothing is left of them. What is
// being dialled ends too.
func (d *Dialer) Close() error {
	d.stop()
	d.mu.Lock()
	if !d.closed {
		d.closed = true
		if len(d.clients) == 0 {
			close(d.empty)
		}
		for c := range d.clients {
			c.worker.post(c.dialerClosed)
		}
	}
	d.mu.Unlock()
	<-d.empty
	for _, w := range d.workers {
		w.loop.Close()
	}
	for _, w := range d.workers {
		<-w.loop.Done()
	}
	d.events.flush()
	return nil
}
