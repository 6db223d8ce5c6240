package pptp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func incomingPair(t *testing.T, change func(pns, pac *Config)) *pair {
	return established(t, func(pns, pac *Config) {
		pns.IncomingCalls = true
		if change != nil {
			change(pns, pac)
		}
	})
}

// announce has the PAC announce a call to the PNS.
func (p *pair) announce(pacID uint16) {
	p.t.Helper()
	require.NoError(p.t, p.pac.PlaceIncomingCall(IncomingCallRequest{CallID: pacID}, p.now, &p.pac.out))
	p.run()
	require.IsType(p.t, IncomingCallRequested{}, p.pns.take()[0])
}

// wanted has the PNS accept that.
func (p *pair) wanted(pacID, pnsID uint16) {
	p.t.Helper()
	p.announce(pacID)
	require.NoError(p.t, p.pns.AcceptIncomingCall(IncomingCallReply{CallID: pnsID, PeerCallID: pacID}, p.now, &p.pns.out))
	p.run()
	require.Equal(p.t, []Event{IncomingCallAccepted{CallID: pacID, PeerCallID: pnsID}}, p.pac.take())
}

// incoming brings an incoming call up.
func (p *pair) incoming(pacID, pnsID uint16) {
	p.t.Helper()
	p.wanted(pacID, pnsID)
	require.NoError(p.t, p.pac.ConnectIncomingCall(pacID, IncomingCallConnected{}, &p.pac.out))
	p.run()
	require.True(p.t, p.pac.take()[0].(CallEstablished).Incoming)
	require.True(p.t, p.pns.take()[0].(CallEstablished).Incoming)
}

// The three-way handshake of RFC 2637 section 3.2.3, with all its parameters.
func TestIncomingCall(t *testing.T) {
	for _, chunk := range []int{0, 1, 31} {
		p := incomingPair(t, func(pns, pac *Config) {
			pns.PacketRecvWindowSize, pns.PacketProcessingDelay = 20, 3
		})
		p.chunk = chunk
		request := IncomingCallRequest{
			CallID: 200, CallBearerType: BearerAnalog, PhysicalChannelID: 4,
			DialedNumber: "555", DialingNumber: "666", Subaddress: "7",
		}
		require.NoError(t, p.pac.PlaceIncomingCall(request, p.now, &p.pac.out))
		p.run()
		require.Empty(t, p.pac.take())
		request.CallSerialNumber = 1
		require.Equal(t, []Event{IncomingCallRequested{Request: request}}, p.pns.take())

		require.NoError(t, p.pns.AcceptIncomingCall(IncomingCallReply{
			CallID: 100, PeerCallID: 200, ResultCode: IncomingDoNotAccept,
		}, p.now, &p.pns.out))
		p.run()
		require.Empty(t, p.pns.take())
		require.Equal(t, []Event{IncomingCallAccepted{CallID: 200, PeerCallID: 100}}, p.pac.take())

		require.NoError(t, p.pac.ConnectIncomingCall(200, IncomingCallConnected{
			PeerCallID: 9, ConnectSpeed: 1000, PacketRecvWindowSize: 5, PacketTransmitDelay: 6, FramingType: FramingAsynchronous,
		}, &p.pac.out))
		p.run()
		require.Equal(t, []Event{CallEstablished{
			CallID: 200, PeerCallID: 100, PacketRecvWindowSize: 20, PacketProcessingDelay: 3, ConnectSpeed: 1000,
			Incoming: true, CallSerialNumber: 1, OwnRecvWindow: 5, OwnProcessingDelay: 6,
			Peer: CallInfo{PacketRecvWindowSize: 20, PacketProcessingDelay: 3, ConnectSpeed: 1000},
		}}, p.pac.take())
		require.Equal(t, []Event{CallEstablished{
			CallID: 100, PeerCallID: 200, PacketRecvWindowSize: 5, PacketProcessingDelay: 6, ConnectSpeed: 1000,
			Incoming: true, CallSerialNumber: 1, OwnRecvWindow: 20, OwnProcessingDelay: 3,
			Peer: CallInfo{
				BearerType: BearerAnalog, PhysicalChannelID: 4, FramingType: FramingAsynchronous,
				PacketRecvWindowSize: 5, PacketProcessingDelay: 6, ConnectSpeed: 1000,
			},
		}}, p.pns.take())

		require.NoError(t, p.pns.SetLinkInfo(100, 1, 2, &p.pns.out))
		p.run()
		require.Equal(t, []Event{LinkInfo{CallID: 200, SendACCM: 1, ReceiveACCM: 2}}, p.pac.take())
		p.wait(time.Hour)
		require.Equal(t, 1, p.pac.Calls())
		require.Equal(t, 1, p.pns.Calls())
	}
}

