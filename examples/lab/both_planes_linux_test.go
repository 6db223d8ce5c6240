package lab

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBothPlanes has our gateway use both planes at once.
func TestBothPlanes(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 2 * time.Minute, ours: true}, func(t *testing.T) {
		t.Run("unknown keys", func(t *testing.T) {
			planesInOneGateway(t, "mppe_key_lengths: [128, 56]", "--mppe-keys", "128", "56")
		})
		t.Run("stateful encryption", func(t *testing.T) {
			planesInOneGateway(t, "mppe_modes: [stateless, stateful]", "--mppe-modes", "stateless", "stateful")
		})
		t.Run("same call ID twice", sameCallIDTwice)
	})
}

// planesInOneGateway has one client that the kernel can serve, and one that wants what
// no kernel knows, or none does well. They differ in the value of a flag.
func planesInOneGateway(t *testing.T, config, flag, ofKernel, ofUserspace string) {
	server, clients := network(t, 2)
	g := startGateway(t, server, autoPlane, mppe128, config)
	server.serveBulk(t)
	before := 0
	for round := range 2 {
		var sessions [2]*dialler
		for i, value := range []string{ofKernel, ofUserspace} {
			sessions[i] = startDial(t, clients[i], diallerConfig{
				name: fmt.Sprintf("dial-%s-%d", value, round), plane: userspacePlane, mppe: mppe128, more: []string{flag, value},
			})
		}
		for _, d := range sessions {
			d.up(t, 20*time.Second)
			require.NoError(t, d.host.echoOf(autoPlane, d.dev, tunnelServer))
		}
		require.True(t, kernelPlane.owns(g.device(t, sessions[0].addr)), "the plane of "+ofKernel)
		require.True(t, userspacePlane.owns(g.device(t, sessions[1].addr)), "the plane of "+ofUserspace)
		together(t, 2, func(i int) error {
			_, err := sessions[i].host.bulkErr(sessions[i].dev, tunnelServer, 256<<10)
			return err
		})
		for _, d := range sessions {
			require.NoError(t, server.echo(g.device(t, d.addr), d.addr))
			d.terminate()
			require.Equal(t, dialOK, d.exitCode(t, 5*time.Second), "our client's exit code")
		}
		g.ended(t, 2*(round+1), 5*time.Second)
		// Its userspace plane, once it has one, stays open.
		if round == 1 {
			g.idle(t, before)
		}
		g.host.noConnections(t, 5*time.Second)
		before = g.descriptors(t)
	}
	g.shutdown(t)
}

// sameCallIDTwice has two calls from one address with the same call ID, as a router can
// let happen where the gateway has two addresses. The kernel's driver could not tell
// them apart, so the second has to be served without it.
func sameCallIDTwice(t *testing.T) {
	const another = "10.0.0.3"
	server, clients := network(t, 2)
	// The second client has the address of the first, and is behind another address of
	// the server.
	batch(t, clients[1].name, "addr add "+clients[0].addr+"/32 dev eth0", "route add "+another+"/32 via 10.0.2.1 src "+clients[0].addr)
	batch(t, server.name, "addr add "+another+"/32 dev lo", "rule add from "+another+" lookup 100",
		"route add "+clients[0].addr+"/32 via 10.0.2.2 table 100")
	clients[0].capture(t, "eth0")
	clients[1].capture(t, "eth0")
	g := startGateway(t, server, kernelPlane, mppe128)
	server.serveBulk(t)
	g.plane = autoPlane // which it may use

	var sessions [2]*inProcess
	sessions[0] = clients[0].dialInProcess(t, serverAddr, 0)
	sessions[1] = clients[1].dialInProcess(t, another, sessions[0].callID)
	require.Equal(t, sessions[0].callID, sessions[1].callID)
	require.Len(t, g.find(`msg="control connection" remote=10\.0\.1\.2:`), 2)
	for i, s := range sessions {
		require.NoError(t, clients[i].echoOf(autoPlane, s.dev, tunnelServer))
	}
	require.True(t, kernelPlane.owns(g.device(t, sessions[0].Local().String())), "the plane of the first")
	require.True(t, userspacePlane.owns(g.device(t, sessions[1].Local().String())), "the plane of the second")
	together(t, 2, func(i int) error {
		_, err := clients[i].bulkErr(sessions[i].dev, tunnelServer, 256<<10)
		return err
	})

	// One that comes after both have ended is the kernel's again.
	for _, s := range sessions {
		require.NoError(t, s.Close())
	}
	g.ended(t, 2, 5*time.Second)
	last := clients[1].dialInProcess(t, another, sessions[0].callID)
	require.NoError(t, clients[1].echoOf(kernelPlane, last.dev, tunnelServer))
	require.True(t, kernelPlane.owns(g.device(t, last.Local().String())), "the plane of the last")
	require.NoError(t, last.Close())
	g.ended(t, 3, 5*time.Second)
	g.shutdown(t)
}
