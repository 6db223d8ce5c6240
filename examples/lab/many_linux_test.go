package lab

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Many sessions follow each other and every one must carry traffic: a session
// that is up and deaf comes once in a while only.

// TestManySessionsOurs is 200 sessions of our client to our gateway, which must
// hold nothing of them afterwards.
func TestManySessionsOurs(t *testing.T) {
	lab(t, environment{kind: namespaces, limit: 3 * time.Minute, ours: true}, func(t *testing.T) {
		const n = 200
		server, clients := network(t, 1)
		goroutines := startGateway(t, server, userspacePlane, mppe128).goroutines(t)
		g := startGateway(t, server, userspacePlane, mppe128)
		before := g.descriptors(t)
		many(t, n, 1, func(_, i int) error { return tryDial(t, clients[0], userspacePlane, host.echo) })
		g.ended(t, n, 10*time.Second)
		require.Equal(t, n, len(g.find(`msg="session down" .*cause=peer `)), "sessions in the gateway's log")
		g.idle(t, before)
		// A few more may serve timers and system calls.
		require.LessOrEqual(t, g.goroutines(t), goroutines+4, "goroutines after all sessions")
	})
}

// sessionsOf is how many follow each other. TestNothingIsLeft has more of the kernel's.
func sessionsOf(p plane) int {
	if p == kernelPlane {
		return 50
	}
	return 100
}

// TestManySessionsOfPPPD is pptp-linux with pppd calling our gateway. Clients
// on several hosts do so at once, as each sleeps most of the time.
func TestManySessionsOfPPPD(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 6 * time.Minute, ours: true}, func(t *testing.T) {
		onEachPlane(t, func(t *testing.T, p plane) {
			const hosts = 6
			n := sessionsOf(p)
			syslog(t)
			server, clients := network(t, hosts)
			g := startGateway(t, server, p, mppe128)
			before := g.descriptors(t)
			many(t, n, hosts, func(worker, _ int) error {
				c := startPPPClient(t, clients[worker], pppClientConfig{name: fmt.Sprintf("pppd-%d", worker+1), mppe: mppe128})
				if err := c.upErr(20 * time.Second); err != nil {
					return err
				}
				if err := c.host.echoOf(p, c.dev, tunnelServer); err != nil {
					return err
				}
				c.stop()
				c.dull = true
				return nil
			})
			g.ended(t, n, 10*time.Second)
			g.idle(t, before)
			g.shutdown(t)
		})
	})
}

// TestManySessionsToPPTPD is our client calling pptpd with pppd. One session
// ends before the next begins: a pptpd that sees a child end while a client
// connects drops the client.
func TestManySessionsToPPTPD(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 6 * time.Minute, ours: true}, func(t *testing.T) {
		onEachPlane(t, func(t *testing.T, p plane) {
			n := sessionsOf(p)
			syslog(t)
			server, clients := network(t, 1)
			s := startPPTPD(t, server, mppe128)
			many(t, n, 1, func(_, _ int) error {
				err := tryDial(t, clients[0], p, host.echoOfPPPD)
				eventually(t, 10*time.Second, "pptpd is done with the session", func() bool {
					return len(descendants(s.cmd.Process.Pid, "pptpctrl")) == 0
				})
				return err
			})
			server.noTunnels(t, 5*time.Second)
			server.noConnections(t, 5*time.Second)
		})
	})
}

// tryDial has a session of our client carry an echo.
func tryDial(t *testing.T, h host, p plane, echo func(h host, dev, to string) error) error {
	d := startDial(t, h, diallerConfig{plane: p, mppe: mppe128})
	if err := d.upErr(20 * time.Second); err != nil {
		return err
	}
	if err := echo(h, d.dev, tunnelServer); err != nil {
		return err
	}
	d.stop()
	if code := d.cmd.ProcessState.ExitCode(); code != dialOK {
		return fmt.Errorf("our client's exit code is %d", code)
	}
	d.dull = true
	return nil
}

// many runs n sessions, so many at once, until one fails.
func many(t *testing.T, n, workers int, session func(worker, i int) error) {
	t.Helper()
	sessions := make(chan int, n)
	for i := range n {
		sessions <- i
	}
	close(sessions)
	began := time.Now()
	together(t, workers, func(worker int) error {
		for i := range sessions {
			if err := session(worker, i); err != nil {
				for range sessions { // the others need not go on
				}
				return fmt.Errorf("session %d of %d: %w", i+1, n, err)
			}
			if done := i + 1; done%25 == 0 {
				t.Logf("%d sessions in %.1f s", done, time.Since(began).Seconds())
			}
		}
		return nil
	})
}
