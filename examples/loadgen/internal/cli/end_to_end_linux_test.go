package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/loadgen/internal/report"
	"github.com/gopptp/gopptp/internal/nstest"
	"github.com/gopptp/gopptp/userspace"
)

// bed is two network namespaces that a veth pair joins: that of the clients and that of
// the server.
//
//	clients 192.0.2.2/24 and, with --add-sources, 192.0.2.128/25 ──── 192.0.2.1/24 server
type bed struct {
	t               *testing.T
	clients, server *nstest.Namespace
}

var (
	outer  = netip.MustParseAddr("192.0.2.1")
	inside = netip.MustParseAddr("10.9.0.1")
	pool   = netip.MustParsePrefix("10.9.0.0/16")
)

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t, nstest.New(t), nstest.New(t)}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "eth0"
	require.NoError(t, b.clients.NL.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(b.server.FD)}))
	for ns, address := range map[*nstest.Namespace]string{b.clients: "192.0.2.2/24", b.server: "192.0.2.1/24"} {
		link, err := ns.NL.LinkByName("eth0")
		require.NoError(t, err)
		a, err := netlink.ParseAddr(address)
		require.NoError(t, err)
		require.NoError(t, ns.NL.AddrAdd(link, a))
		require.NoError(t, ns.NL.LinkSetUp(link))
	}
	nstest.Eventually(t, "eth0 is up", func() bool {
		link, err := b.clients.NL.LinkByName("eth0")
		return err == nil && link.Attrs().OperState == netlink.OperUp
	})
	return b
}

// load runs loadgen in the clients' namespace and returns its report and exit code.
func (b *bed) load(args ...string) (*report.Report, int) {
	b.t.Helper()
	file := filepath.Join(b.t.TempDir(), "report.json")
	cmd := exec.Command("/proc/self/exe", append(args, "--json", file, outer.String())...)
	cmd.Env = append(os.Environ(), "LOADGEN=1", passwordVariable+"=correct horse")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var err error
	b.clients.Do(func() { err = cmd.Start() })
	require.NoError(b.t, err)
	_ = cmd.Wait()
	b.t.Logf("loadgen %v\n%s", args, out.Bytes())
	rep := new(report.Report)
	if text, err := os.ReadFile(file); err == nil {
		require.NoError(b.t, json.Unmarshal(text, rep))
	}
	return rep, cmd.ProcessState.ExitCode()
}

// serve runs a server of this process on a data plane.
func (b *bed) serve(o userspace.Options) *userspace.Plane {
	b.t.Helper()
	var plane *userspace.Plane
	var listener net.Listener
	var err error
	b.server.Do(func() { plane, err = userspace.Open(o) })
	require.NoError(b.t, err)
	b.t.Cleanup(func() { plane.Close() })
	b.server.Do(func() { listener, err = net.Listen("tcp4", netip.AddrPortFrom(outer, gopptp.DefaultPort).String()) })
	require.NoError(b.t, err)
	addresses, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(pool)}, inside)
	require.NoError(b.t, err)
	hash := chap.NTPasswordHash("correct horse")
	server, err := gopptp.NewServer(gopptp.ServerConfig{
		Dataplane: plane, LocalAddress: inside, Pool: addresses,
		Authenticator: gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
			return &gopptp.LocalUser{NTHash: hash}, nil
		}),
	})
	require.NoError(b.t, err)
	go server.Serve(context.Background(), listener)
	b.t.Cleanup(func() { server.Close() })
	return plane
}

// sources makes the clients have more addresses than one.
var sources = []string{"--source", "192.0.2.128/25", "--add-sources"}

// Sessions with MPPE against a server on a kernel, whose host answers the packets in
// them.
func TestAgainstServer(t *testing.T) {
	b := newBed(t)
	b.serve(userspace.Options{Addresses: []netip.Addr{inside}, Prefixes: []netip.Prefix{pool}})
	const tunnels = 300
	r, code := b.load(append(sources, "-n", fmt.Sprint(tunnels), "-r", "300", "-d", "4s",
		"--traffic", "idle=5,ping=2,small=1,large=1,bulk=1", "--small-rate", "10", "--bulk-rate", "100k")...)
	require.Contains(t, []int{ok, unclean}, code, "a busy machine may lose a packet")
	require.Equal(t, report.Held{Most: tunnels, AtEnd: tunnels}, r.Held)
	require.Equal(t, tunnels, r.Setups.Attempted)
	require.Empty(t, r.Failures)
	require.Empty(t, r.Drops)
	require.Equal(t, "private network namespace", r.Consent)
	require.Len(t, r.Phases, 8)
	for _, p := range r.Phases {
		require.EqualValues(t, tunnels, p.Times.Count, p.Name)
	}
	all := r.Traffic[len(r.Traffic)-1]
	require.Equal(t, "all", all.Kind)
	require.Greater(t, all.Received, all.Sent/2)
	require.Equal(t, all.Sent, all.Received+all.Lost+all.InFlight)
	require.Zero(t, all.Duplicates+r.Odd.Damaged+r.Odd.Misdelivered)

	// What was added to the host is gone.
	routes, err := b.clients.NL.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: 255}, netlink.RT_FILTER_TABLE)
	require.NoError(t, err)
	for _, route := range routes {
		require.NotEqual(t, "192.0.2.128/25", route.Dst.String())
	}
}

