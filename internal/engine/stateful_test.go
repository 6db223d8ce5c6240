package engine

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

var statefulParams = mppe.Params{KeyLength: mppe.Key128, Stateful: true, Key: testParams.Key}

// stateful returns an end that is attached, with stateful encryption both ways.
func stateful(t *testing.T) *end {
	n := attached(t, func(c *Config) { c.Receiver.Reorder = -1 })
	require.NoError(t, n.call.PrepareReceive(statefulParams))
	require.NoError(t, n.call.SetEncryption(gopptp.Encryption{Send: &statefulParams, Receive: &statefulParams}))
	var err error
	n.encryptor, err = mppe.NewEncryptor(statefulParams)
	require.NoError(t, err)
	return n
}

// A loss is reported at once, and again at intervals, until the peer begins
// anew. Nothing passes in between.
func TestStatefulLossNeedsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := stateful(t)
		for i := range 3 {
			n.receive(n.sealed(innerFrame(inPacket(byte(i)))...))
		}
		require.Len(t, n.host.take(), 3)
		require.Zero(t, n.handler.resetsNeeded())

		n.sealed(innerFrame(inPacket(3))...) // lost
		for range 5 {
			n.receive(n.sealed(innerFrame(inPacket(4))...))
		}
		require.Empty(t, n.host.take())
		require.Equal(t, 1, n.handler.resetsNeeded())
		require.EqualValues(t, 5, n.call.Counters().DroppedEncrypted)
		time.Sleep(resetInterval)
		n.receive(n.sealed(innerFrame(inPacket(4))...), n.sealed(innerFrame(inPacket(4))...))
		require.Equal(t, 2, n.handler.resetsNeeded())

		n.encryptor.Flush()
		for i := range 300 { // across a change of the key
			n.receive(n.sealed(innerFrame(inPacket(byte(i)))...))
			require.Equal(t, [][]byte{inPacket(byte(i))}, n.host.take())
		}
		require.Equal(t, 2, n.handler.resetsNeeded())

		// It is told of the next loss at once, however soon that is.
		for range 2 {
			n.sealed(innerFrame(inPacket(3))...)
			n.receive(n.sealed(innerFrame(inPacket(4))...))
			require.Equal(t, 3, n.handler.resetsNeeded())
		}
	})
}

// ResetSend makes the next packet one that a peer can begin with.
func TestResetSend(t *testing.T) {
	n := stateful(t)
	peer, err := mppe.NewDecryptor(statefulParams)
	require.NoError(t, err)
	open := func() ([]byte, error) {
		n.fromHost(outPacket(7))
		sent := n.wire.take()
		require.Len(t, sent, 1)
		_, payload := headerOf(t, sent[0])
		_, packet, err := ppp.DecodeFrame(payload)
		require.NoError(t, err)
		return peer.Open(packet, 0)
	}
	_, err = open()
	require.NoError(t, err)
	n.fromHost(outPacket(1)) // the peer does not get it
	n.wire.take()
	_, err = open()
	require.ErrorIs(t, err, mppe.ErrReset)

	require.NoError(t, n.call.ResetSend())
	for range 3 {
		inner, err := open()
		require.NoError(t, err)
		require.Equal(t, innerFrame(outPacket(7)), inner)
	}
	require.NoError(t, n.call.Close())
	require.ErrorIs(t, n.call.ResetSend(), net.ErrClosed)
}

// Without encryption, and without state, there is nothing to reset.
func TestResetSendMeansNothing(t *testing.T) {
	n := attached(t)
	require.NoError(t, n.call.ResetSend())
	n.encrypt()
	require.NoError(t, n.call.ResetSend())
	n.fromHost(outPacket(3))
	require.Equal(t, innerFrame(outPacket(3)), n.decrypt(n.wire.take())[0])
}
