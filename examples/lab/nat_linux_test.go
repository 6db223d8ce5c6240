package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/pptp"
	"github.com/gopptp/gopptp/userspace"
)

// The rules of the router. pptpHelper is for those that have one: it must not be
// given to connections by themselves since Linux 4.7, and is assigned here.
const (
	masquerade = `
table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname "outside" masquerade
	}
}`
	pptpHelper = `
table ip helper {
	ct helper pptp {
		type "pptp" protocol tcp
		l3proto ip
	}
	chain prerouting {
		type filter hook prerouting priority filter
		tcp dport 1723 ct helper set "pptp"
	}
}`
	// dropGRE is what firewalls do.
	dropGRE = `
table ip block {
	chain forward {
		type filter hook forward priority filter
		iifname "c1" meta l4proto gre drop
	}
}`
)

// outside is the one address that all clients behind the router have.
const outside = "10.0.100.1"

// TestNAT has clients behind a router that masquerades, by the conntrack of the
// machine's own kernel.
func TestNAT(t *testing.T) {
	needRules(t, masquerade, pptpHelper)
	lab(t, environment{kind: namespaces, limit: time.Minute, ours: true}, func(t *testing.T) {
		for _, mppe := range []string{mppe128, noMPPE} {
			t.Run(mppe, func(t *testing.T) { twoBehindNAT(t, mppe) })
		}
		t.Run("same call ID", sameCallIDBehindNAT)
	})
}

// TestNATWithoutHelper has the router know nothing of PPTP, or drop GRE: the
// control connection is up, and what is wrong has to be said.
func TestNATWithoutHelper(t *testing.T) {
	needRules(t, masquerade, dropGRE)
	lab(t, environment{kind: namespaces, limit: time.Minute, ours: true}, blockedGRE)
}

// needRules ends the test unless this machine can have such rules.
func needRules(t *testing.T, rules ...string) {
	if os.Getenv(envDir) != "" {
		return // it was asked before
	}
	need(t, namespaces)
	nft := exec.Command("unshare", "--net", "nft", "-f", "-")
	nft.Stdin = strings.NewReader(strings.Join(rules, "\n"))
	if out, err := nft.CombinedOutput(); err != nil {
		missing := t.Skipf
		if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
			missing = t.Fatalf
		}
		missing("the lab needs nft (run scripts/lab-deps.sh, or make lab), and PPTP in the kernel's conntrack: %v: %s", err, out)
	}
}

