package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// follow returns the lines of the events, from now on.
func (w *world) follow(query, accept string) *bufio.Scanner {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	w.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", "http://localhost"+api+"/events"+query, nil)
	require.NoError(w.t, err)
	req.Header.Set("Accept", accept)
	resp, err := w.client.http.Do(req)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { resp.Body.Close() })
	require.Equal(w.t, http.StatusOK, resp.StatusCode)
	return bufio.NewScanner(resp.Body)
}

func next(t *testing.T, lines *bufio.Scanner) (e Event) {
	t.Helper()
	require.True(t, lines.Scan(), lines.Err())
	text := strings.TrimPrefix(lines.Text(), "data: ")
	require.NoError(t, json.Unmarshal([]byte(text), &e), text)
	return e
}

func TestEvents(t *testing.T) {
	w := start(t, nil)
	all, alices := w.follow("", ""), w.follow("?user=alice", "text/event-stream")
	w.dial("192.0.2.3", "bob")
	alice := w.dial("192.0.2.2", "alice")
	require.NoError(t, w.client.Do(t.Context(), "POST", "/drain", nil, nil))
	alice.Close()
	<-alice.Done()

	e := next(t, all)
	assert.Equal(t, "up", e.Kind)
	assert.Equal(t, "bob", e.User)
	assert.Equal(t, "192.0.2.3", e.Source.Addr().String())
	e = next(t, all)
	assert.Equal(t, "alice", e.User)
	assert.Equal(t, alice.Local(), *e.Address)
	e = next(t, all)
	assert.Equal(t, EventDrain, e.Kind)
	assert.Equal(t, "by the Unix socket", e.Text)
	e = next(t, all)
	assert.Equal(t, "down", e.Kind)
	assert.Equal(t, "peer", e.Cause)
	assert.NotEmpty(t, e.Session)

	assert.Equal(t, "up", next(t, alices).Kind)
	require.True(t, alices.Scan())
	assert.Empty(t, alices.Text(), "ends an event")
	assert.Equal(t, "down", next(t, alices).Kind)
}

// Bans that operators begin and end are told, with whom they are of and who did it.
func TestEventsOfBans(t *testing.T) {
	w := start(t, func(g *Gateway) { g.Bans = make(memoryBans) })
	all, alices := w.follow("", ""), w.follow("?user=alice", "")
	require.NoError(t, w.client.Do(t.Context(), "POST", "/bans", BanOrder{Source: "::ffff:192.0.2.0/120", Duration: "30m", Reason: "tries passwords"}, nil))
	require.NoError(t, w.client.Do(t.Context(), "POST", "/bans", BanOrder{User: "alice", Source: "192.0.2.7"}, nil))
	w.refused("POST", "/bans", BanOrder{Source: "127.0.0.1"})
	w.refused("DELETE", "/bans?user=bob", nil)
	require.NoError(t, w.client.Do(t.Context(), "DELETE", "/bans?user=alice&source=192.0.2.7", nil, nil))

	e := next(t, all)
	assert.Equal(t, EventBan, e.Kind)
	assert.Empty(t, e.User)
	assert.Equal(t, "192.0.2.0/24", e.Network, "is one of IPv4")
	assert.WithinDuration(t, time.Now().Add(30*time.Minute), *e.Until, time.Minute)
	assert.Equal(t, "by the Unix socket: tries passwords", e.Text)
	for _, lines := range []*bufio.Scanner{all, alices} {
		e = next(t, lines)
		assert.Equal(t, EventBan, e.Kind)
		assert.Equal(t, "alice", e.User)
		assert.Equal(t, "192.0.2.7", e.Network)
		assert.Equal(t, "by the Unix socket", e.Text)
		e = next(t, lines)
		assert.Equal(t, EventUnban, e.Kind)
		assert.Equal(t, "alice", e.User)
		assert.Equal(t, "192.0.2.7", e.Network)
		assert.Nil(t, e.Until)
	}
}

// A subscriber that is slow loses events, is told how many, and where; nobody waits for it.
func TestSlowSubscriber(t *testing.T) {
	var events Events
	s, other := events.subscribe(""), events.subscribe("")
	for i := range eventBuffer + 7 {
		events.Publish(Event{Kind: "up", Uptime: float64(i)})
		other.take()
	}
	list := s.take()
	require.Len(t, list, eventBuffer+1)
	assert.Equal(t, float64(eventBuffer-1), list[eventBuffer-1].Uptime)
	assert.Equal(t, EventLost, list[eventBuffer].Kind)
	assert.Equal(t, 7, list[eventBuffer].Lost)
	events.Publish(Event{Kind: "down"})
	assert.Len(t, s.take(), 1)
	assert.Empty(t, s.take())
	events.unsubscribe(s)
	events.Publish(Event{Kind: "down"})
	assert.Empty(t, s.take())
}

func TestTooManySubscribers(t *testing.T) {
	w := start(t, nil)
	for range maxSubscribers {
		require.NotNil(t, w.gateway.Events.subscribe(""))
	}
	status, text := w.refused("GET", "/events", nil)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, "32 clients follow the events already", text)
}

// Close ends streams, in order.
func TestCloseEndsStreams(t *testing.T) {
	w := start(t, nil)
	w.dial("192.0.2.2", "alice")
	lines := w.follow("", "")
	trace, err := w.client.Stream(t.Context(), "/sessions/"+string(w.list("").Sessions[0].ID)+"/trace")
	require.NoError(t, err)
	defer trace.Close()
	w.server.Close()
	assert.False(t, lines.Scan())
	assert.NoError(t, lines.Err())
	_, err = io.Copy(io.Discard, trace)
	assert.NoError(t, err)
	assert.Empty(t, w.gateway.Events.subscribers)
}

// The ends of sessions say why.
func TestEventOfFailure(t *testing.T) {
	w := start(t, nil)
	lines := w.follow("", "")
	host := w.net.Host(w.dial("192.0.2.2", "alice").LocalAddr().Addr())
	assert.Equal(t, "up", next(t, lines).Kind)
	_, err := gopptp.Dial(t.Context(), "192.0.2.1", gopptp.ClientConfig{
		Dataplane: host.Dataplane(), DialContext: host.DialContext, User: "alice", Password: "wrong",
	})
	var refused *gopptp.SessionError
	require.True(t, errors.As(err, &refused))
	e := next(t, lines)
	assert.Equal(t, "failed", e.Kind)
	assert.Equal(t, "authentication", e.Cause)
	assert.Equal(t, "authenticate", e.Stage)
	assert.NotEmpty(t, e.Error)
}
