package kernel

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/gre"
)

func TestCallIDs(t *testing.T) {
	now := time.Now()
	ids := callIDs{first: 100, last: 163}
	seen := make(map[uint16]bool)
	for range 64 {
		id, ok := ids.take(now)
		require.True(t, ok)
		require.False(t, seen[id])
		require.True(t, 100 <= id && id <= 163, "%d", id)
		seen[id] = true
	}
	none := func(at time.Time) {
		_, ok := ids.take(at)
		require.False(t, ok)
	}
	none(now)
	ids.untake(101)
	ids.untake(163)
	for range 2 {
		id, ok := ids.take(now)
		require.True(t, ok)
		require.Contains(t, []uint16{101, 163}, id)
	}
	none(now)

	all := callIDs{first: 1, last: 65535}
	for range 65535 {
		id, ok := all.take(now)
		require.True(t, ok)
		require.NotZero(t, id)
	}
	_, ok := all.take(now)
	require.False(t, ok)
}

// An ID rests when its call has ended.
func TestCallIDQuarantine(t *testing.T) {
	now := time.Now()
	ids := callIDs{first: 1, last: 2}
	for range 2 {
		_, ok := ids.take(now)
		require.True(t, ok)
	}
	ids.give(2, now)
	ids.give(1, now.Add(time.Second))
	for after, want := range map[time.Duration]bool{0: false, time.Second: false, gre.Quarantine - 1: false} {
		_, ok := ids.take(now.Add(after))
		require.Equal(t, want, ok, after)
	}
	id, ok := ids.take(now.Add(gre.Quarantine))
	require.True(t, ok)
	require.EqualValues(t, 2, id)
	_, ok = ids.take(now.Add(gre.Quarantine))
	require.False(t, ok)
	id, ok = ids.take(now.Add(gre.Quarantine + time.Second))
	require.True(t, ok)
	require.EqualValues(t, 1, id)
	require.Nil(t, ids.resting)
}
