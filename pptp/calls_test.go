package pptp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCall(t *testing.T) {
	for _, chunk := range []int{0, 1, 31} {
		p := established(t, nil)
		p.chunk = chunk
		require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{
			CallID: 100, CallSerialNumber: 5, PacketRecvWindowSize: 3, PacketProcessingDelay: 2, PhoneNumber: "555",
		}, p.now, &p.pns.out))
		p.run()
		require.Empty(t, p.pns.take())
		require.Equal(t, []Event{CallRequested{Request: OutgoingCallRequest{
			CallID: 100, CallSerialNumber: 5,
			MinimumBPS: DefaultMinimumBPS, MaximumBPS: DefaultMaximumBPS, BearerType: BearerAny, FramingType: FramingEither,
			PacketRecvWindowSize: 3, PacketProcessingDelay: 2, PhoneNumber: "555",
		}}}, p.pac.take())

		require.NoError(t, p.pac.AcceptCall(OutgoingCallReply{
			CallID: 200, PeerCallID: 100, ConnectSpeed: 1000, PacketProcessingDelay: 1, ResultCode: OutgoingBusy,
		}, &p.pac.out))
		p.run()
		require.Equal(t, []Event{CallEstablished{
			CallID: 200, PeerCallID: 100, PacketRecvWindowSize: 3, PacketProcessingDelay: 2, ConnectSpeed: 1000,
			CallSerialNumber: 5, OwnRecvWindow: DefaultRecvWindow, OwnProcessingDelay: 1,
			Peer: CallInfo{
				MinimumBPS: DefaultMinimumBPS, MaximumBPS: DefaultMaximumBPS, ConnectSpeed: 1000,
				BearerType: BearerAny, FramingType: FramingEither, PacketRecvWindowSize: 3, PacketProcessingDelay: 2,
			},
		}}, p.pac.take())
		require.Equal(t, []Event{CallEstablished{
			CallID: 100, PeerCallID: 200, PacketRecvWindowSize: DefaultRecvWindow, PacketProcessingDelay: 1, ConnectSpeed: 1000,
			CallSerialNumber: 5, OwnRecvWindow: 3, OwnProcessingDelay: 2,
			Peer: CallInfo{ConnectSpeed: 1000, PacketRecvWindowSize: DefaultRecvWindow, PacketProcessingDelay: 1},
		}}, p.pns.take())

		require.NoError(t, p.pns.SetLinkInfo(100, 0xffffffff, 0xa0000, &p.pns.out))
		require.NoError(t, p.pns.SetLinkInfo(100, 0xffffffff, 0xffffffff, &p.pns.out)) // as Windows does
		p.run()
		require.Equal(t, []Event{
			LinkInfo{CallID: 200, SendACCM: 0xffffffff, ReceiveACCM: 0xa0000},
			LinkInfo{CallID: 200, SendACCM: 0xffffffff, ReceiveACCM: 0xffffffff},
		}, p.pac.take())

		p.wait(time.Hour) // an established call has no deadline of its own
		require.Equal(t, 1, p.pac.Calls())
	}
}

// The messages that end a call carry the ID of whoever sends them
// (RFC 2637 sections 2.12 and 2.13).
func TestClearCallByPNS(t *testing.T) {
	p := called(t)
	require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out))
	require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out), "again does nothing")
	p.pns.collect()
	require.Equal(t, (&CallClearRequest{CallID: 100}).Append(nil), p.pns.sent)
	require.Empty(t, p.pns.take())

	p.deliver(p.pns, p.pac)
	require.Equal(t, (&CallDisconnectNotify{CallID: 200, ResultCode: DisconnectRequest}).Append(nil), p.pac.sent)
	require.Equal(t, []Event{CallCleared{CallID: 200, PeerCallID: 100, Remote: true, ResultCode: DisconnectRequest}}, p.pac.take())

	p.run()
	require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, ResultCode: DisconnectRequest}}, p.pns.take())
	require.Zero(t, p.pns.Calls())
	require.Zero(t, p.pac.Calls())
	require.Equal(t, Established, p.pns.State())
	require.ErrorIs(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out), ErrUnknownCall)
	p.call(100, 200) // both IDs are free again
}

