package lab

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPlanes has our client call our gateway, with the kernel plane at one end or
// both.
func TestPlanes(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 8 * time.Minute, ours: true}, func(t *testing.T) {
		for _, p := range []planes{{kernelPlane, kernelPlane}, {kernelPlane, userspacePlane}, {userspacePlane, kernelPlane}} {
			t.Run(fmt.Sprintf("%s gateway, %s client", p.gateway, p.client), func(t *testing.T) {
				for _, mppe := range []string{mppe128, noMPPE} {
					t.Run(mppe, func(t *testing.T) { oursCallsOurs(t, p, mppe, 2<<20) })
				}
				for _, bits := range []int{128, 40} {
					for _, mode := range []string{"stateless", "stateful"} {
						path := badPath
						switch {
						case mode == "stateful" && p == planes{kernelPlane, kernelPlane}:
							path = nil // two Linux kernels may not find each other again
						case mode == "stateful":
							path = lossyPath
						}
						t.Run(fmt.Sprintf("%d bit %s", bits, mode), func(t *testing.T) { oursInMode(t, p, bits, mode, path) })
					}
				}
			})
		}
		p := planes{kernelPlane, kernelPlane}
		t.Run("8 clients", func(t *testing.T) { manyOfOurs(t, p, 256<<10) })
		t.Run("client dies", func(t *testing.T) { clientDies(t, p) })
	})
}

// planes are those of our gateway and our client.
type planes struct{ gateway, client plane }

// oursInMode has a session in one mode of MPPE, on a path that becomes bad if there is
// one.
func oursInMode(t *testing.T, p planes, bits int, mode string, path []string) {
	server, clients := network(t, 1)
	client := clients[0]
	g := startGateway(t, server, p.gateway, mppe128, fmt.Sprintf("mppe_key_lengths: [%d]", bits), "mppe_modes: ["+mode+"]")
	server.serveBulk(t)
	d := startDial(t, client, diallerConfig{plane: p.client, mppe: mppe128, more: []string{"--mppe-keys", fmt.Sprint(bits), "--mppe-modes", mode}})
	d.up(t, 20*time.Second)
	require.NotEmpty(t, d.find(fmt.Sprintf(`^up: .* encryption="MPPE %d-bit %s" `, bits, mode)), "what we have agreed on")
	require.NoError(t, client.echoOf(p.gateway, d.dev, tunnelServer))
	require.NoError(t, server.echo(g.device(t, d.addr), d.addr))
	t.Log(client.bulk(t, d.dev, tunnelServer, 256<<10))

	if path != nil {
		client.impair(t, "eth0", path)
		server.impair(t, "c1", path)
		others := client.start(t, "ping", "ping", "-q", "-I", d.dev, "-i", "0.05", tunnelServer) // see onBadPath.transfer
		t.Log(client.bulk(t, d.dev, tunnelServer, 256<<10))
		others.stop()
		t.Logf("%d packets lost on the way there, %d on the way back", client.unimpair(t, "eth0"), server.unimpair(t, "c1"))
	}
	require.NoError(t, client.echoOfPPPD(d.dev, tunnelServer))
	client.ping(t, d.dev, tunnelServer, 5)
	d.terminate()
	require.Equal(t, dialOK, d.exitCode(t, 5*time.Second), "our client's exit code")
	t.Log(g.ended(t, 1, 5*time.Second))
	g.shutdown(t)
}
