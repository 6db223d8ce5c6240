package serve

import (
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Who fails too often is kept out for a while, and who is in stays in.
func TestBans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const section = "bans: {failures: 3, source_failures: 20, patience: 2, duration: 10m, allow: [192.0.2.8/32]}\n"
		w := start(t, gatewayConfig+section)
		alice, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		for range 3 {
			_, err = w.dial("192.0.2.7", "bob", "wrong")
			require.Error(t, err)
		}
		_, err = w.dial("192.0.2.7", "bob", "battery staple")
		require.ErrorContains(t, err, "649")
		failed := w.log.records("login failed")
		require.Len(t, failed, 3)
		assert.Equal(t, "192.0.2.7", failed[0]["source"])
		assert.Equal(t, "bob", failed[0]["user"])
		assert.Equal(t, "192.0.2.7", w.one("banned for failures")["source"])

		for i := range 20 {
			_, err = w.dial("192.0.2.9", fmt.Sprint("user", i), "wrong")
			require.Error(t, err)
		}
		assert.Len(t, w.log.records("login failed"), 3+5, "five names are enough")
		_, err = w.dial("192.0.2.9", "bob", "battery staple")
		require.Error(t, err)
		bob, err := w.dial("192.0.2.8", "bob", "battery staple")
		require.NoError(t, err)
		bob.Close()
		<-bob.Done()

		w.reloads(gatewayConfig + "bans: {allow: [192.0.2.9/32]}\n")
		bob, err = w.dial("192.0.2.9", "bob", "battery staple")
		require.NoError(t, err)
		bob.Close()
		<-bob.Done()
		time.Sleep(10 * time.Minute)
		_, err = w.dial("192.0.2.7", "bob", "battery staple")
		require.NoError(t, err)
		assert.NoError(t, alice.Err())

		w.signals <- syscall.SIGTERM
		w.stopped()
		require.NoError(t, w.err)
	})
}
