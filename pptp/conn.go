package pptp

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/gopptp/gopptp/internal/loop"
	"github.com/gopptp/gopptp/internal/rate"
)

// Errors of a Conn.
var (
	// ErrLost: the TCP connection ended without a
	// Stop-Control-Connection-Request. Many clients leave so.
	ErrLost = errors.New("pptp: TCP connection lost")
	// ErrWriteOverflow: the peer reads so slowly that too much waits to be
	// written.
	ErrWriteOverflow = errors.New("pptp: peer does not read what it is sent")
	// ErrFlood: the peer sends more messages than any control connection needs,
	// without end.
	ErrFlood = errors.New("pptp: peer floods the control connection")
)

// Defaults and sizes of a Conn.
const (
	DefaultWriteTimeout = 30 * time.Second
	DefaultFlushTimeout = time.Second
	DefaultMaxPending   = 8 << 10 // octets
	DefaultMessageRate  = 50      // a second
	DefaultMessageBurst = 500

	// FloodTime is how long a peer may send messages faster than it is listened to.
	FloodTime = 30 * time.Second

	readBufferLen = 512 // octets a read
)

// Direction says which way a message goes.
type Direction uint8

// Directions of a message.
const (
	Received Direction = iota
	Sent
)

// String returns "received" or "sent".
func (d Direction) String() string { return codeName(uint8(d), "received", "sent") }

// ConnConfig holds the parameters of a Conn. Each field's zero value means its
// default.
type ConnConfig struct {
	Config

	// WriteTimeout is how long one write to the TCP connection may take.
	// Default 30 s.
	WriteTimeout time.Duration
	// FlushTimeout is how long closing the connection waits for what is left
	// to be written, such as a Stop-Control-Connection-Reply. Default 1 s.
	FlushTimeout time.Duration
	// MaxPending is how many octets may wait to be written; more closes the
	// connection with ErrWriteOverflow. Default 8 KiB.
	MaxPending int

	// MessageRate is how many messages a second are read, beyond MessageBurst at
	// once. A peer that sends faster waits, as TCP has it do, so that it takes others
	// who share the loop little time; one that does so for FloodTime and never gives
	// its connection a rest has it closed with ErrFlood. Defaults 50 and 500, where a
	// client sends a dozen in all.
	MessageRate  float64
	MessageBurst int

	// Trace, if set, is told each control message: those received before
	// they are handled, those sent when they are queued. It runs on the loop
	// and must not block or keep msg. Use DecodeMessage to read it.
	Trace func(c *Conn, d Direction, msg []byte)

	// Collisions, if set, is shared by the Conns of one host that dial and
	// those that are accepted, and resolves collisions between them.
	Collisions *Collisions

	// Loop runs the connection; nil gives it a loop of its own. It can only
	// be set within this module. It must not be closed before the connection
	// has been.
	Loop *loop.Loop

	messages rate.Limit
}

// Validate reports the first value that is out of range; the error is
// ErrConfig.
func (c *ConnConfig) Validate() error {
	switch {
	case c.WriteTimeout < 0:
		return fmt.Errorf("%w: WriteTimeout is negative", ErrConfig)
	case c.FlushTimeout < 0:
		return fmt.Errorf("%w: FlushTimeout is negative", ErrConfig)
	case c.MaxPending < 0 || c.MaxPending > 0 && c.MaxPending < 2*MaxMessageLen:
		return fmt.Errorf("%w: MaxPending is below %d", ErrConfig, 2*MaxMessageLen)
	case !(c.MessageRate >= 0) || c.MessageBurst < 0:
		return fmt.Errorf("%w: MessageRate or MessageBurst is negative", ErrConfig)
	}
	return c.Config.Validate()
}

func (c *ConnConfig) setDefaults() {
	if c.Serials == nil {
		c.Serials = &connSerials
	}
	c.Config.setDefaults()
	c.WriteTimeout = orDefault(c.WriteTimeout, DefaultWriteTimeout)
	c.FlushTimeout = orDefault(c.FlushTimeout, DefaultFlushTimeout)
	c.MaxPending = orDefault(c.MaxPending, DefaultMaxPending)
	c.MessageRate = orDefault(c.MessageRate, DefaultMessageRate)
	c.MessageBurst = orDefault(c.MessageBurst, DefaultMessageBurst)
	c.messages = rate.New(c.MessageRate, c.MessageBurst)
}

