package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel/internal/driver"
)

// Errors of calls.
var (
	// ErrCollision: the host has a call to the same peer address and peer call ID, and
	// the kernel tells calls apart by these.
	ErrCollision = driver.ErrCollision
	// ErrNoCallID: the host has no call ID left, of those that Options allow, or had a
	// call with each a moment ago.
	ErrNoCallID = errors.New("kernel: no free call ID")
	// ErrNoRates: the kernel cannot keep the limits of a Network.
	ErrNoRates = errors.New("kernel: no rate limits")

	errPlaneClosed = fmt.Errorf("kernel: data plane: %w", net.ErrClosed)
	errCallClosed  = fmt.Errorf("kernel: call: %w", net.ErrClosed)
)

// Plane is a data plane of the kernel's PPTP driver. It is safe for concurrent use.
type Plane struct {
	opts    Options
	driver  driver.Driver
	ids     callIDs
	working chan struct{} // a place for each call that may change something
	closing chan struct{} // a place for each that may wait for its end
	calls   sync.WaitGroup
	rates   Ability // to limit sessions

	mu     sync.Mutex
	closed bool
	open   map[*call]struct{}
	peers  map[netip.Addr]int // outer addresses of peers, to the number of calls
}

var _ gopptp.Dataplane = (*Plane)(nil)

const (
	// maxWorking is how many calls change something of the kernel's at once. Most of it
	// waits for one lock of the kernel's.
	maxWorking = 8
	// maxClosing is how many wait for their end, which takes time and no processor.
	maxClosing = 64
)

// Open makes a data plane in the network namespace of the calling thread. It fails, with
// what [Probe] says, where the kernel has no PPTP driver; MPPE may be missing.
func Open(opts Options) (*Plane, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	d, err := driver.New()
	if err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	p, err := OpenDriver(d, driver.Probe(), opts)
	if err != nil {
		_ = d.Close()
	}
	return p, err
}

// OpenDriver is Open for package kerneltest. The plane closes d, unless there is an error.
func OpenDriver(d driver.Driver, found driver.Findings, opts Options) (*Plane, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	r := report(found)
	if err := r.Err(false); err != nil {
		return nil, err
	}
	p := &Plane{
		opts:    opts.withDefaults(),
		driver:  d,
		working: make(chan struct{}, maxWorking),
		closing: make(chan struct{}, maxClosing),
		open:    make(map[*call]struct{}),
		peers:   make(map[netip.Addr]int),
		rates:   r.Rates,
	}
	p.ids.first, p.ids.last = int(p.opts.FirstCallID), int(p.opts.LastCallID)
	return p, nil
}

// Open implements gopptp.Dataplane.
func (p *Plane) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	cfg.Local, cfg.Peer = cfg.Local.Unmap(), cfg.Peer.Unmap()
	if !cfg.Local.Is4() || !cfg.Peer.Is4() {
		return nil, fmt.Errorf("kernel: a call between %v and %v: addresses are not IPv4", cfg.Local, cfg.Peer)
	}
	c := &call{plane: p, cfg: cfg, handler: h}
	c.idle.L = &c.mu
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errPlaneClosed
	}
	p.calls.Add(1)
	p.open[c] = struct{}{}
	p.peers[cfg.Peer]++
	p.mu.Unlock()
	if err := c.bind(); err != nil {
		p.forget(c)
		p.calls.Done()
		return nil, err
	}
	return c, nil
}

// maxForeign is how many call IDs that others have are tried for one call.
const maxForeign = 256

// bind finds a call ID for c.
func (c *call) bind() error {
	ids := &c.plane.ids
	// What others have is not tried twice.
	var foreign []uint16
	defer func() {
		for _, id := range foreign {
			ids.untake(id)
		}
	}()
	for range maxForeign {
		id, ok := ids.take(time.Now())
		if !ok {
			break
		}
		socket, err := c.plane.driver.Bind(c.cfg.Local, c.cfg.Peer, id, c)
		switch {
		case err == nil:
			c.id, c.socket = id, socket
			return nil
		case !errors.Is(err, driver.ErrIDInUse):
			ids.untake(id)
			return fmt.Errorf("kernel: open a call: %w", err)
		}
		foreign = append(foreign, id)
	}
	return ErrNoCallID
}

// forget is when c is closed, though not yet by the kernel.
func (p *Plane) forget(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.open[c]; !ok {
		return
	}
	delete(p.open, c)
	if p.peers[c.cfg.Peer]--; p.peers[c.cfg.Peer] == 0 {
		delete(p.peers, c.cfg.Peer)
	}
}

// isPeer reports whether a is the outer address of a peer.
func (p *Plane) isPeer(a netip.Addr) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peers[a] > 0
}

// Close ends all calls, and waits until nothing of them is left in the kernel.
func (p *Plane) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	calls := make([]*call, 0, len(p.open))
	for c := range p.open {
		calls = append(calls, c)
	}
	p.mu.Unlock()
	for _, c := range calls {
		c.fail(errPlaneClosed)
		_ = c.Close()
	}
	p.calls.Wait()
	if err := p.driver.Close(); err != nil {
		return fmt.Errorf("kernel: close: %w", err)
	}
	return nil
}

// Stats counts calls.
type Stats struct {
	Calls int // open calls
}

// Stats returns the counters. Any goroutine may call it.
func (p *Plane) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Calls: len(p.open)}
}