// behindNAT makes a server, a router and n clients. The server has no route to
// the clients: it answers the router's address, and nobody else's.
//
//	server 10.0.0.1 on lo, 10.0.100.2 on eth0 ── 10.0.100.1 on outside, router
//	router 10.0.N.1 on cN ── 10.0.N.2 on eth0, client N
func behindNAT(t *testing.T, n int, rules ...string) (server, router host, clients []host) {
	t.Helper()
	server, router = host{"server", serverAddr}, host{"router", outside}
	names := []string{"netns add server", "netns add router"}
	links := []string{
		"link set lo up",
		"link add outside type veth peer name eth0 netns server",
		"addr add " + outside + "/24 dev outside", "link set outside up",
		"route add " + serverAddr + "/32 via 10.0.100.2",
	}
	for i := 1; i <= n; i++ {
		c := host{fmt.Sprintf("client%d", i), fmt.Sprintf("10.0.%d.2", i)}
		clients = append(clients, c)
		names = append(names, "netns add "+c.name)
		links = append(links,
			fmt.Sprintf("link add c%d type veth peer name eth0 netns %s", i, c.name),
			fmt.Sprintf("addr add 10.0.%d.1/24 dev c%d", i, i),
			fmt.Sprintf("link set c%d up", i))
	}
	t.Cleanup(func() {
		for _, h := range append(clients, server, router) {
			_, _ = run("ip", "netns", "del", h.name)
		}
	})
	batch(t, "", names...)
	batch(t, router.name, links...)
	batch(t, server.name, "link set lo up", "addr add "+serverAddr+"/32 dev lo",
		"addr add 10.0.100.2/24 dev eth0", "link set eth0 up")
	for i, c := range clients {
		batch(t, c.name, "link set lo up", "addr add "+c.addr+"/24 dev eth0", "link set eth0 up",
			fmt.Sprintf("route add default via 10.0.%d.1", i+1))
	}
	router.run(t, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	argv := router.within("nft", "-f", "-")
	nft := exec.Command(argv[0], argv[1:]...)
	nft.Stdin = strings.NewReader(strings.Join(rules, "\n"))
	out, err := nft.CombinedOutput()
	require.NoError(t, err, "nft: %s", out)
	return server, router, clients
}

// twoBehindNAT has two of our clients up at once, from one address.
func twoBehindNAT(t *testing.T, mppe string) {
	const n = 2
	server, _, clients := behindNAT(t, n, masquerade, pptpHelper)
	capture := server.capture(t, "eth0")
	g := startGateway(t, server, userspacePlane, mppe)
	server.serveBulk(t)
	before := g.descriptors(t)
	sessions := make([]*dialler, n)
	for i := range sessions {
		sessions[i] = startDial(t, clients[i], diallerConfig{name: fmt.Sprintf("dial-%d", i+1), plane: userspacePlane, mppe: mppe})
	}
	together(t, n, func(i int) error { return sessions[i].upErr(20 * time.Second) })
	eventually(t, time.Second, "both sessions are from the one address", func() bool {
		return len(g.find(`msg="session up" .*remote=10\.0\.100\.1:\d+ `)) == n
	})
	rates := make([]string, n)
	together(t, n, func(i int) (err error) {
		s := sessions[i]
		if err := s.host.echo(s.dev, tunnelServer); err != nil {
			return err
		}
		rates[i], err = s.host.bulkErr(s.dev, tunnelServer, 1<<20)
		return err
	})
	t.Log(strings.Join(rates, "\n"))
	for _, s := range sessions {
		server.ping(t, g.device(t, s.addr), s.addr, 3)
	}

	// The end of one leaves the other alone, and so does a third.
	sessions[0].terminate()
	require.Equal(t, dialOK, sessions[0].exitCode(t, 5*time.Second), "our client's exit code")
	g.ended(t, 1, 5*time.Second)
	require.NoError(t, sessions[1].host.echo(sessions[1].dev, tunnelServer))
	sessions[0] = startDial(t, clients[0], diallerConfig{name: "dial-3", plane: userspacePlane, mppe: mppe})
	sessions[0].up(t, 20*time.Second)
	require.NoError(t, sessions[0].host.echo(sessions[0].dev, tunnelServer))
	require.NoError(t, sessions[1].host.echo(sessions[1].dev, tunnelServer))
	for _, s := range sessions {
		s.terminate()
		require.Equal(t, dialOK, s.exitCode(t, 5*time.Second), "our client's exit code")
		s.await(t, `^down: cause=local .* lost=0 `, time.Second)
	}
	g.ended(t, n+1, 5*time.Second)
	g.idle(t, before)
	g.shutdown(t)

	// All that the helper has rewritten is as it should be.
	require.Equal(t, n+1, capture.examine(t).seen[pptp.TypeOutgoingCallReply.String()], "calls captured")
}

// sameCallIDBehindNAT has two clients that have chosen the same call ID, which
// the helper must have changed for the server to see two.
func sameCallIDBehindNAT(t *testing.T) {
	server, router, clients := behindNAT(t, 2, masquerade, pptpHelper)
	outer := router.capture(t, "outside")
	g := startGateway(t, server, userspacePlane, mppe128)
	server.serveBulk(t)
	before := g.descriptors(t)

	var sessions [2]*inProcess
	sessions[0] = clients[0].dialInProcess(t, serverAddr, 0)
	sessions[1] = clients[1].dialInProcess(t, serverAddr, sessions[0].callID)
	require.Equal(t, sessions[0].callID, sessions[1].callID)
	together(t, 2, func(i int) error {
		s := sessions[i]
		if err := clients[i].echo(s.dev, tunnelServer); err != nil {
			return err
		}
		_, err := clients[i].bulkErr(s.dev, tunnelServer, 1<<20)
		return err
	})
	for _, s := range sessions {
		require.NoError(t, s.Close())
	}
	g.ended(t, 2, 5*time.Second)
	g.idle(t, before)
	g.shutdown(t)

	var ids []uint16
	for _, m := range outer.examine(t).control {
		if r, ok := m.(*pptp.OutgoingCallRequest); ok {
			ids = append(ids, r.CallID)
		}
	}
	require.Len(t, ids, 2, "calls requested")
	require.NotEqual(t, ids[0], ids[1], "call IDs outside")
	t.Logf("call ID %d twice inside, %v outside", sessions[0].callID, ids)
}

// inProcess is a session of a client within the test itself, where more can be
// ordered than by the flags of a program.
type inProcess struct {
	*gopptp.Session
	dev    string
	callID uint16
}

// dialInProcess has the host call the server by one of its addresses, with the call ID
// if that is not 0.
func (h host) dialInProcess(t *testing.T, server string, callID uint16) *inProcess {
	t.Helper()
	var plane *userspace.Plane
	require.NoError(t, h.enter(func() (err error) {
		plane, err = userspace.Open(userspace.Options{FirstCallID: callID, LastCallID: callID})
		return err
	}))
	t.Cleanup(func() { plane.Close() })
	known := &knownCallID{Dataplane: plane}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := gopptp.Dial(ctx, server, gopptp.ClientConfig{
		Dataplane: known, User: user, Password: password,
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) { return h.dial("", address) },
	})
	require.NoError(t, err)
	require.Equal(t, netip.MustParseAddr(tunnelServer), s.Peer())
	return &inProcess{s, plane.DeviceName(), known.id}
}

