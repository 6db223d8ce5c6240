package pptp

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStart(t *testing.T) {
	for _, chunk := range []int{0, 1, 2, 13, 155} {
		p := newPair(t, nil)
		p.chunk = chunk
		require.Equal(t, WaitCtlReply, p.pns.State())
		require.Equal(t, Idle, p.pac.State())
		p.run()
		require.Equal(t, []Event{Started{Peer: PeerInfo{
			ProtocolVersion: 0x0100, FramingCapabilities: FramingEither, BearerCapabilities: BearerAny,
			MaximumChannels: 9, FirmwareRevision: 8, HostName: "server", VendorString: "v2",
		}}}, p.pns.take())
		require.Equal(t, []Event{Started{Peer: PeerInfo{
			ProtocolVersion: 0x0100, FramingCapabilities: FramingEither, BearerCapabilities: BearerAny,
			FirmwareRevision: 7, HostName: "client", VendorString: "v1",
		}}}, p.pac.take())
		require.Equal(t, Counters{Received: 1, Sent: 1}, p.pns.Counters())
		require.Equal(t, Counters{Received: 1, Sent: 1}, p.pac.Counters())
	}
}

// The control connection does not depend on the roles: a PAC may originate it.
func TestStartByPAC(t *testing.T) {
	p := newPair(t, func(pns, pac *Config) { pns.Originator, pac.Originator = false, true })
	p.run()
	require.Equal(t, Established, p.pns.State())
	require.Equal(t, Established, p.pac.State())
	p.pns.take()
	p.pac.take()
	p.call(1, 2)
}

func TestStartTwiceDoesNothing(t *testing.T) {
	p := newPair(t, nil)
	p.pns.collect()
	p.pns.messages(t)
	p.pns.Start(p.now, &p.pns.out)
	p.pns.collect()
	require.Empty(t, p.pns.sent)
}

func TestHandshakeTimeout(t *testing.T) {
	for _, originator := range []bool{false, true} {
		e := &end{Control: NewControl(Config{Originator: originator})}
		require.Zero(t, e.Deadline())
		e.Start(epoch, &e.out)
		e.collect()
		at := epoch.Add(DefaultHandshakeTimeout)
		require.Equal(t, at, e.Deadline())
		e.tick(at.Add(-1))
		require.NoError(t, e.err)
		// Nothing but the start itself moves the deadline.
		e.receiveAll(at.Add(-1), &EchoRequest{Identifier: 1})
		require.Equal(t, at, e.Deadline())
		e.take()
		e.tick(at)
		require.ErrorIs(t, e.err, ErrHandshakeTimeout)
		require.Equal(t, []Event{Stopped{Err: ErrHandshakeTimeout}}, e.take())
		require.Equal(t, Closed, e.State())
		require.Zero(t, e.Deadline())
	}
}