func TestIncomingCallCleared(t *testing.T) {
	t.Run("by PNS", func(t *testing.T) {
		p := incomingPair(t, nil)
		p.incoming(200, 100)
		require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out))
		p.run()
		require.Equal(t, []Event{CallCleared{CallID: 200, PeerCallID: 100, Incoming: true, Remote: true, ResultCode: DisconnectRequest}}, p.pac.take())
		require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Incoming: true, ResultCode: DisconnectRequest}}, p.pns.take())
		p.incoming(200, 100) // both IDs are free
	})
	t.Run("by PAC", func(t *testing.T) {
		p := incomingPair(t, nil)
		p.incoming(200, 100)
		require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 200, ResultCode: DisconnectLostCarrier}, p.now, &p.pac.out))
		p.run()
		require.Equal(t, []Event{CallCleared{CallID: 200, PeerCallID: 100, Incoming: true, ResultCode: DisconnectLostCarrier}}, p.pac.take())
		require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Incoming: true, Remote: true, ResultCode: DisconnectLostCarrier}}, p.pns.take())
		p.incoming(200, 100)
	})
	t.Run("by both", func(t *testing.T) {
		p := incomingPair(t, nil)
		p.incoming(200, 100)
		require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 200}, p.now, &p.pac.out))
		require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out))
		p.run()
		require.Zero(t, p.pac.Calls())
		require.Zero(t, p.pns.Calls())
	})
	t.Run("by PNS before the line", func(t *testing.T) {
		p := incomingPair(t, nil)
		p.wanted(200, 100)
		require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out))
		require.NoError(t, p.pac.ConnectIncomingCall(200, IncomingCallConnected{}, &p.pac.out)) // crosses it
		p.run()
		require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Incoming: true, ResultCode: DisconnectRequest}}, p.pns.take())
		ev := p.pac.take()
		require.Len(t, ev, 2)
		require.IsType(t, CallEstablished{}, ev[0])
		require.IsType(t, CallCleared{}, ev[1])
		require.Zero(t, p.pns.Counters().Unexpected)
	})
	t.Run("by PAC whose line fails", func(t *testing.T) {
		p := incomingPair(t, nil)
		p.wanted(200, 100)
		require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 200, ResultCode: DisconnectLostCarrier}, p.now, &p.pac.out))
		p.run()
		require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Incoming: true, Remote: true, ResultCode: DisconnectLostCarrier}}, p.pns.take())
		require.ErrorIs(t, p.pac.ConnectIncomingCall(200, IncomingCallConnected{}, &p.pac.out), ErrUnknownCall)
	})
	t.Run("by PAC while the PNS thinks", func(t *testing.T) {
		p := incomingPair(t, nil)
		p.announce(200)
		require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 200}, p.now, &p.pac.out))
		require.ErrorIs(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 200}, p.now, &p.pac.out), ErrUnknownCall)
		p.run()
		require.Equal(t, []Event{CallCleared{CallID: 200, Incoming: true, ResultCode: DisconnectAdminShutdown}}, p.pac.take())
		require.Equal(t, []Event{CallCleared{PeerCallID: 200, Incoming: true, Remote: true, ResultCode: DisconnectAdminShutdown}}, p.pns.take())
		require.ErrorIs(t, p.pns.AcceptIncomingCall(IncomingCallReply{CallID: 100, PeerCallID: 200}, p.now, &p.pns.out), ErrUnknownCall)

		// Its ID is kept for as long as an answer may be on its way.
		require.ErrorIs(t, p.pac.PlaceIncomingCall(IncomingCallRequest{CallID: 200}, p.now, &p.pac.out), ErrCallIDInUse)
		p.wait(DefaultStopTimeout)
		require.Zero(t, p.pac.Calls())
		p.incoming(200, 100)
		require.Empty(t, p.pac.take())
	})
}

