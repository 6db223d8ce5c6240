package lab

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNATOfKernel is TestNAT with the kernel plane. The router and the clients are in
// namespaces of the machine's own kernel, which knows how to translate PPTP, and the
// server in a guest that has PPTP: see TestGatewayXDP.
//
//	clients, ours ── router: outside ──── eth0, server ── vec0, User-Mode Linux: ours
func TestNATOfKernel(t *testing.T) {
	guest := os.Getenv(envGuest)
	if guest == "" {
		need(t, umlKernel)
		needRules(t, masquerade, pptpHelper)
	}
	lab(t, environment{kind: namespaces, limit: 2 * time.Minute, ours: true}, func(t *testing.T) {
		if guest != "" {
			gatewayServesTranslated(t, guest)
			return
		}
		for _, mppe := range []string{mppe128, noMPPE} {
			t.Run(mppe, func(t *testing.T) { twoCallKernelBehindNAT(t, mppe) })
		}
	})
}

// translatedCalls is how often the gateway in the guest is called.
const translatedCalls = 5

// twoCallKernelBehindNAT has two clients with the same call ID, and then two that have
// chosen freely, of which one calls again.
func twoCallKernelBehindNAT(t *testing.T, mppe string) {
	server, router, clients := behindNAT(t, 2, masquerade, pptpHelper)
	server.ip(t, "addr", "flush", "dev", "eth0")
	router.capture(t, "outside")
	guest := startGuest(t, server, "eth0", "TestNATOfKernel", mppe)
	guest.await(t, "serves$", 30*time.Second)

	if mppe == mppe128 { // which is all that these want
		var same [2]*inProcess
		same[0] = clients[0].dialInProcess(t, serverAddr, 0)
		same[1] = clients[1].dialInProcess(t, serverAddr, same[0].callID)
		together(t, 2, func(i int) error { return clients[i].echoOf(kernelPlane, same[i].dev, tunnelServer) })
		for _, s := range same {
			require.NoError(t, s.Close())
		}
	}
	call := func(i int, name string) *dialler {
		d := startDial(t, clients[i], diallerConfig{name: name, plane: userspacePlane, mppe: mppe})
		d.up(t, 20*time.Second)
		require.NoError(t, d.host.echoOf(kernelPlane, d.dev, tunnelServer))
		return d
	}
	sessions := []*dialler{call(0, "dial-1"), call(1, "dial-2")}
	together(t, 2, func(i int) error {
		_, err := sessions[i].host.bulkErr(sessions[i].dev, tunnelServer, 256<<10)
		return err
	})
	sessions[0].terminate()
	require.Equal(t, dialOK, sessions[0].exitCode(t, 5*time.Second), "our client's exit code")
	sessions[0] = call(0, "dial-3")
	for _, d := range sessions {
		require.NoError(t, d.host.echoOf(kernelPlane, d.dev, tunnelServer))
		d.terminate()
		require.Equal(t, dialOK, d.exitCode(t, 5*time.Second), "our client's exit code")
	}
	status, _ := guest.await(t, `^`+exitMark+`(\d+)`, time.Minute)
	require.Equal(t, "0", status[1], "the guest's exit status")
}

// gatewayServesTranslated is what the guest does.
func gatewayServesTranslated(t *testing.T, mppe string) {
	server := host{"server", serverAddr}
	batch(t, "", fmt.Sprintf("netns attach %s %d", server.name, os.Getpid()),
		"addr add "+serverAddr+"/32 dev lo", "addr add 10.0.100.2/24 dev vec0", "link set vec0 up")
	server.serveBulk(t)
	g := startGateway(t, server, kernelPlane, mppe)
	before := g.descriptors(t)
	t.Log("serves")
	calls := translatedCalls
	if mppe != mppe128 {
		calls -= 2
	}
	g.ended(t, calls, time.Minute)
	require.Empty(t, g.find(`msg="session failed"`))
	g.idle(t, before)
	g.shutdown(t)
}
