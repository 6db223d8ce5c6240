package pptp

import (
	"slices"
	"time"
)

// callState is the state of a call (RFC 2637 sections 3.2.3 and 3.2.4). Outgoing
// calls are those that the PNS asks for, incoming ones those that the PAC
// announces, so that with the role it says which kind a call is that is not
// established yet.
type callState uint8

const (
	callWaitAnswer     callState = iota // asked for by the peer, our owner is to decide; of a PAC, wait_cs_ans
	callWaitReply                       // asked for by us, the peer is to decide
	callWaitConnect                     // incoming and accepted: the PAC is to connect its line
	callEstablished                     // both
	callWaitDisconnect                  // PNS: Call-Clear-Request sent
	callAbandoned                       // PAC: given up before the reply, which may be on its way; told
)

// call is an entry of the call table. Call ID 0 is legal, so whether an ID is
// known is kept beside it.
type call struct {
	id, peer           uint16 // Call ID assigned by us, and by the peer
	serial             uint16
	window, delay      uint16 // ours, as we tell them
	state              callState
	incoming           bool
	idKnown, peerKnown bool
	told               bool       // the owner knows already that it is over
	clearing           uint32     // of our Call-Clear-Requests, the how manyth; while callWaitDisconnect
	deadline           time.Time  // zero while callEstablished
	info               *CallInfo  // what the peer has told; nil before, and once callEstablished
	wan                *wanReport // of a PAC, nil until there is something to report
}

// byID returns the index of the call to which we gave id, or -1.
func (c *Control) byID(id uint16) int {
	return slices.IndexFunc(c.calls, func(k call) bool { return k.idKnown && k.id == id })
}

// byPeer returns the index of the call to which the peer gave id, or -1.
func (c *Control) byPeer(id uint16) int {
	return slices.IndexFunc(c.calls, func(k call) bool { return k.peerKnown && k.peer == id })
}

// bySender finds the call that a Call-Clear-Request or a Call-Disconnect-Notify
// names. Both carry the ID that their sender assigned (sections 2.12, 2.13).
// On the connection's first call a peer is understood that mistakes the sides
// or names an ID that it has not told yet. Later, such a message may as well be
// a late one about a call that is gone.
func (c *Control) bySender(id uint16) int {
	i := c.byPeer(id)
	if i < 0 && !c.several && len(c.calls) == 1 {
		if k := &c.calls[0]; !k.peerKnown || k.idKnown && k.id == id {
			return 0
		}
	}
	return i
}

func (c *Control) addCall(k call) {
	c.several = c.called
	c.called = true
	c.calls = append(c.calls, k)
}

func (c *Control) removeCall(i int) { c.calls = slices.Delete(c.calls, i, i+1) }

// cleared removes call i and tells the owner, who completes ev with the cause.
func (c *Control) cleared(i int, ev CallCleared, out *Output) {
	k := c.calls[i]
	c.removeCall(i)
	if !k.told {
		ev.CallID, ev.PeerCallID, ev.Incoming = k.id, k.peer, k.incoming
		out.emit(ev)
	}
}

// clearCalls tells the owner that all calls are over because the control
// connection is.
func (c *Control) clearCalls(remote bool, err error, out *Output) {
	for len(c.calls) > 0 {
		c.cleared(0, CallCleared{Remote: remote, Err: err}, out)
	}
}

// established moves k there and tells the owner.
func (c *Control) established(k *call, out *Output) {
	k.state = callEstablished
	k.deadline = time.Time{}
	info := *k.info
	k.info = nil
	out.emit(CallEstablished{
		CallID: k.id, PeerCallID: k.peer,
		PacketRecvWindowSize: info.PacketRecvWindowSize, PacketProcessingDelay: info.PacketProcessingDelay,
		ConnectSpeed:     info.ConnectSpeed,
		Incoming:         k.incoming,
		CallSerialNumber: k.serial,
		OwnRecvWindow:    k.window, OwnProcessingDelay: k.delay,
		Peer: info,
	})
}

func (c *Control) tickCalls(now time.Time, out *Output) {
	for i := 0; i < len(c.calls); {
		k := &c.calls[i]
		c.tickWANErrors(k, now, out)
		n := len(c.calls)
		if !k.deadline.IsZero() && !now.Before(k.deadline) {
			c.callTimedOut(i, now, out)
		}
		if len(c.calls) == n { // it is still there
			i++
		}
	}
}

