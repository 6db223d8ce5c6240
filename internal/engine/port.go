package engine

import (
	"sync"
	"sync/atomic"
)

// Port is one worker's way through an Engine, with a wire, a host and memory of
// its own, so that workers share nothing but the calls. One goroutine uses it.
type Port struct {
	engine *Engine
	in     *inBatch
	out    *outBatch
}

// NewPort returns a Port. What sessions and deadlines send, which belong to no
// worker, takes Config.Wire and Config.Host.
func (e *Engine) NewPort(w Wire, d Deliverer) *Port {
	return &Port{engine: e, in: &inBatch{wire: w, host: d}, out: &outBatch{wire: w, host: d}}
}

// Inbound takes packets that were read from the wire. Data may be changed in
// place; nothing of batch is kept.
func (p *Port) Inbound(batch []Datagram) { p.engine.receive(p.in, batch) }

// Outbound takes IP packets from the host. Each slice begins [Headroom] octets
// before its packet. It may be changed in place, and is not kept.
func (p *Port) Outbound(packets [][]byte) { p.engine.send(p.out, packets) }

// direction is the lock of one direction of a call.
type direction struct {
	mu    sync.Mutex
	owner atomic.Pointer[locks] // that hold mu; changed under mu
}

// locks are what a batch holds. They belong to one goroutine.
type locks struct{ held []*direction }

// try takes d, if it is free or taken by l already.
func (l *locks) try(d *direction) bool {
	if d.owner.Load() == l {
		return true
	}
	if !d.mu.TryLock() {
		return false
	}
	l.add(d)
	return true
}

// lock takes d and may wait for it: l must hold no other.
func (l *locks) lock(d *direction) {
	d.mu.Lock()
	l.add(d)
}

func (l *locks) add(d *direction) {
	d.owner.Store(l)
	l.held = append(l.held, d)
}

// release gives all of them back.
func (l *locks) release() {
	for i, d := range l.held {
		d.owner.Store(nil)
		d.mu.Unlock()
		l.held[i] = nil
	}
	l.held = l.held[:0]
}
