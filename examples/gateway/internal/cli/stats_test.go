package cli

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/dataplane"
	pools "github.com/gopptp/gopptp/examples/gateway/internal/addresses"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/latency"
	"github.com/gopptp/gopptp/examples/gateway/internal/radius"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/kernel/kerneltest"
	"github.com/gopptp/gopptp/memory"
)

// socket has the name of one, and a configuration file that names it. The rest of that
// file is in the middle of a change.
func socket(t *testing.T) (addr config.AdminAddr, file string) {
	dir := t.TempDir()
	addr = config.AdminAddr{Network: "unix", Address: filepath.Join(dir, "admin.sock")}
	return addr, write(t, filepath.Join(dir, "gw.yaml"), "mtu: 10\nadmin: {listen: '"+addr.String()+"'}\nsecrets_file: missing\n")
}

func TestStats(t *testing.T) {
	addr, file := socket(t)
	network := memory.NewNetwork()
	defer network.Close()
	k, err := kerneltest.NewHost(network, netip.MustParseAddr("192.0.2.1"), kerneltest.Options{}).Open(kernel.Options{DeviceName: "ppp%d"})
	require.NoError(t, err)
	plane := dataplane.Compose(k, nil, nil)
	defer plane.Close()
	live := sessions.New()
	server := newServer(t, plane, live)
	defer server.Close()
	l, err := admin.Listen(addr, "")
	require.NoError(t, err)
	var answers latency.Histogram
	answers.Observe(1234567 * time.Nanosecond)
	s := admin.New(admin.Gateway{Server: server, Dataplane: plane, Live: live, Log: slog.New(slog.DiscardHandler), Sections: []admin.Section{
		{Name: "pools", Snapshot: func() any { return []pools.Stats{{Name: "default", Size: 254}, {Name: "guests", Size: 30, Used: 7}} }},
		{Name: "radius", Snapshot: func() any {
			return radius.ClientStats{InFlight: 3, Servers: []radius.ServerStats{{Server: "radius.example.net:1812", Alive: true, Latency: answers.Snapshot()}}}
		}},
	}})
	s.Serve(l)
	defer s.Close()

	code, stdout, stderr := gateway("stats", "-c", file)
	assert.Equal(t, ExitOK, code)
	assert.Empty(t, stderr)
	for line := range strings.Lines(stdout) {
		assert.LessOrEqual(t, len(line), 80+len("\n"), "does not fit a terminal: %s", line)
	}
	assert.Regexp(t, `(?m)^gateway \S+, process \d+, up \d+s$`, stdout)
	assert.Regexp(t, `(?m)^server$`, stdout)
	assert.Regexp(t, `(?m)^  accepted +0  `, stdout)
	assert.Regexp(t, `(?m)  mode +kernel$`, stdout)
	assert.Regexp(t, `(?m)^dataplane\.userspace\.gre$`, stdout)
	assert.Regexp(t, `(?m)^pools guests\n(  .*\n)*  .*size +30$`, stdout)
	assert.Regexp(t, `(?m)^radius\n(  .*\n)*  .*in_flight +3 `, stdout)
	assert.Regexp(t, `(?m)^radius\.servers radius\.example\.net:1812\n(  .*\n)*  .*alive +true `, stdout)
	assert.Regexp(t, `(?m)^radius\.servers radius\.example\.net:1812\.latency\n  count +1  sum_seconds +0.001234567$`, stdout)

	code, stdout, stderr = gateway("stats", "--json", "-c", file)
	assert.Equal(t, ExitOK, code)
	assert.Empty(t, stderr)
	var stats statistics
	require.NoError(t, json.Unmarshal([]byte(stdout), &stats))
	assert.Contains(t, stats.Server, "sessions")
	assert.Len(t, stats.Sections["pools"], 2)
	assert.Contains(t, stdout, `"le_seconds": 0.0005`)
}

func TestStatsFails(t *testing.T) {
	addr, file := socket(t)
	code, stdout, stderr := gateway("stats", "-c", file)
	assert.Equal(t, ExitNotRunning, code)
	assert.Empty(t, stdout)
	assert.Equal(t, "gateway: the gateway does not answer at "+addr.String()+": it is not running, or has another configuration\n", stderr)

	dir := t.TempDir()
	for text, want := range map[string]string{
		"mtu: 1400\n":                            ":1: admin.listen: is empty: the gateway has no address to ask it by",
		"mtu: 1\nadmin: {listen: '[::1]'}\n":     ":2: admin.listen: \"[::1]\" is neither a Unix socket",
		"admin:\n  listne: 127.0.0.1:9180\n":     ":2: admin.listne: unknown key; did you mean listen?",
		"admin: {listen: 127.0.0.1:9180\nmtu: 1": ": not YAML: ",
	} {
		file := write(t, filepath.Join(dir, "gw.yaml"), text)
		code, stdout, stderr := gateway("stats", "-c", file)
		assert.Equal(t, ExitUsage, code)
		assert.Empty(t, stdout)
		assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
		assert.Contains(t, stderr, want)
	}
}

// What answers may be something else than a gateway, or an older one.
func TestStatsOfStranger(t *testing.T) {
	addr, file := socket(t)
	l, err := net.Listen(addr.Network, addr.Address)
	require.NoError(t, err)
	answer := func(w http.ResponseWriter) { http.Error(w, "what?", http.StatusTeapot) }
	srv := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) })}
	go srv.Serve(l)
	defer srv.Close()
	code, _, stderr := gateway("stats", "-c", file)
	assert.Equal(t, ExitFailure, code)
	assert.Equal(t, "gateway: the gateway refuses: 418 I'm a teapot: what?\n", stderr)

	answer = func(w http.ResponseWriter) { io.WriteString(w, "[]") }
	code, _, stderr = gateway("stats", "-c", file)
	assert.Equal(t, ExitFailure, code)
	assert.Contains(t, stderr, "gateway: the gateway's answer: json: cannot unmarshal array")
}
