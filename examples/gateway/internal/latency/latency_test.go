package latency

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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
