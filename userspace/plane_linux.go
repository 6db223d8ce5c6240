package userspace

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/internal/engine"
)

// Plane is a data plane of GRE sockets and a TUN device. It is safe for concurrent
// use.
type Plane struct {
	log     *slog.Logger
	engine  *engine.Engine
	workers []*worker
	fast    *fastPath // nil without AF_XDP

	// nil with Options.Device
	tun     *tunDevice
	netlink *netlinkConfig
	network *network

	outer peerSet

	admitted admission

	closeOnce sync.Once
	running   sync.WaitGroup // workers

	looped atomic.Uint64

	// mu guards these.
	mu     sync.Mutex
	failed error // why it can carry nothing more
	calls  map[*call]struct{}
}

var _ gopptp.Nudged = (*Plane)(nil)

// Open makes a data plane in the network namespace of the calling thread, with
// a new TUN device unless [Options.Device] takes its place. There is to be one in a namespace: each gets a copy of every
// GRE packet.
func Open(opts Options) (*Plane, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()

	var undo []func()
	fail := func(err error) (*Plane, error) {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
		return nil, err
	}
	p := &Plane{log: opts.Logger, calls: make(map[*call]struct{})}
	p.admitted.all = callIDs{first: opts.FirstCallID, last: opts.LastCallID}
	var err error
	queues := make([]*tunQueue, opts.Workers)
	if opts.Device == nil {
		if p.tun, err = openTUN(tunConfig{opts.TUNName, opts.Workers, opts.Batch, !opts.NoOffload}); err != nil {
			return fail(err)
		}
		undo = append(undo, p.tun.Close)
		queues = p.tun.queues
	}
	if opts.XDP != XDPOff {
		p.fast, err = newFastPath(&opts)
		switch {
		case err == nil:
			undo = append(undo, p.fast.free)
		case opts.XDP == XDPOn:
			return fail(fmt.Errorf("userspace: AF_XDP: %w", err))
		default:
			p.log.Info("userspace: no AF_XDP, raw sockets are used", "err", err)
		}
	}
	for i, queue := range queues {
		w, err := p.newWorker(share{i, len(queues)}, queue, &opts)
		if err != nil {
			return fail(err)
		}
		p.workers = append(p.workers, w)
		undo = append(undo, w.close)
	}
	var inside engine.Host = ownHost{opts.Device}
	if opts.Device == nil {
		if p.netlink, err = openNetlink(p.tun.name); err != nil {
			return fail(err)
		}
		undo = append(undo, p.netlink.close)
		if err := p.netlink.up(opts.MTU, opts.Prefixes); err != nil {
			return fail(err)
		}
		p.network = newNetwork(p.netlink, &opts, &p.outer)
		p.network.ipv6 = p.netlink.ipv6
		if err := p.network.keep(opts.Addresses); err != nil {
			return fail(err)
		}
		inside = host{queues[0], p.network}
	}
	p.engine = engine.New(engine.Config{
		// What belongs to no worker is little.
		Wire: p.workers[0].outer, Host: inside,
		NoMSSClamp: opts.NoMSSClamp, FlowControl: opts.FlowControl,
		FirstCallID: opts.FirstCallID, LastCallID: opts.LastCallID,
	})
	if p.fast != nil {
		p.fast.run(p.workers)
	}
	for _, w := range p.workers {
		p.admitted.sockets = append(p.admitted.sockets, w.outer.raw)
		if w.tun != nil {
			w.port = p.engine.NewPort(w.outer, w.tun)
		} else {
			w.port = p.engine.NewPort(w.outer, opts.Device)
		}
		p.running.Go(w.run)
	}
	return p, nil
}

// newWorker makes a worker, which does not run yet.
func (p *Plane) newWorker(calls share, queue *tunQueue, opts *Options) (*worker, error) {
	buffers := newSlots(bufferCount(opts.Batch))
	raw, err := openGRESocket(calls, p.admitted.all, opts.Batch, buffers, opts.ReceiveBuffer, opts.SendBuffer)
	if err != nil {
		return nil, err
	}
	w, err := newWorker(p, newOuter(p, calls.index, raw, buffers, opts.Batch), queue, opts.Batch)
	if err != nil {
		raw.Close()
	}
	return w, err
}

// host is the engine's way to the host.
type host struct {
	*tunQueue
	*network
}

// ownHost is a host that is within the process, and has nothing to set up.
type ownHost struct{ Device }

func (ownHost) Attach(gopptp.Network) error { return nil }
func (ownHost) Detach(gopptp.Network)       {}

