package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/kernel/kerneltest"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/userspace"
)

// newGateway is one without sessions, whose calls the model of a kernel carries.
func newGateway(t *testing.T) Gateway {
	t.Helper()
	n := memory.NewNetwork()
	host := kerneltest.NewHost(n, netip.MustParseAddr("192.0.2.1"), kerneltest.Options{})
	k, err := host.Open(kernel.Options{DeviceName: "ppp%d"})
	require.NoError(t, err)
	plane := dataplane.Compose(k, nil, nil)
	server := newServer(t, plane, nil)
	t.Cleanup(func() {
		server.Close()
		plane.Close()
		n.Close()
	})
	return Gateway{Server: server, Dataplane: plane, Live: sessions.New(), Log: slog.New(slog.DiscardHandler)}
}

// newServer is one whose users all have the password "right".
func newServer(t *testing.T, plane gopptp.Dataplane, o gopptp.Observer) *gopptp.Server {
	t.Helper()
	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.8.0.0/24"))})
	require.NoError(t, err)
	server, err := gopptp.NewServer(gopptp.ServerConfig{
		Dataplane: plane, Pool: pool, LocalAddress: netip.MustParseAddr("10.8.0.1"), Observer: o,
		Authenticator: gopptp.NewLocalAuthenticator(func(_ context.Context, user string) (*gopptp.LocalUser, error) {
			return &gopptp.LocalUser{
				NTHash: chap.NTPasswordHash("right"),
				Result: gopptp.AuthResult{Attributes: &grant.Grant{Backend: "config", Group: user[:1]}},
			}, nil
		}),
	})
	require.NoError(t, err)
	return server
}

// serve starts the address on a free port of the loopback interface.
func serve(t *testing.T, g Gateway) (config.AdminAddr, *Server) {
	t.Helper()
	l, err := Listen(config.AdminAddr{Network: "tcp", Address: "127.0.0.1:0"}, "")
	require.NoError(t, err)
	s := New(g)
	s.Serve(l)
	t.Cleanup(s.Close)
	return config.AdminAddr{Network: "tcp", Address: l.Addr().String()}, s
}

func get(t *testing.T, addr config.AdminAddr, path string) []byte {
	t.Helper()
	body, err := NewClient(addr).Get(t.Context(), path)
	require.NoError(t, err, path)
	return body
}

func TestStats(t *testing.T) {
	addr, _ := serve(t, newGateway(t))
	assert.Equal(t, "ok\n", string(get(t, addr, "/healthz")))

	var s Stats
	require.NoError(t, json.Unmarshal(get(t, addr, "/stats"), &s))
	assert.NotEmpty(t, s.Version)
	assert.Equal(t, os.Getpid(), s.PID)
	assert.WithinDuration(t, time.Now(), s.Started, time.Minute)
	assert.Positive(t, s.Uptime)
	for _, name := range []string{"connections", "half_open", "sessions", "up", "accepted", "refused_half_open", "failed_authentication"} {
		assert.Contains(t, s.Server, name)
	}
	assert.Equal(t, "kernel", s.Dataplane["mode"])
	assert.EqualValues(t, 0, s.Dataplane["kernel_calls"])
	assert.Contains(t, s.Dataplane["moved"], "no_call_id")
	assert.Contains(t, s.Dataplane["userspace"].(Figures)["gre"], "received_xdp")
	for _, m := range runtimeMetrics {
		assert.Contains(t, s.Runtime, m.name, "is a metric of this Go")
	}
	assert.Greater(t, s.Runtime["goroutines"], 1.0)
}

// Another data plane than the gateway's own counts nothing here.
func TestStatsOfOtherPlane(t *testing.T) {
	g := newGateway(t)
	g.Dataplane = struct{ gopptp.Dataplane }{g.Dataplane}
	addr, _ := serve(t, g)
	assert.NotContains(t, string(get(t, addr, "/stats")), "dataplane")
}

// No two counters have the same name.
func TestFigureNames(t *testing.T) {
	for _, v := range []any{gopptp.ServerStats{}, dataplane.Stats{}, userspace.GREStats{}, userspace.TUNStats{}} {
		typ := reflect.TypeOf(v)
		assert.Len(t, figuresOf(reflect.ValueOf(v)), typ.NumField(), typ)
	}
	for name, want := range map[string]string{
		"Up": "up", "RefusedHalfOpen": "refused_half_open", "NoCallID": "no_call_id", "GRE": "gre", "GREStats": "gre_stats", "NotIP": "not_ip", "ReceivedXDP": "received_xdp",
	} {
		assert.Equal(t, want, snakeCase(name))
	}
}

func TestProfiles(t *testing.T) {
	addr, _ := serve(t, newGateway(t))
	for _, path := range []string{"heap", "goroutine", "allocs", "mutex", "profile?seconds=1"} {
		p, err := profile.ParseData(get(t, addr, "/debug/pprof/"+path))
		require.NoError(t, err, path)
		assert.NotEmpty(t, p.SampleType, path)
	}
	assert.Contains(t, string(get(t, addr, "/debug/pprof/goroutine?debug=1")), "goroutine profile: total ")
	assert.Contains(t, string(get(t, addr, "/debug/pprof/")), "heap")
	assert.Contains(t, string(get(t, addr, "/debug/pprof/cmdline")), os.Args[0])
	assert.NotEmpty(t, get(t, addr, "/debug/pprof/trace?seconds=0.1"))

	_, err := NewClient(addr).Get(t.Context(), "/debug/pprof/goroutine?debug=2")
	assert.ErrorContains(t, err, "403 Forbidden: stacks with arguments may show keys")
}

