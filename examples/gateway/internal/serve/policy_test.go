package serve

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Groups, pools and policy of the configuration are those of the sessions. A user's domain
// makes no other user of it.
func TestPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, `
local_address: 10.9.0.1
pools:
  - 10.9.1.1-10.9.1.9
  - {name: staff, ranges: [10.9.2.1-10.9.2.1], next: default}
groups:
  - {name: staff, pool: staff, max_sessions: 2}
policy: {max_sessions: 1, on_excess: replace}
users:
  - {name: alice, password: correct horse}
  - {name: bob, password: battery staple, group: staff}
`)
		alice, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		again, err := w.dial("192.0.2.8", `CORP\alice`, "correct horse")
		require.NoError(t, err)
		<-alice.Done()
		assert.Equal(t, alice.Local(), again.Local(), "the address that was just given back")
		for _, want := range []string{"10.9.2.1", "10.9.1.2"} {
			bob, err := w.dial("192.0.2.9", "bob", "battery staple")
			require.NoError(t, err)
			assert.Equal(t, want, bob.Local().String())
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, w.log.records("session is replaced"), 1)
		down := w.log.records("session down")
		require.Len(t, down, 1)
		assert.Equal(t, "replaced", down[0]["cause"])

		w.signals <- syscall.SIGTERM
		w.stopped()
		require.NoError(t, w.err)
	})
}
