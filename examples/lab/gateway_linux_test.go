package lab

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestGateway has pptp-linux and pppd call our gateway.
func TestGateway(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 8 * time.Minute, ours: true}, func(t *testing.T) {
		onEachPlane(t, func(t *testing.T, p plane) {
			for _, mppe := range []string{mppe128, noMPPE} {
				t.Run(mppe, func(t *testing.T) { gatewayServesPPPD(t, p, mppe) })
			}
			t.Run("wrong password", func(t *testing.T) { gatewayRefusesPPPD(t, p) })
			t.Run("without encryption that is required", func(t *testing.T) { gatewayRequiresEncryption(t, p) })
			t.Run("slow path", func(t *testing.T) { gatewayIsFarAway(t, p) })
			t.Run("8 clients from 8 addresses", func(t *testing.T) { gatewayServesMany(t, p, 8, 1, false) })
			t.Run("8 clients from 1 address", func(t *testing.T) { gatewayServesMany(t, p, 1, 8, false) })
			t.Run("8 clients on 1 control connection", func(t *testing.T) { gatewayServesMany(t, p, 1, 8, true) })
		})
	})
}

// gatewayServesPPPD has two sessions, of which one is ended by each side.
func gatewayServesPPPD(t *testing.T, p plane, mppe string) {
	syslog(t)
	server, clients := network(t, 1)
	client := clients[0]
	capture := client.capture(t, "eth0")
	g := startGateway(t, server, p, mppe)
	server.serveBulk(t)
	before := g.descriptors(t)

	c := startPPPClient(t, client, pppClientConfig{name: "pppd-1", mppe: mppe})
	c.up(t, 20*time.Second)
	g.await(t, `msg="session up" .*user=alice remote=10\.0\.1\.2:\d+ address=10\.9\.1\.\d+ local=10\.9\.0\.1`, time.Second)
	client.ping(t, c.dev, tunnelServer, 5)
	server.ping(t, g.device(t, c.addr), c.addr, 5)
	t.Log(client.bulk(t, c.dev, tunnelServer, 2<<20))
	c.stop()
	c.terminated(t, time.Second)
	require.Regexp(t, `msg="session down" .*cause=peer `, g.ended(t, 1, 5*time.Second))
	client.noTunnels(t, 5*time.Second)
	g.idle(t, before)

	c = startPPPClient(t, client, pppClientConfig{name: "pppd-2", mppe: mppe})
	c.up(t, 20*time.Second)
	client.ping(t, c.dev, tunnelServer, 5)
	g.shutdown(t)
	require.Regexp(t, `msg="session down" .*cause=shutdown `, g.ended(t, 2, time.Second))
	require.Equal(t, pppdHungUp, c.exitCode(t, 10*time.Second), "pppd's exit code")
	client.noTunnels(t, 5*time.Second)
	server.noConnections(t, 5*time.Second)

	packets := capture.packets(t)
	checkPrivacy(t, packets, mppe)
	for _, s := range setups(t, packets) {
		t.Log("up after ", s)
	}
}

func gatewayRefusesPPPD(t *testing.T, p plane) {
	syslog(t)
	server, clients := network(t, 1)
	clients[0].capture(t, "eth0")
	g := startGateway(t, server, p, mppe128)
	before := g.descriptors(t)
	for i, c := range []pppClientConfig{
		{name: "pppd-password", mppe: mppe128, password: "wrong"},
		{name: "pppd-user", mppe: mppe128, user: "mallory"},
	} {
		client := startPPPClient(t, clients[0], c)
		// Once in a while pptp-linux ends at the Call-Disconnect-Notify before
		// pppd has read the Terminate-Ack that came before it.
		require.Contains(t, []int{pppdAuthFailed, pppdHungUp}, client.exitCode(t, 20*time.Second), "pppd's exit code")
		require.NotEmpty(t, client.find(`CHAP authentication failed`))
		require.Regexp(t, `msg="session failed" .*cause=authentication `, g.ended(t, i+1, 5*time.Second))
	}
	require.Empty(t, g.find(`correct horse`), "a secret in the log")
	clients[0].noTunnels(t, 5*time.Second)
	g.idle(t, before)
	g.shutdown(t)
}

func gatewayRequiresEncryption(t *testing.T, p plane) {
	syslog(t)
	server, clients := network(t, 1)
	g := startGateway(t, server, p, mppe128)
	before := g.descriptors(t)
	c := startPPPClient(t, clients[0], pppClientConfig{mppe: noMPPE})
	require.NotZero(t, c.exitCode(t, 20*time.Second), "pppd's exit code")
	require.Empty(t, c.find(`^local +IP address`), "IPCP without encryption")
	require.Regexp(t, `msg="session failed" .*cause=encryption `, g.ended(t, 1, 5*time.Second))
	g.idle(t, before)
}

// slowPath is how long packets take on slow paths, each way.
const slowPath = 350 * time.Millisecond

// gatewayIsFarAway has answers come late: requests must not be repeated before
// they can, as a pppd that requires MPPE hangs up at a CCP request that it has
// acked already.
func gatewayIsFarAway(t *testing.T, p plane) {
	syslog(t)
	server, clients := network(t, 1)
	clients[0].capture(t, "eth0")
	clients[0].delay(t, "eth0", slowPath)
	server.delay(t, "c1", slowPath)
	startGateway(t, server, p, mppe128)
	c := startPPPClient(t, clients[0], pppClientConfig{mppe: mppe128})
	c.up(t, 40*time.Second)
	clients[0].ping(t, c.dev, tunnelServer, 3)
	require.Len(t, c.find(`^rcvd \[CCP ConfReq `), 1, "CCP requests")
}

// gatewayServesMany has clients on so many hosts, and so many on each.
func gatewayServesMany(t *testing.T, p plane, hosts, each int, shared bool) {
	syslog(t)
	server, clients := network(t, hosts)
	g := startGateway(t, server, p, mppe128)
	server.serveBulk(t)
	before := g.descriptors(t)
	n := hosts * each
	sessions := make([]*pppClient, n)
	for i := range sessions {
		sessions[i] = startPPPClient(t, clients[i%hosts], pppClientConfig{name: fmt.Sprintf("pppd-%d", i+1), mppe: mppe128, shared: shared})
		if shared && i == 0 { // the others need it to be there
			sessions[i].up(t, 20*time.Second)
		}
	}
	together(t, n, func(i int) error { return sessions[i].upErr(40 * time.Second) })
	connections := n
	if shared {
		connections = 1
	}
	require.Len(t, g.find(`msg="control connection" `), connections, "control connections")
	addresses := make(map[string]bool)
	for _, s := range sessions {
		addresses[s.addr] = true
	}
	require.Len(t, addresses, n, "different addresses")
	together(t, n, func(i int) error {
		s := sessions[i]
		if err := s.host.echoOf(p, s.dev, tunnelServer); err != nil {
			return err
		}
		_, err := s.host.bulkErr(s.dev, tunnelServer, 256<<10)
		return err
	})
	for _, s := range sessions {
		s.terminate()
	}
	for _, s := range sessions {
		s.terminated(t, 10*time.Second)
	}
	g.ended(t, n, 10*time.Second)
	g.idle(t, before)
	g.shutdown(t)
}
