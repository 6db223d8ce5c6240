package lab

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestClient has our client call pptpd with pppd.
func TestClient(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 8 * time.Minute, ours: true}, func(t *testing.T) {
		onEachPlane(t, func(t *testing.T, p plane) {
			for _, mppe := range []string{mppe128, noMPPE} {
				t.Run(mppe, func(t *testing.T) { clientCallsPPTPD(t, p, mppe) })
			}
			t.Run("wrong password", func(t *testing.T) { clientIsRefused(t, p) })
			t.Run("slow path", func(t *testing.T) { clientIsFarAway(t, p) })
		})
	})
}

// clientCallsPPTPD has two sessions, of which one is ended by each side.
func clientCallsPPTPD(t *testing.T, p plane, mppe string) {
	syslog(t)
	server, clients := network(t, 1)
	client := clients[0]
	capture := client.capture(t, "eth0")
	s := startPPTPD(t, server, mppe)
	server.serveBulk(t)

	d := startDial(t, client, diallerConfig{name: "dial-1", plane: p, mppe: mppe})
	d.up(t, 20*time.Second)
	client.ping(t, d.dev, tunnelServer, 5)
	t.Log(client.bulk(t, d.dev, tunnelServer, 2<<20))
	d.terminate()
	require.Equal(t, dialOK, d.exitCode(t, 5*time.Second), "our client's exit code")
	d.await(t, `^down: cause=local .* lost=0 `, time.Second)
	client.noTunnels(t, time.Second)
	server.noTunnels(t, 5*time.Second)
	server.noConnections(t, 5*time.Second)

	d = startDial(t, client, diallerConfig{name: "dial-2", plane: p, mppe: mppe})
	d.up(t, 20*time.Second)
	client.ping(t, d.dev, tunnelServer, 5)
	s.hangUp(t)
	require.Equal(t, dialLost, d.exitCode(t, 10*time.Second), "our client's exit code")
	d.await(t, `^down: cause=peer `, time.Second)
	client.noTunnels(t, time.Second)
	server.noTunnels(t, 5*time.Second)
	server.noConnections(t, 5*time.Second)

	packets := capture.packets(t)
	checkPrivacy(t, packets, mppe)
	for _, s := range setups(t, packets) {
		t.Log("up after ", s)
	}
}

func clientIsRefused(t *testing.T, p plane) {
	syslog(t)
	server, clients := network(t, 1)
	clients[0].capture(t, "eth0")
	startPPTPD(t, server, mppe128)
	d := startDial(t, clients[0], diallerConfig{plane: p, mppe: mppe128, password: "wrong"})
	require.Equal(t, dialBadLogin, d.exitCode(t, 20*time.Second), "our client's exit code")
	require.NotEmpty(t, d.find(`Wrong user name or password`))
	clients[0].noTunnels(t, time.Second)
	server.noTunnels(t, 5*time.Second)
	server.noConnections(t, 5*time.Second)
}

// clientIsFarAway is as gatewayIsFarAway.
func clientIsFarAway(t *testing.T, p plane) {
	syslog(t)
	server, clients := network(t, 1)
	clients[0].capture(t, "eth0")
	clients[0].delay(t, "eth0", slowPath)
	server.delay(t, "c1", slowPath)
	startPPTPD(t, server, mppe128)
	d := startDial(t, clients[0], diallerConfig{plane: p, mppe: mppe128})
	d.up(t, 40*time.Second)
	clients[0].ping(t, d.dev, tunnelServer, 3)
}