func TestClearCallByPAC(t *testing.T) {
	p := called(t)
	require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{
		CallID: 200, ResultCode: DisconnectGeneralError, ErrorCode: ErrorNoResource, CauseCode: 16, CallStatistics: "octets 5",
	}, p.now, &p.pac.out))
	p.run()
	want := CallCleared{
		CallID: 200, PeerCallID: 100,
		ResultCode: DisconnectGeneralError, ErrorCode: ErrorNoResource, CauseCode: 16, CallStatistics: "octets 5",
	}
	require.Equal(t, []Event{want}, p.pac.take())
	want.CallID, want.PeerCallID, want.Remote = 100, 200, true
	require.Equal(t, []Event{want}, p.pns.take())
	require.ErrorIs(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 200}, p.now, &p.pac.out), ErrUnknownCall)

	p.call(1, 2)
	require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 2}, p.now, &p.pac.out))
	p.run()
	require.Equal(t, DisconnectAdminShutdown, p.pns.take()[0].(CallCleared).ResultCode)
}

func TestClearCallByBoth(t *testing.T) {
	p := called(t)
	require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out))
	require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 200}, p.now, &p.pac.out))
	p.run()
	require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, ResultCode: DisconnectAdminShutdown}}, p.pns.take())
	require.Equal(t, []Event{
		CallCleared{CallID: 200, PeerCallID: 100, ResultCode: DisconnectAdminShutdown},
		Unexpected{TypeCallClearRequest},
	}, p.pac.take())
}

// A Call-Clear-Request that crosses our Call-Disconnect-Notify does not hit
// another call to which we happened to give the same number.
func TestClearCallCrossedIDs(t *testing.T) {
	p := established(t, nil)
	p.call(1, 2)
	p.call(2, 1)
	require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 1}, p.now, &p.pns.out))
	require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 2}, p.now, &p.pac.out))
	p.run()
	require.Equal(t, 1, p.pac.Calls())
	require.Equal(t, 1, p.pns.Calls())
	require.Equal(t, []Event{
		CallCleared{CallID: 2, PeerCallID: 1, ResultCode: DisconnectAdminShutdown},
		Unexpected{TypeCallClearRequest},
	}, p.pac.take())
}

// Some peers name the call by the ID of the other side.
func TestClearCallWithIDOfOtherSide(t *testing.T) {
	p := called(t)
	p.pac.receiveAll(p.now, &CallClearRequest{CallID: 200})
	require.Equal(t, []Event{CallCleared{CallID: 200, PeerCallID: 100, Remote: true, ResultCode: DisconnectRequest}}, p.pac.take())
	p.pns.receiveAll(p.now, &CallDisconnectNotify{CallID: 100})
	require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Remote: true}}, p.pns.take())
}

// Some clients send Call-Disconnect-Notify, some servers Call-Clear-Request.
func TestClearCallWithMessageOfOtherRole(t *testing.T) {
	p := called(t)
	p.pac.receiveAll(p.now, &CallDisconnectNotify{CallID: 100, ResultCode: DisconnectLostCarrier})
	require.Equal(t, []Event{CallCleared{CallID: 200, PeerCallID: 100, Remote: true, ResultCode: DisconnectLostCarrier}}, p.pac.take())
	require.Empty(t, p.pac.sent)
	p.pns.receiveAll(p.now, &CallClearRequest{CallID: 200})
	require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Remote: true, ResultCode: DisconnectRequest}}, p.pns.take())
	require.Equal(t, []Message{&CallDisconnectNotify{CallID: 100, ResultCode: DisconnectRequest}}, p.pns.messages(t))
}

