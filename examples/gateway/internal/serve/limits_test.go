package serve

import (
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the file limits, the server does.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig+"limits: {source_connections: 0.01/s burst 2}\n")
		for range 2 {
			_, err := w.dial("192.0.2.7", "alice", "correct horse")
			require.NoError(t, err)
		}
		_, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.Error(t, err)
		assert.Equal(t, "too many connections a second of this source", w.one("control connection refused")["reason"])
		_, err = w.dial("192.0.2.8", "alice", "correct horse")
		require.NoError(t, err, "another source has a rate of its own")
		w.signals <- syscall.SIGTERM
		w.stopped()
	})
}
