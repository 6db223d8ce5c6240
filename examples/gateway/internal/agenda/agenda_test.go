package agenda

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Whatever is set, moved and removed, what is due comes in order, each once.
func TestAgenda(t *testing.T) {
	var a Agenda[int]
	epoch := time.Unix(0, 0)
	_, ok := a.Next()
	assert.False(t, ok)
	a.Remove(7)

	want := make(map[int]time.Time)
	for range 10_000 {
		key := rand.IntN(500)
		if rand.IntN(3) == 0 {
			a.Remove(key)
			delete(want, key)
			continue
		}
		at := epoch.Add(time.Duration(rand.IntN(1000)) * time.Second)
		a.Set(key, at)
		want[key] = at
	}
	assert.Equal(t, len(want), a.Len())
	last := epoch
	for len(want) > 0 {
		next, ok := a.Next()
		assert.True(t, ok)
		_, early := a.Due(next.Add(-1))
		assert.False(t, early)
		key, ok := a.Due(next)
		assert.True(t, ok)
		assert.Equal(t, next, want[key])
		assert.False(t, next.Before(last))
		last = next
		delete(want, key)
	}
	assert.Zero(t, a.Len())
	assert.Empty(t, a.items.index)
}
