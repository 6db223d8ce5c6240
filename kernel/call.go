package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel/internal/driver"
	"github.com/gopptp/gopptp/ppp"
)

// call implements gopptp.Call, and driver.Handler.
//
// What is to be done with the kernel is a queue of operations. They run one after the
// other: on a goroutine that there is while the queue is not empty, or at once if it is
// and they are known to be quick.
type call struct {
	plane   *Plane
	cfg     gopptp.CallConfig
	handler gopptp.CallHandler
	id      uint16
	socket  driver.Socket

	// mu guards the queue, and is held while an operation runs at once.
	mu         sync.Mutex
	operations []operation
	running    bool
	idle       sync.Cond // running has ended
	closed     bool
	wantUnit   bool         // once the next control frame is written
	counted    driver.Stats // the last that the device has told

	// Operations alone touch these.
	unit       driver.Unit // nil until it is needed
	filter     driver.Filter
	encryption encryption
	have       attachment
	rates      gopptp.Rates // of the unit

	// told is held while the handler is told something.
	told struct {
		sync.Mutex
		closed, failed bool
	}
	attaches atomic.Uint64 // Attach and Detach, so that an old one knows that it is

	asking atomic.Bool // an operation is about to ask how decryption fares
	device atomic.Pointer[driver.Unit]
	final  gopptp.Counters // once closed

	sent               atomic.Uint32 // packets of GRE
	encrypted, network atomic.Uint64 // frames dropped
}

var (
	_ driver.Handler   = (*call)(nil)
	_ gopptp.RatesCall = (*call)(nil)
)

type operation struct {
	run func() error
	// closed: it is of use when the call is closed, too.
	closed bool
}

// enqueue has an operation run after those before it, unless the call is closed first.
func (c *call) enqueue(run func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errCallClosed
	}
	c.push(operation{run: run})
	return nil
}

// push is enqueue with c.mu held.
func (c *call) push(o operation) {
	c.operations = append(c.operations, o)
	if !c.running {
		c.running = true
		go c.run()
	}
}

// run is the goroutine of the operations.
func (c *call) run() {
	c.plane.working <- struct{}{}
	defer func() { <-c.plane.working }()
	for {
		c.mu.Lock()
		if len(c.operations) == 0 {
			c.operations, c.running = nil, false
			c.idle.Broadcast()
			c.mu.Unlock()
			return
		}
		o := c.operations[0]
		c.operations[0] = operation{}
		c.operations = c.operations[1:]
		late := c.closed && !o.closed
		c.mu.Unlock()
		if late {
			continue
		}
		if err := o.run(); err != nil {
			c.fail(err)
		}
	}
}

// fail tells the owner, once.
func (c *call) fail(err error) {
	c.told.Lock()
	defer c.told.Unlock()
	if c.told.closed || c.told.failed {
		return
	}
	c.told.failed = true
	c.handler.Failed(fmt.Errorf("kernel: %w", err))
}

// tell calls f, which is to tell the owner something, unless the call is closed.
func (c *call) tell(f func(h gopptp.CallHandler)) {
	c.told.Lock()
	defer c.told.Unlock()
	if !c.told.closed {
		f(c.handler)
	}
}

// ID implements gopptp.Call.
func (c *call) ID() uint16 { return c.id }

// Sent is how many packets were sent by GRE, once those are sent that wait: the next has
// the sequence number after it. It counts no users' packets, and is for who takes over a
// call that has had none.
func (c *call) Sent() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.running {
		c.idle.Wait()
	}
	return c.sent.Load()
}

// DeviceName is the name of the call's network device, or "" while there is none.
func (c *call) DeviceName() string {
	if u := c.device.Load(); u != nil {
		return (*u).Name()
	}
	return ""
}

// Connect implements gopptp.Call. The error may be ErrCollision, and then the call may
// be closed, or connected anew.
func (c *call) Connect(peer gopptp.PeerCall) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errCallClosed
	}
	if err := c.socket.Connect(peer.ID); err != nil {
		return fmt.Errorf("kernel: connect a call: %w", err)
	}
	c.push(operation{run: c.socket.AttachChannel})
	return nil
}

// maxQueued is how many operations may wait before control frames are dropped.
const maxQueued = 64

const protocolLen = 2 // of the protocol field

var (
	errShortFrame = errors.New("kernel: control frame without a protocol field")
	errBusy       = errors.New("kernel: control frame dropped: the kernel does not keep up")
)

// WriteControl implements gopptp.Call.
func (c *call) WriteControl(frame []byte) error {
	if len(frame) < protocolLen {
		return errShortFrame
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return errCallClosed
	case !c.running:
		err := c.write(frame)
		if c.wantUnit {
			c.wantUnit = false
			c.push(operation{run: c.needUnit})
		}
		return err
	case len(c.operations) >= maxQueued:
		return errBusy
	}
	own := slices.Clone(frame)
	// The last words of a session are closely followed by its end.
	c.push(operation{closed: true, run: func() error {
		if err := c.write(own); err != nil {
			c.plane.opts.Logger.Debug("kernel: control frame not sent", "err", err)
		}
		return nil
	}})
	return nil
}

