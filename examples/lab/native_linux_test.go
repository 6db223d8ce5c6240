package lab

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestOurs has our client call our gateway, in namespaces of the machine's own
// kernel, where there is speed.
func TestOurs(t *testing.T) {
	lab(t, environment{kind: namespaces, limit: 3 * time.Minute, ours: true}, func(t *testing.T) {
		p := planes{userspacePlane, userspacePlane}
		for _, mppe := range []string{mppe128, noMPPE} {
			t.Run(mppe, func(t *testing.T) { oursCallsOurs(t, p, mppe, 64<<20) })
		}
		t.Run("wrong password", func(t *testing.T) {
			server, clients := network(t, 1)
			clients[0].capture(t, "eth0")
			g := startGateway(t, server, userspacePlane, mppe128)
			before := g.descriptors(t)
			d := startDial(t, clients[0], diallerConfig{plane: userspacePlane, mppe: mppe128, password: "wrong"})
			require.Equal(t, dialBadLogin, d.exitCode(t, 10*time.Second), "our client's exit code")
			require.Regexp(t, `msg="session failed" .*cause=authentication `, g.ended(t, 1, 5*time.Second))
			g.idle(t, before)
			g.shutdown(t)
		})
		t.Run("gateway dies", func(t *testing.T) { gatewayDies(t, p) })
		t.Run("client dies", func(t *testing.T) { clientDies(t, p) })
		t.Run("the same user again", func(t *testing.T) { oursComesAgain(t, p) })
		t.Run("8 clients", func(t *testing.T) { manyOfOurs(t, p, 4<<20) })
	})
}

func gatewayDies(t *testing.T, p planes) {
	server, clients := network(t, 1)
	g := startGateway(t, server, p.gateway, mppe128)
	d := startDial(t, clients[0], diallerConfig{plane: p.client, mppe: mppe128})
	d.up(t, 10*time.Second)
	g.signal(syscall.SIGKILL)
	require.Equal(t, dialLost, d.exitCode(t, 10*time.Second), "our client's exit code")
	d.await(t, `^down: cause=lost-carrier `, time.Second)
	clients[0].noTunnels(t, time.Second)
	server.noTunnels(t, 5*time.Second)
}

func clientDies(t *testing.T, p planes) {
	server, clients := network(t, 1)
	g := startGateway(t, server, p.gateway, mppe128)
	before := g.descriptors(t)
	d := startDial(t, clients[0], diallerConfig{plane: p.client, mppe: mppe128})
	d.up(t, 10*time.Second)
	g.await(t, `msg="session up" `, 5*time.Second)
	d.signal(syscall.SIGKILL)
	require.Regexp(t, `msg="session down" .*cause=lost-carrier `, g.ended(t, 1, 10*time.Second))
	g.idle(t, before)
	clients[0].noTunnels(t, 5*time.Second)
}

// manyOfOurs has eight clients at once.
func manyOfOurs(t *testing.T, p planes, size int) {
	const n = 8
	server, clients := network(t, n)
	g := startGateway(t, server, p.gateway, mppe128)
	server.serveBulk(t)
	before := g.descriptors(t)
	sessions := make([]*dialler, n)
	for i := range sessions {
		sessions[i] = startDial(t, clients[i], diallerConfig{name: fmt.Sprintf("dial-%d", i+1), plane: p.client, mppe: mppe128})
	}
	together(t, n, func(i int) error { return sessions[i].upErr(20 * time.Second) })
	together(t, n, func(i int) error {
		d := sessions[i]
		if err := d.host.echoOf(p.gateway, d.dev, tunnelServer); err != nil {
			return err
		}
		_, err := d.host.bulkErr(d.dev, tunnelServer, size)
		return err
	})
	for _, d := range sessions {
		d.terminate()
	}
	for _, d := range sessions {
		require.Equal(t, dialOK, d.exitCode(t, 5*time.Second), "our client's exit code")
	}
	g.ended(t, n, 5*time.Second)
	g.idle(t, before)
	g.shutdown(t)
}

// oursCallsOurs has two sessions, of which one is ended by each side.
func oursCallsOurs(t *testing.T, p planes, mppe string, size int) {
	server, clients := network(t, 1)
	client := clients[0]
	g := startGateway(t, server, p.gateway, mppe)
	server.serveBulk(t)
	before := g.descriptors(t)

	d := startDial(t, client, diallerConfig{name: "dial-1", plane: p.client, mppe: mppe})
	d.up(t, 10*time.Second)
	require.NoError(t, client.echoOf(p.gateway, d.dev, tunnelServer))
	client.ping(t, d.dev, tunnelServer, 5)
	server.ping(t, g.device(t, d.addr), d.addr, 5)
	t.Log(client.bulk(t, d.dev, tunnelServer, size))
	d.terminate()
	require.Equal(t, dialOK, d.exitCode(t, 5*time.Second), "our client's exit code")
	d.await(t, `^down: cause=local `, time.Second)
	require.Regexp(t, `msg="session down" .*cause=peer `, g.ended(t, 1, 5*time.Second))
	client.noTunnels(t, time.Second)
	g.idle(t, before)

	// The bulk would make the capture large: it is of the second session only.
	capture := client.capture(t, "eth0")
	d = startDial(t, client, diallerConfig{name: "dial-2", plane: p.client, mppe: mppe})
	d.up(t, 10*time.Second)
	require.NoError(t, client.echoOf(p.gateway, d.dev, tunnelServer))
	client.ping(t, d.dev, tunnelServer, 5)
	g.shutdown(t)
	require.Regexp(t, `msg="session down" .*cause=shutdown `, g.ended(t, 2, time.Second))
	require.Equal(t, dialLost, d.exitCode(t, 5*time.Second), "our client's exit code")
	d.await(t, `^down: cause=peer `, time.Second)
	client.noTunnels(t, time.Second)
	checkPrivacy(t, capture.packets(t), mppe)
}
