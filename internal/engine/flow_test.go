package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
)

// flowing returns an end whose peer has a window of 8 packets, and acknowledges
// if it says so itself.
func flowing(t *testing.T) *end {
	n := newEnd(t, false, func(c *Config) { c.FlowControl = true })
	require.NoError(t, n.call.Connect(gopptp.PeerCall{ID: peerCallID, Window: 8}))
	n.attach(nil)
	return n
}

// ack is an acknowledgement of the peer, and nothing else.
func (n *end) ack(number uint32) Datagram {
	h := gre.Header{CallID: n.call.ID(), HasAck: true, Ack: number}
	return Datagram{Local: localAddr, Peer: peerAddr, Data: h.Append(nil)}
}

// sentPackets are the users' packets that have been sent, in order.
func (n *end) sentPackets() (packets [][]byte) {
	for _, d := range n.wire.take() {
		_, payload := headerOf(n.t, d)
		packets = append(packets, payload[4:])
	}
	return packets
}

// What is beyond the window waits for acknowledgements, in order; what is beyond
// that is dropped.
func TestFlowControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := flowing(t)
		const most = 100
		for i := range most {
			n.fromHost(outPacket(byte(i)))
		}
		synctest.Wait()
		got := n.sentPackets()
		require.Len(t, got, 4, "half of the window to begin with (RFC 2637 §4.2)")
		require.EqualValues(t, most-4-maxWaiting, n.call.Counters().DroppedQueue)

		acked := uint32(0)
		for len(got) < 4+maxWaiting {
			before := len(got)
			n.receive(n.ack(acked))
			acked++
			synctest.Wait()
			got = append(got, n.sentPackets()...)
			require.LessOrEqual(t, uint32(len(got))-acked, uint32(8), "never more in flight than the window")
			require.Less(t, acked, uint32(50), "stuck at %d", before)
		}
		for i, p := range got {
			require.Equal(t, outPacket(byte(i)), p, "in order")
		}
		require.EqualValues(t, 4+maxWaiting, n.call.Counters().SentPackets)
	})
}

// Control frames do not wait.
func TestFlowControlSparesControlFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := flowing(t)
		for i := range 10 {
			n.fromHost(outPacket(byte(i)))
		}
		n.wire.take()
		require.NoError(t, n.call.WriteControl([]byte{0xc0, 0x21, 9, 1, 0, 4}))
		require.Len(t, n.wire.take(), 1)
	})
}

// A peer that never acknowledges is found out, and held back no more.
func TestFlowControlGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := flowing(t)
		sent := 0
		for i := range 200 {
			n.fromHost(outPacket(byte(i)))
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			sent += len(n.wire.take())
		}
		require.Greater(t, sent, 150)
		for range 100 {
			n.fromHost(outPacket(1))
			require.Len(t, n.wire.take(), 1, "at once")
		}
	})
}

// A peer that is known to keep no window has none kept.
func TestFlowControlOff(t *testing.T) {
	for name, peer := range map[string]gopptp.PeerCall{
		"not configured": {ID: peerCallID, Window: 8},
		"no window":      {ID: peerCallID},
	} {
		t.Run(name, func(t *testing.T) {
			n := newEnd(t, false, func(c *Config) { c.FlowControl = name == "no window" })
			require.NoError(t, n.call.Connect(peer))
			n.attach(nil)
			for i := range 100 {
				n.fromHost(outPacket(byte(i)))
			}
			require.Len(t, n.wire.take(), 100)
		})
	}
}

// Packets that wait go with the call, and with its network.
func TestFlowControlForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := flowing(t)
		for i := range 10 {
			n.fromHost(outPacket(byte(i)))
		}
		require.Len(t, n.wire.take(), 4)
		require.NoError(t, n.call.Detach())
		n.receive(n.ack(3))
		synctest.Wait()
		require.Empty(t, n.wire.take())
		require.NotZero(t, n.call.Counters().DroppedNetwork)

		n.attach(nil)
		for i := range 20 {
			n.fromHost(outPacket(byte(i)))
		}
		n.wire.take()
		require.NoError(t, n.call.Close())
		n.receive(n.ack(7))
		synctest.Wait()
		require.Empty(t, n.wire.take())
	})
}