// Handler is told what happens on a Conn. Its methods run on the Conn's loop,
// one at a time; they must not block, and may call any method of the Conn.
type Handler interface {
	// HandleEvent is given each event. Events that a method of the Conn
	// brings about are delivered before it returns, or, if it was called by
	// a Handler, after that has returned.
	HandleEvent(c *Conn, ev Event)
	// HandleClose is called exactly once, as the last call, after the event
	// Stopped. err is nil if either peer stopped the connection in an orderly
	// way. What is left to be written may still be on its way; see Done.
	HandleClose(c *Conn, err error)
}

// Conn runs a Control over a net.Conn. All it does, it does on its loop. It has one
// goroutine that reads, unless it shares a loop that can watch the connection, and
// another only while there is something to write that the connection does not take.
type Conn struct {
	nc   net.Conn
	cfg  *ConnConfig // with its defaults set; may be shared
	h    Handler
	loop *loop.Loop

	// Only functions on the loop touch these.
	ctl      Control
	timer    *loop.Timer
	out      *Output // while something is being done
	ownLoop  bool
	begun    bool
	over     bool  // Stopped was seen
	finished bool  // HandleClose was called
	err      error // for HandleClose

	watch  *loop.Watch // nil: a goroutine reads
	bucket rate.Bucket // of messages
	slowed *slowed     // nil while the peer sends no more than it may

	mu       sync.Mutex
	pending  []byte        // waits to be written
	writing  int           // octets that the writer has taken from pending
	reader   bool          // its goroutine runs
	writer   bool          // its goroutine runs
	closeBy  time.Time     // set when closing: what is pending may take so long
	told     bool          // HandleClose has returned, or never will be called
	released bool          // done is closed, or would be
	done     chan struct{} // nil as long as nobody waits for it
	ended    func()        // called when done is closed, with mu held; may be nil
}

// NewConn returns a Conn that runs cfg over nc, which it then owns. Start sets
// it off. The configuration must be valid. It may be called from any goroutine.
func NewConn(nc net.Conn, cfg ConnConfig, h Handler) *Conn {
	cfg.setDefaults()
	return newConn(nc, &cfg, h)
}

// NewConns returns NewConn with cfg, which the connections share and of which they
// would otherwise have a copy each.
func NewConns(cfg ConnConfig) func(nc net.Conn, h Handler) *Conn {
	cfg.setDefaults()
	return func(nc net.Conn, h Handler) *Conn { return newConn(nc, &cfg, h) }
}

func newConn(nc net.Conn, cfg *ConnConfig, h Handler) *Conn {
	c := &Conn{
		nc:   nc,
		cfg:  cfg,
		h:    h,
		loop: cfg.Loop,
		ctl:  Control{cfg: &cfg.Config, confirm: cfg.ConfirmStart || cfg.Collisions != nil},
	}
	if c.loop == nil {
		c.loop, c.ownLoop = loop.New(), true
	}
	c.timer = c.loop.NewTimer(c.tick)
	return c
}

// Start begins to read and starts the control connection. It is to be called
// once; it may be called from any goroutine and does not wait.
func (c *Conn) Start() {
	c.loop.Post(func() {
		if c.finished || c.begun {
			return
		}
		c.begun = true
		if !c.ownLoop {
			c.watch, _ = c.loop.Watch(c.nc, c.readable)
		}
		if c.watch == nil {
			c.mu.Lock()
			c.reader = true
			c.mu.Unlock()
			go (&reader{conn: c, handled: make(chan struct{}, 1)}).run()
		}

		if c.cfg.Originator {
			c.cfg.Collisions.add(c)
		}
		out, outer := c.enter()
		c.ctl.Start(time.Now(), out)
		c.leave(outer)
	})
}

// Do runs f on the loop, where it may call any method of the Conn. It does not
// wait and may be called from any goroutine. It reports false if the loop has
// ended and f will not run.
func (c *Conn) Do(f func()) bool { return c.loop.Post(f) }

// Close ends the connection without a Stop-Control-Connection-Request. It may
// be called from any goroutine and does not wait.
func (c *Conn) Close() { c.abort(ErrClosed) }

// abort may be called from any goroutine.
func (c *Conn) abort(err error) {
	c.loop.Post(func() {
		out, outer := c.enter()
		c.ctl.Abort(err, out)
		c.leave(outer)
	})
}

