package admin

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

func TestSessions(t *testing.T) {
	w := start(t, nil)
	assert.Equal(t, Page{Sessions: []Session{}}, w.list(""))
	bob, alice := w.dial("192.0.2.3", "bob"), w.dial("192.0.2.2", "alice")

	assert.Equal(t, []string{"alice", "bob"}, users(w.list("?sort=user")))
	assert.Equal(t, []string{"bob", "alice"}, users(w.list("?sort=-user")))
	assert.Equal(t, []string{"bob"}, users(w.list("?user=bob")))
	assert.Equal(t, []string{"alice"}, users(w.list("?source=192.0.2.2")))
	assert.Equal(t, []string{"bob"}, users(w.list("?address="+bob.Local().String())))
	assert.Equal(t, []string{"alice"}, users(w.list("?group=a")))
	assert.Empty(t, w.list("?address=10.9.9.9").Sessions)
	first := w.list("?sort=user&limit=1")
	assert.Equal(t, 2, first.Total)
	assert.Equal(t, []string{"bob"}, users(w.list("?sort=user&cursor="+first.Next)))

	one := first.Sessions[0]
	assert.Equal(t, alice.Local(), one.Address)
	assert.Equal(t, netip.MustParseAddr("192.0.2.2"), one.Source.Addr())
	assert.Equal(t, "MPPE 128-bit stateless", one.Encryption)
	assert.WithinDuration(t, time.Now(), one.UpAt, time.Minute)
	assert.Nil(t, one.Traffic)

	var d Detail
	w.get("/sessions/"+string(one.ID), &d)
	assert.Equal(t, "alice", d.User)
	assert.Equal(t, "up", d.State)
	assert.Equal(t, "config", d.Backend)
	assert.Equal(t, netip.MustParseAddr("10.8.0.1"), d.Gateway)
	assert.Equal(t, 1456, d.MTU)
	assert.Contains(t, d.Counters, "dropped_source")
	assert.Nil(t, d.Limits)
	assert.Zero(t, d.SessionTimeout)

	live := w.gateway.Live.Get(one.ID)
	require.NoError(t, live.SetRates(gopptp.Rates{ToPeer: gopptp.BitRate{BitsPerSecond: 5e6}}))
	live.SetTimeouts(time.Hour, 0)
	require.Eventually(t, func() bool { session, _ := live.Timeouts(); return session == time.Hour }, time.Minute, time.Millisecond)
	d = Detail{}
	w.get("/sessions/"+string(one.ID), &d)
	assert.Equal(t, &Traffic{ToPeer: 5e6}, d.Limits)
	assert.EqualValues(t, 3600, d.SessionTimeout)
	assert.Zero(t, d.IdleTimeout)
}

func TestDisconnect(t *testing.T) {
	w := start(t, nil)
	end := func(order Disconnect) int {
		var done Disconnected
		require.NoError(t, w.client.Do(t.Context(), "POST", "/disconnect", order, &done))
		return done.Disconnected
	}
	clients := make(map[string]*gopptp.Session)
	dial := func(name, from, user string) { clients[name] = w.dial(from, user) }
	gone := func(names ...string) {
		t.Helper()
		for _, name := range names {
			<-clients[name].Done()
			delete(clients, name)
		}
		require.Eventually(t, func() bool { return w.gateway.Live.Len() == len(clients) }, time.Minute, time.Millisecond)
	}
	dial("a1", "192.0.2.2", "alice")
	dial("a2", "192.0.2.3", "alice")
	dial("b1", "192.0.2.3", "bob")
	dial("c1", "192.0.2.4", "carol")
	dial("d1", "192.0.2.130", "dave")

	require.NoError(t, w.client.Do(t.Context(), "DELETE", "/sessions/"+string(w.list("?user=bob").Sessions[0].ID), nil, nil))
	gone("b1")
	assert.Equal(t, 2, end(Disconnect{User: "alice"}))
	gone("a1", "a2")
	assert.Equal(t, 1, end(Disconnect{Source: "192.0.2.128/25", Confirm: true}))
	gone("d1")
	assert.Equal(t, 1, end(Disconnect{ID: w.list("").Sessions[0].ID}))
	gone("c1")
	assert.Equal(t, 0, end(Disconnect{All: true, Confirm: true}))
	dial("e1", "192.0.2.4", "eve")
	assert.Equal(t, 1, end(Disconnect{All: true, Confirm: true}))
	gone("e1")
}