func TestClearCallBeforeReply(t *testing.T) {
	t.Run("decision pending", func(t *testing.T) {
		p := established(t, nil)
		require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 100}, p.now, &p.pns.out))
		require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out))
		p.run()
		require.Equal(t, []Event{CallCleared{CallID: 100, ResultCode: DisconnectRequest}}, p.pns.take())
		require.Equal(t, []Event{
			CallRequested{Request: OutgoingCallRequest{
				CallID: 100, CallSerialNumber: 1, MinimumBPS: DefaultMinimumBPS, MaximumBPS: DefaultMaximumBPS,
				BearerType: BearerAny, FramingType: FramingEither, PacketRecvWindowSize: DefaultRecvWindow,
			}},
			CallCleared{PeerCallID: 100, Remote: true, ResultCode: DisconnectRequest},
		}, p.pac.take())
		require.ErrorIs(t, p.pac.AcceptCall(OutgoingCallReply{CallID: 200, PeerCallID: 100}, &p.pac.out), ErrUnknownCall)
		require.ErrorIs(t, p.pac.RejectCall(100, OutgoingBusy, 0, &p.pac.out), ErrUnknownCall)
	})
	t.Run("its notify names no other call", func(t *testing.T) {
		p := established(t, nil)
		p.call(50, 0)
		p.call(51, 1)
		require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 100}, p.now, &p.pns.out))
		require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out))
		p.pns.collect()
		p.deliver(p.pns, p.pac)
		require.Equal(t, (&CallDisconnectNotify{CallID: 2, ResultCode: DisconnectRequest}).Append(nil), p.pac.sent)
		p.run()
		require.Equal(t, []Event{CallCleared{CallID: 100, ResultCode: DisconnectRequest}}, p.pns.take())
		require.Equal(t, 2, p.pns.Calls())
	})
	for name, result := range map[string]OutgoingCallResult{"connected": OutgoingConnected, "refused": OutgoingBusy} {
		t.Run("crosses "+name, func(t *testing.T) {
			p := established(t, nil)
			require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 100}, p.now, &p.pns.out))
			p.run()
			p.pac.take()
			if result == OutgoingConnected {
				require.NoError(t, p.pac.AcceptCall(OutgoingCallReply{CallID: 200, PeerCallID: 100}, &p.pac.out))
			} else {
				require.NoError(t, p.pac.RejectCall(100, result, 0, &p.pac.out))
			}
			p.pac.collect()
			require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out))
			p.run()
			ev := p.pns.take()
			require.Len(t, ev, 1, "never CallEstablished once it was cleared")
			cleared := ev[0].(CallCleared)
			require.Equal(t, uint16(100), cleared.CallID)
			require.False(t, cleared.Remote)
			require.NoError(t, cleared.Err)
			require.Zero(t, p.pns.Calls())
			require.Zero(t, p.pac.Calls())
		})
	}
}

// Several calls are cleared before any was answered, not in the order in which
// they were placed: each Call-Disconnect-Notify is for the one that was cleared
// first, or the answer to another would find its ID free and perhaps used anew.
func TestClearSeveralBeforeReply(t *testing.T) {
	p := established(t, nil)
	for id := range uint16(3) {
		require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: id}, p.now, &p.pns.out))
	}
	p.run()
	p.pac.take()
	for _, id := range []uint16{2, 0, 1} {
		require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: id}, p.now, &p.pns.out))
	}
	p.pns.collect()
	p.pac.input(p.pns.sent[:callClearRequestLen], p.now)
	p.pns.sent = p.pns.sent[callClearRequestLen:]
	require.NoError(t, p.pac.AcceptCall(OutgoingCallReply{CallID: 7, PeerCallID: 1}, &p.pac.out))
	p.run()
	require.Equal(t, []Event{
		CallCleared{CallID: 2, ResultCode: DisconnectRequest},
		CallCleared{CallID: 0, ResultCode: DisconnectRequest},
		CallCleared{CallID: 1, PeerCallID: 7, ResultCode: DisconnectRequest},
	}, p.pns.take())
	require.Zero(t, p.pns.Counters().Unexpected)
	require.Zero(t, p.pac.Calls())
}

func TestClearTimeout(t *testing.T) {
	p := called(t)
	require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, p.now, &p.pns.out))
	p.pns.collect()
	p.pns.messages(t) // lost in a server that is stuck
	at := epoch.Add(DefaultStopTimeout)
	require.Equal(t, at, p.pns.Deadline())
	p.pns.tick(at.Add(-1))
	require.Empty(t, p.pns.take())
	p.pns.tick(at)
	require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Err: ErrClearTimeout}}, p.pns.take())
	require.NoError(t, p.pns.err)
	require.Equal(t, Established, p.pns.State())

	// Its notify comes late and does not end the next call.
	require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 101}, at, &p.pns.out))
	p.pns.receiveAll(at, &CallDisconnectNotify{CallID: 200, ResultCode: DisconnectRequest})
	require.Equal(t, []Event{Unexpected{TypeCallDisconnectNotify}}, p.pns.take())
	require.Equal(t, 1, p.pns.Calls())
}

func TestRejectCall(t *testing.T) {
	p := established(t, nil)
	require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 100}, p.now, &p.pns.out))
	p.run()
	p.pac.take()
	require.NoError(t, p.pac.RejectCall(100, OutgoingGeneralError, ErrorNoResource, &p.pac.out))
	p.run()
	require.Empty(t, p.pac.take())
	require.Equal(t, []Event{CallRefused{CallID: 100, ResultCode: OutgoingGeneralError, ErrorCode: ErrorNoResource}}, p.pns.take())
	require.Zero(t, p.pns.Calls())
	require.Zero(t, p.pac.Calls())
	p.call(100, 200)
}

