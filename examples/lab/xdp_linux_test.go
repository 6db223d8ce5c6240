package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The kernel of User-Mode Linux knows no AF_XDP. So here ours is in a namespace of
// the machine's own kernel, and the real peer in a guest that has the other end of
// the veth pair for its network card:
//
//	server, ours: c1 ──── eth0, client1 ── vec0, User-Mode Linux: pptp-linux, pppd
//	client1, ours: eth0 ──── c1, server ── vec0, User-Mode Linux: pptpd, pppd

// envGuest is set in the guest, to the mode of MPPE.
const envGuest = "LAB_GUEST"

// xdpModes are those in which the guest calls, one after the other.
func xdpModes(mppe string) []mode {
	modes := []mode{
		{name: "clear", pppd: []string{"refuse-eap", "nomppe"}, encryption: noEncryption},
		{name: "128", pppd: []string{"refuse-eap", "require-mppe-128"}, encryption: "MPPE 128-bit " + mppe},
		{name: "40", pppd: []string{"refuse-eap", "require-mppe-40", "nomppe-128"}, encryption: "MPPE 40-bit " + mppe},
	}
	if mppe == "stateful" {
		for i := range modes {
			modes[i].pppd = append(modes[i].pppd, "mppe-stateful")
		}
	}
	return modes
}

// TestGatewayXDP has pptp-linux and pppd call our gateway, which uses AF_XDP.
func TestGatewayXDP(t *testing.T) {
	guest := os.Getenv(envGuest)
	if guest == "" {
		need(t, umlKernel)
	}
	lab(t, environment{kind: namespaces, limit: 3 * time.Minute, ours: true}, func(t *testing.T) {
		if guest != "" {
			pppdCalls(t, xdpModes(guest))
			return
		}
		t.Run("workers", func(t *testing.T) {
			gatewayUsesXDP(t, userspacePlane+", xdp: on, workers: 2", "stateless")
		})
		t.Run("packet by packet", func(t *testing.T) {
			gatewayUsesXDP(t, userspacePlane+", xdp: on, workers: 1, batch: 1, offload: false", "stateful")
		})
	})
}

func gatewayUsesXDP(t *testing.T, p plane, mppe string) {
	server, clients := network(t, 1)
	client := clients[0]
	client.ip(t, "addr", "flush", "dev", "eth0")
	g := startGateway(t, server, p, "allow", "mppe_modes: ["+mppe+"]", "mppe_key_lengths: [128, 56, 40]")
	server.serveBulk(t)
	wire, stack := client.capture(t, "eth0"), server.capture(t, "c1")

	guest := startGuest(t, client, "eth0", "TestGatewayXDP", mppe)
	status, _ := guest.await(t, `^`+exitMark+`(\d+)`, 2*time.Minute)
	require.Equal(t, "0", status[1], "the guest's exit status")
	modes := xdpModes(mppe)
	for _, m := range modes {
		require.NotEmpty(t, g.find(fmt.Sprintf(`msg="session up" .*user=alice .*encryption="?%s"? `, m.encryption)))
	}
	g.ended(t, len(modes), 5*time.Second)
	require.Len(t, g.find(`msg="userspace: AF_XDP" `), 1)
	g.shutdown(t)

	requireXDP(t, wire, stack, client)
}

// requireXDP requires that a host sees little of what is on the wire: nothing of what
// goes by AF_XDP. The first session begins without.
func requireXDP(t *testing.T, wire, stack *capture, client host) {
	t.Helper()
	up, down := countGRE(t, wire, client)
	slowUp, slowDown := countGRE(t, stack, client)
	t.Logf("%d of %d packets up and %d of %d packets down by AF_XDP", up-slowUp, up, down-slowDown, down)
	require.Less(t, slowUp, up/2)
	require.Less(t, slowDown, down/2)
}

// countGRE counts those from a host and those to it.
func countGRE(t *testing.T, c *capture, h host) (from, to int) {
	t.Helper()
	for _, p := range c.packets(t) {
		switch {
		case !strings.Contains(p.text, ": GREv1,"):
		case strings.HasPrefix(p.text, "IP "+h.addr+" "):
			from++
		default:
			to++
		}
	}
	return from, to
}

// startGuest boots a guest that has a device of the host for its network card, and
// runs the test in it, with envGuest set to value.
func startGuest(t *testing.T, h host, dev, test, value string) *process {
	t.Helper()
	modules, err := kernelModules()
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	dir := filepath.Join(logDir(t), "guest")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	text, err := json.Marshal(job{
		Dir:       dir,
		Args:      []string{self, "-test.v", "-test.run=^" + test + "$", "-test.count=1", "-test.timeout=2m"},
		Env:       []string{searchPath, "HOME=" + dir, "TMPDIR=" + dir, "LANG=C", envGuest + "=" + value, envOurs + "=" + os.Getenv(envOurs)},
		Modules:   modules,
		OwnKernel: true,
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, jobFile), text, 0o600))
	uml := umlCommand(t, "mem=512M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "loglevel=1",
		"con=null", "con0=fd:0,fd:1", "vec0:transport=raw,depth=128,ifname="+dev, "init="+self, envRole+"=init", envDir+"="+dir)
	return h.start(t, "guest", uml...)
}

