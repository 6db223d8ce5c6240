package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/kernel/kerneltest"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

const gatewayConfig = `
local_address: 10.9.0.1
pools: [10.9.1.1-10.9.1.9]
dns: [10.9.0.53]
users:
  - {name: alice, password: correct horse}
  - {name: bob, password: battery staple, address: 10.9.1.7}
stop_timeout: 10s
`

// world is a gateway on a network in memory, in virtual time.
type world struct {
	t       *testing.T
	network *memory.Network
	gateway *memory.Host
	signals chan os.Signal
	hangups chan os.Signal
	file    string // which is read anew
	manager manager
	log     logBuffer
	told    int // records of the log that changes has returned
	done    chan struct{}
	err     error // of Run, when done
}

// start runs the gateway of a configuration.
func start(t *testing.T, text string, options ...func(*Options)) *world {
	t.Helper()
	n := memory.NewNetwork()
	gateway := n.Host(netip.MustParseAddr("192.0.2.1"))
	return startOn(t, text, n, gateway, gateway.Dataplane(), options...)
}

// startOn runs it on a host of n, with a data plane there.
func startOn(t *testing.T, text string, n *memory.Network, gateway *memory.Host, plane gopptp.Dataplane, options ...func(*Options)) *world {
	t.Helper()
	cfg, problems := config.Parse("gw.yaml", []byte(text))
	require.Empty(t, problems)
	store, problems := users.Load(cfg)
	require.Empty(t, problems)

	w := &world{t: t, network: n, gateway: gateway, signals: make(chan os.Signal), done: make(chan struct{}),
		hangups: make(chan os.Signal), file: filepath.Join(t.TempDir(), "gw.yaml")}
	go func() {
		defer close(w.done)
		o := Options{
			Config:        cfg,
			Users:         store,
			Log:           slog.New(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			Signals:       w.signals,
			OpenDataplane: func() (gopptp.Dataplane, error) { return plane, nil },
			Listen:        func(addr netip.AddrPort) (net.Listener, error) { return w.gateway.Listen(addr.Port()) },
			Load:          w.load,
			Hangups:       w.hangups,
			Manager:       &w.manager,
		}
		for _, option := range options {
			option(&o)
		}
		w.err = Run(o)
	}()
	synctest.Wait()
	require.Len(t, w.log.records("ready"), 1)
	return w
}

// dial brings a client's tunnel up, from a host of its own, and waits until the
// gateway knows it as well.
func (w *world) dial(host, user, password string) (*gopptp.Session, error) {
	return w.dialWith(host, gopptp.ClientConfig{User: user, Password: password, RequestDNS: true})
}

func (w *world) dialWith(host string, cfg gopptp.ClientConfig) (*gopptp.Session, error) {
	h := w.network.Host(netip.MustParseAddr(host))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer synctest.Wait()
	cfg.Dataplane, cfg.DialContext = h.Dataplane(), h.DialContext
	return gopptp.Dial(ctx, "192.0.2.1", cfg)
}

// stopped waits for the end of Run.
func (w *world) stopped() {
	<-w.done
	w.network.Close()
}

// logBuffer keeps records of a JSON log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// records returns those with a message.
func (b *logBuffer) records(msg string) (list []map[string]any) {
	for line := range strings.Lines(b.text()) {
		var r map[string]any
		if json.Unmarshal([]byte(line), &r) == nil && r["msg"] == msg {
			list = append(list, r)
		}
	}
	return list
}

// one returns the only record with a message.
func (w *world) one(msg string) map[string]any {
	w.t.Helper()
	list := w.log.records(msg)
	require.Len(w.t, list, 1, "%q in:\n%s", msg, w.log.text())
	return list[0]
}

func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig)
		session, err := w.dial("192.0.2.7", `CORP\bob`, "battery staple")
		require.NoError(t, err)
		assert.Equal(t, "10.9.1.7", session.Local().String(), "bob's own address")
		assert.Equal(t, "10.9.0.1", session.Peer().String())
		assert.Equal(t, []netip.Addr{netip.MustParseAddr("10.9.0.53")}, session.DNS())
		synctest.Wait()
		up := w.one("session up")
		assert.Equal(t, "bob", up["user"], "as the configuration has it")
		assert.Equal(t, "10.9.1.7", up["address"])
		assert.Equal(t, "MPPE 128-bit stateless", up["encryption"])
		assert.EqualValues(t, 1456, up["mtu"])

		time.Sleep(time.Minute)
		session.Close()
		<-session.Done()
		synctest.Wait()
		down := w.one("session down")
		assert.Equal(t, "peer", down["cause"])
		assert.EqualValues(t, time.Minute, down["duration"])
		assert.NotContains(t, down, "error")

		w.signals <- syscall.SIGTERM
		w.stopped()
		assert.NoError(t, w.err)
		assert.NotContains(t, w.log.text(), "battery")
	})
}

