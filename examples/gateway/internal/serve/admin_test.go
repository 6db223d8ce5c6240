package serve

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
	"github.com/gopptp/gopptp/memory"
)

// The running gateway answers at its private address, and it takes it along. The
// address is real, so the time is, too.
func TestAdmin(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "admin.sock")
	cfg, problems := config.Parse("gw.yaml", []byte(gatewayConfig+"admin: {listen: 'unix:"+socket+"'}\n"))
	require.Empty(t, problems)
	store, _ := users.Load(cfg)
	network := memory.NewNetwork()
	defer network.Close()
	host, home := network.Host(netip.MustParseAddr("192.0.2.1")), network.Host(netip.MustParseAddr("192.0.2.7"))
	var log logBuffer
	signals, done := make(chan os.Signal), make(chan error, 1)
	listening := make(chan struct{})
	go func() {
		done <- Run(Options{
			Config: cfg, Users: store, Log: slog.New(slog.NewJSONHandler(&log, nil)), Signals: signals,
			OpenDataplane: func() (gopptp.Dataplane, error) { return host.Dataplane(), nil },
			Listen: func(addr netip.AddrPort) (net.Listener, error) {
				defer close(listening)
				return host.Listen(addr.Port())
			},
		})
	}()
	<-listening
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := gopptp.Dial(ctx, "192.0.2.1", gopptp.ClientConfig{
		Dataplane: home.Dataplane(), DialContext: home.DialContext, User: "alice", Password: "correct horse",
	})
	require.NoError(t, err)

	client := admin.NewClient(cfg.Admin.Listen)
	require.Eventually(t, func() bool { // the client may be up a moment sooner
		var s admin.Stats
		body, err := client.Get(ctx, "/stats")
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(body, &s))
		assert.EqualValues(t, 1, s.Server["sessions"])
		return s.Server["up"] == 1.0
	}, time.Minute, 10*time.Millisecond)

	signals <- syscall.SIGTERM
	require.NoError(t, <-done)
	assert.NoFileExists(t, socket)
	require.Len(t, log.records("admin address"), 1)
	assert.Equal(t, "unix:"+socket, log.records("admin address")[0]["listen"])
}

// Without an address that can be had, there is no gateway, and nothing is left of it.
func TestAdminFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "precious")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	cfg, _ := config.Parse("gw.yaml", []byte(gatewayConfig+"admin: {listen: 'unix:"+file+"'}\n"))
	store, _ := users.Load(cfg)
	network := memory.NewNetwork()
	defer network.Close()
	host := network.Host(netip.MustParseAddr("192.0.2.1"))
	o := Options{
		Config: cfg, Users: store, Log: slog.New(slog.DiscardHandler),
		Listen:        func(addr netip.AddrPort) (net.Listener, error) { return host.Listen(addr.Port()) },
		OpenDataplane: func() (gopptp.Dataplane, error) { return nil, io.ErrUnexpectedEOF },
	}
	assert.EqualError(t, Run(o), "admin address: "+file+" is there already, and not a socket")

	require.NoError(t, os.Remove(file))
	assert.ErrorIs(t, Run(o), io.ErrUnexpectedEOF)
	assert.NoFileExists(t, file)
	l, err := host.Listen(1723)
	require.NoError(t, err, "free again")
	l.Close()
}
