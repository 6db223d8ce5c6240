package userspace

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/internal/engine"
)

// Plane is a data plane of a raw GRE socket and a TUN device. It is safe for
// concurrent use.
type Plane struct {
	log     *slog.Logger
	engine  *engine.Engine
	socket  *greSocket
	tun     *tunDevice
	netlink *netlinkConfig
	network *network
	outer   peerSet

	closing   chan struct{}
	closeOnce sync.Once
	readers   sync.WaitGroup

	looped, oversize atomic.Uint64

	// mu guards these.
	mu     sync.Mutex
	failed error // why it can carry nothing more
	calls  map[*call]struct{}
}

var _ gopptp.Dataplane = (*Plane)(nil)

// Open makes a data plane in the network namespace of the calling thread, with
// a new TUN device. There is to be one in a namespace: each gets a copy of every
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
	p := &Plane{log: opts.Logger, closing: make(chan struct{}), calls: make(map[*call]struct{})}
	var err error
	if p.socket, err = openGRESocket(opts.ReceiveBuffer, opts.SendBuffer); err != nil {
		return fail(err)
	}
	undo = append(undo, func() { p.socket.Close() })
	if p.tun, err = openTUN(opts.TUNName); err != nil {
		return fail(err)
	}
	undo = append(undo, func() { p.tun.Close() })
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
	p.engine = engine.New(engine.Config{Wire: p.socket, Host: host{p}, NoMSSClamp: opts.NoMSSClamp, FlowControl: opts.FlowControl})

	p.readers.Go(p.readSocket)
	p.readers.Go(p.readTUN)
	return p, nil
}

// host is the engine's way to the host.
type host struct{ *Plane }

// Deliver implements engine.Host.
func (h host) Deliver(packets [][]byte) { h.tun.Write(packets, 0) }

// Attach implements engine.Host.
func (h host) Attach(n gopptp.Network) error { return h.network.Attach(n) }

// Detach implements engine.Host.
func (h host) Detach(n gopptp.Network) { h.network.Detach(n) }

// Open implements gopptp.Dataplane.
func (p *Plane) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	c := &call{plane: p, peer: cfg.Peer.Unmap(), handler: h}
	p.mu.Lock()
	if p.failed != nil {
		defer p.mu.Unlock()
		return nil, p.failed
	}
	p.calls[c] = struct{}{}
	p.mu.Unlock()
	p.outer.add(c.peer)

	inner, err := p.engine.Open(cfg, h)
	if err != nil {
		c.forget()
		return nil, err
	}
	c.Call = inner
	return c, nil
}

// Close ends all calls, removes the TUN device with its addresses and routes,
// and waits until nothing of the data plane is left running.
func (p *Plane) Close() error {
	p.closeOnce.Do(func() {
		p.mu.Lock()
		p.failed = errPlaneClosed
		p.mu.Unlock()
		close(p.closing)
		// Removing what sessions added one by one would take seconds at scale,
		// and the kernel does it when the device goes.
		p.network.close()
		_ = p.engine.Close()
		_ = p.tun.Close()
		_ = p.socket.Close()
		p.readers.Wait()
		p.netlink.close()
	})
	return nil
}

var errPlaneClosed = fmt.Errorf("userspace: data plane: %w", net.ErrClosed)

// DeviceName is the name of the TUN device.
func (p *Plane) DeviceName() string { return p.tun.name }

// Stats returns the counters. After Close, those of the kernel are zero.
func (p *Plane) Stats() Stats {
	e := p.engine.Stats()
	return Stats{
		Calls: e.Calls,
		GRE: GREStats{
			Received:          p.socket.received.Load(),
			Sent:              p.socket.sent.Load(),
			UnknownCall:       e.UnknownCall,
			ReceivedMalformed: e.Malformed.Total() + p.socket.malformed.Load(),
			ReceiveQueueFull:  p.socket.queueDrops(),
			SendQueueFull:     p.socket.sendQueue.Load(),
			SendTooLarge:      p.socket.sendTooLarge.Load(),
			SendRefused:       p.socket.sendErr.Load(),
		},
		TUN: TUNStats{
			Received: p.tun.read.Load(),
			Sent:     p.tun.written.Load(),
			NoCall:   e.NoCall,
			NotIP:    e.NotIP,
			Link:     e.Link,
			TooLarge: p.oversize.Load(),
			Looped:   p.looped.Load(),
			Refused:  p.tun.writeErr.Load(),
		},
	}
}

// readSocket moves packets from the peers to the engine, in order.
func (p *Plane) readSocket() {
	for {
		batch, err := p.socket.receive()
		switch {
		case err == nil:
			if len(batch) > 0 {
				p.engine.Inbound(batch)
			}
		case errors.Is(err, os.ErrClosed):
			return
		default:
			// A raw socket that is not connected has no lasting errors, but for
			// the host's memory running short.
			p.log.Warn("userspace: raw GRE socket", "err", err)
			select {
			case <-p.closing:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
}

// readTUN moves packets from the host to the engine, in order.
func (p *Plane) readTUN() {
	// One octet more than any packet: so one that was cut shows.
	const size = engine.Headroom + maxMTU + 1
	memory := make([]byte, batchLen*slotLen)
	bufs := make([][]byte, batchLen)
	for i := range bufs {
		bufs[i] = memory[i*slotLen:][:size:slotLen]
	}
	sizes := make([]int, batchLen)
	packets := make([][]byte, 0, batchLen)
	for {
		p.socket.awaitRoom(batchLen)
		n, err := p.tun.Read(bufs, sizes, engine.Headroom)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrClosed):
			return
		default:
			// Somebody removed the device.
			p.fail(fmt.Errorf("userspace: TUN device %s: %w", p.tun.name, err))
			return
		}
		packets = packets[:0]
		for i, size := range sizes[:n] {
			packet := bufs[i][:engine.Headroom+size]
			switch {
			case size > maxMTU:
				p.oversize.Add(1)
			case p.loops(packet[engine.Headroom:]):
				p.looped.Add(1)
			default:
				packets = append(packets, packet)
			}
		}
		if len(packets) > 0 {
			p.engine.Outbound(packets)
		}
	}
}
