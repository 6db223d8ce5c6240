package rate

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestBucket(t *testing.T) {
	l := New(10, 3)
	var b Bucket
	for range 3 {
		require.True(t, l.Allow(&b, start))
	}
	require.False(t, l.Allow(&b, start))
	require.False(t, l.Allow(&b, start.Add(100*time.Millisecond-1)))
	require.True(t, l.Allow(&b, start.Add(100*time.Millisecond)))
	require.False(t, l.Allow(&b, start.Add(100*time.Millisecond)))
	require.False(t, l.Quiet(&b, start.Add(399*time.Millisecond)))
	require.True(t, l.Quiet(&b, start.Add(400*time.Millisecond)))
	for range 3 {
		require.True(t, l.Allow(&b, start.Add(time.Hour)), "rest is not saved up beyond the burst")
	}
	require.False(t, l.Allow(&b, start.Add(time.Hour)))
}

func TestCharge(t *testing.T) {
	l := New(10, 5)
	var b Bucket
	l.Charge(&b, 4, start)
	require.Zero(t, l.Wait(&b, start))
	l.Charge(&b, 1, start)
	require.Equal(t, 100*time.Millisecond, l.Wait(&b, start), "the burst is used up")
	l.Charge(&b, 8, start)
	require.Equal(t, 900*time.Millisecond, l.Wait(&b, start), "and this is beyond")
	require.Equal(t, 100*time.Millisecond, l.Wait(&b, start.Add(800*time.Millisecond)))
	require.Zero(t, l.Wait(&b, start.Add(time.Second)))
}

func TestNoLimit(t *testing.T) {
	for _, l := range []Limit{{}, New(0, 5), New(-1, 5), New(math.Inf(1), 5), New(math.NaN(), 5)} {
		var b Bucket
		for range 1000 {
			require.True(t, l.Allow(&b, start))
		}
		l.Charge(&b, 1000, start)
		require.Zero(t, l.Wait(&b, start))
		require.True(t, NewTable(l, 8, start).Allow(netip.IPv4Unspecified(), start))
	}
}

func TestExtremes(t *testing.T) {
	for _, l := range []Limit{New(1e-300, 1), New(1e-300, math.MaxInt), New(1e300, math.MaxInt), New(1, math.MinInt)} {
		var b Bucket
		require.True(t, l.Allow(&b, start))
		require.GreaterOrEqual(t, l.Wait(&b, start), time.Duration(0))
	}
}

func TestTable(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	table := NewTable(New(1, 2), 64, start)
	for range 2 {
		require.True(t, table.Allow(a, start))
	}
	require.False(t, table.Allow(a, start))
	require.True(t, table.Allow(b, start), "another has a bucket of its own")
	require.True(t, table.Allow(a, start.Add(time.Second)))
	require.False(t, table.Allow(a, start.Add(time.Second)))
}

// However many sources there are, one that stays is not forgotten: those that came
// once go first.
func TestTableOfManySources(t *testing.T) {
	flood := netip.MustParseAddr("192.0.2.1")
	table := NewTable(New(1, 100), 1024, start)
	size := len(table.sets)
	now, allowed := start, 0
	for i := range 100_000 {
		now = now.Add(time.Millisecond)
		if table.Allow(flood, now) {
			allowed++
		}
		table.Allow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	require.InDelta(t, 200, allowed, 1, "100 at once and 1 a second, for 100 s")
	require.Len(t, table.sets, size)
}

func BenchmarkTable(b *testing.B) {
	for _, n := range []int{1, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			table := NewTable(New(20, 100), 1<<14, start)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i = (i + 1) % n
				table.Allow(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), start)
			}
		})
	}
}
