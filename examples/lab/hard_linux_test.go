package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// impatience has our programs take a peer for dead after three or four seconds, as
// the peers are told to.
const impatience = "echo: {interval: 1s, failures: 3}"

var (
	impatientDial = []string{"--echo-interval", "1s", "--echo-failures", "3"}
	impatientPPPD = []string{"lcp-echo-interval", "1", "lcp-echo-failure", "3"}
)

// pppdPeerDead is an exit code of pppd.
const pppdPeerDead = 15

// TestHard has sessions end as nobody wishes, and the gateway notice.
func TestHard(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 6 * time.Minute, ours: true}, func(t *testing.T) {
		onEachPlane(t, func(t *testing.T, p plane) {
			t.Run("all killed", func(t *testing.T) { killed(t, p, "lost-carrier", "pptpcm", "pptpgw", "pppd") })
			t.Run("pppd killed", func(t *testing.T) { killed(t, p, "peer", "pppd") })
			t.Run("pptp killed", func(t *testing.T) { killed(t, p, "lost-carrier", "pptpcm", "pptpgw") })
			t.Run("cable pulled", func(t *testing.T) { cablePulled(t, p) })
			t.Run("cable pulled for a moment", func(t *testing.T) { cablePulledForAMoment(t, p) })
		})
	})
}

// killed kills the processes of a client that run the programs. pptp-linux is two:
// pptpgw has GRE, and pptpcm the control connection. What is left of them may
// still say goodbye.
func killed(t *testing.T, p plane, cause string, programs ...string) {
	syslog(t)
	server, clients := network(t, 1)
	g := startGateway(t, server, p, mppe128)
	before := g.descriptors(t)
	c := startPPPClient(t, clients[0], pppClientConfig{mppe: mppe128})
	c.up(t, 20*time.Second)
	require.NoError(t, clients[0].echoOf(p, c.dev, tunnelServer))

	var pids []int
	for _, program := range programs {
		found := running(t, program)
		require.Len(t, found, 1, "processes of %s", program)
		pids = append(pids, found...)
	}
	began := time.Now()
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); !errors.Is(err, syscall.ESRCH) { // the one before was its life
			require.NoError(t, err)
		}
	}
	down := g.ended(t, 1, 10*time.Second)
	t.Logf("noticed after %.1f s", time.Since(began).Seconds())
	require.Regexp(t, `msg="session down" .*cause=`+cause+" ", down)
	require.True(t, c.ends(10*time.Second), "pppd has not ended")
	clients[0].noTunnels(t, 5*time.Second)
	g.idle(t, before)

	// The next one is welcome.
	c = startPPPClient(t, clients[0], pppClientConfig{name: "pppd-again", mppe: mppe128})
	c.up(t, 20*time.Second)
	require.NoError(t, clients[0].echoOf(p, c.dev, tunnelServer))
	c.stop()
	g.ended(t, 2, 5*time.Second)
	g.shutdown(t)
}

// running lists the processes of the environment that run the program.
func running(t *testing.T, program string) []int {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/comm")
	require.NoError(t, err)
	var pids []int
	for _, path := range found {
		comm, _ := os.ReadFile(path) // it may have ended
		if strings.TrimSpace(string(comm)) == program {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			require.NoError(t, err)
			pids = append(pids, pid)
		}
	}
	return pids
}

// drop has nothing leave through the device any more, of which its host does not
// know.
func (h host) drop(t *testing.T, dev string) {
	t.Helper()
	_, err := run("tc", "-n", h.name, "qdisc", "replace", "dev", dev, "root", "netem", "loss", "100%")
	require.NoError(t, err)
}

// undrop undoes it.
func (h host) undrop(t *testing.T, dev string) {
	t.Helper()
	_, err := run("tc", "-n", h.name, "qdisc", "del", "dev", dev, "root")
	require.NoError(t, err)
}

