package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/examples/gateway/internal/addresses"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
	"github.com/gopptp/gopptp/memory"
)

// countingPlane is the data plane in memory that has the counters of a real one, too.
type countingPlane struct{ gopptp.Dataplane }

func (countingPlane) Stats() dataplane.Stats { return dataplane.Stats{} }

// monitored is a gateway with all of its parts, in real time, and where it is scraped.
type monitored struct {
	t       testing.TB
	network *memory.Network
	address string
	log     logBuffer
	stop    func()
	gateway *gateway
}

// deadServer is where nobody answers.
const deadServer = "{address: '127.0.0.1:1', secret: x}"

// startMonitored starts it with a RADIUS server, and with other words of the configuration
// replaced, if there are any.
func startMonitored(t testing.TB, server string, replace ...string) *monitored {
	t.Helper()
	text := strings.Replace(gatewayConfig, "10.9.1.1-10.9.1.9", "10.9.1.1-10.9.1.40", 1) + fmt.Sprintf(`
metrics: {listen: ['127.0.0.1:0']}
radius: {servers: [%[2]s], patience: 2s}
database: {url: 'sqlite:%[1]s/users.db'}
accounting: {directory: %[1]s, sql: true}
`, t.TempDir(), server)
	cfg, problems := config.Parse("gw.yaml", []byte(strings.NewReplacer(replace...).Replace(text)))
	require.Empty(t, problems.Errors())
	store, problems := users.Load(cfg)
	require.Empty(t, problems.Errors())
	m := &monitored{t: t, network: memory.NewNetwork()}
	host := m.network.Host(netip.MustParseAddr("192.0.2.1"))
	signals, done := make(chan os.Signal), make(chan error, 1)
	g, err := open(Options{
		Config: cfg, Users: store, Log: slog.New(slog.NewJSONHandler(&m.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Signals: signals,
		OpenDataplane: func() (gopptp.Dataplane, error) { return countingPlane{host.Dataplane()}, nil },
		Listen:        func(addr netip.AddrPort) (net.Listener, error) { return host.Listen(addr.Port()) },
		Manager:       nobody{},
		LostRecords:   func() uint64 { return 0 },
	})
	require.NoError(t, err)
	m.gateway = g
	m.address = "http://" + g.operators.metrics[0].Addr().String()
	code, body := m.get("/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.Equal(t, "not listening yet\n", body)
	go func() { done <- g.run() }()
	m.stop = sync.OnceFunc(func() {
		signals <- syscall.SIGTERM
		assert.NoError(t, <-done)
		g.close()
		m.network.Close()
	})
	t.Cleanup(m.stop)
	m.await("ready")
	return m
}

// await waits for a message in the log.
func (m *monitored) await(msg string) {
	m.t.Helper()
	require.Eventually(m.t, func() bool { return len(m.log.records(msg)) > 0 }, time.Minute, time.Millisecond, msg)
}

func (m *monitored) get(path string) (code int, body string) {
	m.t.Helper()
	r, err := http.Get(m.address + path)
	require.NoError(m.t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(m.t, err)
	return r.StatusCode, string(b)
}

func (m *monitored) scrape() string {
	m.t.Helper()
	code, body := m.get("/metrics")
	require.Equal(m.t, http.StatusOK, code)
	return body
}

// value is that of one series, as it is written.
func (m *monitored) value(series string) string {
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(m.scrape())
	if found == nil {
		return "none"
	}
	return found[1]
}

// eventually waits until a series has a value.
func (m *monitored) eventually(series, want string) {
	m.t.Helper()
	require.Eventually(m.t, func() bool { return m.value(series) == want }, time.Minute, 5*time.Millisecond, "%s, which is %s", series, m.value(series))
}

func (m *monitored) dial(host byte, user, password string) (*gopptp.Session, error) {
	h := m.network.Host(netip.AddrFrom4([4]byte{198, 51, 100, host}))
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	return gopptp.Dial(ctx, "192.0.2.1", gopptp.ClientConfig{
		Dataplane: h.Dataplane(), DialContext: h.DialContext, User: user, Password: password,
	})
}

// A scrape of a gateway says what has happened, has as many series with many sessions as
// with none, names nobody, and is as Prometheus wants it.
func TestMetrics(t *testing.T) {
	m := startMonitored(t, deadServer)
	series := func() int { return len(regexp.MustCompile(`(?m)^[a-z]`).FindAllString(m.scrape(), -1)) }
	m.scrape() // what counts scrapes has begun with this one
	before := series()
	assert.Equal(t, "1", m.value("gopptp_ready"))
	assert.Equal(t, "0", m.value(`gopptp_sessions_ended_total{cause="peer"}`), "is there before it happens")

	var list []*gopptp.Session
	for i := range byte(20) {
		s, err := m.dial(i+1, "alice", "correct horse")
		require.NoError(t, err)
		list = append(list, s)
	}
	m.eventually("gopptp_sessions_up", "20")
	m.eventually("gopptp_setup_seconds_count", "20")
	_, err := m.dial(30, "alice", "wrong")
	require.Error(t, err)
	m.eventually(`gopptp_sessions_failed_total{cause="authentication"}`, "1")
	for series, want := range map[string]string{
		`gopptp_pool_used{pool="default"}`:                             "20",
		`gopptp_pool_size{pool="default"}`:                             "39", // one is bob's
		`gopptp_logins_total{backend="local",outcome="accepted"}`:      "20",
		`gopptp_logins_total{backend="local",outcome="refused"}`:       "1",
		`gopptp_login_seconds_count{backend="local"}`:                  "21",
		`gopptp_setup_stage_seconds_count{stage="authenticate"}`:       "20",
		`gopptp_setup_stage_seconds_count{stage="network"}`:            "20",
		`gopptp_failed_total{reason="authentication"}`:                 "1",
		`gopptp_radius_server_alive{server="127.0.0.1:1",use="login"}`: "1",
		`gopptp_policy_places`:                                         "20",
		`gopptp_accounting_records_total`:                              "21", // with that of the gateway
	} {
		assert.Equal(t, want, m.value(series), series)
	}
	packet := make([]byte, 1200)
	packet[0], packet[2], packet[3], packet[8], packet[9] = 0x45, 1200>>8, 1200&0xff, 64, 17
	copy(packet[12:], list[0].Local().AsSlice())
	copy(packet[16:], list[0].Peer().AsSlice())
	m.network.Host(netip.MustParseAddr("198.51.100.1")).Send(packet)
	m.eventually(`gopptp_traffic_bytes_total{direction="from_clients"}`, "1200")
	text := m.scrape()
	assert.Equal(t, before, series(), "the number of series does not grow with that of the sessions")
	for _, secret := range []string{"alice", "198.51.100", string(list[0].ID()), list[0].Local().String()} {
		assert.NotContains(t, text, secret)
	}

	for _, s := range list {
		s.Close()
	}
	m.eventually(`gopptp_sessions_ended_total{cause="peer"}`, "20")
	assert.Equal(t, "20", m.value("gopptp_session_duration_seconds_count"))
	assert.Equal(t, "1200", m.value(`gopptp_traffic_bytes_total{direction="from_clients"}`), "of sessions that are over")
	assert.Equal(t, before, series())
	promtool(t, m.scrape(), "check", "metrics")
}

// promtool has Prometheus' own tool look at something.
func promtool(t *testing.T, input string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		t.Skip("needs promtool: scripts/apt.sh prometheus")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "promtool", args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	assert.NoError(t, err, "%s", out)
	if args[0] == "check" && args[1] == "metrics" {
		assert.Empty(t, string(bytes.TrimSpace(out)))
	}
}

// What is for monitoring has nothing else, and says when no new clients are welcome.
func TestReadiness(t *testing.T) {
	m := startMonitored(t, deadServer)
	want := func(code int, body string) {
		t.Helper()
		c, b := m.get("/readyz")
		assert.Equal(t, code, c)
		assert.Equal(t, body, b)
	}
	want(200, "ready\n")
	code, body := m.get("/healthz")
	assert.Equal(t, 200, code)
	assert.Equal(t, "ok\n", body)
	for _, path := range []string{"/", "/stats", "/api/v1/sessions", "/api/v1/state", "/debug/pprof/", "/debug/pprof/goroutine", "/app.js"} {
		code, _ := m.get(path)
		assert.Equal(t, http.StatusNotFound, code, path)
	}
	r, err := http.Post(m.address+"/metrics", "text/plain", strings.NewReader("x"))
	require.NoError(t, err)
	r.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, r.StatusCode)

	m.gateway.server.Drain()
	want(503, "draining\n")
	assert.Equal(t, "0", m.value("gopptp_ready"))
	m.gateway.server.Undrain()
	want(200, "ready\n")
}

// A gateway is full when nothing is left of the first pool and those after it.
func TestFull(t *testing.T) {
	pool := func(name, next string, used, size int) addresses.Stats {
		return addresses.Stats{Name: name, Next: next, Used: used, Size: size}
	}
	for name, c := range map[string]struct {
		pools []addresses.Stats
		want  bool
	}{
		"room":                    {[]addresses.Stats{pool("default", "", 1, 2)}, false},
		"full":                    {[]addresses.Stats{pool("default", "", 2, 2)}, true},
		"room in the next":        {[]addresses.Stats{pool("default", "more", 2, 2), pool("more", "", 0, 2)}, false},
		"both full":               {[]addresses.Stats{pool("default", "more", 2, 2), pool("more", "", 2, 2)}, true},
		"another is full":         {[]addresses.Stats{pool("default", "", 0, 2), pool("staff", "", 2, 2)}, false},
		"addresses of users only": {[]addresses.Stats{pool("default", "", 0, 0)}, false},
		"a circle":                {[]addresses.Stats{pool("default", "default", 2, 2)}, true},
		"none":                    {nil, false},
	} {
		assert.Equal(t, c.want, exhausted(c.pools), name)
	}
}