func TestDrain(t *testing.T) {
	w := start(t, nil)
	w.dial("192.0.2.2", "alice")
	var s State
	w.get("/state", &s)
	assert.False(t, s.Draining)
	assert.Equal(t, 1, s.Sessions)

	require.NoError(t, w.client.Do(t.Context(), "POST", "/drain", nil, &s))
	assert.True(t, s.Draining)
	host := w.net.Host(netip.MustParseAddr("192.0.2.3"))
	_, err := gopptp.Dial(t.Context(), "192.0.2.1", gopptp.ClientConfig{
		Dataplane: host.Dataplane(), DialContext: host.DialContext, User: "bob", Password: "right",
	})
	require.Error(t, err)
	assert.Equal(t, []string{"alice"}, users(w.list("")))

	require.NoError(t, w.client.Do(t.Context(), "POST", "/undrain", nil, &s))
	assert.False(t, s.Draining)
	w.dial("192.0.2.3", "bob")
}

// Who is left at the deadline is told that it is over, and undrain takes the deadline back.
func TestDrainDeadline(t *testing.T) {
	w := start(t, nil)
	alice, bob := w.dial("192.0.2.2", "alice"), w.dial("192.0.2.3", "bob")
	var s State
	require.NoError(t, w.client.Do(t.Context(), "POST", "/drain?deadline=1h", nil, &s))
	require.NotNil(t, s.Deadline)
	assert.WithinDuration(t, time.Now().Add(time.Hour), *s.Deadline, time.Minute)
	s = State{}
	require.NoError(t, w.client.Do(t.Context(), "POST", "/undrain", nil, &s))
	assert.Nil(t, s.Deadline)
	require.NoError(t, w.client.Do(t.Context(), "POST", "/drain?deadline=1s", nil, &s))
	for _, one := range []*gopptp.Session{alice, bob} {
		<-one.Done()
		var end *gopptp.SessionError
		require.ErrorAs(t, one.Err(), &end)
		assert.Equal(t, gopptp.CausePeer, end.Cause, "was told")
	}
	assert.True(t, w.gateway.Server.Draining())
}

// With very many sessions they go some at a time, and undrain keeps the rest.
func TestDrainStops(t *testing.T) {
	var d drainer
	ended := make(chan error)
	d.set(t.Context(), time.Millisecond, func(ctx context.Context) {
		ended <- nil
		<-ctx.Done()
		ended <- ctx.Err()
	})
	<-ended
	d.set(t.Context(), 0, nil)
	assert.ErrorIs(t, <-ended, context.Canceled)
	assert.Nil(t, d.at())
}

func TestReload(t *testing.T) {
	var answer error
	w := start(t, func(g *Gateway) {
		g.Reload = func(context.Context) ([]string, error) { return []string{"dns: none, now 10.0.0.1"}, answer }
	})
	var done Reloaded
	require.NoError(t, w.client.Do(t.Context(), "POST", "/reload", nil, &done))
	assert.Equal(t, []string{"dns: none, now 10.0.0.1"}, done.Changes)

	answer = diag.Problems{{File: "gw.yaml", Line: 3, Key: "mtu", Text: "10 is too small"}}
	err := w.client.Do(t.Context(), "POST", "/reload", nil, nil)
	var p *Problem
	require.ErrorAs(t, err, &p)
	assert.Equal(t, http.StatusUnprocessableEntity, p.Status)
	assert.Equal(t, []string{"gw.yaml:3: mtu: 10 is too small"}, p.Problems)

	answer = errors.New("the data plane cannot change")
	status, text := w.refused("POST", "/reload", nil)
	assert.Equal(t, http.StatusUnprocessableEntity, status)
	assert.Equal(t, "nothing has changed: the data plane cannot change", text)
}

