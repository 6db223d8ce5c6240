package dataplane

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/userspace"
)

// call is a call of one plane, and moves to the other if it has to.
type call struct {
	plane   *Plane
	cfg     gopptp.CallConfig
	relay   *relay                      // nil if it began in userspace
	current atomic.Pointer[gopptp.Call] // Counters is called from anywhere

	// The rest belongs to who calls the methods.
	onKernel bool
	moved    bool
	closed   bool
	// What the kernel was told, to be repeated, as long as the call may move.
	peer       *gopptp.PeerCall
	prepared   *mppe.Params
	encryption gopptp.Encryption // its parameters are ours
	attached   bool
}

var (
	_ gopptp.IdleCall  = (*call)(nil)
	_ gopptp.RatesCall = (*call)(nil)
)

func (c *call) in() gopptp.Call          { return *c.current.Load() }
func (c *call) become(inner gopptp.Call) { c.current.Store(&inner) }

// ID implements gopptp.Call.
func (c *call) ID() uint16 { return c.in().ID() }

// Connect implements gopptp.Call.
func (c *call) Connect(peer gopptp.PeerCall) error {
	err := c.orMove(func(in gopptp.Call) error { return in.Connect(peer) })
	if err == nil && c.mayMove() {
		c.peer = &peer
	}
	return err
}

// WriteControl implements gopptp.Call.
func (c *call) WriteControl(frame []byte) error { return c.in().WriteControl(frame) }

// PrepareReceive implements gopptp.Call.
func (c *call) PrepareReceive(p mppe.Params) error {
	err := c.encrypted(p.Stateful, func(in gopptp.Call) error { return in.PrepareReceive(p) })
	if err == nil && c.mayMove() {
		wipe(c.prepared)
		c.prepared = &p
	}
	return err
}

// SetEncryption implements gopptp.Call.
func (c *call) SetEncryption(e gopptp.Encryption) error {
	err := c.encrypted(stateful(e.Send) || stateful(e.Receive), func(in gopptp.Call) error { return in.SetEncryption(e) })
	if err == nil && c.mayMove() {
		wipe(c.encryption.Send)
		wipe(c.encryption.Receive)
		c.encryption = gopptp.Encryption{Send: clone(e.Send), Receive: clone(e.Receive)}
	}
	return err
}

// ResetSend implements gopptp.Call.
func (c *call) ResetSend() error { return c.in().ResetSend() }

// Attach implements gopptp.Call.
func (c *call) Attach(n gopptp.Network) error {
	err := c.orMove(func(in gopptp.Call) error { return in.Attach(n) })
	if err == nil {
		c.attached = true
		c.forget()
	}
	return err
}

// Detach implements gopptp.Call.
func (c *call) Detach() error { return c.in().Detach() }

// Counters implements gopptp.Call.
func (c *call) Counters() gopptp.Counters { return c.in().Counters() }

// Idle implements gopptp.IdleCall, as far as the plane does.
func (c *call) Idle() (time.Duration, error) {
	if in, ok := c.in().(gopptp.IdleCall); ok {
		return in.Idle()
	}
	return 0, gopptp.ErrNotSupported
}

// CheckRates implements gopptp.RatesCall, for a call that has been attached: then it moves
// no more.
func (c *call) CheckRates(r gopptp.Rates) error {
	if in, ok := c.in().(gopptp.RatesCall); ok {
		return in.CheckRates(r)
	}
	return nil
}

// DeviceName is the name of the call's network device.
func (c *call) DeviceName() string { return DeviceName(c.in()) }

// Close implements gopptp.Call.
func (c *call) Close() error {
	err := c.in().Close()
	if c.closed {
		return err
	}
	c.closed = true
	c.forget()
	c.plane.count(func(s *Stats) {
		if c.onKernel {
			s.KernelCalls--
			return
		}
		s.UserspaceCalls--
		if c.moved {
			delete(c.plane.moved, callKey{c.cfg.Peer, c.ID()})
		}
	})
	return err
}

// mayMove reports whether the call is in the kernel, and no user's packet has passed:
// then nobody but its channel has used sequence numbers.
func (c *call) mayMove() bool { return c.onKernel && !c.attached && !c.closed }