// The reply to a call that the PAC gave up is not taken for that to the next.
func TestIncomingCallReplyCrossesDisconnect(t *testing.T) {
	p := incomingPair(t, nil)
	p.announce(200)
	require.NoError(t, p.pns.AcceptIncomingCall(IncomingCallReply{CallID: 100, PeerCallID: 200}, p.now, &p.pns.out))
	require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 200}, p.now, &p.pac.out))
	p.run()
	require.Equal(t, []Event{CallCleared{CallID: 200, Incoming: true, ResultCode: DisconnectAdminShutdown}}, p.pac.take())
	require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Incoming: true, Remote: true, ResultCode: DisconnectAdminShutdown}}, p.pns.take())
	require.Zero(t, p.pac.Calls(), "the reply has come, so that the ID is free")
	require.Zero(t, p.pac.Counters().Unexpected)
	p.incoming(200, 101)
}

func TestIncomingCallRefused(t *testing.T) {
	p := incomingPair(t, nil)
	p.announce(200)
	require.NoError(t, p.pns.RejectIncomingCall(200, IncomingGeneralError, ErrorNoResource, &p.pns.out))
	p.run()
	require.Equal(t, []Event{IncomingCallRefused{CallID: 200, ResultCode: IncomingGeneralError, ErrorCode: ErrorNoResource}}, p.pac.take())
	require.Empty(t, p.pns.take())

	p.announce(200)
	require.NoError(t, p.pns.RejectIncomingCall(200, 0, 0, &p.pns.out))
	p.run()
	require.Equal(t, []Event{IncomingCallRefused{CallID: 200, ResultCode: IncomingDoNotAccept}}, p.pac.take())
	require.Zero(t, p.pac.Calls())
	require.Zero(t, p.pns.Calls())
}

// What the Control refuses by itself says why.
func TestIncomingCallRefusedAtOnce(t *testing.T) {
	p := incomingPair(t, func(pns, pac *Config) { pns.MaxCalls = 1 })
	p.incoming(200, 100)
	p.pns.receiveAll(p.now, &IncomingCallRequest{CallID: 200}, &IncomingCallRequest{CallID: 201})
	require.Equal(t, []Message{
		&IncomingCallReply{PeerCallID: 200, ResultCode: IncomingGeneralError, ErrorCode: ErrorBadCallID},
		&IncomingCallReply{PeerCallID: 201, ResultCode: IncomingGeneralError, ErrorCode: ErrorNoResource},
	}, p.pns.messages(t))
	require.Equal(t, 1, p.pns.Calls())

	// A PNS whose owner has not asked for such calls wants none.
	p = established(t, nil)
	require.NoError(t, p.pac.PlaceIncomingCall(IncomingCallRequest{CallID: 200}, p.now, &p.pac.out))
	p.run()
	require.Equal(t, []Event{IncomingCallRefused{CallID: 200, ResultCode: IncomingDoNotAccept}}, p.pac.take())
	require.Equal(t, []Event{Unexpected{TypeIncomingCallRequest}}, p.pns.take())
}