// cablePulled has five clients, of which four lose their cables: two have it
// pulled out, and two elsewhere on the way.
func cablePulled(t *testing.T, p plane) {
	const n = 5
	syslog(t)
	server, clients := network(t, n)
	g := startGateway(t, server, p, mppe128, impatience)
	server.serveBulk(t)
	before := g.descriptors(t)
	var ppps [2]*pppClient
	var dials [3]*dialler
	for i := range ppps {
		ppps[i] = startPPPClient(t, clients[i], pppClientConfig{name: fmt.Sprintf("pppd-%d", i+1), mppe: mppe128, more: impatientPPPD})
	}
	for i := range dials {
		dials[i] = startDial(t, clients[2+i], diallerConfig{name: fmt.Sprintf("dial-%d", i+1), plane: p, mppe: mppe128, more: impatientDial})
	}
	for _, c := range ppps {
		c.up(t, 20*time.Second)
		require.NoError(t, c.host.echoOf(p, c.dev, tunnelServer))
	}
	for _, d := range dials {
		d.up(t, 20*time.Second)
		require.NoError(t, d.host.echoOf(p, d.dev, tunnelServer))
	}

	began := time.Now()
	clients[0].ip(t, "link", "set", "eth0", "down")
	clients[2].ip(t, "link", "set", "eth0", "down")
	for _, i := range []int{1, 3} {
		clients[i].drop(t, "eth0")
		server.drop(t, fmt.Sprintf("c%d", i+1))
	}
	g.ended(t, n-1, 15*time.Second)
	t.Logf("the gateway has noticed after %.1f s", time.Since(began).Seconds())
	for _, l := range g.find(`msg="session down"`) {
		require.Regexp(t, ` cause=(dead-peer|lost-carrier) `, l.text)
		t.Log(l.text)
	}
	for _, c := range ppps {
		// pptp-linux may notice first.
		require.Contains(t, []int{pppdPeerDead, pppdHungUp}, c.exitCode(t, 20*time.Second), "pppd's exit code")
		c.host.noTunnels(t, time.Second)
	}
	t.Logf("pppd has noticed after %.1f s", time.Since(began).Seconds())
	for _, d := range dials[:2] {
		require.Equal(t, dialLost, d.exitCode(t, 20*time.Second), "our client's exit code")
		m, _ := d.await(t, `^down: cause=(dead-peer|lost-carrier) `, time.Second)
		t.Log(m[0])
		d.host.noTunnels(t, time.Second)
	}
	t.Logf("all have noticed after %.1f s", time.Since(began).Seconds())

	last := dials[2]
	require.NoError(t, last.host.echoOf(p, last.dev, tunnelServer))
	t.Log(last.host.bulk(t, last.dev, tunnelServer, 256<<10))
	last.terminate()
	require.Equal(t, dialOK, last.exitCode(t, 5*time.Second), "our client's exit code")
	g.ended(t, n, 5*time.Second)
	eventually(t, 20*time.Second, "the gateway closes the connections of the dead", func() bool {
		return g.descriptors(t) <= before
	})
	t.Logf("all is gone after %.1f s", time.Since(began).Seconds())
	g.shutdown(t)
}

// cablePulledForAMoment is over before anybody gives up.
func cablePulledForAMoment(t *testing.T, p plane) {
	syslog(t)
	server, clients := network(t, 2)
	g := startGateway(t, server, p, mppe128, "echo: {interval: 1s, failures: 6}", "mppe_modes: [stateful]")
	server.serveBulk(t)
	c := startPPPClient(t, clients[0], pppClientConfig{options: []string{"refuse-eap", "require-mppe-128", "mppe-stateful"}})
	d := startDial(t, clients[1], diallerConfig{plane: p, mppe: mppe128, more: []string{"--echo-interval", "1s", "--echo-failures", "6", "--mppe-modes", "stateful"}})
	c.up(t, 20*time.Second)
	d.up(t, 20*time.Second)
	require.NoError(t, c.host.echoOf(p, c.dev, tunnelServer))
	require.NoError(t, d.host.echoOf(p, d.dev, tunnelServer))
	for i, client := range clients {
		client.drop(t, "eth0")
		server.drop(t, fmt.Sprintf("c%d", i+1))
	}
	// Those who speak into the void lose their place in the key stream.
	require.Error(t, c.host.tryEcho(c.dev, tunnelServer, 100*time.Millisecond))
	require.Error(t, d.host.tryEcho(d.dev, tunnelServer, 2*time.Second))
	for i, client := range clients {
		client.undrop(t, "eth0")
		server.undrop(t, fmt.Sprintf("c%d", i+1))
	}
	t.Log(c.host.bulk(t, c.dev, tunnelServer, 256<<10))
	t.Log(d.host.bulk(t, d.dev, tunnelServer, 256<<10))
	require.Empty(t, g.find(`msg="session (down|failed)"`))
	require.NotEmpty(t, c.find(`CCP Reset(Req|Ack)`), "resets of the encryption")
	c.stop()
	d.stop()
	g.ended(t, 2, 5*time.Second)
	g.shutdown(t)
}

// TestRenegotiation has pppd begin anew what is up, at both sides.
func TestRenegotiation(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 4 * time.Minute, ours: true}, func(t *testing.T) {
		onEachPlane(t, func(t *testing.T, p plane) {
			t.Run("gateway", func(t *testing.T) { gatewayRenegotiates(t, p) })
			t.Run("client", func(t *testing.T) { clientRenegotiates(t, p) })
			t.Run("session after session", func(t *testing.T) { pppdPersists(t, p) })
		})
	})
}