// pppdCalls is what the guest does.
func pppdCalls(t *testing.T, modes []mode) {
	client := host{"client1", "10.0.1.2"}
	batch(t, "", fmt.Sprintf("netns attach %s %d", client.name, os.Getpid()),
		"addr add "+client.addr+"/24 dev vec0", "link set vec0 up", "route add "+serverAddr+"/32 via 10.0.1.1")
	syslog(t)
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			c := startPPPClient(t, client, pppClientConfig{options: m.pppd})
			c.up(t, 20*time.Second)
			require.NoError(t, client.echo(c.dev, tunnelServer))
			for range 2 {
				t.Log(client.bulk(t, c.dev, tunnelServer, 256<<10))
			}
			client.ping(t, c.dev, tunnelServer, 5)
			if m.name == "128" {
				onBadPathUp(t, client, c.dev, strings.HasSuffix(m.encryption, "stateful"))
			}
			c.stop()
			c.terminated(t, time.Second)
			client.noConnections(t, 5*time.Second)
		})
	}
}

// onBadPathUp has packets to the gateway lost, and overtaken where that is bearable.
func onBadPathUp(t *testing.T, client host, dev string, stateful bool) {
	t.Helper()
	path := badPath
	if stateful {
		path = lossyPath
	}
	client.impair(t, "vec0", path)
	// See onBadPath.transfer.
	others := client.start(t, "ping", "ping", "-q", "-I", dev, "-i", "0.05", tunnelServer)
	t.Log(client.bulk(t, dev, tunnelServer, 128<<10))
	others.stop()
	t.Logf("%d packets lost on the way", client.unimpair(t, "vec0"))
	require.NoError(t, client.echoOfPPPD(dev, tunnelServer))
	client.ping(t, dev, tunnelServer, 5)
}

// TestClientXDP has our client, which uses AF_XDP, call pptpd with pppd.
func TestClientXDP(t *testing.T) {
	guest := os.Getenv(envGuest)
	if guest == "" {
		need(t, umlKernel)
	}
	lab(t, environment{kind: namespaces, limit: 3 * time.Minute, ours: true}, func(t *testing.T) {
		if guest != "" {
			pptpdServes(t, xdpModes(guest))
			return
		}
		t.Run("workers", func(t *testing.T) { clientUsesXDP(t, "stateless", "--workers", "2") })
		t.Run("stateful", func(t *testing.T) { clientUsesXDP(t, "stateful", "--workers", "1") })
	})
}

func clientUsesXDP(t *testing.T, mppe string, more ...string) {
	server, clients := network(t, 1)
	client := clients[0]
	server.ip(t, "addr", "flush", "dev", "c1")
	stack, wire := client.capture(t, "eth0"), server.capture(t, "c1")

	guest := startGuest(t, server, "c1", "TestClientXDP", mppe)
	for _, m := range xdpModes(mppe) {
		guest.await(t, "serves "+m.name+"$", 30*time.Second)
		flags := append([]string{"--xdp", "on", "--mppe-modes", mppe, "--mppe-keys", "128,40"}, more...)
		d := startDial(t, client, diallerConfig{name: "dial-" + m.name, plane: userspacePlane, mppe: "allow", more: flags})
		d.up(t, 20*time.Second)
		require.NotEmpty(t, d.find(fmt.Sprintf(`^up: .* encryption="%s" `, m.encryption)), "what we have agreed on")
		require.NoError(t, client.echoOfPPPD(d.dev, tunnelServer))
		for range 2 {
			t.Log(client.bulk(t, d.dev, tunnelServer, 256<<10))
		}
		require.Len(t, d.find(`userspace: AF_XDP`), 1)
		d.terminate()
		require.Equal(t, dialOK, d.exitCode(t, 5*time.Second), "our client's exit code")
	}
	status, _ := guest.await(t, `^`+exitMark+`(\d+)`, time.Minute)
	require.Equal(t, "0", status[1], "the guest's exit status")
	requireXDP(t, wire, stack, client)
}

// pptpdServes is what the guest does.
func pptpdServes(t *testing.T, modes []mode) {
	server := host{"server", serverAddr}
	batch(t, "", fmt.Sprintf("netns attach %s %d", server.name, os.Getpid()),
		"addr add "+serverAddr+"/32 dev lo", "addr add 10.0.1.1/24 dev vec0", "link set vec0 up")
	syslog(t)
	server.serveBulk(t)
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			s := startPPTPDWith(t, server, append([]string{"require-mschap-v2"}, m.pppd[1:]...)...)
			t.Log("serves " + m.name)
			eventually(t, 30*time.Second, "a session", func() bool { return len(server.tunnels(t)) == 1 })
			eventually(t, 30*time.Second, "its end", func() bool { return len(server.tunnels(t)) == 0 })
			s.stop()
		})
	}
}
