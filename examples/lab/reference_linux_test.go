package lab

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestReferencePair joins two programs that are not ours. It proves the lab, and
// shows what peers do that the other tests expect of ours.
func TestReferencePair(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 2 * time.Minute}, func(t *testing.T) {
		for _, mppe := range []string{mppe128, noMPPE} {
			t.Run(mppe, func(t *testing.T) {
				syslog(t)
				server, clients := network(t, 1)
				client := clients[0]
				capture := client.capture(t, "eth0")
				startPPTPD(t, server, mppe)
				server.serveBulk(t)
				// Two pppds would compress where they do not encrypt.
				c := startPPPClient(t, client, pppClientConfig{mppe: mppe, more: []string{"nodeflate", "nobsdcomp"}})
				c.up(t, 20*time.Second)
				client.ping(t, c.dev, tunnelServer, 5)
				t.Log(client.bulk(t, c.dev, tunnelServer, 1<<20))
				c.stop()
				c.terminated(t, time.Second)
				client.noTunnels(t, 5*time.Second)
				server.noTunnels(t, 5*time.Second)
				server.noConnections(t, 5*time.Second)
				packets := capture.packets(t)
				checkPrivacy(t, packets, mppe)
				t.Log("up after ", setups(t, packets)[0])
			})
		}
		t.Run("server hangs up", func(t *testing.T) {
			syslog(t)
			server, clients := network(t, 1)
			s := startPPTPD(t, server, mppe128)
			c := startPPPClient(t, clients[0], pppClientConfig{mppe: mppe128})
			c.up(t, 20*time.Second)
			s.hangUp(t)
			require.Equal(t, pppdHungUp, c.exitCode(t, 10*time.Second), "pppd's exit code")
		})
		t.Run("wrong password", func(t *testing.T) {
			syslog(t)
			server, clients := network(t, 1)
			startPPTPD(t, server, mppe128)
			c := startPPPClient(t, clients[0], pppClientConfig{mppe: mppe128, password: "wrong"})
			require.Equal(t, pppdAuthFailed, c.exitCode(t, 20*time.Second), "pppd's exit code")
		})
	})
}