// A PNS whose request is not answered in time gives up and clears the call,
// whatever the PAC says later.
func TestCallTimeoutOfPNS(t *testing.T) {
	for name, late := range map[string][]Message{
		"silence":   nil,
		"connected": {&OutgoingCallReply{CallID: 200, PeerCallID: 100, ResultCode: OutgoingConnected}, &CallDisconnectNotify{CallID: 200}},
		"refused":   {&OutgoingCallReply{PeerCallID: 100, ResultCode: OutgoingBusy}},
		"cleared":   {&CallDisconnectNotify{CallID: 200}},
	} {
		t.Run(name, func(t *testing.T) {
			p := established(t, nil)
			require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 100}, p.now, &p.pns.out))
			p.pns.collect()
			p.pns.messages(t)
			at := epoch.Add(DefaultCallTimeout)
			require.Equal(t, at, p.pns.Deadline())
			p.pns.tick(at)
			require.Equal(t, []Event{CallRefused{CallID: 100, Err: ErrCallTimeout}}, p.pns.take())
			require.Equal(t, []Message{&CallClearRequest{CallID: 100}}, p.pns.messages(t))
			require.ErrorIs(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 100}, at, &p.pns.out), ErrUnknownCall)
			require.ErrorIs(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 100}, at, &p.pns.out), ErrCallIDInUse)
			p.pns.receiveAll(at, late...)
			p.pns.tick(at.Add(DefaultStopTimeout))
			require.Empty(t, p.pns.take(), "the owner has been told")
			require.Zero(t, p.pns.Calls())
			require.Equal(t, Established, p.pns.State())
		})
	}
}

func TestCallTimeoutOfPAC(t *testing.T) {
	p := established(t, func(pns, pac *Config) { pac.CallTimeout = 10 * time.Second })
	require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 100}, p.now, &p.pns.out))
	p.run()
	p.pac.take()
	p.wait(10 * time.Second)
	require.Equal(t, []Event{CallCleared{PeerCallID: 100, Err: ErrCallTimeout}}, p.pac.take())
	require.Equal(t, []Event{CallRefused{CallID: 100, ResultCode: OutgoingTimeOut}}, p.pns.take())
}

func TestSeveralCalls(t *testing.T) {
	p := established(t, func(pns, pac *Config) { pns.MaxCalls, pac.MaxCalls = 100, 50 })
	for i := range uint16(50) {
		p.call(1000+i, 2000-i)
	}
	require.Equal(t, 50, p.pac.Calls())

	// The PAC has no room for more.
	require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 1}, p.now, &p.pns.out))
	p.run()
	require.Equal(t, []Event{CallRefused{CallID: 1, ResultCode: OutgoingGeneralError, ErrorCode: ErrorNoResource}}, p.pns.take())
	require.Equal(t, []Event{Unexpected{TypeOutgoingCallRequest}}, p.pac.take())

	// Every other is cleared, from either side in turn.
	for i := uint16(0); i < 50; i += 2 {
		if i%4 == 0 {
			require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 1000 + i}, p.now, &p.pns.out))
		} else {
			require.NoError(t, p.pac.ClearCall(CallDisconnectNotify{CallID: 2000 - i}, p.now, &p.pac.out))
		}
		p.run()
		pns, pac := p.pns.take(), p.pac.take()
		require.Len(t, pns, 1)
		require.Len(t, pac, 1)
		require.Equal(t, 1000+i, pns[0].(CallCleared).CallID)
		require.Equal(t, 2000-i, pac[0].(CallCleared).CallID)
	}
	require.Equal(t, 25, p.pac.Calls())
	require.Equal(t, 25, p.pns.Calls())

	p.pac.Stop(StopLocalShutdown, p.now, &p.pac.out)
	p.run()
	for _, e := range []*end{p.pns, p.pac} {
		ev := e.take()
		require.Len(t, ev, 26)
		for _, ev := range ev[:25] {
			require.IsType(t, CallCleared{}, ev)
		}
		require.IsType(t, Stopped{}, ev[25], "the last event")
	}
}