// memoryBans are bans as any part of the gateway may keep them.
type memoryBans map[Ban]bool

func (m memoryBans) List() (list []Ban) {
	for b := range m {
		list = append(list, b)
	}
	return list
}

func (m memoryBans) Add(b Ban) error {
	if b.Source.IsValid() && b.Source.Addr().IsLoopback() {
		return errors.New("127.0.0.1 is this host itself")
	}
	m[b] = true
	return nil
}

func (m memoryBans) Remove(user string, source netip.Prefix) (there bool) {
	for b := range m {
		if b.User == user && b.Source == source {
			delete(m, b)
			there = true
		}
	}
	return there
}

func TestBans(t *testing.T) {
	bans := make(memoryBans)
	w := start(t, func(g *Gateway) { g.Bans = bans })
	var b BanInForce
	require.NoError(t, w.client.Do(t.Context(), "POST", "/bans", BanOrder{Source: "192.0.2.7", Duration: "30m", Reason: "tries passwords"}, &b))
	assert.Equal(t, "192.0.2.7", b.Source)
	assert.InDelta(t, 1800, b.Seconds, 60)
	require.NoError(t, w.client.Do(t.Context(), "POST", "/bans", BanOrder{User: "alice", Source: "192.0.2.0/24"}, &b))
	assert.InDelta(t, 3600, b.Seconds, 60)

	var list BanList
	w.get("/bans", &list)
	require.Len(t, list.Bans, 2)
	assert.Equal(t, "tries passwords", list.Bans[0].Reason)
	assert.Equal(t, "192.0.2.0/24", list.Bans[1].Source)
	w.get("/bans?limit=1", &list)
	assert.Len(t, list.Bans, 1)
	assert.Equal(t, 2, list.Total)

	status, text := w.refused("POST", "/bans", BanOrder{Source: "127.0.0.1"})
	assert.Equal(t, http.StatusUnprocessableEntity, status)
	assert.Equal(t, "127.0.0.1 is this host itself", text)
	require.NoError(t, w.client.Do(t.Context(), "DELETE", "/bans?source=192.0.2.7", nil, nil))
	require.NoError(t, w.client.Do(t.Context(), "DELETE", "/bans?user=alice&source=192.0.2.0/24", nil, nil))
	assert.Empty(t, bans)
	status, _ = w.refused("DELETE", "/bans?user=alice", nil)
	assert.Equal(t, http.StatusNotFound, status)
}

func TestSections(t *testing.T) {
	type server struct {
		Address netip.Addr
		Latency time.Duration
		Down    *time.Time
		hidden  int
	}
	w := start(t, func(g *Gateway) {
		g.Sections = []Section{
			{"pools", func() any { return []struct{ Size, InUse int }{{254, 7}} }},
			{"radius", func() any {
				return struct{ Servers []server }{[]server{{Address: netip.MustParseAddr("192.0.2.53"), Latency: 20 * time.Millisecond, hidden: 1}}}
			}},
			{"nothing", func() any { return nil }},
		}
	})
	var all map[string]any
	w.get("/sections", &all)
	pools := []any{map[string]any{"size": 254.0, "in_use": 7.0}}
	assert.Equal(t, map[string]any{
		"pools":   pools,
		"radius":  map[string]any{"servers": []any{map[string]any{"address": "192.0.2.53", "latency": 0.02, "down": nil}}},
		"nothing": nil,
	}, all)
	var one []any
	w.get("/sections/pools", &one)
	assert.Equal(t, pools, one)
}