func TestVersions(t *testing.T) {
	t.Run("request too old", func(t *testing.T) {
		e := &end{Control: NewControl(Config{})}
		e.Start(epoch, &e.out)
		e.receiveAll(epoch, &StartControlConnectionRequest{ProtocolVersion: 0x00ff})
		require.ErrorIs(t, e.err, ErrVersion)
		var pe *ProtocolError
		require.ErrorAs(t, e.err, &pe)
		require.False(t, pe.Remote)
		require.Equal(t, uint8(StartVersionNotSupported), pe.Result)
		require.Equal(t, "pptp: protocol version not supported: we sent Start-Control-Connection-Reply: protocol version not supported", pe.Error())
		require.Equal(t, []Event{Stopped{Err: e.err}}, e.take())
		reply := e.messages(t)[0].(*StartControlConnectionReply)
		require.Equal(t, StartVersionNotSupported, reply.ResultCode)
		require.Equal(t, uint16(ProtocolVersion), reply.ProtocolVersion)
	})
	t.Run("request newer", func(t *testing.T) {
		e := &end{Control: NewControl(Config{})}
		e.Start(epoch, &e.out)
		e.receiveAll(epoch, &StartControlConnectionRequest{ProtocolVersion: 0x0200})
		require.Equal(t, Established, e.State())
		require.Equal(t, uint16(ProtocolVersion), e.messages(t)[0].(*StartControlConnectionReply).ProtocolVersion)
	})
	t.Run("reply refuses", func(t *testing.T) {
		e := &end{Control: NewControl(Config{Originator: true})}
		e.Start(epoch, &e.out)
		e.receiveAll(epoch, &StartControlConnectionReply{ProtocolVersion: 0x0100, ResultCode: StartVersionNotSupported})
		require.ErrorIs(t, e.err, ErrVersion)
		require.Equal(t, []Event{Stopped{Remote: true, Err: e.err}}, e.take())
	})
	t.Run("reply of another version", func(t *testing.T) {
		// Section 3.1.1: a Stop-Control-Connection-Request is sent.
		e := &end{Control: NewControl(Config{Originator: true})}
		e.Start(epoch, &e.out)
		e.collect()
		e.messages(t)
		e.receiveAll(epoch, &StartControlConnectionReply{ProtocolVersion: 0x0001, ResultCode: StartSuccessful})
		require.NoError(t, e.err)
		require.Equal(t, WaitStopReply, e.State())
		require.Equal(t, []Message{&StopControlConnectionRequest{Reason: StopProtocol}}, e.messages(t))
		require.Empty(t, e.take())
		e.receiveAll(epoch, &StopControlConnectionReply{ResultCode: StopOK})
		require.ErrorIs(t, e.err, ErrVersion)
		require.Equal(t, []Event{Stopped{Reason: StopProtocol, Err: e.err}}, e.take())
	})
}

func TestStartRefused(t *testing.T) {
	e := &end{Control: NewControl(Config{Originator: true})}
	e.Start(epoch, &e.out)
	e.receiveAll(epoch, &StartControlConnectionReply{ProtocolVersion: 0x0100, ResultCode: StartGeneralError, ErrorCode: ErrorNoResource})
	require.ErrorIs(t, e.err, ErrStartRefused)
	var pe *ProtocolError
	require.ErrorAs(t, e.err, &pe)
	require.Equal(t, &ProtocolError{
		Remote: true, Message: TypeStartControlConnectionReply,
		Result: uint8(StartGeneralError), ErrorCode: ErrorNoResource, Err: ErrStartRefused,
	}, pe)
	require.Equal(t, "pptp: control connection refused: peer sent Start-Control-Connection-Reply: general error, no resource", pe.Error())
	require.Equal(t, []Event{Stopped{Remote: true, Err: e.err}}, e.take())
	require.Equal(t, Closed, e.State())
}

// A second Start-Control-Connection-Request is answered and does no harm.
func TestStartRequestAgain(t *testing.T) {
	p := called(t)
	p.pac.receiveAll(p.now, &StartControlConnectionRequest{ProtocolVersion: 0x0100})
	require.Equal(t, StartChannelExists, p.pac.messages(t)[0].(*StartControlConnectionReply).ResultCode)
	require.Equal(t, []Event{Unexpected{TypeStartControlConnectionRequest}}, p.pac.take())
	require.Equal(t, Established, p.pac.State())
	require.Equal(t, 1, p.pac.Calls())
	require.EqualValues(t, 1, p.pac.Counters().Unexpected)
}

func TestEcho(t *testing.T) {
	p := established(t, func(pns, pac *Config) { pns.EchoInterval = -1 })
	require.Zero(t, p.pns.Deadline(), "a negative interval sends none")
	require.Equal(t, epoch.Add(DefaultEchoInterval), p.pac.Deadline())
	sent := p.pac.Counters().Sent
	p.wait(10*time.Minute + time.Second)
	require.Equal(t, sent+10, p.pac.Counters().Sent)
	require.Empty(t, p.pac.take())
	require.Empty(t, p.pns.take())
	require.Zero(t, p.pac.Counters().Unexpected)
}

// Any message of the peer ends a silence, an octet of one does not.
func TestEchoIsForSilenceOnly(t *testing.T) {
	p := established(t, nil)
	p.now = p.now.Add(59 * time.Second)
	p.pac.input((&EchoRequest{}).Append(nil)[:15], p.now)
	require.Equal(t, epoch.Add(60*time.Second), p.pac.Deadline())
	p.pac.input([]byte{9}, p.now)
	require.Equal(t, p.now.Add(60*time.Second), p.pac.Deadline())
	require.Equal(t, []Message{&EchoReply{Identifier: 9, ResultCode: EchoOK}}, p.pac.messages(t))
}

