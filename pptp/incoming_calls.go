package pptp

import "time"

// PlaceIncomingCall announces to the PNS a call that has come in. Only a PAC can
// do so. The owner chooses req.CallID, which must not be in use. Zero values of
// CallSerialNumber and CallBearerType are given defaults.
func (c *Control) PlaceIncomingCall(req IncomingCallRequest, now time.Time, out *Output) error {
	if err := c.mayPlace(RolePAC, req.CallID); err != nil {
		return err
	}
	c.defaultSerial(&req.CallSerialNumber)
	req.CallBearerType = orDefault(req.CallBearerType, BearerDigital)
	c.addCall(call{
		id: req.CallID, idKnown: true,
		serial:   req.CallSerialNumber,
		incoming: true,
		state:    callWaitReply,
		deadline: now.Add(c.cfg.CallTimeout),
	})
	c.send(&req, out)
	return nil
}

// AcceptIncomingCall accepts the call that IncomingCallRequested announced with
// the Call ID reply.PeerCallID. The owner chooses reply.CallID, which must not
// be in use. The Result Code is set to Connect; zero values of
// PacketRecvWindowSize and PacketTransmitDelay are given defaults. The call is
// established when the PAC has connected it, and may be cleared before.
func (c *Control) AcceptIncomingCall(reply IncomingCallReply, now time.Time, out *Output) error {
	k, err := c.mayAccept(RolePNS, reply.PeerCallID, reply.CallID)
	if err != nil {
		return err
	}
	reply.ResultCode, reply.ErrorCode = IncomingConnect, ErrorNone
	c.defaultWindow(&reply.PacketRecvWindowSize, &reply.PacketTransmitDelay)
	k.id, k.idKnown = reply.CallID, true
	k.window, k.delay = reply.PacketRecvWindowSize, reply.PacketTransmitDelay
	k.state = callWaitConnect
	k.deadline = now.Add(c.cfg.CallTimeout)
	c.send(&reply, out)
	return nil
}

// RejectIncomingCall refuses the call that IncomingCallRequested announced with
// the Call ID peerCallID. The zero result is IncomingDoNotAccept; code is for
// the result IncomingGeneralError. No event follows.
func (c *Control) RejectIncomingCall(peerCallID uint16, result IncomingCallResult, code ErrorCode, out *Output) error {
	i, err := c.waiting(RolePNS, peerCallID)
	if err != nil {
		return err
	}
	c.removeCall(i)
	c.refuseIncoming(peerCallID, orDefault(result, IncomingDoNotAccept), code, out)
	return nil
}

// ConnectIncomingCall says that the line of the call that IncomingCallAccepted
// told of is connected. CallEstablished follows. line.PeerCallID is set; zero
// values of ConnectSpeed, FramingType, PacketRecvWindowSize and
// PacketTransmitDelay are given defaults.
func (c *Control) ConnectIncomingCall(callID uint16, line IncomingCallConnected, out *Output) error {
	k, err := c.inState(callWaitConnect, RolePAC, callID)
	if err != nil {
		return err
	}
	line.PeerCallID = k.peer
	line.ConnectSpeed = orDefault(line.ConnectSpeed, DefaultConnectSpeed)
	line.FramingType = orDefault(line.FramingType, FramingSynchronous)
	c.defaultWindow(&line.PacketRecvWindowSize, &line.PacketTransmitDelay)
	k.window, k.delay = line.PacketRecvWindowSize, line.PacketTransmitDelay
	k.info.ConnectSpeed = line.ConnectSpeed
	c.send(&line, out)
	c.established(k, out)
	return nil
}

func (c *Control) refuseIncoming(peerCallID uint16, result IncomingCallResult, code ErrorCode, out *Output) {
	c.send(&IncomingCallReply{PeerCallID: peerCallID, ResultCode: result, ErrorCode: code}, out)
}

