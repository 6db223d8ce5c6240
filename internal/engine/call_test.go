package engine

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/gre"
)

// Both directions, in clear and encrypted.
func TestPacketsPass(t *testing.T) {
	n := attached(t)
	n.fromHost(outPacket(1), outPacket(2))
	sent := n.wire.take()
	require.Len(t, sent, 2)
	for i, d := range sent {
		require.Equal(t, localAddr, d.Local)
		require.Equal(t, peerAddr, d.Peer)
		var h gre.Header
		length, err := h.Decode(d.Data)
		require.NoError(t, err)
		require.EqualValues(t, peerCallID, h.CallID)
		require.EqualValues(t, i, h.Sequence)
		require.Equal(t, ipFrame(outPacket(byte(i+1))), d.Data[length:])
	}
	n.receive(n.packet(ipFrame(inPacket(7))...), n.packet(ipFrame(inPacket(8))...))
	require.Equal(t, [][]byte{inPacket(7), inPacket(8)}, n.host.take())

	n.encrypt()
	n.receive(n.sealed(innerFrame(inPacket(9))...))
	require.Equal(t, [][]byte{inPacket(9)}, n.host.take())
	c := n.call.Counters()
	require.EqualValues(t, 3, c.ReceivedPackets)
	require.EqualValues(t, 3*29, c.ReceivedOctets)
	require.EqualValues(t, 2, c.SentPackets)
}
