package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBuckets(t *testing.T) {
	for _, d := range []time.Duration{0, 1, time.Microsecond, 63 * time.Microsecond, 64 * time.Microsecond, 65 * time.Microsecond,
		127 * time.Microsecond, 128 * time.Microsecond, time.Millisecond, time.Second, time.Hour, 300 * time.Hour} {
		i := bucket(d)
		require.LessOrEqual(t, d, upper(i), d)
		if i > 0 {
			require.Greater(t, d, upper(i-1), d)
		}
	}
	require.Equal(t, buckets-1, bucket(math.MaxInt64))
}

func TestQuantiles(t *testing.T) {
	var empty Histogram
	require.Zero(t, empty.Quantile(0.5))
	require.Zero(t, empty.Max())

	random := rand.New(rand.NewPCG(1, 2))
	var whole, part Histogram
	var values []time.Duration
	for i := range 10_000 {
		d := time.Duration(math.Exp(random.NormFloat64()*3) * float64(time.Millisecond))
		values = append(values, d)
		if i%2 == 0 {
			whole.Add(d)
		} else {
			part.Add(d)
		}
	}
	whole.Merge(&part)
	slices.Sort(values)
	require.EqualValues(t, len(values), whole.Count())
	require.Equal(t, values[len(values)-1], whole.Max())
	require.Equal(t, whole.Max(), whole.Quantile(1))
	for _, q := range []float64{0.0001, 0.5, 0.9, 0.99, 0.999} {
		exact := values[int(math.Ceil(q*float64(len(values))))-1]
		got := whole.Quantile(q)
		require.GreaterOrEqual(t, got, exact, "%v", q)
		require.LessOrEqual(t, float64(got), float64(exact)*33/32+1000, "%v", q)
	}
}