// callTimedOut gives up what call i waits for.
func (c *Control) callTimedOut(i int, now time.Time, out *Output) {
	k := &c.calls[i]
	switch k.state {
	case callWaitAnswer:
		if k.incoming {
			c.refuseIncoming(k.peer, IncomingDoNotAccept, ErrorNone, out)
		} else {
			c.refuse(k.peer, OutgoingTimeOut, ErrorNone, out)
		}
		c.cleared(i, CallCleared{Err: ErrCallTimeout}, out)
	case callWaitReply:
		k.told = true
		if k.incoming {
			out.emit(IncomingCallRefused{CallID: k.id, Err: ErrCallTimeout})
			c.send(&CallDisconnectNotify{CallID: k.id, ResultCode: DisconnectAdminShutdown}, out)
			c.abandon(i, now)
		} else {
			out.emit(CallRefused{CallID: k.id, Err: ErrCallTimeout})
			c.sendClearRequest(k, now, out)
		}
	case callWaitConnect:
		if c.cfg.Role == RolePNS {
			k.told = true
			out.emit(CallCleared{CallID: k.id, PeerCallID: k.peer, Incoming: true, Err: ErrCallTimeout})
			c.sendClearRequest(k, now, out)
		} else {
			c.send(&CallDisconnectNotify{CallID: k.id, ResultCode: DisconnectAdminShutdown}, out)
			c.cleared(i, CallCleared{ResultCode: DisconnectAdminShutdown, Err: ErrCallTimeout}, out)
		}
	case callAbandoned:
		c.removeCall(i)
	default:
		// Section 3.2.1 would have the whole control connection closed. The
		// Echo-Requests show whether it is alive, and its other calls are worth
		// more than the peer's good manners.
		c.cleared(i, CallCleared{Err: ErrClearTimeout}, out)
	}
}

// PlaceCall asks the PAC for a call. Only a PNS can do so. The owner chooses
// req.CallID, which must not be in use. Zero values of CallSerialNumber,
// MinimumBPS, MaximumBPS, BearerType, FramingType, PacketRecvWindowSize and
// PacketProcessingDelay are given defaults.
func (c *Control) PlaceCall(req OutgoingCallRequest, now time.Time, out *Output) error {
	if err := c.mayPlace(RolePNS, req.CallID); err != nil {
		return err
	}
	c.defaultSerial(&req.CallSerialNumber)
	req.MinimumBPS = orDefault(req.MinimumBPS, DefaultMinimumBPS)
	req.MaximumBPS = orDefault(req.MaximumBPS, DefaultMaximumBPS)
	req.BearerType = orDefault(req.BearerType, BearerAny)
	req.FramingType = orDefault(req.FramingType, FramingEither)
	c.defaultWindow(&req.PacketRecvWindowSize, &req.PacketProcessingDelay)
	c.addCall(call{
		id: req.CallID, idKnown: true,
		serial: req.CallSerialNumber,
		window: req.PacketRecvWindowSize, delay: req.PacketProcessingDelay,
		state:    callWaitReply,
		deadline: now.Add(c.cfg.CallTimeout),
	})
	c.send(&req, out)
	return nil
}

// AcceptCall accepts the call that CallRequested announced with the Call ID
// reply.PeerCallID. The owner chooses reply.CallID, which must not be in use.
// The Result Code is set to Connected; zero values of ConnectSpeed,
// PacketRecvWindowSize and PacketProcessingDelay are given defaults.
func (c *Control) AcceptCall(reply OutgoingCallReply, out *Output) error {
	k, err := c.mayAccept(RolePAC, reply.PeerCallID, reply.CallID)
	if err != nil {
		return err
	}
	reply.ResultCode, reply.ErrorCode = OutgoingConnected, ErrorNone
	reply.ConnectSpeed = orDefault(reply.ConnectSpeed, DefaultConnectSpeed)
	c.defaultWindow(&reply.PacketRecvWindowSize, &reply.PacketProcessingDelay)
	k.id, k.idKnown = reply.CallID, true
	k.window, k.delay = reply.PacketRecvWindowSize, reply.PacketProcessingDelay
	k.info.ConnectSpeed = reply.ConnectSpeed
	c.send(&reply, out)
	c.established(k, out)
	return nil
}

// RejectCall refuses the call that CallRequested announced with the Call ID
// peerCallID. code is for the result OutgoingGeneralError. No event follows.
func (c *Control) RejectCall(peerCallID uint16, result OutgoingCallResult, code ErrorCode, out *Output) error {
	i, err := c.waiting(RolePAC, peerCallID)
	if err != nil {
		return err
	}
	c.removeCall(i)
	c.refuse(peerCallID, result, code, out)
	return nil
}

// mayPlace says why a call cannot be placed under our Call ID id, which is for
// role to do.
func (c *Control) mayPlace(role Role, id uint16) error {
	switch {
	case c.cfg.Role != role:
		return ErrRole
	case c.state != Established:
		return ErrState
	case c.byID(id) >= 0:
		return ErrCallIDInUse
	case len(c.calls) >= c.cfg.MaxCalls:
		return ErrTooManyCalls
	}
	return nil
}