// Done is closed once the net.Conn is closed, HandleClose has returned and the
// goroutines that read and write have ended.
func (c *Conn) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.released {
			close(c.done)
		}
	}
	return c.done
}

// RemoteAddr returns the peer's address. It may be called from any goroutine.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Handler returns the one that NewConn was given.
func (c *Conn) Handler() Handler { return c.h }

// LocalAddr returns our address. It may be called from any goroutine.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// State returns the state of the Control. To be called on the loop.
func (c *Conn) State() State { return c.ctl.State() }

// Counters returns those of the Control. To be called on the loop.
func (c *Conn) Counters() Counters { return c.ctl.Counters() }

// PlaceCall is Control.PlaceCall. To be called on the loop.
func (c *Conn) PlaceCall(req OutgoingCallRequest) error {
	out, outer := c.enter()
	err := c.ctl.PlaceCall(req, time.Now(), out)
	c.leave(outer)
	return err
}

// AcceptCall is Control.AcceptCall. To be called on the loop.
func (c *Conn) AcceptCall(reply OutgoingCallReply) error {
	out, outer := c.enter()
	err := c.ctl.AcceptCall(reply, out)
	c.leave(outer)
	return err
}

// RejectCall is Control.RejectCall. To be called on the loop.
func (c *Conn) RejectCall(peerCallID uint16, result OutgoingCallResult, code ErrorCode) error {
	out, outer := c.enter()
	err := c.ctl.RejectCall(peerCallID, result, code, out)
	c.leave(outer)
	return err
}

// PlaceIncomingCall is Control.PlaceIncomingCall. To be called on the loop.
func (c *Conn) PlaceIncomingCall(req IncomingCallRequest) error {
	out, outer := c.enter()
	err := c.ctl.PlaceIncomingCall(req, time.Now(), out)
	c.leave(outer)
	return err
}

// AcceptIncomingCall is Control.AcceptIncomingCall. To be called on the loop.
func (c *Conn) AcceptIncomingCall(reply IncomingCallReply) error {
	out, outer := c.enter()
	err := c.ctl.AcceptIncomingCall(reply, time.Now(), out)
	c.leave(outer)
	return err
}

// RejectIncomingCall is Control.RejectIncomingCall. To be called on the loop.
func (c *Conn) RejectIncomingCall(peerCallID uint16, result IncomingCallResult, code ErrorCode) error {
	out, outer := c.enter()
	err := c.ctl.RejectIncomingCall(peerCallID, result, code, out)
	c.leave(outer)
	return err
}

// ConnectIncomingCall is Control.ConnectIncomingCall. To be called on the loop.
func (c *Conn) ConnectIncomingCall(callID uint16, line IncomingCallConnected) error {
	out, outer := c.enter()
	err := c.ctl.ConnectIncomingCall(callID, line, out)
	c.leave(outer)
	return err
}

// ReportWANErrors is Control.ReportWANErrors. To be called on the loop.
func (c *Conn) ReportWANErrors(callID uint16, report WANErrorNotify) error {
	out, outer := c.enter()
	err := c.ctl.ReportWANErrors(callID, report, time.Now(), out)
	c.leave(outer)
	return err
}

// AcceptStart is Control.AcceptStart. To be called on the loop.
func (c *Conn) AcceptStart() error {
	out, outer := c.enter()
	err := c.ctl.AcceptStart(time.Now(), out)
	c.leave(outer)
	return err
}

// RefuseStart is Control.RefuseStart. To be called on the loop.
func (c *Conn) RefuseStart(result StartResult, code ErrorCode) error {
	out, outer := c.enter()
	err := c.ctl.RefuseStart(result, code, out)
	c.leave(outer)
	return err
}

// IgnoreStart is Control.IgnoreStart. To be called on the loop.
func (c *Conn) IgnoreStart() error { return c.ctl.IgnoreStart() }

// ClearCall is Control.ClearCall. To be called on the loop.
func (c *Conn) ClearCall(why CallDisconnectNotify) error {
	out, outer := c.enter()
	err := c.ctl.ClearCall(why, time.Now(), out)
	c.leave(outer)
	return err
}

// SetLinkInfo is Control.SetLinkInfo. To be called on the loop.
func (c *Conn) SetLinkInfo(callID uint16, sendACCM, receiveACCM uint32) error {
	out, outer := c.enter()
	err := c.ctl.SetLinkInfo(callID, sendACCM, receiveACCM, out)
	c.leave(outer)
	return err
}

