package lab

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// oursComesAgain has a user come in twice, from two hosts. The one who comes later gets the
// address that the other had, and packets for it, at once. From a third host nobody may
// come.
func oursComesAgain(t *testing.T, p planes) {
	server, clients := network(t, 3)
	g := startGateway(t, server, p.gateway, mppe128, "policy: {max_sessions: 1, on_excess: replace, denied_sources: [10.0.3.0/24]}")
	before := g.descriptors(t)
	first := startDial(t, clients[0], diallerConfig{name: "dial-1", plane: p.client, mppe: mppe128})
	first.up(t, 10*time.Second)
	second := startDial(t, clients[1], diallerConfig{name: "dial-2", plane: p.client, mppe: mppe128})
	second.up(t, 10*time.Second)
	require.Equal(t, dialLost, first.exitCode(t, 10*time.Second), "our client's exit code")
	require.Regexp(t, `msg="session down" .*cause=replaced `, g.ended(t, 1, 5*time.Second))
	require.Equal(t, first.addr, second.addr)
	third := startDial(t, clients[2], diallerConfig{name: "dial-3", plane: p.client, mppe: mppe128})
	require.NotEqual(t, dialOK, third.exitCode(t, 10*time.Second), "our client's exit code")
	require.Regexp(t, `msg="session failed" .*cause=authentication .*You may not log in from here`, g.ended(t, 2, 5*time.Second))
	clients[1].ping(t, second.dev, tunnelServer, 5)
	server.ping(t, g.device(t, second.addr), second.addr, 5)
	second.terminate()
	g.ended(t, 3, 5*time.Second)
	g.idle(t, before)
	g.shutdown(t)
}