func TestCallErrors(t *testing.T) {
	p := newPair(t, func(pns, pac *Config) { pns.MaxCalls, pac.MaxCalls = 2, 2 })
	require.ErrorIs(t, p.pns.PlaceCall(OutgoingCallRequest{}, p.now, &p.pns.out), ErrState)
	p.run()
	p.pns.take()
	p.pac.take()
	p.call(1, 10)
	require.ErrorIs(t, p.pac.PlaceCall(OutgoingCallRequest{}, p.now, &p.pac.out), ErrRole)
	require.ErrorIs(t, p.pac.SetLinkInfo(10, 0, 0, &p.pac.out), ErrRole)
	require.ErrorIs(t, p.pns.AcceptCall(OutgoingCallReply{}, &p.pns.out), ErrRole)
	require.ErrorIs(t, p.pns.RejectCall(0, OutgoingBusy, 0, &p.pns.out), ErrRole)
	require.ErrorIs(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 1}, p.now, &p.pns.out), ErrCallIDInUse)
	require.ErrorIs(t, p.pns.SetLinkInfo(2, 0, 0, &p.pns.out), ErrUnknownCall)
	require.ErrorIs(t, p.pns.ClearCall(CallDisconnectNotify{CallID: 2}, p.now, &p.pns.out), ErrUnknownCall)
	require.ErrorIs(t, p.pac.AcceptCall(OutgoingCallReply{CallID: 11, PeerCallID: 1}, &p.pac.out), ErrUnknownCall, "accepted before")
	p.pns.collect()
	p.pac.collect()
	require.Empty(t, p.pns.sent)
	require.Empty(t, p.pac.sent)

	require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 2}, p.now, &p.pns.out))
	require.ErrorIs(t, p.pns.SetLinkInfo(2, 0, 0, &p.pns.out), ErrUnknownCall, "not established yet")
	require.ErrorIs(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: 3}, p.now, &p.pns.out), ErrTooManyCalls)
	p.run()
	require.ErrorIs(t, p.pac.AcceptCall(OutgoingCallReply{CallID: 10, PeerCallID: 2}, &p.pac.out), ErrCallIDInUse)
	require.NoError(t, p.pac.AcceptCall(OutgoingCallReply{CallID: 11, PeerCallID: 2}, &p.pac.out), "another may be tried")
}

// Requests that cannot be granted are refused with the code that says why.
func TestOutgoingCallRequestRefused(t *testing.T) {
	p := called(t)
	p.pac.receiveAll(p.now, &OutgoingCallRequest{CallID: 100})
	require.Equal(t, []Message{&OutgoingCallReply{PeerCallID: 100, ResultCode: OutgoingGeneralError, ErrorCode: ErrorBadCallID}}, p.pac.messages(t))
	require.Equal(t, 1, p.pac.Calls())
	p.pns.receiveAll(p.now, &OutgoingCallRequest{CallID: 5})
	require.Equal(t, []Message{&OutgoingCallReply{PeerCallID: 5, ResultCode: OutgoingDoNotAccept}}, p.pns.messages(t))
	require.Equal(t, 1, p.pns.Calls())
}

// A call that a PNS knows nothing of is cleared.
func TestOutgoingCallReplyForNoCall(t *testing.T) {
	p := called(t)
	p.pns.receiveAll(p.now, &OutgoingCallReply{CallID: 7, PeerCallID: 99, ResultCode: OutgoingConnected})
	require.Equal(t, []Event{Unexpected{TypeOutgoingCallReply}}, p.pns.take())
	require.Equal(t, []Message{&CallClearRequest{CallID: 99}}, p.pns.messages(t))
	p.pac.receiveAll(p.now, &OutgoingCallReply{CallID: 7, PeerCallID: 99, ResultCode: OutgoingConnected})
	require.Equal(t, []Event{Unexpected{TypeOutgoingCallReply}}, p.pac.take())
	require.Empty(t, p.pac.sent, "a PAC has none of that sort")

	p.pns.Stop(StopNone, p.now, &p.pns.out)
	p.pns.collect()
	p.pns.messages(t)
	p.pns.receiveAll(p.now, &OutgoingCallReply{CallID: 7, PeerCallID: 99, ResultCode: OutgoingConnected})
	require.Empty(t, p.pns.sent, "they all go with the control connection")
}

// A reply that comes again does not change the call.
func TestOutgoingCallReplyAgain(t *testing.T) {
	p := called(t)
	for _, m := range []Message{
		&OutgoingCallReply{CallID: 201, PeerCallID: 100, ResultCode: OutgoingConnected},
		&OutgoingCallReply{CallID: 200, PeerCallID: 100, ResultCode: OutgoingBusy},
	} {
		p.pns.receiveAll(p.now, m)
		require.Equal(t, []Event{Unexpected{TypeOutgoingCallReply}}, p.pns.take())
	}
	p.pns.receiveAll(p.now, &CallDisconnectNotify{CallID: 200})
	require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Remote: true}}, p.pns.take())
}