// Stop is Control.Stop; the connection is closed when the peer has confirmed.
// To be called on the loop.
func (c *Conn) Stop(reason StopReason) {
	out, outer := c.enter()
	c.ctl.Stop(reason, time.Now(), out)
	c.leave(outer)
}

// outputs lends an Output to each Conn that is doing something, so that idle
// ones hold none.
var outputs = sync.Pool{New: func() any { return new(Output) }}

// enter begins something that needs an Output. It may be nested: a Handler
// calls methods while an event is delivered. leave ends it.
func (c *Conn) enter() (out *Output, outer bool) {
	if c.out == nil {
		c.out = outputs.Get().(*Output)
		outer = true
	}
	return c.out, outer
}

// leave carries out what is in the Output, if it is the outer one.
func (c *Conn) leave(outer bool) {
	if !outer {
		return
	}
	out := c.out
	for i := 0; ; i++ {
		// What was sent before an event goes out before it is handled.
		c.write(out)
		if i == len(out.events) {
			break
		}
		switch ev := out.events[i].(type) {
		case StartRequested:
			if c.answerStart(out) {
				continue
			}
		case Started:
			c.cfg.Collisions.started(c, time.Now())
		case Stopped:
			c.cfg.Collisions.remove(c)
			c.over, c.err = true, ev.Err
		}
		c.h.HandleEvent(c, out.events[i])
	}
	c.out = nil
	out.Reset()
	outputs.Put(out)
	c.timer.Set(c.ctl.Deadline())
	if c.over && !c.finished {
		c.finish()
	}
}

// finish closes the connection, after what is pending has been written.
func (c *Conn) finish() {
	c.finished = true
	if c.watch != nil {
		c.watch.Stop()
	}
	c.resume()
	c.mu.Lock()
	c.closeBy = time.Now().Add(c.cfg.FlushTimeout)
	if c.writer {
		_ = c.nc.SetWriteDeadline(c.closeBy) // cuts a write short that is under way
	}
	c.release()
	c.mu.Unlock()

	c.h.HandleClose(c, c.err)
	if c.ownLoop {
		c.loop.Close()
	}
	c.mu.Lock()
	c.told = true
	c.release()
	c.mu.Unlock()
}

// release lets go of what a closing connection no longer needs. c.mu is held.
func (c *Conn) release() {
	if c.closeBy.IsZero() || c.writer {
		return
	}
	_ = c.nc.Close() // which ends the reader
	if !c.reader && c.told && !c.released {
		c.released = true
		if c.done != nil {
			close(c.done)
		}
		if c.ended != nil {
			c.ended()
		}
	}
}

func (c *Conn) tick(now time.Time) {
	out, outer := c.enter()
	_ = c.ctl.Tick(now, out) // its error is in Stopped
	c.leave(outer)
}

// reader is a goroutine that reads. It has at most one chunk on its way, so that a
// peer that talks much waits for its turn.
type reader struct {
	conn *Conn
	// While it waits for handled, these are the loop's.
	buf     [readBufferLen]byte
	n       int
	err     error
	quit    bool // it is to end
	handled chan struct{}
}

func (r *reader) run() {
	c, chunk := r.conn, r.chunk
	for {
		r.n, r.err = c.nc.Read(r.buf[:])
		if !c.loop.Post(chunk) {
			break
		}
		<-r.handled
		if r.quit {
			break
		}
	}
	c.mu.Lock()
	if c.closeBy.IsZero() { // the loop is gone and nobody else will close
		c.closeBy, c.told = time.Now(), true
	}
	c.reader = false
	c.release()
	c.mu.Unlock()
}

// chunk runs on the loop.
func (r *reader) chunk() {
	r.conn.received(r.buf[:r.n], r.err)
	r.conn.goOn(r.next)
}

func (r *reader) next() {
	r.quit = r.conn.finished
	r.handled <- struct{}{}
}

// buffers lends each Conn memory to read into, while it does.
var buffers = sync.Pool{New: func() any { return new([readBufferLen]byte) }}

// readable reads one chunk of a connection that the loop watches. Others have their
// turn before the next.
func (c *Conn) readable() {
	if c.finished {
		return
	}
	// It is not called again before there was a Read.
	c.goOn(c.readChunk)
}