func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig)
		_, err := w.dial("192.0.2.7", "alice", "wrong")
		var end *gopptp.SessionError
		require.ErrorAs(t, err, &end)
		assert.Equal(t, gopptp.CauseAuthentication, end.Cause)
		synctest.Wait()
		assert.Equal(t, "alice", w.one("authentication refused")["user"])
		failed := w.one("session failed")
		assert.Equal(t, "authentication", failed["cause"])
		assert.NotContains(t, w.log.text(), "wrong password")
		w.signals <- os.Interrupt
		w.stopped()
	})
}

// What is configured of authentication and encryption is what sessions get.
func TestSecurity(t *testing.T) {
	for _, c := range []struct {
		name, config string
		client       gopptp.ClientConfig
		encryption   string // empty: no session
	}{
		{"defaults", "", gopptp.ClientConfig{}, "MPPE 128-bit stateless"},
		{"eap", "auth_methods: [eap]\n", gopptp.ClientConfig{AuthMethods: []ppp.AuthMethod{ppp.AuthEAP}}, "MPPE 128-bit stateless"},
		{"eap is not there by itself", "", gopptp.ClientConfig{AuthMethods: []ppp.AuthMethod{ppp.AuthEAP}}, ""},
		{"the first in common", "auth_methods: [ms-chapv1, ms-chapv2]\n",
			gopptp.ClientConfig{AuthMethods: []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthPAP}}, "MPPE 128-bit stateless"},
		{"chap-md5", "auth_methods: [ms-chapv2, chap-md5]\nencryption: prefer\n",
			gopptp.ClientConfig{AuthMethods: []ppp.AuthMethod{ppp.AuthCHAPMD5}, Encryption: gopptp.EncryptionPrefer}, "none"},
		{"pap", "auth_methods: [ms-chapv2, pap]\nencryption: allow\n",
			gopptp.ClientConfig{AuthMethods: []ppp.AuthMethod{ppp.AuthPAP}, Encryption: gopptp.EncryptionAllow}, "none"},
		{"a short key", "mppe_key_lengths: [40, 128]\n", gopptp.ClientConfig{KeyLengths: mppe.AllowKey40 | mppe.AllowKey56}, "MPPE 40-bit stateless"},
		{"no short key", "", gopptp.ClientConfig{KeyLengths: mppe.AllowKey40}, ""},
		{"stateful", "mppe_modes: [stateless, stateful]\n", gopptp.ClientConfig{EncryptionModes: mppe.AllowStateful}, "MPPE 128-bit stateful"},
		{"not stateful", "", gopptp.ClientConfig{EncryptionModes: mppe.AllowStateful}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, gatewayConfig+c.config)
				c.client.User, c.client.Password = "alice", "correct horse"
				session, err := w.dialWith("192.0.2.7", c.client)
				if c.encryption == "" {
					require.Error(t, err)
				} else {
					require.NoError(t, err)
					assert.Equal(t, c.encryption, session.Encryption())
				}
				w.signals <- os.Interrupt
				w.stopped()
				assert.NotContains(t, w.log.text(), "correct horse")
			})
		})
	}
}

func TestReauthenticate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig+"reauthenticate: 1m\n")
		var begun atomic.Int32
		_, err := w.dialWith("192.0.2.7", gopptp.ClientConfig{User: "alice", Password: "correct horse", Trace: func(e gopptp.TraceEvent) {
			// A Challenge of CHAP, from the gateway.
			if e.Kind != gopptp.TracePPP || e.Sent {
				return
			}
			if p, b, err := ppp.DecodeFrame(e.Data); err == nil && p == ppp.ProtocolCHAP && b[0] == 1 {
				begun.Add(1)
			}
		}})
		require.NoError(t, err)
		time.Sleep(210 * time.Second)
		synctest.Wait()
		assert.EqualValues(t, 4, begun.Load())
		w.signals <- os.Interrupt
		w.stopped()
	})
}

// A signal ends the sessions in order: their peers are told.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig)
		alice, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		bob, err := w.dial("192.0.2.8", "bob", "battery staple")
		require.NoError(t, err)

		begin := time.Now()
		w.signals <- syscall.SIGTERM
		w.stopped()
		assert.NoError(t, w.err)
		assert.Less(t, time.Since(begin), 2*time.Second)
		for _, s := range []*gopptp.Session{alice, bob} {
			<-s.Done()
			var end *gopptp.SessionError
			require.ErrorAs(t, s.Err(), &end)
			assert.Equal(t, gopptp.CausePeer, end.Cause, "was told")
		}
		assert.EqualValues(t, 2, w.one("stopping")["sessions"])
		ends := w.log.records("session down")
		require.Len(t, ends, 2)
		assert.Equal(t, "shutdown", ends[0]["cause"])
		w.one("stopped")
	})
}

// With the cable pulled nobody answers, and stop_timeout ends it.
func TestStopTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, strings.Replace(gatewayConfig, "stop_timeout: 10s", "stop_timeout: 1s", 1))
		_, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		w.network.Cut(true)
		begin := time.Now()
		w.signals <- syscall.SIGTERM
		<-w.done
		assert.Equal(t, time.Second, time.Since(begin))
		w.one("stop_timeout is over, sessions were dropped")
		w.one("session down")
		w.network.Cut(false)
		w.stopped()
	})
}