func TestEchoTimeout(t *testing.T) {
	p := called(t)
	p.now = p.pac.Deadline()
	p.pac.tick(p.now)
	require.Equal(t, []Message{&EchoRequest{Identifier: 1}}, p.pac.messages(t))
	require.Equal(t, epoch.Add(120*time.Second), p.pac.Deadline())
	p.pac.tick(p.now.Add(60*time.Second - 1))
	require.NoError(t, p.pac.err)
	p.pac.tick(p.now.Add(60 * time.Second))
	require.ErrorIs(t, p.pac.err, ErrEchoTimeout)
	require.Equal(t, []Event{
		CallCleared{CallID: 200, PeerCallID: 100, Err: ErrEchoTimeout},
		Stopped{Err: ErrEchoTimeout},
	}, p.pac.take())
	require.Empty(t, p.pac.sent, "TCP is closed without a word")
}

// While we wait for an Echo-Reply another message shows as well that the peer
// is there; an Echo-Reply that nobody asked for is counted.
func TestEchoForgiven(t *testing.T) {
	p := established(t, nil)
	p.pac.tick(p.pac.Deadline())
	p.pac.messages(t)
	at := epoch.Add(119 * time.Second)
	p.pac.receiveAll(at, &EchoReply{Identifier: 77, ResultCode: EchoOK})
	require.Equal(t, []Event{Unexpected{TypeEchoReply}}, p.pac.take())
	require.Equal(t, at.Add(60*time.Second), p.pac.Deadline())
	p.pac.tick(p.pac.Deadline())
	require.Equal(t, []Message{&EchoRequest{Identifier: 2}}, p.pac.messages(t))
}

func TestEchoBeforeStart(t *testing.T) {
	e := &end{Control: NewControl(Config{})}
	e.Start(epoch, &e.out)
	e.receiveAll(epoch, &EchoRequest{Identifier: 5})
	require.Equal(t, []Message{&EchoReply{Identifier: 5, ResultCode: EchoGeneralError, ErrorCode: ErrorNotConnected}}, e.messages(t))
	require.Equal(t, []Event{Unexpected{TypeEchoRequest}}, e.take())
}

func TestStop(t *testing.T) {
	p := called(t)
	p.pns.Stop(StopLocalShutdown, p.now, &p.pns.out)
	p.pns.collect()
	require.Equal(t, WaitStopReply, p.pns.State())
	require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Err: ErrStopped}}, p.pns.take())
	p.pns.Stop(StopNone, p.now, &p.pns.out) // does nothing more
	p.run()
	require.Equal(t, []Event{Stopped{Reason: StopLocalShutdown}}, p.pns.take())
	require.Equal(t, []Event{
		CallCleared{CallID: 200, PeerCallID: 100, Remote: true, Err: ErrStopped},
		Stopped{Remote: true, Reason: StopLocalShutdown},
	}, p.pac.take())
	for _, e := range []*end{p.pns, p.pac} {
		require.NoError(t, e.err)
		require.Equal(t, Closed, e.State())
		require.Zero(t, e.Calls())
		require.Zero(t, e.Deadline())
		e.Stop(StopNone, p.now, &e.out)
		e.Abort(ErrLost, &e.out)
		require.NoError(t, e.Tick(p.now, &e.out))
		require.ErrorIs(t, e.Input([]byte{0}, p.now, &e.out), net.ErrClosed)
		require.ErrorIs(t, e.PlaceCall(OutgoingCallRequest{}, p.now, &e.out), map[Role]error{RolePNS: ErrState, RolePAC: ErrRole}[e.Role()])
		require.Empty(t, e.out.Bytes())
		require.Empty(t, e.out.Events())
	}
}

