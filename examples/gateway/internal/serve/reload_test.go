package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
	"github.com/gopptp/gopptp/examples/internal/radiustest"
	"github.com/gopptp/gopptp/memory"
)

// manager writes down what it is told.
type manager struct {
	mu    sync.Mutex
	heard []string
}

func (m *manager) hear(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, what)
}

func (m *manager) Ready()                 { m.hear("ready") }
func (m *manager) Reloading()             { m.hear("reloading") }
func (m *manager) Stopping(time.Duration) { m.hear("stopping") }
func (m *manager) Watch(ctx context.Context, check func()) {
	check()
	<-ctx.Done()
}

// reloads has the gateway read the text as its configuration, and waits for that.
func (w *world) reloads(text string) {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile(w.file, []byte(text), 0o600))
	w.hangups <- syscall.SIGHUP
	synctest.Wait()
}

// changes are those that the log has told of since the last call.
func (w *world) changes() (list []string) {
	all := w.log.records("configuration")
	for _, r := range all[w.told:] {
		for _, key := range []string{"change", "problem"} {
			switch v := r[key].(type) {
			case string:
				list = append(list, v)
			case map[string]any: // a diag.Problem
				list = append(list, v["Key"].(string)+": "+v["Text"].(string))
			}
		}
	}
	w.told = len(all)
	return list
}

func (w *world) load() (*config.Config, *users.Store, diag.Problems) {
	cfg, problems := config.Load(w.file)
	if cfg == nil {
		return nil, nil, problems
	}
	store, more := users.Load(cfg)
	problems.Add(more...)
	return cfg, store, problems
}

// Who is in stays in, with what they have. Who comes afterwards finds the new one.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig)
		alice, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		assert.Equal(t, "10.9.1.1", alice.Local().String())

		changed := strings.NewReplacer("correct horse", "another password", "10.9.0.53", "10.9.0.54", "10.9.1.1-10.9.1.9", "10.9.2.0/24", "10.9.1.7", "10.9.2.7").Replace(gatewayConfig)
		w.reloads(changed + "mtu: 1400\nsecrets_file: more\n")
		assert.Equal(t, []string{"secrets_file: " + filepath.Join(filepath.Dir(w.file), "more") + " cannot be read: no such file or directory"}, w.changes())
		require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(w.file), "more"), []byte("carol * secret-of-carol *\n"), 0o600))
		w.reloads(changed + "mtu: 1400\nsecrets_file: more\nlog: {level: debug}\n")
		changes := w.changes()
		assert.Contains(t, changes, "mtu: 0, now 1400")
		assert.Contains(t, changes, "dns: [10.9.0.53], now [10.9.0.54]")
		assert.Contains(t, changes, "pools[default].ranges: [10.9.1.1-10.9.1.9], now [10.9.2.0/24]")
		assert.Contains(t, changes, "users[alice].password: [redacted], changed")
		assert.Contains(t, changes, `secrets_file: "carol": added`)
		assert.Equal(t, []string{"ready", "reloading", "ready", "reloading", "ready"}, w.manager.heard)

		assert.Equal(t, gopptp.StateUp, alice.State())
		_, err = w.dial("192.0.2.8", "alice", "correct horse")
		require.Error(t, err)
		carol, err := w.dial("192.0.2.8", "carol", "secret-of-carol")
		require.NoError(t, err)
		assert.Equal(t, "10.9.2.1", carol.Local().String())
		assert.Equal(t, []netip.Addr{netip.MustParseAddr("10.9.0.54")}, carol.DNS())
		assert.Equal(t, 1400, carol.MTU())
		alice.Close()
		<-alice.Done()
		again, err := w.dial("192.0.2.7", "alice", "another password")
		require.NoError(t, err)
		assert.Equal(t, "10.9.2.2", again.Local().String())

		w.reloads(changed + "mtu: 1400\nsecrets_file: more\nlog: {level: debug}\n")
		assert.Empty(t, w.changes())
		for _, secret := range []string{"secret-of-carol", "another password", "correct horse"} {
			assert.NotContains(t, w.log.text(), secret)
		}
		w.signals <- syscall.SIGTERM
		w.stopped()
		assert.Equal(t, "stopping", w.manager.heard[len(w.manager.heard)-1])
	})
}

