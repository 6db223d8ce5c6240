package pptp

import "time"

// State is the state of a control connection (RFC 2637 section 3.1).
type State uint8

const (
	// Idle: not started, or waiting for a Start-Control-Connection-Request.
	Idle State = iota
	// WaitCtlReply: waiting for a Start-Control-Connection-Reply.
	WaitCtlReply
	// Established: calls may be made.
	Established
	// WaitStopReply: waiting for a Stop-Control-Connection-Reply.
	WaitStopReply
	// Closed: over for good. The TCP connection is to be closed.
	Closed
)

// String returns the RFC's name of the state.
func (s State) String() string {
	return codeName(uint8(s), "idle", "wait_ctl_reply", "established", "wait_stop_reply", "closed")
}

// Counters count control messages.
type Counters struct {
	Received   uint64 // well framed, all kinds
	Sent       uint64
	Unexpected uint64 // see the event Unexpected
}

// Control is one control connection with its calls, for either role. It does
// no I/O and keeps no time: its owner tells it what has been received and what
// time it is, and carries out what it puts into an Output. It is not safe for
// concurrent use.
//
// Methods that return an error of the control connection (Input and Tick)
// return it once; it is in the Stopped event too, and the Control is then
// Closed. The errors of the others say that nothing was done.
type Control struct {
	cfg    *Config // with its defaults set; may be shared
	framer Framer

	state    State
	started  bool      // Start was called
	confirm  bool      // StartRequested asks the owner
	silent   bool      // of a collision, the connection that has lost
	echoing  bool      // an Echo-Request waits for its reply
	called   bool      // there has been a call
	several  bool      // there has been more than one, at once or in turn
	deadline time.Time // of the handshake, the silence, the echo or the stop
	echoID   uint32
	reason   StopReason // of our Stop-Control-Connection-Request
	stopErr  error      // why we stopped; nil if the owner wanted it
	asked    *PeerInfo  // StartRequested waits for an answer

	calls    []call
	clears   uint32 // Call-Clear-Requests sent
	counters Counters
}

// NewControl returns a Control that is Idle. The configuration must be valid.
func NewControl(cfg Config) *Control {
	cfg.setDefaults()
	return &Control{cfg: &cfg, confirm: cfg.ConfirmStart}
}

// State returns the state.
func (c *Control) State() State { return c.state }

// Role returns the configured role.
func (c *Control) Role() Role { return c.cfg.Role }

// Calls returns how many calls there are, those being set up and cleared
// included.
func (c *Control) Calls() int { return len(c.calls) }

// Counters returns the message counters.
func (c *Control) Counters() Counters { return c.counters }

// Start is to be called once the TCP connection is open, and once only. The
// originator sends its Start-Control-Connection-Request, the other side begins
// to wait for it.
func (c *Control) Start(now time.Time, out *Output) {
	if c.started || c.state != Idle {
		return
	}
	c.started = true
	c.deadline = now.Add(c.cfg.HandshakeTimeout)
	if !c.cfg.Originator {
		return
	}
	c.state = WaitCtlReply
	request := StartControlConnectionRequest(c.self())
	c.send(&request, out)
}

// self is what the peer is told about us.
func (c *Control) self() PeerInfo {
	return PeerInfo{
		ProtocolVersion:     ProtocolVersion,
		FramingCapabilities: c.cfg.FramingCapabilities,
		BearerCapabilities:  c.cfg.BearerCapabilities,
		MaximumChannels:     c.cfg.MaximumChannels,
		FirmwareRevision:    c.cfg.FirmwareRevision,
		HostName:            c.cfg.HostName,
		VendorString:        c.cfg.VendorString,
	}
}

