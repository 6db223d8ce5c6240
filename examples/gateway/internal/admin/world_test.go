package admin

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
	"github.com/gopptp/gopptp/memory"
)

// world is a gateway with clients, on a network in memory, and with an address.
type world struct {
	t       *testing.T
	net     *memory.Network
	gateway Gateway
	server  *Server
	client  *Client // of the Unix socket: it may do everything
}

// start opens the world in real time, as its address is real. change may add to the gateway.
func start(t *testing.T, change func(g *Gateway)) *world {
	t.Helper()
	w := newWorld(t)
	if change != nil {
		change(&w.gateway)
	}
	addr := config.AdminAddr{Network: "unix", Address: t.TempDir() + "/admin.sock"}
	l, err := Listen(addr, "")
	require.NoError(t, err)
	w.server = New(w.gateway)
	w.server.Serve(l)
	t.Cleanup(w.server.Close)
	w.client = NewClient(addr)
	t.Cleanup(w.client.http.CloseIdleConnections)
	check(t, w.client)
	return w
}

// newWorld has no address.
func newWorld(t *testing.T) *world {
	w := &world{t: t, net: memory.NewNetwork()}
	live, events := sessions.New(), new(Events)
	live.Watch(events.SessionEvent)
	host := w.net.Host(netip.MustParseAddr("192.0.2.1"))
	server := newServer(t, host.Dataplane(), live)
	l, err := host.Listen(gopptp.DefaultPort)
	require.NoError(t, err)
	go server.Serve(context.Background(), l)
	t.Cleanup(func() {
		server.Close()
		w.net.Close()
	})
	w.gateway = Gateway{Server: server, Dataplane: host.Dataplane(), Live: live, Events: events, Log: slog.New(slog.DiscardHandler)}
	return w
}

// dial brings a session up, and waits until the gateway knows it as well.
func (w *world) dial(from, user string) *gopptp.Session {
	w.t.Helper()
	host := w.net.Host(netip.MustParseAddr(from))
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	s, err := gopptp.Dial(ctx, "192.0.2.1", gopptp.ClientConfig{
		Dataplane: host.Dataplane(), DialContext: host.DialContext, User: user, Password: "right",
	})
	require.NoError(w.t, err)
	require.Eventually(w.t, func() bool { return w.gateway.Live.ByAddress(s.Local()) != nil }, time.Minute, time.Millisecond)
	return s
}

// get asks for a path below /api/v1.
func (w *world) get(path string, answer any) {
	w.t.Helper()
	require.NoError(w.t, w.client.Do(w.t.Context(), "GET", path, nil, answer), path)
}

// refused returns the status and the words of a refusal.
func (w *world) refused(method, path string, body any) (int, string) {
	w.t.Helper()
	err := w.client.Do(w.t.Context(), method, path, body, nil)
	var p *Problem
	require.ErrorAs(w.t, err, &p, "%s %s", method, path)
	assert.NotContains(w.t, p.Detail, "\n")
	assert.NotEmpty(w.t, p.Title)
	return p.Status, p.Detail
}

func (w *world) list(query string) Page {
	w.t.Helper()
	var p Page
	w.get("/sessions"+query, &p)
	return p
}

func users(p Page) (names []string) {
	for _, s := range p.Sessions {
		names = append(names, s.User)
	}
	return names
}

// raw is a body as it is.
type raw string

// MarshalJSON implements json.Marshaler.
func (r raw) MarshalJSON() ([]byte, error) { return json.RawMessage(r).MarshalJSON() }
