package pptp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// windowsStart is how Windows begins ([MS-PTPT] and captures).
var windowsStart = StartControlConnectionRequest{
	ProtocolVersion:     ProtocolVersion,
	FramingCapabilities: FramingAsynchronous,
	BearerCapabilities:  BearerAnalog,
	VendorString:        "Microsoft Windows NT",
}

// windowsCall is how it asks for a call.
var windowsCall = OutgoingCallRequest{
	CallID: 0x4001, CallSerialNumber: 1, MinimumBPS: 300, MaximumBPS: 100_000_000,
	BearerType: BearerAny, FramingType: FramingEither, PacketRecvWindowSize: 64,
}

// windowsClient returns a PAC that such a client has called.
func windowsClient(t *testing.T) *end {
	e := &end{Control: NewControl(Config{})}
	e.Start(epoch, &e.out)
	call := windowsCall
	e.receiveAll(epoch, &windowsStart, &call)
	require.NoError(t, e.AcceptCall(OutgoingCallReply{CallID: 7, PeerCallID: 0x4001}, &e.out))
	e.collect()
	e.messages(t)
	return e
}

// It clears a call with the result code 0.
func TestWindowsDisconnectResultZero(t *testing.T) {
	p := called(t)
	p.pns.receiveAll(p.now, &CallDisconnectNotify{CallID: 200, ResultCode: DisconnectUnspecified})
	require.Equal(t, []Event{CallCleared{CallID: 100, PeerCallID: 200, Remote: true}}, p.pns.take())
	require.Zero(t, p.pns.Counters().Unexpected)

	t.Run("as an answer before the reply", func(t *testing.T) {
		p := established(t, nil)
		for id := range uint16(2) {
			require.NoError(t, p.pns.PlaceCall(OutgoingCallRequest{CallID: id}, p.now, &p.pns.out))
			require.NoError(t, p.pns.ClearCall(CallDisconnectNotify{CallID: id}, p.now, &p.pns.out))
		}
		p.pns.receiveAll(p.now, &CallDisconnectNotify{CallID: 200}, &CallDisconnectNotify{CallID: 201})
		require.Equal(t, []Event{CallCleared{CallID: 0}, CallCleared{CallID: 1}}, p.pns.take())
	})
}

// Its Call ID may be 0, and so may ours.
func TestWindowsCallIDZero(t *testing.T) {
	p := established(t, nil)
	p.call(0, 0)
	p.pac.receiveAll(p.now, &SetLinkInfo{PeerCallID: 0}, &CallClearRequest{CallID: 0})
	require.Equal(t, []Event{LinkInfo{}, CallCleared{Remote: true, ResultCode: DisconnectRequest}}, p.pac.take())
	require.Equal(t, []Message{&CallDisconnectNotify{CallID: 0, ResultCode: DisconnectRequest}}, p.pac.messages(t))
	require.Zero(t, p.pac.Counters().Unexpected)

	// Beside a call that has another, neither is taken for the other.
	p = established(t, nil)
	p.call(0, 0)
	p.call(1, 1)
	p.pac.receiveAll(p.now, &CallClearRequest{CallID: 0})
	require.Equal(t, []Event{CallCleared{Remote: true, ResultCode: DisconnectRequest}}, p.pac.take())
	require.Equal(t, 1, p.pac.Calls())
}

// It sends two Set-Link-Infos for a call, with the ACCMs before and after LCP.
func TestWindowsTwoSetLinkInfos(t *testing.T) {
	e := windowsClient(t)
	e.take()
	e.receiveAll(epoch,
		&SetLinkInfo{PeerCallID: 7, SendACCM: 0xffffffff, ReceiveACCM: 0xffffffff},
		&SetLinkInfo{PeerCallID: 7})
	require.Equal(t, []Event{
		LinkInfo{CallID: 7, SendACCM: 0xffffffff, ReceiveACCM: 0xffffffff}, LinkInfo{CallID: 7},
	}, e.take())
	require.Empty(t, e.sent)
	require.Zero(t, e.Counters().Unexpected)
}

// It is known by what it says.
func TestWindowsFingerprint(t *testing.T) {
	e := windowsClient(t)
	ev := e.take()
	peer, call := ev[0].(Started).Peer, ev[2].(CallEstablished)
	require.True(t, peer.Windows())
	require.Equal(t, `vendor="Microsoft Windows NT" firmware=0 version=1.0 framing=1 bearer=1 channels=0`, peer.String())
	require.Equal(t, "window=64 delay=0 bearer=3 framing=3 bps=300-100000000 speed=100000000", call.Peer.String())
	require.EqualValues(t, 1, call.CallSerialNumber)
}

// It knows nothing of collisions: as the loser it does not close its own
// connection, and as the winner it answers on the one it should not.
func TestWindowsNoCollisionHandling(t *testing.T) {
	winner := &end{Control: NewControl(Config{ConfirmStart: true})}
	winner.Start(epoch, &winner.out)
	winner.receiveAll(epoch, &windowsStart)
	require.NoError(t, winner.IgnoreStart())
	winner.receiveAll(epoch, &windowsCall, &EchoRequest{})
	require.Empty(t, winner.sent)
	winner.tick(epoch.Add(DefaultHandshakeTimeout))
	require.ErrorIs(t, winner.err, ErrCollision)

	loser := &end{Control: NewControl(Config{Originator: true})}
	loser.Start(epoch, &loser.out)
	loser.collect()
	loser.messages(t)
	loser.Abort(ErrCollision, &loser.out)
	require.ErrorIs(t, loser.Input((&StartControlConnectionReply{}).Append(nil), epoch, &loser.out), ErrClosed)
	loser.collect()
	require.Empty(t, loser.sent)
}

// Its client waits 60 s for a call, longer than we take to refuse one; and its
// Echo-Request after 60 s of silence comes when ours does, which hurts neither.
func TestWindowsTimers(t *testing.T) {
	require.Less(t, DefaultCallTimeout, 60*time.Second)
	e := windowsClient(t)
	e.take()
	at := epoch.Add(60 * time.Second)
	e.tick(at)
	e.receiveAll(at, &EchoRequest{Identifier: 1}, &EchoReply{Identifier: 1, ResultCode: EchoOK})
	require.Equal(t, []Message{&EchoRequest{Identifier: 1}, &EchoReply{Identifier: 1, ResultCode: EchoOK}}, e.messages(t))
	require.Empty(t, e.take())
	require.Equal(t, at.Add(60*time.Second), e.Deadline())
}