func TestStopByBoth(t *testing.T) {
	p := established(t, nil)
	p.pns.Stop(0, p.now, &p.pns.out)
	p.pac.Stop(StopLocalShutdown, p.now, &p.pac.out)
	p.run()
	require.Equal(t, Closed, p.pns.State())
	require.Equal(t, Closed, p.pac.State())
	require.Equal(t, []Event{Stopped{Remote: true, Reason: StopLocalShutdown}}, p.pns.take())
	require.Equal(t, []Event{Stopped{Remote: true, Reason: StopNone}}, p.pac.take())
}

func TestStopTimeout(t *testing.T) {
	p := established(t, nil)
	p.pac.Stop(StopNone, p.now, &p.pac.out)
	p.pac.collect()
	// A peer that goes on talking does not put off the end.
	at := epoch.Add(DefaultStopTimeout)
	p.pac.receiveAll(at.Add(-1), &EchoRequest{}, &OutgoingCallRequest{CallID: 3})
	require.Equal(t, at, p.pac.Deadline())
	require.Equal(t, []Event{Unexpected{TypeOutgoingCallRequest}}, p.pac.take())
	p.pac.tick(at)
	require.ErrorIs(t, p.pac.err, ErrStopTimeout)
	require.Equal(t, []Event{Stopped{Reason: StopNone, Err: ErrStopTimeout}}, p.pac.take())
}

func TestStopBeforeEstablished(t *testing.T) {
	p := newPair(t, nil)
	p.pns.collect()
	p.pns.messages(t)
	for _, e := range []*end{p.pns, p.pac} {
		e.Stop(StopLocalShutdown, p.now, &e.out)
		e.collect()
		require.Empty(t, e.sent)
		require.Equal(t, []Event{Stopped{Reason: StopLocalShutdown}}, e.take())
		require.Equal(t, Closed, e.State())
	}
}

func TestAbort(t *testing.T) {
	p := called(t)
	p.pac.Abort(ErrLost, &p.pac.out)
	p.pac.collect()
	require.Empty(t, p.pac.sent)
	require.Equal(t, []Event{
		CallCleared{CallID: 200, PeerCallID: 100, Err: ErrLost},
		Stopped{Err: ErrLost},
	}, p.pac.take())

	// TCP that ends while we wait for the Stop-Control-Connection-Reply is as
	// good as the reply.
	p.pns.Stop(StopNone, p.now, &p.pns.out)
	p.pns.collect()
	p.pns.take()
	p.pns.Abort(ErrLost, &p.pns.out)
	p.pns.collect()
	require.Equal(t, []Event{Stopped{Reason: StopNone}}, p.pns.take())
}

// Messages that are well framed and of no use are counted, never fatal.
func TestUnexpectedMessages(t *testing.T) {
	unknown := octets("0010 0001 1a2b3c4d 0063 0000 00000000")
	for _, c := range []struct {
		msg   Message
		reply Message // nil for none
	}{
		{&StartControlConnectionReply{ResultCode: StartSuccessful, ProtocolVersion: 0x0100}, nil},
		{&StopControlConnectionReply{ResultCode: StopOK}, nil},
		{&EchoReply{Identifier: 99}, nil},
		{&OutgoingCallReply{PeerCallID: 99, ResultCode: OutgoingBusy}, nil},
		{&IncomingCallRequest{CallID: 99}, &IncomingCallReply{PeerCallID: 99, ResultCode: IncomingDoNotAccept}},
		{&IncomingCallReply{PeerCallID: 99, ResultCode: IncomingDoNotAccept}, nil},
		{&CallClearRequest{CallID: 99}, nil},
		{&CallDisconnectNotify{CallID: 99}, nil},
		{&WANErrorNotify{PeerCallID: 99}, nil},
		{&SetLinkInfo{PeerCallID: 99}, nil},
	} {
		t.Run(c.msg.Type().String(), func(t *testing.T) {
			p := established(t, nil)
			p.call(100, 200)
			p.call(101, 201) // with several calls, sides are not confused
			for _, e := range []*end{p.pns, p.pac} {
				e.receiveAll(p.now, c.msg)
				require.NoError(t, e.err)
				require.Equal(t, []Event{Unexpected{c.msg.Type()}}, e.take())
				require.Equal(t, Established, e.State())
				require.Equal(t, 2, e.Calls())
				require.EqualValues(t, 1, e.Counters().Unexpected)
				if c.reply != nil {
					require.Equal(t, []Message{c.reply}, e.messages(t))
				}
				require.Empty(t, e.sent)
			}
		})
	}
	p := called(t)
	p.pac.input(unknown, p.now)
	require.Equal(t, []Event{Unexpected{99}}, p.pac.take())
	p.wait(5 * time.Minute)
	require.Equal(t, Established, p.pac.State())
}