func TestIncomingCallErrors(t *testing.T) {
	p := newPair(t, func(pns, pac *Config) { pns.IncomingCalls, pac.MaxCalls = true, 2 })
	require.ErrorIs(t, p.pac.PlaceIncomingCall(IncomingCallRequest{}, p.now, &p.pac.out), ErrState)
	p.run()
	p.pns.take()
	p.pac.take()
	require.ErrorIs(t, p.pns.PlaceIncomingCall(IncomingCallRequest{}, p.now, &p.pns.out), ErrRole)
	require.ErrorIs(t, p.pac.AcceptIncomingCall(IncomingCallReply{}, p.now, &p.pac.out), ErrRole)
	require.ErrorIs(t, p.pac.RejectIncomingCall(0, 0, 0, &p.pac.out), ErrRole)
	require.ErrorIs(t, p.pns.ConnectIncomingCall(0, IncomingCallConnected{}, &p.pns.out), ErrRole)
	require.ErrorIs(t, p.pns.ReportWANErrors(0, WANErrorNotify{}, p.now, &p.pns.out), ErrRole)
	require.ErrorIs(t, p.pac.ConnectIncomingCall(0, IncomingCallConnected{}, &p.pac.out), ErrUnknownCall)

	p.announce(200)
	require.ErrorIs(t, p.pac.ConnectIncomingCall(200, IncomingCallConnected{}, &p.pac.out), ErrUnknownCall, "not accepted yet")
	require.ErrorIs(t, p.pac.PlaceIncomingCall(IncomingCallRequest{CallID: 200}, p.now, &p.pac.out), ErrCallIDInUse)
	require.ErrorIs(t, p.pac.ReportWANErrors(200, WANErrorNotify{CRCErrors: 1}, p.now, &p.pac.out), ErrUnknownCall)
	require.ErrorIs(t, p.pns.SetLinkInfo(0, 0, 0, &p.pns.out), ErrUnknownCall)
	p.announce(201)
	require.ErrorIs(t, p.pac.PlaceIncomingCall(IncomingCallRequest{CallID: 202}, p.now, &p.pac.out), ErrTooManyCalls)
	require.NoError(t, p.pns.AcceptIncomingCall(IncomingCallReply{CallID: 100, PeerCallID: 200}, p.now, &p.pns.out))
	require.ErrorIs(t, p.pns.AcceptIncomingCall(IncomingCallReply{CallID: 101, PeerCallID: 200}, p.now, &p.pns.out), ErrUnknownCall)
	require.ErrorIs(t, p.pns.AcceptIncomingCall(IncomingCallReply{CallID: 100, PeerCallID: 201}, p.now, &p.pns.out), ErrCallIDInUse)
	require.NoError(t, p.pns.AcceptIncomingCall(IncomingCallReply{CallID: 101, PeerCallID: 201}, p.now, &p.pns.out), "another may be tried")
	require.ErrorIs(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 100}, p.now, &p.pns.out), ErrCallIDInUse)
}

// Each step of an incoming call has its time, at both ends.
func TestIncomingCallTimeouts(t *testing.T) {
	t.Run("no reply", func(t *testing.T) {
		p := incomingPair(t, nil)
		require.NoError(t, p.pac.PlaceIncomingCall(IncomingCallRequest{CallID: 200}, p.now, &p.pac.out))
		p.pac.collect()
		p.pac.messages(t)
		at := epoch.Add(DefaultCallTimeout)
		p.pac.tick(at.Add(-1))
		require.Empty(t, p.pac.take())
		p.pac.tick(at)
		require.Equal(t, []Event{IncomingCallRefused{CallID: 200, Err: ErrCallTimeout}}, p.pac.take())
		require.Equal(t, []Message{&CallDisconnectNotify{CallID: 200, ResultCode: DisconnectAdminShutdown}}, p.pac.messages(t))
		require.ErrorIs(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 200}, at, &p.pac.out), ErrUnknownCall)
		p.pac.tick(at.Add(DefaultStopTimeout))
		require.Empty(t, p.pac.take())
		require.Zero(t, p.pac.Calls())
	})
	t.Run("no decision", func(t *testing.T) {
		p := incomingPair(t, func(pns, pac *Config) { pns.CallTimeout = 10 * time.Second })
		p.announce(200)
		p.wait(10 * time.Second)
		require.Equal(t, []Event{CallCleared{PeerCallID: 200, Incoming: true, Err: ErrCallTimeout}}, p.pns.take())
		require.Equal(t, []Event{IncomingCallRefused{CallID: 200, ResultCode: IncomingDoNotAccept}}, p.pac.take())
	})
	t.Run("no line, at the PAC", func(t *testing.T) {
		p := incomingPair(t, func(pns, pac *Config) { pac.CallTimeout = 10 * time.Second })
		p.wanted(200, 100)
		p.wait(10 * time.Second)
		require.Equal(t, []Event{CallCleared{CallID: 200, PeerCallID: 100, Incoming: true, ResultCode: DisconnectAdminShutdown, Err: ErrCallTimeout}}, p.pac.take())
		require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Incoming: true, Remote: true, ResultCode: DisconnectAdminShutdown}}, p.pns.take())
	})
	t.Run("no line, at the PNS", func(t *testing.T) {
		p := incomingPair(t, func(pns, pac *Config) { pns.CallTimeout = 10 * time.Second })
		p.wanted(200, 100)
		p.wait(10 * time.Second)
		require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Incoming: true, Err: ErrCallTimeout}}, p.pns.take())
		require.Equal(t, []Event{CallCleared{CallID: 200, PeerCallID: 100, Incoming: true, Remote: true, ResultCode: DisconnectRequest}}, p.pac.take())
		require.Zero(t, p.pns.Calls())
	})
	t.Run("no line, and no answer to Call-Clear-Request", func(t *testing.T) {
		p := incomingPair(t, nil)
		p.wanted(200, 100)
		at := epoch.Add(DefaultCallTimeout)
		p.pns.tick(at)
		p.pns.take()
		require.Equal(t, []Message{&CallClearRequest{CallID: 100}}, p.pns.messages(t))
		p.pns.tick(at.Add(DefaultStopTimeout))
		require.Empty(t, p.pns.take(), "the owner has been told")
		require.Zero(t, p.pns.Calls())
		require.Equal(t, Established, p.pns.State())
	})
}