func init() {
	http.HandleFunc("/of-the-default-mux", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "no") })
}

// The address has nothing but what is meant to be there.
func TestNothingElse(t *testing.T) {
	addr, _ := serve(t, newGateway(t))
	for _, path := range []string{"/index.html", "/web/app.js", "/login", "/of-the-default-mux", "/stats/x", "/debug/pprof/nothing"} {
		_, err := NewClient(addr).Get(t.Context(), path)
		assert.ErrorContains(t, err, "404 Not Found", path)
	}
	resp, err := http.Post("http://"+addr.Address+"/stats", "application/json", nil)
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)

	resp, err = http.DefaultClient.Do(&http.Request{Method: "GET", URL: resp.Request.URL, Header: http.Header{"X": {strings.Repeat("x", 2*maxHeader)}}})
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.StatusCode)
}

// A web page cannot have a browser ask under the page's name.
func TestLocalNames(t *testing.T) {
	addr, _ := serve(t, newGateway(t))
	for host, want := range map[string]int{
		addr.Address: 200, "localhost:9180": 200, "localhost": 200, "[::1]": 200, "[::1]:9180": 200, "127.0.0.9:1": 200,
		"evil.example:9180": 421, "evil.example": 421, "localhost.evil.example:9180": 421, "192.0.2.1:9180": 421, "127.0.0.1.evil.example:80": 421,
	} {
		req, err := http.NewRequest("GET", "http://"+addr.Address+"/stats", nil)
		require.NoError(t, err)
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		assert.Equal(t, want, resp.StatusCode, host)
	}
}

// Close ends the answers that are under way, and those that have only begun to ask.
func TestClose(t *testing.T) {
	addr, s := serve(t, newGateway(t))
	idle, err := net.Dial(addr.Network, addr.Address)
	require.NoError(t, err)
	defer idle.Close()
	busy, err := net.Dial(addr.Network, addr.Address)
	require.NoError(t, err)
	defer busy.Close()
	_, err = io.WriteString(busy, "GET /debug/pprof/trace?seconds=3600 HTTP/1.1\r\nHost: localhost:1\r\n\r\n")
	require.NoError(t, err)
	answer := bufio.NewReader(busy)
	status, err := answer.ReadString('\n') // so that it is under way
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 200 OK\r\n", status, "may take longer than other answers")

	done := make(chan struct{})
	go func() { s.Close(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("an answer holds up the end")
	}
	_, err = io.Copy(io.Discard, answer)
	assert.NoError(t, err, "ends in order")
	_, err = NewClient(addr).Get(context.Background(), "/stats")
	assert.ErrorContains(t, err, "the gateway does not answer at "+addr.Address+": it is not running")
	assert.NotContains(t, err.Error(), "http://")
}

// When the address fails, the log says so.
func TestListenerFails(t *testing.T) {
	var log lockedBuffer
	g := newGateway(t)
	g.Log = slog.New(slog.NewTextHandler(&log, nil))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := New(g)
	s.Serve(l)
	l.Close()
	s.running.Wait()
	assert.Contains(t, log.String(), "the admin address failed")
	s.Close()
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestSocket(t *testing.T) {
	addr := config.AdminAddr{Network: "unix", Address: filepath.Join(t.TempDir(), "run", "admin.sock")}
	l, err := Listen(addr, "")
	require.NoError(t, err, "its directory is made")
	info, err := os.Lstat(addr.Address)
	require.NoError(t, err)
	assert.Equal(t, os.ModeSocket|0o600, info.Mode())
	s := New(newGateway(t))
	s.Serve(l)
	assert.Equal(t, "ok\n", string(get(t, addr, "/healthz")))

	_, err = Listen(addr, "")
	assert.EqualError(t, err, addr.Address+" is the socket of another process, which is running")
	assert.Equal(t, "ok\n", string(get(t, addr, "/healthz")), "and it still runs")

	s.Close()
	assert.NoFileExists(t, addr.Address)
}

// The socket of a gateway that was killed makes way, and nothing else does.
func TestStaleSocket(t *testing.T) {
	addr := config.AdminAddr{Network: "unix", Address: filepath.Join(t.TempDir(), "admin.sock")}
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: addr.Address, Net: "unix"})
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	stale.Close()
	require.FileExists(t, addr.Address)
	l, err := Listen(addr, "")
	require.NoError(t, err)

	// Somebody put another one there: it is not ours to remove.
	require.NoError(t, os.Remove(addr.Address))
	require.NoError(t, os.WriteFile(addr.Address, []byte("precious"), 0o600))
	l.Close()
	require.FileExists(t, addr.Address)
	_, err = Listen(addr, "")
	assert.EqualError(t, err, addr.Address+" is there already, and not a socket")

	link := config.AdminAddr{Network: "unix", Address: addr.Address + ".link"}
	require.NoError(t, os.Symlink(addr.Address, link.Address))
	_, err = Listen(link, "")
	assert.ErrorContains(t, err, "not a socket")
	text, err := os.ReadFile(addr.Address)
	require.NoError(t, err)
	assert.Equal(t, "precious", string(text))
}
