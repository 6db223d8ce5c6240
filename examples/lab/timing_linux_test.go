package lab

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// How long a session may take to come up, from the first packet of its control
// connection to the last Configure-Ack of IPCP, in a capture. What pptp-linux
// sleeps between control connection and call is not counted.
//
// The bars are for a machine that does nothing else. So that one that does more
// cannot fail the test, only the fastest of several sessions has to be below
// them. All have to be below slowest: a request that is lost and repeated only
// after the 3 s of RFC 1661 would be seen.
const (
	pppdBar = 200 * time.Millisecond
	oursBar = 30 * time.Millisecond
	slowest = 2500 * time.Millisecond
)

// TestSetupTime measures how long sessions take to come up.
func TestSetupTime(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 3 * time.Minute, ours: true, alone: true}, func(t *testing.T) {
		onEachPlane(t, func(t *testing.T, p plane) {
			t.Run("pppd", func(t *testing.T) {
				syslog(t)
				measure(t, p, 8, pppdBar, func(t *testing.T, client host) {
					c := startPPPClient(t, client, pppClientConfig{mppe: mppe128})
					c.up(t, 20*time.Second)
					require.NoError(t, client.echoOf(p, c.dev, tunnelServer))
					c.stop()
					c.dull = true
				})
			})
			t.Run("ours", func(t *testing.T) { measureOurs(t, p) })
		})
	})
}

// TestSetupTimeNatively does it without User-Mode Linux, which is slow.
func TestSetupTimeNatively(t *testing.T) {
	lab(t, environment{kind: namespaces, limit: time.Minute, ours: true, alone: true}, func(t *testing.T) {
		measureOurs(t, userspacePlane)
	})
}

func measureOurs(t *testing.T, p plane) {
	bar := oursBar
	if p == kernelPlane {
		bar *= 2 // both ends make a device, in User-Mode Linux
	}
	measure(t, p, 20, bar, func(t *testing.T, client host) {
		d := startDial(t, client, diallerConfig{plane: p, mppe: mppe128})
		d.up(t, 20*time.Second)
		require.NoError(t, client.echoOf(p, d.dev, tunnelServer))
		d.stop()
		require.Equal(t, dialOK, d.exitCode(t, time.Second), "our client's exit code")
		d.dull = true
	})
}

// measure runs n sessions to our gateway, one after the other.
func measure(t *testing.T, p plane, n int, bar time.Duration, session func(t *testing.T, client host)) {
	server, clients := network(t, 1)
	capture := clients[0].capture(t, "eth0")
	g := startGateway(t, server, p, mppe128)
	for i := range n {
		session(t, clients[0])
		g.ended(t, i+1, 5*time.Second)
	}
	found := setups(t, capture.packets(t))
	require.Len(t, found, n, "sessions captured")
	slices.SortFunc(found, func(a, b setup) int { return int(a.took() - b.took()) })
	t.Log("fastest ", found[0])
	t.Log("median  ", found[n/2])
	t.Log("slowest ", found[n-1])
	require.Less(t, found[0].took(), bar, "the fastest")
	require.Less(t, found[n-1].took(), slowest, "the slowest")
}