// Whatever is wrong with a request, one line says so, and nothing is changed.
func TestBadRequests(t *testing.T) {
	bans := make(memoryBans)
	w := start(t, func(g *Gateway) { g.Bans = bans })
	w.dial("192.0.2.2", "alice")
	for _, c := range []struct {
		method, path string
		body         any
		status       int
		want         string
	}{
		{"GET", "/", nil, 404, "there is nothing at /api/v1/"},
		{"GET", "/session", nil, 404, "there is nothing at /api/v1/session"},
		{"POST", "/sessions", nil, 405, "POST is not possible here; possible: GET"},
		{"PUT", "/bans", nil, 405, "PUT is not possible here; possible: GET, POST, DELETE"},
		{"GET", "/drain", nil, 405, "GET is not possible here; possible: POST"},
		{"GET", "/sessions?limit=-1", nil, 400, `limit: "-1" is not a number from 1 to 1000`},
		{"GET", "/sessions/0123", nil, 404, `no session has the ID "0123"`},
		{"GET", "/sessions/0123?x=1", nil, 400, `unknown parameter "x"`},
		{"DELETE", "/sessions/0123", nil, 404, `no session has the ID "0123"`},
		{"POST", "/drain?force=1", nil, 400, `unknown parameter "force"`},
		{"GET", "/state?x", nil, 400, `unknown parameter "x"`},
		{"GET", "/stats?x", nil, 400, `unknown parameter "x"`},
		{"GET", "/sections?x", nil, 400, `unknown parameter "x"`},
		{"GET", "/sections/none", nil, 404, `there is no section "none"`},
		{"GET", "/events?x", nil, 400, `unknown parameter "x"`},
		{"POST", "/reload", nil, 501, "this gateway cannot take its configuration anew while it runs"},

		{"POST", "/disconnect", nil, 415, "the body must be application/json, and its Content-Type say so"},
		{"POST", "/disconnect", raw("[]"), 400, "the body must be a JSON object, not a array"},
		{"POST", "/disconnect", raw("{}"), 400, "give one of id, user, source and all, not 0 of them"},
		{"POST", "/disconnect", raw(`{"user":"alice","all":true}`), 400, "give one of id, user, source and all, not 2 of them"},
		{"POST", "/disconnect", raw(`{"user":7}`), 400, "user cannot be a number"},
		{"POST", "/disconnect", raw(`{"users":["alice"]}`), 400, `unknown member "users"`},
		{"POST", "/disconnect", raw(`{"all":true}`), 400, "confirm must be true to disconnect all sessions"},
		{"POST", "/disconnect", raw(`{"source":"192.0.2.0/24"}`), 400, "confirm must be true to disconnect a whole network"},
		{"POST", "/disconnect", raw(`{"source":"home"}`), 400, `source: "home" is neither an address nor a network, like 192.0.2.0/24`},
		{"POST", "/disconnect", raw(`{"user":"bob"}`), 404, `there is no session of the user "bob"`},
		{"POST", "/disconnect", raw(`{"source":"192.0.2.9"}`), 404, "there is no session from 192.0.2.9"},
		{"POST", "/disconnect", raw(`{"id":"x"}`), 404, `there is no session with the ID "x"`},
		{"POST", "/disconnect", raw(`{"user":"` + strings.Repeat("a", maxBody) + `"}`), 413, "the body has more than 65536 octets"},

		{"POST", "/bans", raw(`{}`), 400, "give a user, a source, or both"},
		{"POST", "/bans", raw(`{"source":"x"}`), 400, `source: "x" is neither an address nor a network, like 192.0.2.0/24`},
		{"POST", "/bans", raw(`{"user":"a","duration":"1"}`), 400, `duration: "1" is not a duration from 1s to 87600h0m0s`},
		{"POST", "/bans", raw(`{"user":"a","duration":"-1h"}`), 400, `duration: "-1h" is not a duration from 1s to 87600h0m0s`},
		{"POST", "/bans", raw(`{"user":"a","reason":"` + strings.Repeat("x", 201) + `"}`), 400, "reason has 201 octets; it can have 200"},
		{"DELETE", "/bans", nil, 400, "give a user, a source, or both"},
		{"DELETE", "/bans?source=1", nil, 400, `source: "1" is neither an address nor a network, like 192.0.2.0/24`},
		{"GET", "/bans?limit=0", nil, 400, `limit: "0" is not a number from 1 to 10000`},
	} {
		status, text := w.refused(c.method, c.path, c.body)
		assert.Equal(t, c.status, status, "%s %s", c.method, c.path)
		assert.Equal(t, c.want, text, "%s %s", c.method, c.path)
	}
	assert.Equal(t, []string{"alice"}, users(w.list("")))
	assert.False(t, w.gateway.Server.Draining())
	assert.Empty(t, bans)
}