// What is wrong, or takes a restart, changes nothing at all, and each is said in a line.
func TestReloadRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig)
		for _, c := range []struct {
			text string
			want []string
		}{
			{"mtu: [", []string{""}},
			{gatewayConfig + "mtu: 99\nencryption: maybe\n", []string{"mtu: 99 is neither 0 nor from 576 to 1500", "encryption: "}},
			{strings.Replace(gatewayConfig, "10.9.0.1\n", "10.9.0.2\n", 1) + "mtu: 1400\nname: other\ndataplane: {workers: 3}\nipv6: {prefix: '2001:db8::/48'}\nadmin: {listen: '127.0.0.1:9180'}\n", []string{
				"local_address: cannot change while the gateway runs (10.9.0.1, now 10.9.0.2): it takes a restart",
				"name: cannot change while the gateway runs (gopptp, now other): it takes a restart",
				"dataplane.workers: cannot change while the gateway runs (0, now 3): it takes a restart",
				"ipv6.prefix: cannot change while the gateway runs (none, now 2001:db8::/48): it takes a restart",
				"admin.listen: cannot change while the gateway runs (\"\", now 127.0.0.1:9180): it takes a restart",
			}},
			{gatewayConfig + "accounting: {directory: /dev/null, servers: [{address: '192.0.2.9:1813', secret: swordfish}]}\n", []string{
				"the queue of accounting: mkdir /dev/null: not a directory"}},
		} {
			w.reloads(c.text)
			told := strings.Join(w.changes(), "\n")
			for _, line := range c.want {
				assert.Contains(t, told, line)
			}
		}
		assert.Len(t, w.log.records("the configuration is not taken, and nothing has changed"), 4)
		assert.NotContains(t, w.log.text(), "swordfish")
		s, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		assert.Equal(t, 1456, s.MTU())
		w.signals <- syscall.SIGTERM
		w.stopped()
	})
}

// prefixPlane is a data plane that routes pools.
type prefixPlane struct {
	gopptp.Dataplane
	set []string
	err error
}

func (p *prefixPlane) SetPrefixes(prefixes []netip.Prefix) error {
	p.set = append(p.set, join(prefixes))
	return p.err
}

// The data plane is told of other pools; if it cannot have them, nobody does.
func TestReloadPrefixes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		gateway := n.Host(netip.MustParseAddr("192.0.2.1"))
		plane := &prefixPlane{Dataplane: gateway.Dataplane()}
		w := startOn(t, gatewayConfig, n, gateway, plane)
		changed := strings.NewReplacer("10.9.1.1-10.9.1.9", "10.9.2.0/24, 10.9.4.0-10.9.5.255", "10.9.1.7", "10.9.2.7").Replace(gatewayConfig)
		plane.err = errors.New("the host has such a route already")
		w.reloads(changed)
		assert.Contains(t, w.log.text(), "the host has such a route already")
		s, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		assert.Equal(t, "10.9.1.1", s.Local().String())
		plane.err = nil
		w.reloads(changed)
		assert.Equal(t, []string{"10.9.2.0/24 10.9.4.0/23", "10.9.2.0/24 10.9.4.0/23"}, plane.set)
		s, err = w.dial("192.0.2.8", "alice", "correct horse")
		require.NoError(t, err)
		assert.Equal(t, "10.9.2.1", s.Local().String())
		w.signals <- syscall.SIGTERM
		w.stopped()
	})
}

// Who had which address is known to the next gateway.
func TestAddressesOverARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "addresses.json")
	for _, users := range []string{"alice carol", "carol alice"} { // who comes first would get another one's
		synctest.Test(t, func(t *testing.T) {
			w := start(t, strings.Replace(gatewayConfig, "stop_timeout", "  - {name: carol, password: correct horse}\naddresses_file: "+file+"\nstop_timeout", 1))
			for i, user := range strings.Fields(users) {
				s, err := w.dial(fmt.Sprintf("192.0.2.%d", 10+i), user, "correct horse")
				require.NoError(t, err)
				assert.Equal(t, map[string]string{"alice": "10.9.1.1", "carol": "10.9.1.2"}[user], s.Local().String(), user)
			}
			w.signals <- syscall.SIGTERM
			w.stopped()
		})
	}
}

