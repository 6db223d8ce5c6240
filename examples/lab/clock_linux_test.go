package lab

import (
	"fmt"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/internal/radiustest"
)

// TestClock steps the clock of the gateway's host, forth and back, while a client of ours
// and a pppd are in: sessions are as long as they are, whatever the clock says, and so are
// their records. It needs a kernel of its own for that.
func TestClock(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 2 * time.Minute, ours: true}, func(t *testing.T) {
		if _, err := exec.LookPath("freeradius"); err != nil {
			t.Skip("needs freeradius: scripts/apt.sh freeradius")
		}
		onEachPlane(t, clockSteps)
	})
}

func clockSteps(t *testing.T, p plane) {
	syslog(t)
	server, clients := networkHere(t, 3)
	radius := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{Name: radiusUser, Password: radiusPassword}}})
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(radius.Log())
		}
	})
	accounts := radiustest.NewRelay(t, radius.Acct)
	var answers atomic.Int64
	count := func([]byte) { answers.Add(1) }
	accounts.Mangle.Store(&count)
	g := startGateway(t, server, p, mppe128,
		"policy: {session_timeout: 2h, idle_timeout: 1h}",
		"echo: {interval: 10s, failures: 2}",
		fmt.Sprintf("radius: {servers: [{address: '%v', secret: %s}]}", radius.Auth, radiustest.Secret),
		fmt.Sprintf("accounting: {directory: %s, interval: 2h, servers: [{address: '%v', secret: %s, timeout: 20s, tries: 1}]}", t.TempDir(), accounts.Addr, radiustest.Secret),
	)
	began := time.Now()
	ours := startDial(t, clients[0], diallerConfig{user: radiusUser, password: radiusPassword, plane: userspacePlane, mppe: mppe128})
	pppd := startPPPClient(t, clients[1], pppClientConfig{mppe: mppe128})
	ours.up(t, 20*time.Second)
	pppd.up(t, 20*time.Second)
	for i, step := range []time.Duration{3 * time.Hour, -6 * time.Hour, 3 * time.Hour} {
		// What FreeRADIUS has in hand at the step it never answers, and is told again.
		eventually(t, 20*time.Second, "all records are answered", func() bool { return answers.Load() >= int64(1+2+2*i) })
		setClock(t, step)
		require.NoError(t, ours.host.echoOf(p, ours.dev, tunnelServer))
		pppd.host.ping(t, pppd.dev, tunnelServer, 5)
		// RADIUS lets others in as before.
		c := startDial(t, clients[2], diallerConfig{name: fmt.Sprint("dial-", i), user: radiusUser, password: radiusPassword, plane: userspacePlane, mppe: mppe128})
		c.up(t, 20*time.Second)
		require.NoError(t, c.host.echoOf(p, c.dev, tunnelServer)) // or it might be over before the gateway has it up
		c.terminate()
		require.Equal(t, dialOK, c.exitCode(t, 5*time.Second), "our client's exit code")
	}
	g.ended(t, 3, 5*time.Second)
	radius.Await(1 + 2 + 2*3)
	longest := time.Since(began) // of the monotonic clock, too
	require.Less(t, longest, time.Minute)
	g.shutdown(t)

	stops := make(map[string]int)
	for _, r := range radius.Await(1 + 2*5 + 1) {
		if r.Get("Acct-Status-Type") != "Stop" {
			continue
		}
		stops[r.Get("Acct-Session-Id")]++
		seconds, err := strconv.Atoi(r.Get("Acct-Session-Time"))
		require.NoError(t, err)
		require.LessOrEqual(t, time.Duration(seconds)*time.Second, time.Since(began).Round(time.Second))
	}
	require.Len(t, stops, 5)
	for session, n := range stops {
		require.Equal(t, 1, n, session)
	}
}

// setClock steps the clock of the environment's kernel.
func setClock(t *testing.T, by time.Duration) {
	t.Helper()
	before := time.Now()
	tv := syscall.NsecToTimeval(before.Add(by).UnixNano())
	require.NoError(t, syscall.Settimeofday(&tv))
	require.InDelta(t, by.Seconds(), time.Now().Round(0).Sub(before.Round(0)).Seconds(), 10, "the step of the clock")
}