// mayAccept returns the call that waits for the owner's decision, if it can be
// accepted under our Call ID id.
func (c *Control) mayAccept(role Role, peerCallID, id uint16) (*call, error) {
	i, err := c.waiting(role, peerCallID)
	if err != nil {
		return nil, err
	}
	if c.byID(id) >= 0 {
		return nil, ErrCallIDInUse
	}
	return &c.calls[i], nil
}

// waiting returns the index of the call that waits for the owner's decision,
// which is for role to make.
func (c *Control) waiting(role Role, peerCallID uint16) (int, error) {
	if c.cfg.Role != role {
		return 0, ErrRole
	}
	i := c.byPeer(peerCallID)
	if i < 0 || c.calls[i].state != callWaitAnswer {
		return 0, ErrUnknownCall
	}
	return i, nil
}

// inState returns the call to which we gave id, which is in the given state. What
// is to be done with it is for role to do.
func (c *Control) inState(s callState, role Role, id uint16) (*call, error) {
	if c.cfg.Role != role {
		return nil, ErrRole
	}
	i := c.byID(id)
	if i < 0 || c.calls[i].state != s {
		return nil, ErrUnknownCall
	}
	return &c.calls[i], nil
}

func (c *Control) defaultWindow(window, delay *uint16) {
	*window = orDefault(*window, c.cfg.PacketRecvWindowSize)
	*delay = orDefault(*delay, c.cfg.PacketProcessingDelay)
}

func (c *Control) refuse(peerCallID uint16, result OutgoingCallResult, code ErrorCode, out *Output) {
	c.send(&OutgoingCallReply{PeerCallID: peerCallID, ResultCode: result, ErrorCode: code}, out)
}

// ClearCall clears the call to which we gave the Call ID why.CallID. A PAC
// sends why, with the result admin shutdown unless it says another, and the
// call is over. A PNS sends a Call-Clear-Request, which has no room for the
// rest of why, and the call is over when the peer confirms or StopTimeout has
// passed; clearing it again in between does nothing.
func (c *Control) ClearCall(why CallDisconnectNotify, now time.Time, out *Output) error {
	i := c.byID(why.CallID)
	if i < 0 || c.calls[i].told {
		return ErrUnknownCall
	}
	if c.cfg.Role == RolePNS {
		if k := &c.calls[i]; k.state != callWaitDisconnect {
			c.sendClearRequest(k, now, out)
		}
		return nil
	}
	why.ResultCode = orDefault(why.ResultCode, DisconnectAdminShutdown)
	c.send(&why, out)
	ev := CallCleared{
		CallID: why.CallID, PeerCallID: c.calls[i].peer, Incoming: c.calls[i].incoming,
		ResultCode: why.ResultCode, ErrorCode: why.ErrorCode,
		CauseCode: why.CauseCode, CallStatistics: why.CallStatistics,
	}
	if k := &c.calls[i]; k.state == callWaitReply {
		k.told = true
		out.emit(ev)
		c.abandon(i, now)
		return nil
	}
	c.cleared(i, ev, out)
	return nil
}

func (c *Control) sendClearRequest(k *call, now time.Time, out *Output) {
	k.state = callWaitDisconnect
	c.clears++
	k.clearing = c.clears
	k.deadline = now.Add(c.cfg.StopTimeout)
	c.send(&CallClearRequest{CallID: k.id}, out)
}

// SetLinkInfo tells the PAC the ACCMs of an established call, which is named
// by our Call ID. Only a PNS can do so.
func (c *Control) SetLinkInfo(callID uint16, sendACCM, receiveACCM uint32, out *Output) error {
	k, err := c.inState(callEstablished, RolePNS, callID)
	if err != nil {
		return err
	}
	c.send(&SetLinkInfo{PeerCallID: k.peer, SendACCM: sendACCM, ReceiveACCM: receiveACCM}, out)
	return nil
}

func (c *Control) onOutgoingCallRequest(m *OutgoingCallRequest, now time.Time, out *Output) {
	result, code := OutgoingGeneralError, ErrorNone
	switch {
	case c.state != Established:
		code = ErrorNotConnected
	case c.cfg.Role != RolePAC:
		result = OutgoingDoNotAccept
	case c.byPeer(m.CallID) >= 0:
		code = ErrorBadCallID
	case len(c.calls) >= c.cfg.MaxCalls:
		code = ErrorNoResource
	default:
		c.addCall(call{
			peer: m.CallID, peerKnown: true,
			serial: m.CallSerialNumber,
			info: &CallInfo{
				MinimumBPS: m.MinimumBPS, MaximumBPS: m.MaximumBPS,
				BearerType: m.BearerType, FramingType: m.FramingType,
				PacketRecvWindowSize: m.PacketRecvWindowSize, PacketProcessingDelay: m.PacketProcessingDelay,
			},
			state:    callWaitAnswer,
			deadline: now.Add(c.cfg.CallTimeout),
		})
		out.emit(CallRequested{Request: *m})
		return
	}
	c.refuse(m.CallID, result, code, out)
	c.unexpected(m.Type(), out)
}

