package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/accounting"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
	"github.com/gopptp/gopptp/examples/internal/radiustest"
	"github.com/gopptp/gopptp/memory"
)

// childConfig is the environment variable that makes the test a gateway to be killed.
const childConfig = "GATEWAY_TEST_CONFIG"

func TestMain(m *testing.M) {
	if text := os.Getenv(childConfig); text != "" {
		if err := child(text); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child is a gateway with its clients, on a network in memory. For each line of standard
// input, which says how many, so many new sessions come up, and as many of the oldest end
// as a second number says. It answers by a line.
func child(text string) error {
	cfg, problems := config.Parse("gw.yaml", []byte(text))
	if len(problems) > 0 {
		return errors.New(problems[0].String())
	}
	store, _ := users.Load(cfg)
	network := memory.NewNetwork()
	gateway := network.Host(netip.MustParseAddr("192.0.2.1"))
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	listening := make(chan struct{})
	go func() {
		var up []*gopptp.Session
		<-listening
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			var begin, end int
			fmt.Sscan(in.Text(), &begin, &end)
			for range begin {
				host := network.Host(netip.AddrFrom4([4]byte{198, 51, 100, byte(len(up) + 1)}))
				s, err := gopptp.Dial(context.Background(), "192.0.2.1", gopptp.ClientConfig{
					Dataplane: host.Dataplane(), DialContext: host.DialContext, User: "alice", Password: "correct horse",
				})
				if err != nil {
					fmt.Println(err)
					return
				}
				up = append(up, s)
			}
			for _, s := range up[:end] {
				s.Close()
				<-s.Done()
			}
			up = up[end:]
			fmt.Println("done")
		}
	}()
	return Run(Options{
		Config: cfg, Users: store, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Signals: signals,
		OpenDataplane: func() (gopptp.Dataplane, error) { return gateway.Dataplane(), nil },
		Listen: func(addr netip.AddrPort) (net.Listener, error) {
			defer close(listening)
			return gateway.Listen(addr.Port())
		},
	})
}

// gatewayProcess is a child that runs.
type gatewayProcess struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func startProcess(t *testing.T, configuration string) *gatewayProcess {
	t.Helper()
	p := &gatewayProcess{t: t, cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), childConfig+"="+configuration)
	p.cmd.Stderr = t.Output()
	var err error
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.out = bufio.NewScanner(out)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
	return p
}

// sessions has some begin and some end.
func (p *gatewayProcess) sessions(begin, end int) {
	p.t.Helper()
	_, err := fmt.Fprintln(p.in, begin, end)
	require.NoError(p.t, err)
	require.True(p.t, p.out.Scan())
	require.Equal(p.t, "done", p.out.Text())
}

// deaf is a sink that takes nothing, and tells what it was to take.
type deaf chan []accounting.Record

func (deaf) Name() string { return "radius" }
func (d deaf) Send(_ context.Context, records []accounting.Record, _ func(int, error)) error {
	select {
	case d <- records:
	default:
	}
	return io.ErrClosedPipe
}

// onDisk is what waits in the file of a queue that a gateway has open: how many records
// there would be if it was killed now, as is found on a copy, and how many of these are
// Stops of sessions that have ended in order.
func onDisk(t *testing.T, file string) (waiting, ended int) {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), "queue")
	require.NoError(t, os.WriteFile(copied, b, 0o600))
	sink := make(deaf, 1)
	q, err := accounting.OpenQueue(accounting.QueueOptions{File: copied, Sinks: []accounting.Sink{sink}, MaxRecords: 10_000, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		q.Close(ctx)
	}()
	if waiting = q.Stats().Lines[0].Waiting; waiting == 0 {
		return 0, 0
	}
	for _, r := range <-sink {
		if r.Cause == accounting.UserRequest {
			ended++
		}
	}
	return waiting, ended
}