// What is not JSON at all, or has more behind it.
func TestBadBodies(t *testing.T) {
	w := start(t, nil)
	for body, want := range map[string]string{
		"":                      "the body is empty; it must be a JSON object",
		"{":                     "the body is not JSON: unexpected EOF",
		"user=alice":            "the body is not JSON: invalid character 'u' looking for beginning of value",
		`{"all":true} {"x":1}`:  "the body has something behind its JSON object",
		`{"user":"alice"}trash`: "the body has something behind its JSON object",
	} {
		req, err := http.NewRequest("POST", "http://localhost/api/v1/disconnect", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		resp, err := w.client.http.Do(req)
		require.NoError(t, err)
		assert.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
		err = refusal(resp)
		resp.Body.Close()
		assert.EqualError(t, err, want)
	}
}

// On the loopback interface, which every program of the host reaches, one may look only.
func TestLoopback(t *testing.T) {
	w := start(t, nil)
	w.dial("192.0.2.2", "alice")
	l, err := Listen(config.AdminAddr{Network: "tcp", Address: "127.0.0.1:0"}, "")
	require.NoError(t, err)
	w.server.Serve(l)
	w.client = NewClient(config.AdminAddr{Network: "tcp", Address: l.Addr().String()})
	t.Cleanup(w.client.http.CloseIdleConnections)

	var s State
	w.get("/state", &s)
	assert.Equal(t, 1, s.Sessions)
	for _, r := range w.server.routes() {
		if r.role != RoleOperate {
			continue
		}
		status, text := w.refused(r.method, strings.TrimPrefix(strings.ReplaceAll(r.path, "{id}", "x"), api), nil)
		assert.Equal(t, http.StatusForbidden, status, r.path)
		assert.Equal(t, "the loopback address may look, and change nothing: that needs the role operate", text)
	}
	assert.Equal(t, 1, w.gateway.Live.Len())
}

// A web page cannot have a browser change something, whichever name it goes by.
func TestCrossOrigin(t *testing.T) {
	w := start(t, nil)
	for _, c := range []struct {
		header, value, host string
		want                int
	}{
		{"", "", "localhost", 200},
		{"Sec-Fetch-Site", "same-origin", "localhost:9180", 200},
		{"Sec-Fetch-Site", "cross-site", "localhost:9180", 403},
		{"Sec-Fetch-Site", "same-site", "localhost:9180", 403},
		{"Origin", "http://evil.example", "localhost:9180", 403},
		{"Origin", "null", "localhost:9180", 403},
		{"Origin", "http://evil.example", "evil.example", 421},
	} {
		req, err := http.NewRequest("POST", "http://localhost/api/v1/undrain", nil)
		require.NoError(t, err)
		req.Host = c.host
		if c.header != "" {
			req.Header.Set(c.header, c.value)
		}
		resp, err := w.client.http.Do(req)
		require.NoError(t, err)
		resp.Body.Close()
		assert.Equal(t, c.want, resp.StatusCode, "%v", c)
	}
}

func TestClientErrors(t *testing.T) {
	dir := t.TempDir()
	missing := config.AdminAddr{Network: "unix", Address: dir + "/none.sock"}
	_, err := NewClient(missing).Get(t.Context(), "/stats")
	assert.ErrorIs(t, err, ErrNotRunning)
	assert.EqualError(t, err, "the gateway does not answer at "+missing.String()+": it is not running, or has another configuration")
}