func (c *Control) onOutgoingCallReply(m *OutgoingCallReply, out *Output) {
	i := c.byID(m.PeerCallID)
	if i < 0 || c.cfg.Role != RolePNS || c.calls[i].peerKnown {
		if i < 0 && c.cfg.Role == RolePNS && c.state == Established && m.ResultCode == OutgoingConnected {
			// The PAC has a call that we know nothing of, because its ID was
			// used anew after a Call-Clear-Request without an answer. It would
			// be there until somebody's patience is at its end.
			c.send(&CallClearRequest{CallID: m.PeerCallID}, out)
		}
		c.unexpected(m.Type(), out)
		return
	}
	k := &c.calls[i]
	connected := m.ResultCode == OutgoingConnected
	if connected {
		k.peer, k.peerKnown = m.CallID, true
	}
	switch {
	case k.state == callWaitDisconnect && connected:
		// It crossed our Call-Clear-Request; now we know which ID the
		// Call-Disconnect-Notify will name.
	case k.state == callWaitDisconnect:
		c.cleared(i, CallCleared{}, out)
	case connected:
		k.info = &CallInfo{
			ConnectSpeed: m.ConnectSpeed, PhysicalChannelID: m.PhysicalChannelID,
			PacketRecvWindowSize: m.PacketRecvWindowSize, PacketProcessingDelay: m.PacketProcessingDelay,
		}
		c.established(k, out)
	default:
		out.emit(CallRefused{CallID: k.id, ResultCode: m.ResultCode, ErrorCode: m.ErrorCode, CauseCode: m.CauseCode})
		c.removeCall(i)
	}
}

// onCallClearRequest clears a call. A PNS may not get this message, but some
// servers send it.
func (c *Control) onCallClearRequest(m *CallClearRequest, out *Output) {
	i := c.bySender(m.CallID)
	if i < 0 {
		// Not answered: there is no Call ID of ours to name, and any other
		// could be taken for that of another call. It may well have crossed
		// our Call-Disconnect-Notify.
		c.unexpected(m.Type(), out)
		return
	}
	k := c.calls[i]
	id := k.id
	if k.state == callAbandoned { // our Call-Disconnect-Notify is on its way
		c.removeCall(i)
		return
	}
	if !k.idKnown { // the owner had not decided yet: name no other call
		for id = 0; c.byID(id) >= 0; id++ {
		}
	}
	c.send(&CallDisconnectNotify{CallID: id, ResultCode: DisconnectRequest}, out)
	c.cleared(i, CallCleared{Remote: k.state != callWaitDisconnect, ResultCode: DisconnectRequest}, out)
}

// onCallDisconnectNotify clears a call. A PAC may not get this message, but
// some clients send it.
func (c *Control) onCallDisconnectNotify(m *CallDisconnectNotify, out *Output) {
	i := c.byPeer(m.CallID)
	if i < 0 {
		// We may have cleared the call before we were told the peer's ID. Such
		// calls are confirmed in the order of our Call-Clear-Requests. A
		// result of another kind is not a confirmation: it may be about an
		// incoming call that we have just refused.
		confirms := m.ResultCode == DisconnectRequest || m.ResultCode == DisconnectUnspecified
		for n, k := range c.calls {
			if confirms && k.state == callWaitDisconnect && !k.peerKnown && (i < 0 || k.clearing-c.calls[i].clearing > 1<<31) {
				i = n
			}
		}
	}
	if i < 0 {
		i = c.bySender(m.CallID)
	}
	if i < 0 {
		c.unexpected(m.Type(), out)
		return
	}
	c.cleared(i, CallCleared{
		Remote:     c.calls[i].state != callWaitDisconnect,
		ResultCode: m.ResultCode, ErrorCode: m.ErrorCode,
		CauseCode: m.CauseCode, CallStatistics: m.CallStatistics,
	}, out)
}

func (c *Control) onSetLinkInfo(m *SetLinkInfo, out *Output) {
	i := c.byID(m.PeerCallID)
	if i < 0 {
		c.unexpected(m.Type(), out)
		return
	}
	if c.calls[i].told {
		return
	}
	out.emit(LinkInfo{CallID: c.calls[i].id, SendACCM: m.SendACCM, ReceiveACCM: m.ReceiveACCM})
}