// write is an operation.
func (c *call) write(frame []byte) error {
	var err error
	if c.unit != nil && isResetAck(frame) {
		err = c.unit.Write(frame)
	} else {
		err = c.socket.Write(frame)
	}
	if err != nil {
		return fmt.Errorf("kernel: control frame: %w", err)
	}
	c.sent.Add(1)
	return nil
}

func protocolOf(frame []byte) ppp.Protocol { return ppp.Protocol(binary.BigEndian.Uint16(frame)) }

func isResetAck(frame []byte) bool {
	return protocolOf(frame) == ppp.ProtocolCCP && len(frame) > protocolLen && ppp.Code(frame[protocolLen]) == ppp.ResetAck
}

// Frame implements driver.Handler.
func (c *call) Frame(frame []byte) {
	switch p := protocolOf(frame); {
	case p == ppp.ProtocolCompressed:
		// The kernel has not decrypted it.
		c.encrypted.Add(1)
		if c.asking.CompareAndSwap(false, true) {
			_ = c.enqueue(c.askDecryption)
		}
		return
	case p.IsData():
		// A user's packet, before there is a device to take it.
		c.network.Add(1)
		return
	}
	c.tell(func(h gopptp.CallHandler) { h.ControlFrame(frame) })
}

// Gone implements driver.Handler.
func (c *call) Gone(err error) { c.fail(fmt.Errorf("the network device or channel: %w", err)) }

// needUnit is a part of an operation.
func (c *call) needUnit() error {
	if c.unit != nil {
		return nil
	}
	u, err := c.socket.NewUnit(c.plane.opts.DeviceName)
	if err != nil {
		return fmt.Errorf("make a network device: %w", err)
	}
	c.unit = u
	c.device.Store(&u)
	return nil
}

// ResetSend implements gopptp.Call. The kernel has seen the Reset-Ack.
func (c *call) ResetSend() error { return nil }

// Idle is how long ago the last user's packet passed, to a second. Any goroutine may
// call it.
func (c *call) Idle() (time.Duration, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.running || c.unit == nil {
		return 0, nil // not that it were idle
	}
	return c.unit.Idle()
}

// Counters implements gopptp.Call. The kernel counts no losses. A device that says nothing
// any more, as one that somebody has removed, has last said something: the volume of a
// session must not be lost with it.
func (c *call) Counters() gopptp.Counters {
	c.mu.Lock()
	closed, final := c.closed, c.final
	c.mu.Unlock()
	if closed {
		return final
	}
	return c.count()
}

func (c *call) count() gopptp.Counters {
	n := gopptp.Counters{
		DroppedEncrypted: c.encrypted.Load(),
		DroppedNetwork:   c.network.Load(),
	}
	u := c.device.Load()
	if u == nil {
		return n
	}
	s, err := (*u).Stats()
	if err != nil {
		c.plane.opts.Logger.Debug("kernel: no counters", "device", (*u).Name(), "err", err)
	}
	c.mu.Lock()
	if err == nil && s.ReceivedPackets >= c.counted.ReceivedPackets && s.SentPackets >= c.counted.SentPackets {
		c.counted = s // and not what another has asked for earlier
	}
	s = c.counted
	c.mu.Unlock()
	n.ReceivedPackets, n.ReceivedOctets = s.ReceivedPackets, s.ReceivedOctets
	n.SentPackets, n.SentOctets = s.SentPackets, s.SentOctets
	n.DroppedRate = s.DroppedRate
	return n
}

// Close implements gopptp.Call. What the kernel has of the call goes a little later.
func (c *call) Close() error {
	c.told.Lock()
	first := !c.told.closed
	c.told.closed = true
	c.told.Unlock()
	if !first {
		return nil
	}
	final := c.count()
	c.mu.Lock()
	c.final, c.closed = final, true
	c.push(operation{closed: true, run: c.release})
	c.mu.Unlock()
	c.plane.forget(c)
	return nil
}

// release is the last operation. It leaves the rest to a goroutine that may wait.
func (c *call) release() error {
	if c.unit != nil {
		_ = c.unit.Pass(false, false)
	}
	go func() {
		c.plane.closing <- struct{}{}
		defer func() { <-c.plane.closing }()
		defer c.plane.calls.Done()
		var err error
		if c.unit != nil {
			err = c.unit.Close()
		}
		if err = errors.Join(err, c.socket.Close()); err != nil {
			c.plane.opts.Logger.Warn("kernel: close a call", "err", err)
		}
		c.plane.ids.give(c.id, time.Now())
	}()
	return nil
}