// Before the start every message but the Start-Control-Connection-Request is
// out of place; requests are told so.
func TestMessagesBeforeStart(t *testing.T) {
	for _, v := range vectors {
		e := &end{Control: NewControl(Config{})}
		e.Start(epoch, &e.out)
		e.receiveAll(epoch, v.msg)
		switch v.msg.(type) {
		case *StartControlConnectionRequest:
			require.Equal(t, Established, e.State())
		case *StopControlConnectionRequest:
			require.Equal(t, Closed, e.State())
			require.Equal(t, []Message{&StopControlConnectionReply{ResultCode: StopOK}}, e.messages(t))
		default:
			require.Equal(t, Idle, e.State())
			require.Equal(t, []Event{Unexpected{v.msg.Type()}}, e.take())
			for _, m := range e.messages(t) {
				switch m := m.(type) {
				case *EchoReply:
					require.Equal(t, ErrorNotConnected, m.ErrorCode)
				case *OutgoingCallReply:
					require.Equal(t, ErrorNotConnected, m.ErrorCode)
				case *IncomingCallReply:
					require.Equal(t, ErrorNotConnected, m.ErrorCode)
				default:
					t.Errorf("%v answered by %v", v.msg.Type(), m.Type())
				}
			}
		}
	}
}

func TestFatalInput(t *testing.T) {
	for name, c := range map[string]struct {
		wire []byte
		err  error
	}{
		"cookie":        {octets("0010 0001 1a2b3c4e 0005 0000 00000000"), ErrCookie},
		"length":        {octets("0008 0001"), ErrLength},
		"message type":  {octets("0010 0002 1a2b3c4d 0005 0000 00000000"), ErrPPTPMessageType},
		"short message": {octets("000c 0001 1a2b3c4d 0007 0000"), ErrLength},
	} {
		t.Run(name, func(t *testing.T) {
			p := called(t)
			// What comes before is done, what comes after is ignored.
			in := (&EchoRequest{Identifier: 1}).Append(nil)
			in = append(in, c.wire...)
			in = (&EchoRequest{Identifier: 2}).Append(in)
			p.pac.input(in, p.now)
			require.ErrorIs(t, p.pac.err, c.err)
			require.Equal(t, []Message{&EchoReply{Identifier: 1, ResultCode: EchoOK}}, p.pac.messages(t))
			require.Equal(t, []Event{
				CallCleared{CallID: 200, PeerCallID: 100, Err: p.pac.err},
				Stopped{Err: p.pac.err},
			}, p.pac.take())
			require.Equal(t, Closed, p.pac.State())
		})
	}
}

func TestConfigValidate(t *testing.T) {
	long := string(make([]byte, 65))
	require.NoError(t, (&Config{}).Validate())
	require.NoError(t, (&ConnConfig{MaxPending: 1024}).Validate())
	for name, c := range map[string]ConnConfig{
		"Role":             {Config: Config{Role: 2}},
		"HostName":         {Config: Config{HostName: long}},
		"VendorString":     {Config: Config{VendorString: long}},
		"HandshakeTimeout": {Config: Config{HandshakeTimeout: -1}},
		"EchoTimeout":      {Config: Config{EchoTimeout: -1}},
		"CallTimeout":      {Config: Config{CallTimeout: -1}},
		"StopTimeout":      {Config: Config{StopTimeout: -1}},
		"MaxCalls":         {Config: Config{MaxCalls: 1<<16 + 1}},
		"WriteTimeout":     {WriteTimeout: -1},
		"FlushTimeout":     {FlushTimeout: -1},
		"MaxPending":       {MaxPending: 1023},
	} {
		err := c.Validate()
		require.ErrorIs(t, err, ErrConfig, name)
		require.ErrorContains(t, err, name)
	}
}