func (c *Conn) readChunk() {
	if c.finished {
		return
	}
	buf := buffers.Get().(*[readBufferLen]byte)
	n, err := c.watch.Read(buf[:])
	c.received(buf[:n], err)
	buffers.Put(buf)
}

// received handles what was read, one message at a time: the events of each
// are delivered before the next is looked at.
func (c *Conn) received(b []byte, readErr error) {
	n := 0
	for !c.finished {
		msg, rest, err := c.ctl.framer.Next(b)
		if msg == nil && err == nil {
			break
		}
		out, outer := c.enter()
		if err != nil {
			_ = c.ctl.fail(err, out)
		} else {
			if c.cfg.Trace != nil {
				c.cfg.Trace(c, Received, msg)
			}
			_ = c.ctl.receive(msg, time.Now(), out)
		}
		c.leave(outer)
		b = rest
		n++
	}
	c.meter(max(n, 1))
	if readErr != nil && !c.finished {
		out, outer := c.enter()
		c.ctl.Abort(fmt.Errorf("%w: %w", ErrLost, readErr), out)
		c.leave(outer)
	}
}

// slowed is the state of a connection whose peer sends more than it may.
type slowed struct {
	since time.Time
	timer *loop.Timer
	next  func() // waits for the timer; nil if nothing does
}

// meter counts messages.
func (c *Conn) meter(n int) {
	now := time.Now()
	s := c.slowed
	if s != nil && c.cfg.messages.Quiet(&c.bucket, now) {
		s.timer.Set(time.Time{})
		c.slowed, s = nil, nil
	}
	c.cfg.messages.Charge(&c.bucket, n, now)
	switch {
	case c.finished || c.cfg.messages.Wait(&c.bucket, now) == 0:
	case s == nil:
		c.slowed = &slowed{since: now, timer: c.loop.NewTimer(func(time.Time) { c.resume() })}
	case now.Sub(s.since) >= FloodTime:
		out, outer := c.enter()
		c.ctl.Abort(ErrFlood, out)
		c.leave(outer)
	}
}

// goOn calls next, which reads on, once the peer may send.
func (c *Conn) goOn(next func()) {
	if s := c.slowed; s != nil && !c.finished {
		now := time.Now()
		if d := c.cfg.messages.Wait(&c.bucket, now); d > 0 {
			s.next = next
			s.timer.Set(now.Add(d))
			return
		}
	}
	next()
}

// resume calls what waits.
func (c *Conn) resume() {
	if s := c.slowed; s != nil && s.next != nil {
		next := s.next
		s.next = nil
		s.timer.Set(time.Time{})
		next()
	}
}

// write queues what is in the Output.
func (c *Conn) write(out *Output) {
	if len(out.buf) == 0 {
		return
	}
	if c.cfg.Trace != nil {
		for b := out.buf; len(b) > 0; b = b[be16(b):] {
			c.cfg.Trace(c, Sent, b[:be16(b)])
		}
	}
	b := out.buf
	c.mu.Lock()
	if c.watch != nil && !c.writer && !c.finished {
		n, err := c.watch.Write(b)
		b = b[n:]
		if err != nil {
			c.abort(fmt.Errorf("%w: %w", ErrLost, err))
			b = nil
		}
	}
	fits := len(c.pending)+c.writing+len(b) <= c.cfg.MaxPending
	if fits && len(b) > 0 {
		c.pending = append(c.pending, b...)
		if !c.writer {
			c.writer = true
			go c.flush()
		}
	}
	c.mu.Unlock()
	out.buf = out.buf[:0]
	if !fits {
		c.ctl.Abort(ErrWriteOverflow, out)
	}
}

// flush is the writer: it ends when nothing is pending.
func (c *Conn) flush() {
	var buf []byte
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > 0 {
		buf, c.pending = c.pending, buf[:0]
		c.writing = len(buf)
		by := c.closeBy
		if by.IsZero() {
			by = time.Now().Add(c.cfg.WriteTimeout)
		}
		_ = c.nc.SetWriteDeadline(by)
		c.mu.Unlock()
		_, err := c.nc.Write(buf)
		c.mu.Lock()
		c.writing = 0
		if err != nil {
			c.abort(fmt.Errorf("%w: %w", ErrLost, err))
			break
		}
	}
	c.pending = nil // idle connections hold no memory
	c.writer = false
	c.release()
}
