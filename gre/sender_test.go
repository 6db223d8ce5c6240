package gre

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSenderNumbers(t *testing.T) {
	var s Sender
	for i := range uint32(5) {
		require.Equal(t, i, s.Next(), "each call begins with 0 (RFC 2637 section 4.1)")
	}
	require.EqualValues(t, 5, s.Unacked())
	require.Equal(t, SenderCounters{Packets: 5}, s.Counters())

	s = NewSender(1)
	require.Zero(t, s.Unacked())
	require.EqualValues(t, 1, s.Next())
}

func TestSenderAck(t *testing.T) {
	var s Sender
	require.False(t, s.Ack(0), "nothing was sent yet")
	require.False(t, s.Ack(math.MaxUint32))
	for range 10 {
		s.Next()
	}
	require.True(t, s.Ack(0))
	require.EqualValues(t, 9, s.Unacked())
	require.True(t, s.Ack(4), "one for several (section 4.2.5)")
	require.EqualValues(t, 5, s.Unacked())
	for _, stale := range []uint32{4, 3, 0, 10, 11, 1 << 31, math.MaxUint32} {
		require.False(t, s.Ack(stale), "%d", stale)
	}
	require.EqualValues(t, 5, s.Unacked())
	require.True(t, s.Ack(9))
	require.Zero(t, s.Unacked())
	require.False(t, s.Ack(9))
	require.Equal(t, SenderCounters{Packets: 10, Acks: 3, AcksStale: 10}, s.Counters())
}

func TestSenderWrap(t *testing.T) {
	s := NewSender(math.MaxUint32 - 1)
	require.Equal(t, uint32(math.MaxUint32-1), s.Next())
	require.Equal(t, uint32(math.MaxUint32), s.Next())
	require.EqualValues(t, 0, s.Next())
	require.EqualValues(t, 1, s.Next())
	require.True(t, s.Ack(math.MaxUint32))
	require.EqualValues(t, 2, s.Unacked())
	require.False(t, s.Ack(math.MaxUint32-1))
	require.True(t, s.Ack(1))
	require.Zero(t, s.Unacked())
}

// A peer that has not acknowledged for very long is still understood.
func TestSenderFarBehind(t *testing.T) {
	s := Sender{next: 3_000_000_000}
	require.True(t, s.Ack(5))
	require.Equal(t, uint32(3_000_000_000-6), s.Unacked())
	require.True(t, s.Ack(2_999_999_999))
	require.Zero(t, s.Unacked())
}
