package lab

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// host is a network namespace.
type host struct {
	name string
	addr string // the address that others know it by
}

const serverAddr = "10.0.0.1"

// network makes a server and n clients, each in a namespace of its own and
// joined to the server by a veth pair. Clients route to each other not at all.
//
//	server 10.0.0.1 on lo, 10.0.N.1 on cN ── 10.0.N.2 on eth0, client N
func network(t *testing.T, n int) (server host, clients []host) {
	t.Helper()
	return networkOf(t, "netns add server", n)
}

// networkHere is network with the server in the namespace of the test itself, whose
// daemons on loopback addresses it reaches.
func networkHere(t *testing.T, n int) (server host, clients []host) {
	t.Helper()
	server, clients = networkOf(t, fmt.Sprintf("netns attach server %d", os.Getpid()), n)
	t.Cleanup(func() { // it stays, and the next test makes them anew
		undo := []string{"addr del " + serverAddr + "/32 dev lo"}
		for i := range clients {
			undo = append(undo, fmt.Sprintf("link del c%d", i+1))
		}
		batch(t, server.name, undo...)
	})
	return server, clients
}

func networkOf(t *testing.T, makeServer string, n int) (server host, clients []host) {
	t.Helper()
	// Programs start slowly in User-Mode Linux: one ip(8) does all it can.
	server = host{"server", serverAddr}
	names := []string{makeServer}
	atServer := []string{"link set lo up", "addr add " + serverAddr + "/32 dev lo"}
	for i := 1; i <= n; i++ {
		c := host{fmt.Sprintf("client%d", i), fmt.Sprintf("10.0.%d.2", i)}
		clients = append(clients, c)
		names = append(names, "netns add "+c.name)
		atServer = append(atServer,
			fmt.Sprintf("link add c%d type veth peer name eth0 netns %s", i, c.name),
			fmt.Sprintf("addr add 10.0.%d.1/24 dev c%d", i, i),
			fmt.Sprintf("link set c%d up", i))
	}
	t.Cleanup(func() {
		for _, h := range append(clients, server) {
			_, _ = run("ip", "netns", "del", h.name)
		}
	})
	batch(t, "", names...)
	batch(t, server.name, atServer...)
	for i, c := range clients {
		batch(t, c.name, "link set lo up", "addr add "+c.addr+"/24 dev eth0", "link set eth0 up",
			fmt.Sprintf("route add %s/32 via 10.0.%d.1", serverAddr, i+1))
	}
	return server, clients
}

// batch gives ip(8) several commands, within a namespace if one is named.
func batch(t *testing.T, namespace string, commands ...string) {
	t.Helper()
	cmd := exec.Command("ip", "-batch", "-")
	if namespace != "" {
		cmd = exec.Command("ip", "-n", namespace, "-batch", "-")
	}
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%v: %s", cmd, out)
}

// ip runs ip(8) within the host.
func (h host) ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(append([]string{"ip", "-n", h.name}, args...)...)
	require.NoError(t, err)
	return out
}

// delay makes packets that leave through the device later. It needs User-Mode
// Linux.
func (h host) delay(t *testing.T, dev string, by time.Duration) {
	t.Helper()
	_, err := run("tc", "-n", h.name, "qdisc", "add", "dev", dev, "root", "netem", "delay", fmt.Sprintf("%dms", by.Milliseconds()))
	require.NoError(t, err)
}

// within makes argv run in the host. The program keeps its process ID.
func (h host) within(argv ...string) []string {
	return append([]string{"nsenter", "--net=/run/netns/" + h.name}, argv...)
}

func (h host) start(t *testing.T, name string, argv ...string) *process {
	t.Helper()
	return start(t, name, h.within(argv...)...)
}

func (h host) run(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := run(h.within(argv...)...)
	require.NoError(t, err)
	return out
}

var tunnelName = regexp.MustCompile(`(?m)^\d+: (ppp\d+|pptp\d+|tun\d+):`)

// tunnels lists the PPP and TUN devices of the host.
func (h host) tunnels(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, m := range tunnelName.FindAllStringSubmatch(h.ip(t, "-o", "link", "show"), -1) {
		found = append(found, m[1])
	}
	return found
}

// noTunnels waits until no PPP or TUN device is left in the host.
func (h host) noTunnels(t *testing.T, in time.Duration) {
	t.Helper()
	eventually(t, in, "no tunnel device left in "+h.name, func() bool { return len(h.tunnels(t)) == 0 })
}

// noConnections waits until the host has no control connection.
func (h host) noConnections(t *testing.T, in time.Duration) {
	t.Helper()
	eventually(t, in, "no control connection left in "+h.name, func() bool {
		return h.run(t, "ss", "-Htn", "state", "established", "( sport = :1723 or dport = :1723 )") == ""
	})
}

// awaitPort waits until somebody listens on the TCP port.
func (h host) awaitPort(t *testing.T, port int, in time.Duration) {
	t.Helper()
	eventually(t, in, fmt.Sprintf("%s listens on port %d", h.name, port), func() bool {
		out, err := run(h.within("ss", "-Hltn", "sport", "=", fmt.Sprintf(":%d", port))...)
		return err == nil && out != ""
	})
}
