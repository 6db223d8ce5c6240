package engine

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// A peer sends as soon as IPCP is open on its side, which is before it is on
// ours.
func TestPacketsBeforeAttachAreKept(t *testing.T) {
	n := connected(t, false)
	for i := range maxHeld + 2 {
		n.receive(n.packet(ipFrame(inPacket(byte(i)))...))
	}
	require.Empty(t, n.host.take())
	n.attach(nil)
	got := n.host.take()
	require.Len(t, got, maxHeld)
	for i, p := range got {
		require.Equal(t, inPacket(byte(i)), p)
	}
	require.EqualValues(t, 2, n.call.Counters().DroppedNetwork)
	n.receive(n.packet(ipFrame(inPacket(99))...))
	require.Equal(t, [][]byte{inPacket(99)}, n.host.take())
}

// What is kept is judged when it is let through.
func TestKeptPacketsAreJudged(t *testing.T) {
	n := connected(t, false)
	n.receive(n.packet(ipFrame(outPacket(1))...)) // not from the peer's address
	n.receive(n.packet(ipFrame(inPacket(2))...))
	n.attach(nil)
	require.Equal(t, [][]byte{inPacket(2)}, n.host.take())
	require.EqualValues(t, 1, n.call.Counters().DroppedSource)
}

func TestKeptClearPacketsDoNotPassEncryption(t *testing.T) {
	n := connected(t, false)
	n.receive(n.packet(ipFrame(inPacket(1))...))
	n.encrypt()
	n.receive(n.sealed(innerFrame(inPacket(2))...))
	n.attach(nil)
	require.Equal(t, [][]byte{inPacket(2)}, n.host.take())
	require.EqualValues(t, 1, n.call.Counters().DroppedClear)
}

func TestKeptPacketsGoWithTheCall(t *testing.T) {
	n := connected(t, false)
	n.receive(n.packet(ipFrame(inPacket(1))...))
	require.NoError(t, n.call.Close())
	require.Error(t, n.call.Attach(gopptp.Network{Local: tunnelLocal, Peer: tunnelPeer, MTU: 1400}))
	require.Empty(t, n.host.take())
}

// A host that has not got its address yet would drop what comes to it.
func TestPacketsWaitForTheHost(t *testing.T) {
	n := connected(t, false)
	n.host.gate = make(chan struct{})
	n.receive(n.packet(ipFrame(inPacket(1))...))
	require.NoError(t, n.call.Attach(testNetwork()))
	n.receive(n.packet(ipFrame(inPacket(2))...))
	require.Empty(t, n.host.take())
	close(n.host.gate)
	n.eventually(func() bool { return len(n.handler.attaches()) > 0 })
	settle(n.call)
	n.receive(n.packet(ipFrame(inPacket(3))...))
	require.Equal(t, [][]byte{inPacket(1), inPacket(2), inPacket(3)}, n.host.take())
	require.Zero(t, n.call.Counters().DroppedNetwork)
}