// A gateway that is killed with sessions up, while its RADIUS server is down, tells the
// server of every session's beginning and end when both are back, of each once.
func TestAccountingOfKilledGateway(t *testing.T) {
	t.Parallel()
	server := radiustest.Start(t, radiustest.Config{})
	dir := t.TempDir()
	configuration := gatewayConfig + fmt.Sprintf("accounting: {directory: %s, checkpoint: 1s, servers: [{address: '%v', secret: %s}]}\n", dir, server.Acct, radiustest.Secret)
	configuration = strings.Replace(configuration, "10.9.1.1-10.9.1.9", "10.9.1.1-10.9.1.99", 1)
	p := startProcess(t, configuration)
	p.sessions(20, 0)
	server.Await(1 + 20)
	server.Stop()
	p.sessions(5, 10)
	queue := filepath.Join(dir, "accounting.db")
	// Of the ten that have ended, their Stops; of the five new ones, their Starts; and of
	// the fifteen that are up what they would have.
	require.Eventually(t, func() bool {
		waiting, ended := onDisk(t, queue)
		return waiting == 10+5+15 && ended == 10
	}, time.Minute, 50*time.Millisecond)
	require.NoError(t, p.cmd.Process.Kill())
	p.cmd.Wait()

	server.Restart()
	p = startProcess(t, configuration)
	records := server.Await(1 + 20 + 10 + 5 + 15 + 1)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.cmd.Wait())
	records = server.Await(len(records) + 1)

	starts, stops, causes := make(map[string]int), make(map[string]int), make(map[string]int)
	for i, r := range records {
		session := r.Get("Acct-Session-Id")
		switch r.Get("Acct-Status-Type") {
		case "Start":
			starts[session]++
		case "Stop":
			assert.Equal(t, 1, starts[session], "its Start is before it")
			assert.Equal(t, "alice", r.Get("User-Name"))
			assert.NotEmpty(t, r.Get("Framed-IP-Address"))
			stops[session]++
			causes[r.Get("Acct-Terminate-Cause")]++
		default:
			assert.Contains(t, []int{0, len(records) - 2, len(records) - 1}, i, "%v", r)
		}
	}
	assert.Len(t, starts, 25)
	assert.Len(t, stops, 25)
	for session, n := range stops {
		assert.Equal(t, 1, n, session)
	}
	assert.Equal(t, map[string]int{"User-Request": 10, "NAS-Reboot": 15}, causes)
	assert.Equal(t, "Accounting-On", records[0].Get("Acct-Status-Type"))
	assert.Equal(t, "Accounting-On", records[len(records)-2].Get("Acct-Status-Type"))
	assert.Equal(t, "Accounting-Off", records[len(records)-1].Get("Acct-Status-Type"))
}

// A gateway that stops in order has told of every end before it is gone.
func TestAccountingOfStoppedGateway(t *testing.T) {
	t.Parallel()
	server := radiustest.Start(t, radiustest.Config{})
	p := startProcess(t, gatewayConfig+fmt.Sprintf("accounting: {directory: %s, servers: [{address: '%v', secret: %s}]}\n", t.TempDir(), server.Acct, radiustest.Secret))
	p.sessions(3, 0)
	server.Await(1 + 3) // they are known to be up
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, p.cmd.Wait())
	records := server.Await(1 + 3 + 3 + 1)
	for _, r := range records[4:7] {
		assert.Equal(t, "Stop", r.Get("Acct-Status-Type"))
		assert.Equal(t, "Admin-Reboot", r.Get("Acct-Terminate-Cause"))
	}
	assert.Equal(t, "Accounting-Off", records[7].Get("Acct-Status-Type"))
}