// knownCallID keeps the call ID of the call that is opened.
type knownCallID struct {
	gopptp.Dataplane
	id uint16
}

func (k *knownCallID) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	c, err := k.Dataplane.Open(cfg, h)
	if err == nil {
		k.id = c.ID()
	}
	return c, err
}

// blockedGRE has one client whose GRE is dropped, and one whose GRE comes out of
// the router but finds no way back in.
func blockedGRE(t *testing.T) {
	const n = 2
	server, _, clients := behindNAT(t, n, masquerade, dropGRE)
	server.capture(t, "eth0")
	g := startGateway(t, server, userspacePlane, mppe128)
	before := g.descriptors(t)
	sessions := make([]*dialler, n)
	for i, name := range []string{"dropped", "untranslated"} {
		sessions[i] = startDial(t, clients[i], diallerConfig{name: name, plane: userspacePlane, mppe: mppe128})
	}
	for i, s := range sessions {
		require.Equal(t, dialGREBlocked, s.exitCode(t, 20*time.Second), "our client's exit code")
		require.NotEmpty(t, s.find(`GRE is blocked on the way\.`), "the diagnosis")
		require.NotEmpty(t, s.find(`nf_conntrack_pptp`), "what to look at")
		clients[i].noTunnels(t, time.Second)
	}
	// What the gateway heard of the second was cut off without a word.
	g.ended(t, n, 5*time.Second)
	require.Len(t, g.find(`msg="session failed" .*cause=gre-blocked stage=establish `), 1, "sessions that were not heard")
	require.Len(t, g.find(`msg="session failed" .*cause=(peer|gre-blocked) stage=establish `), n, "sessions that failed")
	g.idle(t, before)
	g.shutdown(t)
}

// dialGREBlocked is an exit code of our client.
const dialGREBlocked = 5