// What is said to be taken is a key, and some that never can be are not.
func TestTakenKeys(t *testing.T) {
	example, err := os.ReadFile("../../gateway.example.yaml")
	require.NoError(t, err)
	for _, key := range taken {
		assert.Contains(t, string(example), key[strings.LastIndex(key, ".")+1:]+":", key)
	}
	for key, want := range map[string]bool{
		"users[alice].password": true, "policy.sources": true, "stop_timeout": true, "accounting.servers[a:1813].weight": true,
		"listen": true, "dataplane.workers": false, "accounting.sql": true, "log.format": false, "user": false, "echoes": false,
	} {
		assert.Equal(t, want, isTaken(key), key)
	}
}

// stop_timeout is that of the last configuration.
func TestReloadStopTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig)
		_, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		w.reloads(strings.Replace(gatewayConfig, "stop_timeout: 10s", "stop_timeout: 3s", 1))
		w.network.Cut(true)
		begin := time.Now()
		w.signals <- syscall.SIGTERM
		<-w.done
		assert.Equal(t, 3*time.Second, time.Since(begin))
		w.network.Cut(false)
		w.stopped()
	})
}

// startInRealTime runs the gateway of a configuration for real servers beside it.
func startInRealTime(t *testing.T, text string) *world {
	t.Helper()
	w := &world{t: t, network: memory.NewNetwork(), signals: make(chan os.Signal), hangups: make(chan os.Signal),
		done: make(chan struct{}), file: filepath.Join(t.TempDir(), "gw.yaml")}
	w.gateway = w.network.Host(netip.MustParseAddr("192.0.2.1"))
	require.NoError(t, os.WriteFile(w.file, []byte(text), 0o600))
	cfg, store, problems := w.load()
	require.Empty(t, problems)
	go func() {
		defer close(w.done)
		w.err = Run(Options{
			Config: cfg, Users: store, Signals: w.signals, Hangups: w.hangups, Load: w.load,
			Log:           slog.New(slog.NewJSONHandler(&w.log, nil)),
			OpenDataplane: func() (gopptp.Dataplane, error) { return w.gateway.Dataplane(), nil },
			Listen:        func(addr netip.AddrPort) (net.Listener, error) { return w.gateway.Listen(addr.Port()) },
		})
	}()
	w.await("ready", 1)
	return w
}

// await waits until a message has been logged so many times.
func (w *world) await(msg string, n int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return len(w.log.records(msg)) == n }, 20*time.Second, time.Millisecond, "%s", w.log.text())
}

func (w *world) reloadsInRealTime(text string) {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile(w.file, []byte(text), 0o600))
	w.hangups <- syscall.SIGHUP
}

func (w *world) dialInRealTime(host byte, user, password string) (*gopptp.Session, error) {
	h := w.network.Host(netip.AddrFrom4([4]byte{198, 51, 100, host}))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return gopptp.Dial(ctx, "192.0.2.1", gopptp.ClientConfig{Dataplane: h.Dataplane(), DialContext: h.DialContext, User: user, Password: password})
}