// A second signal does not wait.
func TestForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig)
		_, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		w.network.Cut(true)
		begin := time.Now()
		w.signals <- syscall.SIGTERM
		time.Sleep(100 * time.Millisecond)
		w.signals <- syscall.SIGTERM
		<-w.done
		assert.Equal(t, 100*time.Millisecond, time.Since(begin))
		assert.NoError(t, w.err)
		w.one("dropping what is left")
		w.one("session down")
		w.network.Cut(false)
		w.stopped()
	})
}

// Nothing is left of a gateway that cannot start.
func TestStartFails(t *testing.T) {
	cfg, problems := config.Parse("gw.yaml", []byte("listen: [192.0.2.1:1723, 192.0.2.2:1723]\nusers: [{name: a, password: b}]\n"))
	require.Empty(t, problems)
	store, _ := users.Load(cfg)
	network := memory.NewNetwork()
	defer network.Close()
	host := network.Host(netip.MustParseAddr("192.0.2.1"))
	broken := errors.New("broken")

	o := Options{Config: cfg, Users: store, Log: slog.New(slog.DiscardHandler)}
	o.Listen = func(addr netip.AddrPort) (net.Listener, error) {
		if addr == cfg.Listen[1] {
			return nil, broken
		}
		return host.Listen(addr.Port())
	}
	assert.ErrorIs(t, Run(o), broken)

	ports := uint16(2000)
	o.Listen = func(netip.AddrPort) (net.Listener, error) { ports++; return host.Listen(ports) }
	o.OpenDataplane = func() (gopptp.Dataplane, error) { return nil, broken }
	assert.ErrorIs(t, Run(o), broken)

	for _, port := range []uint16{1723, 2001, 2002} {
		l, err := host.Listen(port)
		require.NoError(t, err, "port %d is free again", port)
		l.Close()
	}
}

// A listener that fails later ends the gateway.
func TestListenerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := config.Parse("gw.yaml", []byte(gatewayConfig))
		store, _ := users.Load(cfg)
		network := memory.NewNetwork()
		defer network.Close()
		host := network.Host(netip.MustParseAddr("192.0.2.1"))
		var l net.Listener
		done := make(chan error)
		go func() {
			done <- Run(Options{
				Config: cfg, Users: store, Log: slog.New(slog.DiscardHandler), Signals: make(chan os.Signal),
				OpenDataplane: func() (gopptp.Dataplane, error) { return host.Dataplane(), nil },
				Listen: func(addr netip.AddrPort) (_ net.Listener, err error) {
					l, err = host.Listen(addr.Port())
					return l, err
				},
			})
		}()
		synctest.Wait()
		l.Close()
		assert.ErrorIs(t, <-done, net.ErrClosed)
	})
}

// A client that wants IPv6 gets a network of its own, but not the gateway's.
func TestIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig+"ipv6: {prefix: '2001:db8:1::/62', dns: ['2001:db8::53']}\n")
		s, err := w.dialWith("198.51.100.1", gopptp.ClientConfig{User: "alice", Password: "correct horse", IPv6: true})
		require.NoError(t, err)
		require.Equal(t, "2001:db8:1:1::/64", s.IPv6Prefix().String())
		require.Equal(t, []netip.Addr{netip.MustParseAddr("2001:db8::53")}, s.IPv6DNS())
		// At the same instant here, so that the first may have it already.
		up := w.one("session up")
		if later := w.log.records("session has IPv6"); len(later) > 0 {
			require.Len(t, later, 1)
			require.Equal(t, s.LocalIPv6().String(), later[0]["peer"])
			up = later[0]
		}
		require.Equal(t, "2001:db8:1:1::/64", up["prefix"])
		w.signals <- syscall.SIGTERM
		w.stopped()
		require.NoError(t, w.err)
	})
}

// A kernel has the sessions of the gateway, and nothing is left there of them.
func TestKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		host := kerneltest.NewHost(n, netip.MustParseAddr("192.0.2.1"), kerneltest.Options{})
		k, err := host.Open(kernel.Options{DeviceName: "vpn%d"})
		require.NoError(t, err)
		w := startOn(t, gatewayConfig, n, host.Host, dataplane.Compose(k, nil, nil))
		s, err := w.dial("198.51.100.1", "alice", "correct horse")
		require.NoError(t, err)
		require.Equal(t, "MPPE 128-bit stateless", w.one("session up")["encryption"])
		devices := host.Devices()
		require.Len(t, devices, 1)
		require.Equal(t, "vpn0", devices[0].Name)

		packet := make([]byte, 28)
		packet[0], packet[3], packet[8], packet[9] = 0x45, byte(len(packet)), 64, 17
		from, to := s.Peer().As4(), s.Local().As4()
		copy(packet[12:], from[:])
		copy(packet[16:], to[:])
		host.Send(packet)
		require.Equal(t, packet, <-w.network.Host(netip.MustParseAddr("198.51.100.1")).Packets())

		w.signals <- syscall.SIGTERM
		<-w.done
		require.NoError(t, w.err)
		require.EqualValues(t, 1, w.one("session down")["sent_packets"])
		require.Zero(t, host.Leaks())
		w.network.Close()
	})
}