// Who gets a message about a call that is not there tells the peer so.
func TestIncomingCallUnknown(t *testing.T) {
	p := incomingPair(t, nil)
	p.incoming(200, 100)
	p.pac.receiveAll(p.now, &IncomingCallReply{CallID: 9, PeerCallID: 99, ResultCode: IncomingConnect})
	require.Equal(t, []Message{&CallDisconnectNotify{CallID: 99, ResultCode: DisconnectGeneralError, ErrorCode: ErrorBadCallID}}, p.pac.messages(t))
	require.Equal(t, []Event{Unexpected{TypeIncomingCallReply}}, p.pac.take())
	p.pns.receiveAll(p.now, &IncomingCallConnected{PeerCallID: 99})
	require.Equal(t, []Message{&CallClearRequest{CallID: 99}}, p.pns.messages(t))
	require.Equal(t, []Event{Unexpected{TypeIncomingCallConnected}}, p.pns.take())
	// What they get for that is not known to them either.
	p.pns.receiveAll(p.now, &CallDisconnectNotify{CallID: 99, ResultCode: DisconnectGeneralError})
	p.pac.receiveAll(p.now, &CallClearRequest{CallID: 99})
	require.Empty(t, p.pns.sent)
	require.Empty(t, p.pac.sent)
	require.Equal(t, 1, p.pns.Calls())
	require.Equal(t, 1, p.pac.Calls())
}

// The end of an incoming call that was refused at the same time does not
// confirm the end of an outgoing one.
func TestIncomingCallDoesNotConfirmOutgoing(t *testing.T) {
	p := incomingPair(t, nil)
	p.call(1, 2)
	p.announce(200)
	require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 100}, p.now, &p.pns.out))
	require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out))
	require.NoError(t, p.pns.RejectIncomingCall(200, 0, 0, &p.pns.out))
	p.pns.receiveAll(p.now, &CallDisconnectNotify{CallID: 200, ResultCode: DisconnectLostCarrier})
	require.Equal(t, []Event{Unexpected{TypeCallDisconnectNotify}}, p.pns.take())
	p.run()
	require.Equal(t, []Event{CallCleared{CallID: 100, ResultCode: DisconnectRequest}}, p.pns.take())
}

// Both kinds live beside each other, with the same numbers on different sides.
func TestIncomingBesideOutgoingCalls(t *testing.T) {
	p := incomingPair(t, nil)
	p.call(1, 2)
	p.incoming(1, 2)
	p.call(3, 4)
	p.incoming(3, 4)
	require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 2}, p.now, &p.pns.out))
	require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 2}, p.now, &p.pac.out))
	p.run()
	require.Equal(t, 2, p.pns.Calls())
	require.Equal(t, 2, p.pac.Calls())
	require.Equal(t, uint16(3), p.pns.calls[0].id)
	require.Equal(t, uint16(4), p.pns.calls[1].id)
}