// Other RADIUS servers are asked after a reload, and take orders; sessions do not notice.
// The servers are real.
func TestReloadRADIUS(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("radclient"); err != nil {
		t.Skip("needs radclient: scripts/apt.sh freeradius-utils")
	}
	one := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{Name: "alice", Password: "of one"}}})
	two := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{Name: "alice", Password: "of two"}}})
	text := func(servers, client string) string {
		return "local_address: 10.9.0.1\npools: [10.9.1.0/24]\nradius: {servers: [" + servers + "]}\ndynauth: {clients: [{source: " + client + ", secret: swordfish}]}\n"
	}
	server := func(s *radiustest.Server) string {
		return fmt.Sprintf("{address: '%v', secret: %s}", s.Auth, radiustest.Secret)
	}
	w := startInRealTime(t, text(server(one), "192.0.2.0/24"))
	dial := func(host byte, password string) (*gopptp.Session, error) {
		return w.dialInRealTime(host, "alice", password)
	}
	first, err := dial(1, "of one")
	require.NoError(t, err)
	for i, step := range []struct{ servers, right, wrong string }{
		{server(two), "of two", "of one"},
		{"", "", "of two"},
		{server(one), "of one", "of two"},
	} {
		w.reloadsInRealTime(text(step.servers, "127.0.0.1/32") + "users: [{name: bob, password: x}]\n")
		w.await("configuration taken anew", i+1)
		_, err := dial(2, step.wrong)
		require.Error(t, err)
		if step.right != "" {
			s, err := dial(2, step.right)
			require.NoError(t, err)
			s.Close()
		}
	}
	assert.Equal(t, gopptp.StateUp, first.State())
	assert.NotContains(t, w.log.text(), radiustest.Secret)
	w.signals <- syscall.SIGTERM
	w.stopped()
	require.NoError(t, w.err)
}

// A file that somebody has broken, or is writing, changes nothing.
func TestReloadGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig)
		alice, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		noise := make([]byte, 1<<16)
		rand.NewChaCha8([32]byte{1}).Read(noise)
		broken := []string{
			"", "\n# nothing yet\n", string(noise), string(make([]byte, 1<<12)), "\xef\xbb\xbf", "\x7fELF",
			gatewayConfig[:strings.Index(gatewayConfig, "correct")], gatewayConfig + gatewayConfig, gatewayConfig + "---\n" + gatewayConfig,
			strings.Repeat("[", 1<<17), strings.Repeat("{a: ", 1<<14), strings.Repeat("- ", 1<<14), nested(1 << 9), "a: &a [*a, *a]\n", "null\n", "[]\n",
		}
		for i, text := range broken {
			w.reloads(text)
			require.Len(t, w.log.records("the configuration is not taken, and nothing has changed"), i+1, "%.100q", text)
			require.NotEmpty(t, w.changes())
		}
		require.NoError(t, os.Remove(w.file))
		w.hangups <- syscall.SIGHUP
		synctest.Wait()
		require.NoError(t, os.Mkdir(w.file, 0o700))
		w.hangups <- syscall.SIGHUP
		synctest.Wait()
		require.Len(t, w.changes(), 2)
		require.NoError(t, os.Remove(w.file))
		assert.Empty(t, w.log.records("configuration taken anew"))

		_, err = w.dial("192.0.2.8", "bob", "battery staple")
		require.NoError(t, err)
		assert.Equal(t, gopptp.StateUp, alice.State())
		w.reloads(gatewayConfig + "mtu: 1400\n")
		assert.Equal(t, []string{"mtu: 0, now 1400"}, w.changes())
		w.signals <- syscall.SIGTERM
		w.stopped()
		require.NoError(t, w.err)
	})
}

// nested is a key within a key, and so on.
func nested(depth int) string {
	var b strings.Builder
	for i := range depth {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// A reload that hangs, as files may have it, does not keep the gateway from stopping, and is
// none afterwards.
func TestStopWhileReloading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w *world
		release := make(chan struct{})
		w = start(t, gatewayConfig, func(o *Options) {
			o.Load = func() (*config.Config, *users.Store, diag.Problems) {
				<-release
				return w.load()
			}
		})
		alice, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(w.file, []byte(gatewayConfig+"listen: [0.0.0.0:1723, 0.0.0.0:1724]\n"), 0o600))
		w.hangups <- syscall.SIGHUP
		synctest.Wait()
		w.signals <- syscall.SIGTERM
		<-alice.Done()
		<-w.done
		require.NoError(t, w.err)
		close(release)
		synctest.Wait()
		assert.Equal(t, []string{"ready", "stopping"}, w.manager.heard)
		l, err := w.gateway.Listen(1724)
		require.NoError(t, err, "is not left open")
		l.Close()
		w.network.Close()
	})
}