// Input takes octets that came over the TCP connection, cut in any way. An
// error is a *FramingError, a *DecodeError, a *ProtocolError, or ErrClosed if
// the Control was Closed before. What follows the message that closes the
// connection is ignored.
func (c *Control) Input(b []byte, now time.Time, out *Output) error {
	if c.state == Closed {
		return ErrClosed
	}
	for len(b) > 0 && c.state != Closed {
		msg, rest, err := c.framer.Next(b)
		if err != nil {
			return c.fail(err, out)
		}
		if msg == nil {
			return nil
		}
		if err := c.receive(msg, now, out); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// Deadline returns when Tick is to be called next; the zero time means never.
// It may change with every call of another method.
func (c *Control) Deadline() time.Time {
	d := c.deadline
	for i := range c.calls {
		if at := c.calls[i].deadline; !at.IsZero() && (d.IsZero() || at.Before(d)) {
			d = at
		}
		if at := c.calls[i].wan.due(); !at.IsZero() && (d.IsZero() || at.Before(d)) {
			d = at
		}
	}
	return d
}

// Tick does what is due at now. An error is ErrHandshakeTimeout,
// ErrEchoTimeout, ErrStopTimeout, ErrCollision, or what made us stop a
// connection that the peer has not confirmed.
func (c *Control) Tick(now time.Time, out *Output) error {
	c.tickCalls(now, out)
	if c.deadline.IsZero() || now.Before(c.deadline) {
		return nil
	}
	switch {
	case c.silent:
		return c.fail(ErrCollision, out)
	case c.state == Idle || c.state == WaitCtlReply:
		return c.fail(ErrHandshakeTimeout, out)
	case c.state == WaitStopReply:
		err := ErrStopTimeout
		if c.stopErr != nil {
			err = c.stopErr
		}
		return c.end(Stopped{Reason: c.reason, Err: err}, out)
	case c.echoing:
		return c.fail(ErrEchoTimeout, out)
	}
	c.echoing = true
	c.echoID++
	c.deadline = now.Add(c.cfg.EchoTimeout)
	c.send(&EchoRequest{Identifier: c.echoID}, out)
	return nil
}

// Stop ends the control connection in an orderly way. All calls are cleared at
// once; Stopped comes when the peer confirms or StopTimeout has passed, or at
// once if the connection was not established. The zero reason is StopNone.
func (c *Control) Stop(reason StopReason, now time.Time, out *Output) {
	reason = orDefault(reason, StopNone)
	switch c.state {
	case Idle, WaitCtlReply:
		c.end(Stopped{Reason: reason}, out)
	case Established:
		c.stop(reason, nil, now, out)
	}
}

// Abort ends the control connection without a word to the peer, because the
// TCP connection has gone or is about to. err, which should not be nil, is
// what Stopped and CallCleared say. While a Stop waits for its reply, all has
// been said and Abort only cuts the waiting short.
func (c *Control) Abort(err error, out *Output) {
	switch c.state {
	case Closed:
	case WaitStopReply:
		c.end(Stopped{Reason: c.reason, Err: c.stopErr}, out)
	default:
		if c.silent { // that the connection goes is what we waited for
			err = ErrCollision
		}
		c.fail(err, out)
	}
}

func (c *Control) stop(reason StopReason, err error, now time.Time, out *Output) {
	c.clearCalls(false, orDefault(err, ErrStopped), out)
	c.state = WaitStopReply
	c.reason = reason
	c.stopErr = err
	c.deadline = now.Add(c.cfg.StopTimeout)
	c.send(&StopControlConnectionRequest{Reason: reason}, out)
}

// fail closes the connection because of err and returns it.
func (c *Control) fail(err error, out *Output) error {
	return c.end(Stopped{Err: err}, out)
}

// end closes the connection and returns s.Err.
func (c *Control) end(s Stopped, out *Output) error {
	c.clearCalls(s.Remote, orDefault(s.Err, ErrStopped), out)
	c.calls = nil
	c.asked = nil
	c.framer = Framer{}
	c.state = Closed
	c.deadline = time.Time{}
	out.emit(s)
	return s.Err
}

func (c *Control) send(m Message, out *Output) {
	c.counters.Sent++
	out.buf = m.Append(out.buf)
}

// unexpected counts and reports a message that cannot be made use of. Any
// number may come: they are not worth closing the connection.
func (c *Control) unexpected(t MessageType, out *Output) {
	c.counters.Unexpected++
	out.emit(Unexpected{Type: t})
}

// receive handles one framed message.
func (c *Control) receive(msg []byte, now time.Time, out *Output) error {
	c.counters.Received++
	if c.state == Established {
		// RFC 2637 section 3.1.4: silence ends with any control message. An
		// Echo-Reply that is missing while others come is forgiven.
		c.alive(now)
	}
	t := messageType(msg)
	m := newMessage(t)
	if m == nil || c.silent {
		c.unexpected(t, out)
		return nil
	}
	if _, err := m.Decode(msg); err != nil {
		return c.fail(err, out)
	}
	switch m := m.(type) {
	case *StartControlConnectionRequest:
		return c.onStartRequest(m, now, out)
	case *StartControlConnectionReply:
		return c.onStartReply(m, now, out)
	case *StopControlConnectionRequest:
		c.send(&StopControlConnectionReply{ResultCode: StopOK}, out)
		return c.end(Stopped{Remote: true, Reason: m.Reason, Err: c.stopErr}, out)
	case *StopControlConnectionReply:
		if c.state == WaitStopReply {
			// Whatever the result: we are going.
			return c.end(Stopped{Reason: c.reason, Err: c.stopErr}, out)
		}
		c.unexpected(t, out)
	case *EchoRequest:
		c.onEchoRequest(m, out)
	case *EchoReply:
		if c.state != Established || m.Identifier != c.echoID {
			c.unexpected(t, out)
		}
	case *OutgoingCallRequest:
		c.onOutgoingCallRequest(m, now, out)
	case *OutgoingCallReply:
		c.onOutgoingCallReply(m, out)
	case *IncomingCallRequest:
		c.onIncomingCallRequest(m, now, out)
	case *IncomingCallReply:
		c.onIncomingCallReply(m, now, out)
	case *IncomingCallConnected:
		c.onIncomingCallConnected(m, out)
	case *CallClearRequest:
		c.onCallClearRequest(m, out)
	case *CallDisconnectNotify:
		c.onCallDisconnectNotify(m, out)
	case *SetLinkInfo:
		c.onSetLinkInfo(m, out)
	case *WANErrorNotify:
		c.onWANErrorNotify(m, out)
	}
	return nil
}

// alive notes that the peer is there.
func (c *Control) alive(now time.Time) {
	c.echoing = false
	c.deadline = time.Time{}
	if c.cfg.EchoInterval > 0 {
		c.deadline = now.Add(c.cfg.EchoInterval)
	}
}

// establish enters Established.
func (c *Control) establish(peer PeerInfo, now time.Time, out *Output) {
	c.state = Established
	c.alive(now)
	out.emit(Started{Peer: peer})
}

func (c *Control) onStartRequest(m *StartControlConnectionRequest, now time.Time, out *Output) error {
	switch {
	case c.state != Idle || c.asked != nil:
		if c.state == Established {
			c.sendStartReply(StartChannelExists, ErrorNone, out)
		}
		c.unexpected(m.Type(), out)
		return nil
	case m.ProtocolVersion < ProtocolVersion:
		// A newer peer is told our version and may go on (section 3.1.2);
		// there is none older that we could speak with.
		c.sendStartReply(StartVersionNotSupported, ErrorNone, out)
		return c.fail(&ProtocolError{
			Message: TypeStartControlConnectionReply,
			Result:  uint8(StartVersionNotSupported),
			Err:     ErrVersion,
		}, out)
	}
	peer := PeerInfo(*m)
	if c.confirm {
		c.asked = &peer
		out.emit(StartRequested{Peer: peer})
		return nil
	}
	c.sendStartReply(StartSuccessful, ErrorNone, out)
	c.establish(peer, now, out)
	return nil
}

func (c *Control) sendStartReply(result StartResult, code ErrorCode, out *Output) {
	reply := startReply(result, code, c.self())
	c.send(&reply, out)
}

func (c *Control) onStartReply(m *StartControlConnectionReply, now time.Time, out *Output) error {
	switch {
	case c.state != WaitCtlReply:
		c.unexpected(m.Type(), out)
		return nil
	case m.ResultCode != StartSuccessful:
		err := &ProtocolError{
			Remote:    true,
			Message:   TypeStartControlConnectionReply,
			Result:    uint8(m.ResultCode),
			ErrorCode: m.ErrorCode,
			Err:       ErrStartRefused,
		}
		if m.ResultCode == StartVersionNotSupported {
			err.Err = ErrVersion
		}
		return c.end(Stopped{Remote: true, Err: err}, out)
	case m.ProtocolVersion>>8 != ProtocolVersion>>8:
		c.stop(StopProtocol, &ProtocolError{
			Message: TypeStopControlConnectionRequest,
			Result:  uint8(StopProtocol),
			Err:     ErrVersion,
		}, now, out)
		return nil
	}
	c.establish(m.peer(), now, out)
	return nil
}

func (c *Control) onEchoRequest(m *EchoRequest, out *Output) {
	reply := EchoReply{Identifier: m.Identifier, ResultCode: EchoOK}
	if c.state != Established && c.state != WaitStopReply {
		reply.ResultCode, reply.ErrorCode = EchoGeneralError, ErrorNotConnected
		c.unexpected(m.Type(), out)
	}
	c.send(&reply, out)
}