func TestWANErrors(t *testing.T) {
	p := called(t)
	report := WANErrorNotify{
		PeerCallID: 7, CRCErrors: 1, FramingErrors: 2, HardwareOverruns: 3,
		BufferOverruns: 4, TimeOutErrors: 5, AlignmentErrors: 6,
	}
	require.NoError(t, p.pac.ReportWANErrors(200, WANErrorNotify{}, p.now, &p.pac.out))
	p.run()
	require.Empty(t, p.pns.take(), "there are none yet")

	require.NoError(t, p.pac.ReportWANErrors(200, report, p.now, &p.pac.out))
	p.run()
	want := report
	want.PeerCallID = 100
	require.Equal(t, []Event{WANErrors{CallID: 100, Report: want}}, p.pns.take())
	require.Zero(t, p.pns.Counters().Unexpected)

	// What comes within a minute waits for its end.
	for range 3 {
		report.CRCErrors++
		p.wait(10 * time.Second)
		require.NoError(t, p.pac.ReportWANErrors(200, report, p.now, &p.pac.out))
	}
	p.wait(30*time.Second - 1)
	require.Empty(t, p.pns.take())
	p.wait(1)
	want.CRCErrors = 4
	require.Equal(t, []Event{WANErrors{CallID: 100, Report: want}}, p.pns.take())
	p.wait(time.Hour)
	require.NoError(t, p.pac.ReportWANErrors(200, report, p.now, &p.pac.out))
	p.run()
	require.Empty(t, p.pns.take(), "nothing has changed")

	// A report that waits goes with its call.
	report.CRCErrors++
	require.NoError(t, p.pac.ReportWANErrors(200, report, p.now, &p.pac.out))
	report.CRCErrors++
	require.NoError(t, p.pac.ReportWANErrors(200, report, p.now, &p.pac.out))
	require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 200}, p.now, &p.pac.out))
	p.run()
	p.pns.take()
	p.pac.take()
	p.wait(time.Hour)
	require.Empty(t, p.pns.take())

	// The next call counts from zero.
	p.call(100, 200)
	require.NoError(t, p.pac.ReportWANErrors(200, WANErrorNotify{CRCErrors: 1}, p.now, &p.pac.out))
	p.run()
	require.Equal(t, []Event{WANErrors{CallID: 100, Report: WANErrorNotify{PeerCallID: 100, CRCErrors: 1}}}, p.pns.take())
}

func TestSerials(t *testing.T) {
	var s Serials
	require.EqualValues(t, 1, s.Next())
	s.last.Store(1<<16 - 2)
	require.EqualValues(t, 1<<16-1, s.Next())
	require.EqualValues(t, 1, s.Next(), "never 0")

	// Those of one host count together.
	serials := new(Serials)
	for n := range uint16(3) {
		p := established(t, func(pns, pac *Config) { pns.Serials = serials })
		require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 100}, p.now, &p.pns.out))
		p.run()
		require.Equal(t, n+1, p.pac.take()[0].(CallRequested).Request.CallSerialNumber)
	}
	a, b := ConnConfig{}, ConnConfig{}
	a.setDefaults()
	b.setDefaults()
	require.Same(t, a.Serials, b.Serials)
}

// Window and delay can be told for a call, and for all calls of a connection.
func TestCallWindowAndDelay(t *testing.T) {
	p := established(t, func(pns, pac *Config) {
		pns.PacketRecvWindowSize, pns.PacketProcessingDelay = 10, 1
		pac.PacketRecvWindowSize, pac.PacketProcessingDelay = 20, 2
	})
	for _, c := range []struct{ pns, pac, pnsDelay, pacDelay, wantPNS, wantPAC, wantPNSDelay, wantPACDelay uint16 }{
		{wantPNS: 10, wantPAC: 20, wantPNSDelay: 1, wantPACDelay: 2},
		{pns: 3, pac: 4, pnsDelay: 5, pacDelay: 6, wantPNS: 3, wantPAC: 4, wantPNSDelay: 5, wantPACDelay: 6},
	} {
		require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{
			CallID: 100 + c.pns, PacketRecvWindowSize: c.pns, PacketProcessingDelay: c.pnsDelay,
		}, p.now, &p.pns.out))
		p.run()
		p.pac.take()
		require.NoError(t, p.pac.AcceptCall(OutgoingCallReply{
			CallID: 200 + c.pac, PeerCallID: 100 + c.pns, PacketRecvWindowSize: c.pac, PacketProcessingDelay: c.pacDelay,
		}, &p.pac.out))
		p.run()
		pns, pac := p.pns.take()[0].(CallEstablished), p.pac.take()[0].(CallEstablished)
		require.Equal(t, []uint16{c.wantPNS, c.wantPAC, c.wantPNSDelay, c.wantPACDelay},
			[]uint16{pac.PacketRecvWindowSize, pns.PacketRecvWindowSize, pac.PacketProcessingDelay, pns.PacketProcessingDelay})
		require.Equal(t, []uint16{c.wantPNS, c.wantPAC, c.wantPNSDelay, c.wantPACDelay},
			[]uint16{pns.OwnRecvWindow, pac.OwnRecvWindow, pns.OwnProcessingDelay, pac.OwnProcessingDelay})
	}
}
