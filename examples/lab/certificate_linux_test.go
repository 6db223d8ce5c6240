package lab

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/internal/radiustest"
)

// gatewayByCertificate has pppd prove itself by a certificate (EAP-TLS), which FreeRADIUS
// looks at. The gateway knows nothing of that, carries it, and has the keys from there.
func gatewayByCertificate(t *testing.T) {
	if _, err := exec.LookPath("freeradius"); err != nil {
		t.Skip("needs freeradius: scripts/apt.sh freeradius")
	}
	syslog(t)
	server, clients := networkHere(t, 1)
	radius := radiustest.Start(t, radiustest.Config{EAP: "tls", Users: []radiustest.User{
		{Name: "carol", Reply: []string{"Framed-IP-Address = 10.99.0.77"}}, {Name: "mallory"},
	}})
	g := startGateway(t, server, userspacePlane, mppe128, "auth_methods: [eap]",
		fmt.Sprintf("radius: {servers: [{address: '%v', secret: %s}]}", radius.Auth, radiustest.Secret))
	ca, cert, key := radius.Certificate("carol")
	call := func(name, user string) *pppClient {
		return startPPPClient(t, clients[0], pppClientConfig{
			name: name, user: user, options: []string{"require-mppe-128", "ca", ca, "cert", cert, "key", key, "need-peer-eap"},
		})
	}
	c := call("pppd-carol", "carol")
	c.up(t, 30*time.Second)
	require.Equal(t, "10.99.0.77", c.addr)
	g.await(t, `msg="session up" .*user=carol .*encryption="?MPPE 128-bit stateless"? `, time.Second)
	require.NotEmpty(t, c.find(`^rcvd \[EAP Request id=\S+ TLS`), "how pppd has proved itself")
	require.NoError(t, clients[0].echo(c.dev, tunnelServer))
	c.stop()
	g.ended(t, 1, 5*time.Second)

	// The certificate is that of one user.
	m := call("pppd-mallory", "mallory")
	require.NotZero(t, m.exitCode(t, 30*time.Second), "pppd's exit code")
	require.NotEmpty(t, m.find(`peer reports authentication failure`))
	require.Regexp(t, `msg="session failed" .*cause=authentication `, g.ended(t, 2, 5*time.Second))
	g.shutdown(t)
}