// forget drops what is only for a move, keys among it.
func (c *call) forget() {
	wipe(c.prepared)
	wipe(c.encryption.Send)
	wipe(c.encryption.Receive)
	c.peer, c.prepared, c.encryption = nil, nil, gopptp.Encryption{}
}

func clone(p *mppe.Params) *mppe.Params {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

func wipe(p *mppe.Params) {
	if p != nil {
		p.Key = mppe.Key{}
	}
}

func stateful(p *mppe.Params) bool { return p != nil && p.Stateful }

// encrypted runs f, which is about the encryption of the call, where that is best done.
// A stateful one the kernel can do, but after some losses it goes wrong for good and
// neither end notices, as package kernel says. A call that cannot move makes do with that.
func (c *call) encrypted(stateful bool, f func(in gopptp.Call) error) error {
	if !stateful || c.plane.insist || c.plane.other == nil || !c.mayMove() {
		return c.orMove(f)
	}
	if err := c.move(f); err != nil {
		c.plane.log.Warn("dataplane: a call whose encryption is stateful stays in the kernel", "peer", c.cfg.Peer, "id", c.ID(), "error", err)
		return c.orMove(f)
	}
	c.hasMoved("its encryption is stateful", func(m *Moved) { m.Stateful++ })
	return nil
}

// hasMoved reports a move.
func (c *call) hasMoved(reason any, count func(m *Moved)) {
	c.plane.log.Debug("dataplane: a call moves to userspace", "peer", c.cfg.Peer, "id", c.ID(), "reason", reason)
	c.plane.count(func(s *Stats) { count(&s.Moved) })
}

// orMove runs f on the call, once more in userspace if that is what it takes.
func (c *call) orMove(f func(in gopptp.Call) error) error {
	err := f(c.in())
	if err == nil || c.plane.other == nil || !c.mayMove() {
		return err
	}
	var count func(m *Moved)
	switch {
	case errors.Is(err, kernel.ErrCollision):
		count = func(m *Moved) { m.Collision++ }
	case errors.Is(err, mppe.ErrNotSupported):
		count = func(m *Moved) { m.KeyLength++ }
	case errors.Is(err, kernel.ErrNoRates):
		count = func(m *Moved) { m.Rates++ }
	default:
		return err
	}
	if e := c.move(f); e != nil {
		return fmt.Errorf("%w; userspace: %w", err, e)
	}
	c.hasMoved(err, count)
	return nil
}

var errNoSequence = errors.New("dataplane: the sequence numbers of the call are not known")

// move has userspace take over, and does there what the kernel was told, then f. Until
// that is done the kernel has the call, so that no frame is lost, and keeps it after an
// error.
func (c *call) move(f func(in gopptp.Call) error) error {
	old := c.in()
	counts, ok := old.(interface{ Sent() uint32 })
	if !ok {
		return errNoSequence
	}
	u, err := c.plane.other.get()
	if err != nil {
		return err
	}
	c.relay.begin()
	adopted := userspace.Adopted{ID: old.ID(), Sequence: counts.Sent() + 1}
	inner, err := u.Adopt(c.cfg, adopted, userSide{c.relay})
	if err != nil {
		return err
	}
	if err := c.repeat(inner, f); err != nil {
		_ = inner.Close()
		return err
	}
	c.plane.count(func(s *Stats) {
		c.plane.moved[callKey{c.cfg.Peer, adopted.ID}] = struct{}{}
		s.KernelCalls--
		s.UserspaceCalls++
	})
	c.relay.over.Store(true)
	c.become(inner)
	c.onKernel, c.moved = false, true
	c.forget()
	_ = old.Close() // what it could not undo is the plane's to report
	return nil
}

func (c *call) repeat(inner gopptp.Call, f func(in gopptp.Call) error) error {
	if c.peer != nil {
		if err := inner.Connect(*c.peer); err != nil {
			return err
		}
	}
	if c.prepared != nil {
		if err := inner.PrepareReceive(*c.prepared); err != nil {
			return err
		}
	}
	if c.encryption != (gopptp.Encryption{}) {
		if err := inner.SetEncryption(c.encryption); err != nil {
			return err
		}
	}
	return f(inner)
}