// A server that lets a user in knows its session again in accounting, and what it has
// granted counts: here so few octets that the session is soon over.
func TestAccountingOfRADIUSUser(t *testing.T) {
	t.Parallel()
	server := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{
		Name: "carol", Password: "carols", Reply: []string{`Class = "gold"`, "Mikrotik-Total-Limit = 1000", `Framed-IP-Address = 10.9.1.9`},
	}}})
	cfg, problems := config.Parse("gw.yaml", []byte(gatewayConfig+fmt.Sprintf(
		"radius: {servers: [{address: '%v', secret: %s}]}\naccounting: {directory: %s, servers: [{address: '%v', secret: %[2]s}]}\n",
		server.Auth, radiustest.Secret, t.TempDir(), server.Acct)))
	require.Empty(t, problems.Errors())
	store, _ := users.Load(cfg)
	network := memory.NewNetwork()
	defer network.Close()
	gateway, home := network.Host(netip.MustParseAddr("192.0.2.1")), network.Host(netip.MustParseAddr("198.51.100.1"))
	signals, done, listening := make(chan os.Signal), make(chan error, 1), make(chan struct{})
	go func() {
		done <- Run(Options{
			Config: cfg, Users: store, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Signals: signals,
			OpenDataplane: func() (gopptp.Dataplane, error) { return gateway.Dataplane(), nil },
			Listen: func(addr netip.AddrPort) (net.Listener, error) {
				defer close(listening)
				return gateway.Listen(addr.Port())
			},
		})
	}()
	<-listening
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := gopptp.Dial(ctx, "192.0.2.1", gopptp.ClientConfig{
		Dataplane: home.Dataplane(), DialContext: home.DialContext, User: "carol", Password: "carols",
	})
	require.NoError(t, err)
	packet := make([]byte, 1200)
	packet[0], packet[2], packet[3], packet[8], packet[9] = 0x45, 1200>>8, 1200&0xff, 64, 17
	copy(packet[12:], s.Local().AsSlice())
	copy(packet[16:], s.Peer().AsSlice())
	home.Send(packet)
	<-s.Done()
	signals <- syscall.SIGTERM
	require.NoError(t, <-done)

	records := server.Await(4)
	start, stop := records[1], records[2]
	assert.Equal(t, "Start", start.Get("Acct-Status-Type"))
	assert.Equal(t, "Stop", stop.Get("Acct-Status-Type"))
	assert.Equal(t, "NAS-Request", stop.Get("Acct-Terminate-Cause"))
	assert.Equal(t, "1200", stop.Get("Acct-Input-Octets"))
	assert.Equal(t, "1", stop.Get("Acct-Input-Packets"))
	assert.Equal(t, "0", stop.Get("Acct-Output-Octets"))
	login := server.Requests()[0]
	for _, r := range []radiustest.Record{start, stop} {
		assert.Equal(t, "0x676f6c64", r.Get("Class"))
		assert.Equal(t, "RADIUS", r.Get("Acct-Authentic"))
		assert.Equal(t, "10.9.1.9", r.Get("Framed-IP-Address"))
		for _, same := range []string{"Acct-Session-Id", "User-Name", "NAS-Identifier", "NAS-IP-Address", "NAS-Port", "NAS-Port-Type",
			"Calling-Station-Id", "Called-Station-Id", "Tunnel-Client-Endpoint:0", "Tunnel-Server-Endpoint:0"} {
			assert.NotEmpty(t, login.Get(same), same)
			assert.Equal(t, login.Get(same), r.Get(same), same)
		}
	}
}

// A queue that cannot be had is a gateway that does not start, and says why.
func TestAccountingFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	cfg, _ := config.Parse("gw.yaml", []byte(gatewayConfig+"accounting: {directory: "+file+", servers: [{address: '127.0.0.1:1813', secret: x}]}\n"))
	store, _ := users.Load(cfg)
	network := memory.NewNetwork()
	defer network.Close()
	host := network.Host(netip.MustParseAddr("192.0.2.1"))
	err := Run(Options{
		Config: cfg, Users: store, Log: slog.New(slog.DiscardHandler),
		Listen:        func(addr netip.AddrPort) (net.Listener, error) { return host.Listen(addr.Port()) },
		OpenDataplane: func() (gopptp.Dataplane, error) { return host.Dataplane(), nil },
	})
	assert.EqualError(t, err, "the queue of accounting: mkdir "+file+": not a directory")
}