// Send takes IP packets from [Options.Device] into the tunnels. Each slice begins
// [Headroom] octets before its packet; it may be changed in place, and is not kept. The
// destination says which tunnel it is, and where it is behind several, as the server is
// behind those of its clients, the source does. What has no way to go, or does not fit a
// queue, is dropped and counted. It may be called from several goroutines.
func (p *Plane) Send(packets [][]byte) { p.engine.Outbound(packets) }

// Headroom is what Send wants in front of a packet, in octets.
const Headroom = engine.Headroom

// Open implements gopptp.Dataplane.
func (p *Plane) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	return p.openCall(cfg, h, func(c *call, via any) (gopptp.Call, error) {
		return p.engine.OpenVia(via, cfg, h)
	})
}

// Adopt takes over a call that another data plane has begun, and which its peer knows
// by a.ID. It returns an error if this data plane has a call with that ID and peer. From
// when it has returned, the frames of the peer are kept or handed up as after Open; what
// the other data plane has been told besides is to be said again.
//
// Nothing keeps the other data plane from handing up the same frames for as long as it
// has the call.
func (p *Plane) Adopt(cfg gopptp.CallConfig, a Adopted, h gopptp.CallHandler) (gopptp.Call, error) {
	return p.openCall(cfg, h, func(c *call, via any) (gopptp.Call, error) {
		inner, err := p.engine.AdoptVia(via, a.ID, a.Sequence, cfg, h)
		if err != nil {
			return nil, err
		}
		// Last, so that no packet comes that finds no call.
		if err := p.admitted.add(a.ID); err != nil {
			_ = inner.Close()
			return nil, err
		}
		c.adopted = true
		return inner, nil
	})
}

// openCall makes a call, whose part in the engine is made by open.
func (p *Plane) openCall(cfg gopptp.CallConfig, h gopptp.CallHandler, open func(c *call, via any) (gopptp.Call, error)) (gopptp.Call, error) {
	c := &call{plane: p, peer: cfg.Peer.Unmap(), handler: h}
	p.mu.Lock()
	if p.failed != nil {
		defer p.mu.Unlock()
		return nil, p.failed
	}
	p.calls[c] = struct{}{}
	p.mu.Unlock()
	p.outer.add(c.peer)

	var via any
	if p.fast != nil {
		c.path = p.fast.watch(cfg)
		via = c.path
	}
	inner, err := open(c, via)
	if err != nil {
		c.forget()
		return nil, err
	}
	c.Call = inner
	if c.path != nil {
		c.path.opened(inner.ID())
	}
	return c, nil
}

// Nudge implements gopptp.Nudged.
func (p *Plane) Nudge() {
	for _, w := range p.workers {
		w.poller.nudge()
	}
}

// Close ends all calls, removes the TUN device with its addresses and routes,
// and waits until nothing of the data plane is left running.
func (p *Plane) Close() error {
	p.closeOnce.Do(func() {
		p.mu.Lock()
		p.failed = errPlaneClosed
		p.mu.Unlock()
		// Removing what sessions added one by one would take seconds at scale,
		// and the kernel does it when the device goes.
		if p.network != nil {
			p.network.close()
		}
		_ = p.engine.Close()
		for _, w := range p.workers {
			w.stop()
		}
		p.running.Wait()
		if p.fast != nil {
			p.fast.close()
		}
		for _, w := range p.workers {
			w.close()
		}
		if p.tun != nil {
			p.tun.Close()
			p.netlink.close()
		}
	})
	return nil
}

var errPlaneClosed = fmt.Errorf("userspace: data plane: %w", net.ErrClosed)

// DeviceName is the name of the TUN device; empty if there is none.
func (p *Plane) DeviceName() string {
	if p.tun == nil {
		return ""
	}
	return p.tun.name
}

// Stats returns the counters. After Close, those of the kernel are zero.
func (p *Plane) Stats() Stats {
	e := p.engine.Stats()
	s := Stats{
		Calls: e.Calls,
		GRE:   GREStats{UnknownCall: e.UnknownCall, ReceivedMalformed: e.Malformed.Total()},
		TUN: TUNStats{
			NoCall: e.NoCall,
			NotIP:  e.NotIP,
			Link:   e.Link,
			Looped: p.looped.Load(),
		},
	}
	for _, w := range p.workers {
		w.count(&s)
	}
	if p.fast != nil {
		p.fast.count(&s.GRE)
	}
	return s
}
