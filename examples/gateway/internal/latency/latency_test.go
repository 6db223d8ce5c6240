package latency

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{0, 500 * time.Microsecond, 501 * time.Microsecond, 10 * time.Second, 11 * time.Second} {
		h.Observe(d)
	}
	s := h.Snapshot()
	last := len(Bounds)
	assert.EqualValues(t, 5, s.Count)
	assert.EqualValues(t, 2, s.Counts[0])
	assert.EqualValues(t, 1, s.Counts[1])
	assert.EqualValues(t, 1, s.Counts[last-1])
	assert.EqualValues(t, 1, s.Counts[last])
	assert.Equal(t, 21*time.Second+1001*time.Microsecond, s.Sum)
}

// What the API says counts those of the buckets before, and has the rest in the count alone.
func TestJSON(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{time.Microsecond, 700 * time.Microsecond, time.Minute} {
		h.Observe(d)
	}
	text, err := json.Marshal(h.Snapshot())
	require.NoError(t, err)
	assert.Regexp(t, `^{"count":3,"sum_seconds":60.000701,"buckets":\[{"le_seconds":0.0005,"count":1},{"le_seconds":0.001,"count":2},.*{"le_seconds":10,"count":2}\]}$`, string(text))
}
