package lab

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A bad path loses one packet in a hundred, in each direction, and has two others
// in a hundred overtake those of the 10 ms before them. What is meant for the
// control connection fares no better.
//
// Where MPPE is stateful nothing is overtaken. It would cost such a tunnel a round
// trip and all that is under way, as pptp-linux and pptpd put few packets back into
// their places, and TCP would take minutes.
var (
	lossyPath = []string{"limit", "10000", "delay", "10ms", "loss", "1%"}
	badPath   = append(lossyPath[:len(lossyPath):len(lossyPath)], "reorder", "2%")
)

// impair makes what leaves through the device fare as on a bad path. It needs
// User-Mode Linux.
func (h host) impair(t *testing.T, dev string, path []string) {
	t.Helper()
	_, err := run(append([]string{"tc", "-n", h.name, "qdisc", "replace", "dev", dev, "root", "netem"}, path...)...)
	require.NoError(t, err)
}

// unimpair makes the device as it was, and returns how many packets it has lost.
func (h host) unimpair(t *testing.T, dev string) int {
	t.Helper()
	out, err := run("tc", "-n", h.name, "-s", "qdisc", "show", "dev", dev, "root")
	require.NoError(t, err)
	m := regexp.MustCompile(`dropped (\d+)`).FindStringSubmatch(out)
	require.NotNil(t, m, out)
	h.undrop(t, dev)
	lost, err := strconv.Atoi(m[1])
	require.NoError(t, err)
	return lost
}

// TestBadPath has a checked bulk transfer go through every kind of tunnel while
// its packets are lost, late and overtaken.
func TestBadPath(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 8 * time.Minute, ours: true}, func(t *testing.T) {
		onEachPlane(t, func(t *testing.T, p plane) {
			paths := []onBadPath{
				{noMPPE, p, "stateless", noMPPE, []string{"nomppe"}, badPath},
				{"MPPE stateless", p, "stateless", mppe128, []string{"require-mppe-128"}, badPath},
				{"MPPE stateful", p, "stateful", mppe128, []string{"require-mppe-128", "mppe-stateful"}, lossyPath},
			}
			if p == kernelPlane {
				// In stateful mode two Linux kernels may not find each other again
				// after a loss, as package kernel says.
				paths = paths[:2]
			}
			for _, b := range paths {
				t.Run("gateway, "+b.name, b.gateway)
				t.Run("client, "+b.name, b.client)
			}
		})
	})
}

type onBadPath struct {
	name       string
	plane      plane
	mode, mppe string
	pppd       []string // options
	path       []string
}

// transfer has bulk transfers go over the path, and the tunnel be as good as ever
// after that. In stateful mode it goes on until both sides have lost their places
// in the key stream. resets tells how often pppd and we have asked for a new one.
func (b *onBadPath) transfer(t *testing.T, client, server host, dev string, resets func() (theirs, ours int)) {
	t.Helper()
	client.impair(t, "eth0", b.path)
	server.impair(t, "c1", b.path)
	// pptp-linux and pptpd hold what comes behind a gap until the gap is old, but
	// look at its age only when more comes. Without other traffic they and TCP, whose
	// repetitions become rarer and rarer, wait for each other.
	others := client.start(t, "ping", "ping", "-q", "-I", dev, "-i", "0.05", tunnelServer)
	theirs, ours, size := 0, 0, 256<<10
	if b.mode == "stateful" {
		size /= 2
	}
	for n := 0; n < 1 || b.mode == "stateful" && theirs*ours == 0; n++ {
		require.Less(t, n, 8, "transfers without Reset-Requests of both sides: %d of pppd's, %d of ours", theirs, ours)
		t.Log(client.bulk(t, dev, tunnelServer, size))
		theirs, ours = resets()
	}
	others.stop()
	t.Logf("Reset-Requests: %d of pppd's, %d of ours", theirs, ours)
	t.Logf("%d packets lost on the way there, %d on the way back", client.unimpair(t, "eth0"), server.unimpair(t, "c1"))
	// It takes a packet to find out that those before it are lost.
	require.NoError(t, client.echoOfPPPD(dev, tunnelServer))
	client.ping(t, dev, tunnelServer, 5)
}

func (b *onBadPath) gateway(t *testing.T) {
	syslog(t)
	server, clients := network(t, 1)
	client := clients[0]
	g := startGateway(t, server, b.plane, b.mppe, "mppe_modes: ["+b.mode+"]")
	server.serveBulk(t)
	c := startPPPClient(t, client, pppClientConfig{options: append([]string{"refuse-eap"}, b.pppd...)})
	c.up(t, 20*time.Second)
	b.transfer(t, client, server, c.dev, func() (theirs, ours int) {
		return len(c.find(`^sent \[CCP ResetReq`)), len(c.find(`^rcvd \[CCP ResetReq`))
	})
	c.stop()
	down := g.ended(t, 1, 5*time.Second)
	t.Log(down)
	require.Regexp(t, `msg="session down" .*cause=peer `, down)
	g.shutdown(t)
}

func (b *onBadPath) client(t *testing.T) {
	syslog(t)
	server, clients := network(t, 1)
	client := clients[0]
	s := startPPTPDWith(t, server, append([]string{"require-mschap-v2"}, b.pppd...)...)
	server.serveBulk(t)
	d := startDial(t, client, diallerConfig{plane: b.plane, mppe: b.mppe, more: []string{"--mppe-modes", b.mode}})
	d.up(t, 20*time.Second)
	require.NoError(t, client.echoOfPPPD(d.dev, tunnelServer))
	b.transfer(t, client, server, d.dev, func() (theirs, ours int) {
		log, err := os.ReadFile(pppdServerLog(t))
		require.NoError(t, err)
		return strings.Count(string(log), "\nsent [CCP ResetReq"), strings.Count(string(log), "\nrcvd [CCP ResetReq")
	})
	d.terminate()
	require.Equal(t, dialOK, d.exitCode(t, 5*time.Second), "our client's exit code")
	down, _ := d.await(t, `^down: cause=local .*`, time.Second)
	t.Log(down[0])
	server.noTunnels(t, 5*time.Second)
	s.stop()
}
