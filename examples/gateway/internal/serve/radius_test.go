package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
	"github.com/gopptp/gopptp/examples/internal/radiustest"
	"github.com/gopptp/gopptp/memory"
)

// A gateway of a configuration with RADIUS: who is known here is decided here, others
// there, and an order ends a session.
func TestRADIUS(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("radclient"); err != nil {
		t.Skip("needs radclient: scripts/apt.sh freeradius-utils")
	}
	s := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{
		{Name: "alice", Password: "of the server"},
		{Name: "bob", Password: "of the server", Reply: []string{"Framed-IP-Address = 10.9.1.99"}},
	}})
	cfg, problems := config.Parse("gw.yaml", fmt.Appendf(nil, `
local_address: 10.9.0.1
pools: [10.9.1.0/24]
users: [{name: alice, password: of the file}]
radius: {nas_identifier: gw7, servers: [{address: '%v', secret: %s}]}
dynauth: {clients: [{source: 127.0.0.1/32, secret: %s}]}
admin: {listen: 'unix:%s'}
`, s.Auth, radiustest.Secret, radiustest.Secret, filepath.Join(t.TempDir(), "admin.sock")))
	require.Empty(t, problems)
	cfg.DynAuth.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	store, problems := users.Load(cfg)
	require.Empty(t, problems)

	network := memory.NewNetwork()
	defer network.Close()
	gateway := network.Host(netip.MustParseAddr("192.0.2.1"))
	w := &world{t: t, network: network}
	signals, done := make(chan os.Signal), make(chan error, 1)
	go func() {
		done <- Run(Options{
			Config: cfg, Users: store, Signals: signals,
			Log:           slog.New(slog.NewJSONHandler(&w.log, nil)),
			OpenDataplane: func() (gopptp.Dataplane, error) { return gateway.Dataplane(), nil },
			Listen:        func(addr netip.AddrPort) (net.Listener, error) { return gateway.Listen(addr.Port()) },
		})
	}()
	require.Eventually(t, func() bool { return len(w.log.records("ready")) == 1 }, 20*time.Second, time.Millisecond, "%s", w.log.text())
	orders := w.one("orders of RADIUS servers are taken")["listen"].(string)
	dial := func(host byte, user, password string) (*gopptp.Session, error) {
		h := network.Host(netip.AddrFrom4([4]byte{198, 51, 100, host}))
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		return gopptp.Dial(ctx, "192.0.2.1", gopptp.ClientConfig{
			Dataplane: h.Dataplane(), DialContext: h.DialContext, User: user, Password: password,
		})
	}
	_, err := dial(1, "alice", "of the server")
	require.Error(t, err)
	alice, err := dial(1, "alice", "of the file")
	require.NoError(t, err)
	bob, err := dial(2, "bob", "of the server")
	require.NoError(t, err)
	assert.Equal(t, "10.9.1.99", bob.Local().String())
	for _, r := range s.Requests() {
		assert.Equal(t, "bob", r.Get("User-Name"))
		assert.Equal(t, "gw7", r.Get("NAS-Identifier"))
	}

	figures, err := admin.NewClient(cfg.Admin.Listen).Get(t.Context(), "/api/v1/sections")
	require.NoError(t, err)
	var sections struct {
		RADIUS struct {
			Servers []struct {
				Accepts int
				Latency struct{ Count int }
			}
		}
		DynAuth struct{ Disconnects *int }
	}
	require.NoError(t, json.Unmarshal(figures, &sections))
	require.Len(t, sections.RADIUS.Servers, 1)
	assert.Equal(t, 1, sections.RADIUS.Servers[0].Accepts)
	assert.Equal(t, 1, sections.RADIUS.Servers[0].Latency.Count)
	assert.NotNil(t, sections.DynAuth.Disconnects)

	order := exec.Command("radclient", "-x", "-r", "3", "-t", "5", orders, "disconnect", radiustest.Secret)
	order.Stdin = strings.NewReader(fmt.Sprintf("User-Name = \"bob\"\nNAS-Identifier = \"gw7\"\nEvent-Timestamp = %d", time.Now().Unix()))
	out, _ := order.CombinedOutput()
	require.Contains(t, string(out), "Disconnect-ACK")
	<-bob.Done()
	assert.Equal(t, gopptp.StateUp, alice.State())

	signals <- syscall.SIGTERM
	require.NoError(t, <-done)
}
