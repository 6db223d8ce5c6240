package config

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"auto":                 {},
		"unlimited":            {PerSecond: math.Inf(1)},
		"200/s":                {PerSecond: 200},
		"0.5/s":                {PerSecond: 0.5},
		"200/s burst 400":      {PerSecond: 200, Burst: 400},
		"1000000/s  burst   1": {PerSecond: 1e6, Burst: 1},
	} {
		got, err := parseRate(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "200", "/s", "s", "-1/s", "0/s", "1e9/s", "NaN/s", "Inf/s", "200/second", "200/min",
		"200/sburst 3", "200/s burst", "200/s burst x", "200/s burst 0", "200/s burst 99999999", "200/s burst 3 4", "200/s, burst 3",
	} {
		_, err := parseRate(text)
		assert.Error(t, err, text)
	}
}
