package cli

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// What was much and is garbage goes back to the host.
func TestTidy(t *testing.T) {
	const much = 64 << 20
	garbage := make([][]byte, much>>12)
	for i := range garbage {
		garbage[i] = make([]byte, 1<<12)
	}
	runtime.KeepAlive(garbage)
	garbage = nil
	runtime.GC()
	free, _ := spare()
	require.Greater(t, free, uint64(much/2))
	require.True(t, tidy())
	free, _ = spare()
	require.Less(t, free, uint64(much/2))
}