// abandon keeps the ID of an incoming call that was given up before the PNS
// answered. The answer may be on its way, and must not be taken for that to
// another call with the same ID.
func (c *Control) abandon(i int, now time.Time) {
	k := &c.calls[i]
	k.state = callAbandoned
	k.deadline = now.Add(c.cfg.StopTimeout)
}

func (c *Control) onIncomingCallRequest(m *IncomingCallRequest, now time.Time, out *Output) {
	result, code := IncomingGeneralError, ErrorNone
	switch {
	case c.state != Established:
		code = ErrorNotConnected
	case c.cfg.Role != RolePNS || !c.cfg.IncomingCalls:
		result = IncomingDoNotAccept
	case c.byPeer(m.CallID) >= 0:
		code = ErrorBadCallID
	case len(c.calls) >= c.cfg.MaxCalls:
		code = ErrorNoResource
	default:
		c.addCall(call{
			peer: m.CallID, peerKnown: true,
			serial:   m.CallSerialNumber,
			incoming: true,
			info:     &CallInfo{BearerType: m.CallBearerType, PhysicalChannelID: m.PhysicalChannelID},
			state:    callWaitAnswer,
			deadline: now.Add(c.cfg.CallTimeout),
		})
		out.emit(IncomingCallRequested{Request: *m})
		return
	}
	c.refuseIncoming(m.CallID, result, code, out)
	c.unexpected(m.Type(), out)
}

func (c *Control) onIncomingCallReply(m *IncomingCallReply, now time.Time, out *Output) {
	i := c.byID(m.PeerCallID)
	if i < 0 || c.calls[i].state != callWaitReply && c.calls[i].state != callAbandoned || c.cfg.Role != RolePAC {
		if i < 0 && c.cfg.Role == RolePAC && c.state == Established && m.ResultCode == IncomingConnect {
			// The PNS waits for a call that we know nothing of, or no longer.
			c.send(&CallDisconnectNotify{
				CallID: m.PeerCallID, ResultCode: DisconnectGeneralError, ErrorCode: ErrorBadCallID,
			}, out)
		}
		c.unexpected(m.Type(), out)
		return
	}
	k := &c.calls[i]
	switch {
	case k.state == callAbandoned: // it crossed our Call-Disconnect-Notify
		c.removeCall(i)
	case m.ResultCode != IncomingConnect:
		out.emit(IncomingCallRefused{CallID: k.id, ResultCode: m.ResultCode, ErrorCode: m.ErrorCode})
		c.removeCall(i)
	default:
		k.peer, k.peerKnown = m.CallID, true
		k.info = &CallInfo{
			PacketRecvWindowSize: m.PacketRecvWindowSize, PacketProcessingDelay: m.PacketTransmitDelay,
		}
		k.state = callWaitConnect
		k.deadline = now.Add(c.cfg.CallTimeout)
		out.emit(IncomingCallAccepted{CallID: k.id, PeerCallID: k.peer})
	}
}

func (c *Control) onIncomingCallConnected(m *IncomingCallConnected, out *Output) {
	i := c.byID(m.PeerCallID)
	if i < 0 || c.cfg.Role != RolePNS || !c.calls[i].incoming {
		if i < 0 && c.cfg.Role == RolePNS && c.state == Established {
			// Nobody is there to use the line, and the PAC is to hang up.
			c.send(&CallClearRequest{CallID: m.PeerCallID}, out)
		}
		c.unexpected(m.Type(), out)
		return
	}
	k := &c.calls[i]
	switch k.state {
	case callWaitConnect:
		k.info.ConnectSpeed, k.info.FramingType = m.ConnectSpeed, m.FramingType
		k.info.PacketRecvWindowSize, k.info.PacketProcessingDelay = m.PacketRecvWindowSize, m.PacketTransmitDelay
		c.established(k, out)
	case callWaitDisconnect: // it crossed our Call-Clear-Request
	default:
		c.unexpected(m.Type(), out)
	}
}