// gatewayRenegotiates has the gateway ask for another proof of two clients, and
// pppd negotiate compression anew.
func gatewayRenegotiates(t *testing.T, p plane) {
	syslog(t)
	server, clients := network(t, 2)
	g := startGateway(t, server, p, "prefer", "reauthenticate: 10s")
	server.serveBulk(t)
	before := g.descriptors(t)
	var sessions [2]*pppClient
	for i, options := range [][]string{{"refuse-eap", "nomppe"}, {"refuse-eap", "require-mppe-128"}} {
		sessions[i] = startPPPClient(t, clients[i], pppClientConfig{name: fmt.Sprintf("pppd-%d", i+1), options: options})
	}
	for _, c := range sessions {
		c.up(t, 20*time.Second)
		require.NoError(t, c.host.echoOf(p, c.dev, tunnelServer))
	}
	asked := len(sessions[0].find(`^sent \[CCP ConfReq`))
	sessions[0].signal(syscall.SIGUSR2)
	eventually(t, 5*time.Second, "pppd asks for compression anew", func() bool {
		return len(sessions[0].find(`^sent \[CCP ConfReq`)) > asked
	})
	eventually(t, 5*time.Second, "traffic flows after it", func() bool {
		return sessions[0].host.tryEcho(sessions[0].dev, tunnelServer, 500*time.Millisecond) == nil
	})
	t.Log(sessions[0].host.bulk(t, sessions[0].dev, tunnelServer, 256<<10))

	for _, c := range sessions {
		eventually(t, 15*time.Second, "pppd proves itself again", func() bool {
			return len(c.find(`^rcvd \[CHAP Success`)) >= 2
		})
		require.NoError(t, c.host.echoOf(p, c.dev, tunnelServer))
		t.Log(c.host.bulk(t, c.dev, tunnelServer, 256<<10))
	}
	require.Empty(t, g.find(`msg="session (down|failed)"`))

	// A pppd with MPPE takes the link down instead.
	sessions[1].signal(syscall.SIGUSR2)
	sessions[1].await(t, `^sent \[LCP TermReq .*"MPPE disabled"`, 10*time.Second)
	require.True(t, sessions[1].ends(10*time.Second), "pppd has not ended")
	require.Regexp(t, `msg="session down" .*cause=peer `, g.ended(t, 1, 5*time.Second))
	sessions[0].stop()
	g.ended(t, 2, 5*time.Second)
	g.idle(t, before)
	g.shutdown(t)
}

// clientRenegotiates has pptpd do that.
func clientRenegotiates(t *testing.T, p plane) {
	syslog(t)
	server, clients := network(t, 1)
	s := startPPTPDWith(t, server, "require-mschap-v2", "nomppe", "chap-interval 2")
	server.serveBulk(t)
	d := startDial(t, clients[0], diallerConfig{plane: p, mppe: "prefer"})
	d.up(t, 20*time.Second)
	require.NoError(t, d.host.echoOfPPPD(d.dev, tunnelServer))
	said := func(text string) int {
		log, err := os.ReadFile(pppdServerLog(t))
		require.NoError(t, err)
		return strings.Count(string(log), text)
	}
	eventually(t, 10*time.Second, "we prove ourselves again", func() bool { return said("\nsent [CHAP Success") >= 2 })
	asked := said("\nsent [CCP ConfReq")
	pids := descendants(s.cmd.Process.Pid, "pppd")
	require.Len(t, pids, 1, "pppd below pptpd")
	require.NoError(t, syscall.Kill(pids[0], syscall.SIGUSR2))
	eventually(t, 5*time.Second, "pppd asks for compression anew", func() bool { return said("\nsent [CCP ConfReq") > asked })
	require.NoError(t, d.host.echoOfPPPD(d.dev, tunnelServer))
	t.Log(d.host.bulk(t, d.dev, tunnelServer, 256<<10))
	d.terminate()
	require.Equal(t, dialOK, d.exitCode(t, 5*time.Second), "our client's exit code")
	server.noTunnels(t, 5*time.Second)
}

// pppdPersists has pppd begin a new session by itself, when it is told to and when
// the gateway has ended the first.
func pppdPersists(t *testing.T, p plane) {
	syslog(t)
	server, clients := network(t, 1)
	g := startGateway(t, server, p, mppe128)
	before := g.descriptors(t)
	c := startPPPClient(t, clients[0], pppClientConfig{mppe: mppe128, more: []string{"persist", "maxfail", "5", "holdoff", "1"}})
	c.up(t, 20*time.Second)
	require.NoError(t, clients[0].echoOf(p, c.dev, tunnelServer))
	c.signal(syscall.SIGHUP)
	require.Regexp(t, `msg="session down" .*cause=peer `, g.ended(t, 1, 5*time.Second))
	eventually(t, 20*time.Second, "pppd is up again", func() bool { return len(c.find(`^remote IP address`)) == 2 })
	require.NoError(t, clients[0].echoOf(p, c.dev, tunnelServer))
	c.stop()
	g.ended(t, 2, 5*time.Second)
	g.idle(t, before)
	g.shutdown(t)
}
