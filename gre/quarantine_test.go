package gre

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What calls come and go, no ID comes again before its quarantine is over, and
// none is withheld that is free.
func TestDemuxQuarantine(t *testing.T) {
	for _, size := range []int{5, 50, 5000} { // in and out of few
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(size)))
			var d Demux[int]
			now := start
			free := make(map[uint16]time.Time)
			var calls []uint16
			unavailable := func() (n int) {
				for _, at := range free {
					if now.Before(at) {
						n++
					}
				}
				return n + len(calls)
			}
			refused := 0
			for range 4 * size {
				now = now.Add(time.Duration(random.IntN(int(4 * Quarantine / time.Duration(size)))))
				if len(calls) > 0 && random.IntN(2) == 0 {
					i := random.IntN(len(calls))
					_, ok := d.Remove(local, peerA, calls[i], now)
					require.True(t, ok)
					free[calls[i]] = now.Add(Quarantine)
					calls[i] = calls[len(calls)-1]
					calls = calls[:len(calls)-1]
					continue
				}
				id, err := d.AllocateWithin(local, peerA, 1000, uint16(999+size), 0, now)
				if err != nil {
					require.ErrorIs(t, err, ErrNoCallID)
					require.Equal(t, size, unavailable())
					refused++
					continue
				}
				require.False(t, now.Before(free[id]), "%d", id)
				delete(free, id)
				calls = append(calls, id)
			}
			for _, id := range calls {
				d.Remove(local, peerA, id, now)
			}
			// Nothing is left of it once it is over, whoever comes next.
			for range len(calls) + 4*size {
				id, err := d.Allocate(local, peerB, 0, now.Add(Quarantine))
				require.NoError(t, err)
				d.Remove(local, peerB, id, now.Add(Quarantine))
			}
			key, _ := endsOf(local, peerB)
			require.Len(t, d.taken, 1)
			require.Contains(t, d.taken, key)
		})
	}
}

// An ID that somebody else has chosen does not wait, and its first quarantine does
// not end the second.
func TestDemuxQuarantineOfInserted(t *testing.T) {
	var d Demux[int]
	require.NoError(t, d.Insert(local, peerA, 7, 0))
	d.Remove(local, peerA, 7, start)
	require.NoError(t, d.Insert(local, peerA, 7, 0))
	later := start.Add(Quarantine)
	_, err := d.AllocateWithin(local, peerA, 7, 7, 0, later)
	require.ErrorIs(t, err, ErrNoCallID, "in use")
	d.Remove(local, peerA, 7, later)
	_, err = d.AllocateWithin(local, peerA, 7, 7, 0, later.Add(Quarantine-1))
	require.ErrorIs(t, err, ErrNoCallID, "in quarantine")
	_, err = d.AllocateWithin(local, peerA, 7, 7, 0, later.Add(Quarantine))
	require.NoError(t, err)
	require.Empty(t, d.resting.list)
	require.Empty(t, d.resting.again)
}

// A storm of ends leaves a bounded queue, whose oldest are free early.
func TestDemuxQuarantineIsBounded(t *testing.T) {
	var q quarantine
	q.list = make([]resting, maxResting)
	for i := range q.list {
		q.list[i] = resting{callKey{ends(i), 1}, start.Add(Quarantine)}
	}
	_, _, ok := q.over(start)
	require.False(t, ok)
	q.add(ends(maxResting), 1, start)
	key, _, ok := q.over(start)
	require.True(t, ok)
	require.Zero(t, key)
	_, _, ok = q.over(start)
	require.False(t, ok)
}

// Memory of a queue that has shrunk is given back.
func TestDemuxQuarantineShrinks(t *testing.T) {
	var q quarantine
	for i := range 10_000 {
		q.add(ends(i), uint16(i), start.Add(time.Duration(i)))
	}
	for i := range 10_000 {
		_, id, ok := q.over(start.Add(Quarantine + time.Duration(i)))
		require.True(t, ok)
		require.EqualValues(t, i, id)
		require.LessOrEqual(t, cap(q.list), 4*(len(q.list)-q.head)+256)
	}
	require.Nil(t, q.list)
}

func BenchmarkDemuxAllocate(b *testing.B) {
	for _, calls := range []int{1, 10_000, 60_000} {
		b.Run(fmt.Sprint(calls), func(b *testing.B) {
			var d Demux[int]
			for range calls {
				_, err := d.Allocate(local, peerA, 0, start)
				require.NoError(b, err)
			}
			now := start
			b.ReportAllocs()
			for b.Loop() {
				id, err := d.Allocate(local, peerA, 0, now)
				if err != nil {
					b.Fatal(err)
				}
				d.Remove(local, peerA, id, now)
				now = now.Add(Quarantine / 2048) // so many of this peer rest
			}
		})
	}
}