// faultyHost is a host behind a server that answers badly. Of each fifty packets it
// loses one, doubles one and damages one.
type faultyHost struct {
	queue                  chan []byte
	seen                   int
	lost, doubled, damaged uint64
}

func (h *faultyHost) Deliver(packets [][]byte) {
	for _, p := range packets {
		h.queue <- append(make([]byte, userspace.Headroom), p...)
	}
}

func (h *faultyHost) answer(plane *userspace.Plane) {
	for p := range h.queue {
		packet := p[userspace.Headroom:]
		source := [4]byte(packet[12:])
		copy(packet[12:16], packet[16:20])
		copy(packet[16:20], source[:])
		packet[20] = 0 // an echo reply
		h.seen++
		switch h.seen % 50 {
		case 0:
			h.lost++
			continue
		case 20:
			h.doubled++
			plane.Send([][]byte{bytes.Clone(p)})
		case 40:
			h.damaged++
			packet[len(packet)-1] ^= 1
		}
		plane.Send([][]byte{p})
	}
}

// The faults of the way are found, in the number in which there are any.
func TestFaultsOnTheWay(t *testing.T) {
	b := newBed(t)
	h := &faultyHost{queue: make(chan []byte, 4096)}
	plane := b.serve(userspace.Options{Device: h})
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		h.answer(plane)
	}()
	r, code := b.load("-n", "50", "-r", "100", "-d", "4s", "--traffic", "small=1", "--small-rate", "20")
	require.Equal(t, unclean, code)
	require.Equal(t, 50, r.Held.AtEnd)
	require.NoError(t, plane.Close())
	close(h.queue)
	<-answered
	require.Greater(t, h.lost, uint64(20))
	require.Equal(t, h.doubled, r.Traffic[0].Duplicates)
	require.Equal(t, h.damaged, r.Odd.Damaged)
	require.GreaterOrEqual(t, r.Traffic[0].Lost, h.lost+h.damaged)
	require.Zero(t, r.Odd.Misdelivered)
}

// The gateway as it is installed: sessions are held, churn, and come back after it has
// been started again.
func TestAgainstGateway(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the gateway")
	}
	b := newBed(t)
	dir := t.TempDir()
	binary := filepath.Join(dir, "gateway")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/gopptp/gopptp/examples/gateway").CombinedOutput()
	require.NoError(t, err, "%s", out)
	config := filepath.Join(dir, "gateway.yaml")
	require.NoError(t, os.WriteFile(config, []byte(`
local_address: 10.9.0.1
pools: [10.9.0.0/16]
secrets_file: secrets
dataplane: {mode: userspace}
stop_timeout: 1s
`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets"), []byte("* * \"correct horse\" *\n"), 0o600))
	var log bytes.Buffer
	start := func() *exec.Cmd {
		cmd := exec.Command(binary, "serve", "--config", config)
		cmd.Stdout, cmd.Stderr = &log, &log
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		var err error
		b.server.Do(func() { err = cmd.Start() })
		require.NoError(t, err)
		return cmd
	}
	gateway := start()
	again := make(chan *exec.Cmd)
	go func() {
		time.Sleep(4 * time.Second)
		_ = gateway.Process.Kill()
		_ = gateway.Wait()
		time.Sleep(time.Second)
		again <- start()
	}()
	r, code := b.load(append(sources, "-n", "200", "-r", "200", "-d", "12s", "--backoff", "200ms", "--max-backoff", "1s",
		"--churn", "0.05", "--traffic", "idle=1,ping=1")...)
	gateway = <-again
	defer func() {
		_ = gateway.Process.Signal(syscall.SIGTERM)
		_ = gateway.Wait()
		if t.Failed() {
			t.Logf("%s", log.Bytes())
		}
	}()
	require.Equal(t, unclean, code)
	require.GreaterOrEqual(t, r.Held.AtEnd, 190, "but for those that churn")
	require.Equal(t, 200, r.Held.Most)
	require.NotEmpty(t, r.Drops)
	require.Contains(t, r.Failures, "connect: connection refused")
	require.Positive(t, r.Setups.Planned)
}

func TestNobodyIsThere(t *testing.T) {
	b := newBed(t)
	r, code := b.load("-n", "10", "-d", "1s")
	require.Equal(t, nothingUp, code)
	require.Equal(t, map[string]int{"connect: connection refused": r.Setups.Failed}, r.Failures)
	_, code = b.load("--source", "10.77.0.0/24")
	require.Equal(t, shortage, code, "the addresses are not there")
	_, code = b.load("-n", "100000")
	require.Equal(t, shortage, code, "ports are short")
}
