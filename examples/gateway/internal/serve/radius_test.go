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
	"slices"
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
	hours := func(from, to time.Duration) []string { // from now on
		at := func(d time.Duration) string { return time.Now().Add(d).Format("1504") }
		return []string{fmt.Sprintf(`Login-Time := "Al%s-%s"`, at(from), at(to))}
	}
	s := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{
		{Name: "alice", Password: "of the server"},
		{Name: "bob", Password: "of the server", Reply: []string{"Framed-IP-Address = 10.9.1.99"}},
		{Name: "carol", Password: "of the server", Check: hours(-time.Hour, 2*time.Hour)},
		{Name: "dave", Password: "of the server", Check: hours(2*time.Hour, 3*time.Hour)},
		{Name: "erin", Password: "of the server", Check: []string{`Expiration := "` + time.Now().Add(3*time.Hour).Format("Jan 02 2006 15:04:05") + `"`}},
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
		assert.Equal(t, "bob", r.Get("User-Name"), "others are not asked about")
		assert.Equal(t, "gw7", r.Get("NAS-Identifier"))
	}

	// Hours are the server's: it lets nobody in at others, and says how long they go on.
	_, err = dial(3, "dave", "of the server")
	require.Error(t, err)
	operator := admin.NewClient(cfg.Admin.Listen)
	for user, left := range map[string]time.Duration{"carol": 2 * time.Hour, "erin": 3 * time.Hour} {
		session, err := dial(3, user, "of the server")
		require.NoError(t, err)
		var ups []map[string]any
		require.Eventually(t, func() bool {
			ups = slices.DeleteFunc(w.log.records("session up"), func(r map[string]any) bool { return r["user"] != user })
			return len(ups) == 1
		}, 20*time.Second, time.Millisecond)
		b, err := operator.Get(t.Context(), "/api/v1/sessions/"+ups[0]["session"].(string))
		require.NoError(t, err)
		var detail admin.Detail
		require.NoError(t, json.Unmarshal(b, &detail))
		assert.InDelta(t, left.Seconds(), detail.SessionTimeout, 120, user)
		session.Close()
	}

	figures, err := operator.Get(t.Context(), "/api/v1/sections")
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
	assert.Equal(t, 3, sections.RADIUS.Servers[0].Accepts)
	assert.Equal(t, 4, sections.RADIUS.Servers[0].Latency.Count)
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
