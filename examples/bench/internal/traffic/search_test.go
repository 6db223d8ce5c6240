package traffic

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// machine loses what is beyond its capacity, and cannot send more than its limit.
func machine(capacity, limit float64, tries *int) func(float64) (Trial, error) {
	return func(rate float64) (Trial, error) {
		*tries++
		t := Trial{Offered: rate, Sent: min(rate, limit)}
		t.Delivered = min(t.Sent, capacity)
		t.Loss = 1 - t.Delivered/t.Sent
		return t, nil
	}
}

func TestSearch(t *testing.T) {
	for _, c := range []struct {
		name                           string
		start, factor, capacity, limit float64
		trials                         int
		low, high                      float64
	}{
		{"upwards", 25e3, 2, 130e3, 1e9, 8, 120e3, 130e3},
		{"far down", 100e3, 1.15, 40e3, 1e9, 5, 25e3, 40e3},
		{"downwards", 400e3, 2, 90e3, 1e9, 8, 80e3, 90e3},
		{"near", 100e3, 1.2, 105e3, 1e9, 5, 100e3, 105e3},
		{"the sender is the limit", 25e3, 2, 1e9, 300e3, 8, 299e3, 301e3},
		{"nothing passes", 25e3, 2, 1, 1e9, 4, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			tries := 0
			best, err := Search(c.start, c.factor, c.trials, machine(c.capacity, c.limit, &tries))
			require.NoError(t, err)
			require.GreaterOrEqual(t, best, c.low)
			require.LessOrEqual(t, best, c.high)
			require.LessOrEqual(t, tries, 2*c.trials)
		})
	}
}

// One failure is the machine's, two are the tunnel's.
func TestSearchTriesAgain(t *testing.T) {
	tries := 0
	good := machine(1e6, 1e9, new(int))
	best, err := Search(1000, 2, 3, func(rate float64) (Trial, error) {
		if tries++; tries%2 == 1 {
			return Trial{Offered: rate, Sent: rate, Delivered: rate / 2, Loss: 0.5}, nil
		}
		return good(rate)
	})
	require.NoError(t, err)
	require.Equal(t, 4000.0, best)

	_, err = Search(1000, 2, 3, func(float64) (Trial, error) { return Trial{}, errors.New("no") })
	require.Error(t, err)
}
