package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/memory"
)

// virtual has f run in virtual time with an address on a network in memory, and with what
// opens connections to it.
func virtual(t *testing.T, f func(t *testing.T, w *world, dial func() net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.server = New(w.gateway)
		w.serveOn(t, w.net, f)
	})
}

func (w *world) serveOn(t *testing.T, n *memory.Network, f func(t *testing.T, w *world, dial func() net.Conn)) {
	l, err := n.Host(netip.MustParseAddr("192.0.2.1")).Listen(9180)
	require.NoError(t, err)
	w.server.Serve(l)
	defer w.server.Close()
	f(t, w, func() net.Conn {
		c, err := n.Host(netip.MustParseAddr("192.0.2.9")).DialContext(t.Context(), "tcp", "192.0.2.1:9180")
		require.NoError(t, err)
		return c
	})
}

// ask sends text on a connection, and returns the first line of what comes.
func ask(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
	line, err := bufio.NewReader(c).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line)
}

const healthz = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

// Who says nothing, or only a part of it, does not keep a connection.
func TestTimeouts(t *testing.T) {
	virtual(t, func(t *testing.T, _ *world, dial func() net.Conn) {
		for text, want := range map[string]time.Duration{
			"":                                  5 * time.Second,
			"GET /healthz HTTP/1.1\r\nHost: lo": 5 * time.Second,
			"POST /debug/pprof/symbol HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n0x": 10 * time.Second,
			healthz: time.Minute,
		} {
			c, begin := dial(), time.Now()
			_, err := io.WriteString(c, text)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, c)
			assert.NoError(t, err)
			assert.Equal(t, want, time.Since(begin).Truncate(time.Second), text)
			c.Close()
		}
	})
}

// Connections beyond those that are served at once wait, and have their turn.
func TestConnections(t *testing.T) {
	virtual(t, func(t *testing.T, _ *world, dial func() net.Conn) {
		var open []net.Conn
		for range maxConns {
			c := dial()
			assert.Equal(t, "HTTP/1.1 200 OK", ask(t, c, healthz))
			open = append(open, c)
		}
		last := dial()
		defer last.Close()
		answered := make(chan string, 1)
		go func() { answered <- ask(t, last, healthz) }()
		synctest.Wait()
		assert.Empty(t, answered)
		open[7].Close()
		assert.Equal(t, "HTTP/1.1 200 OK", <-answered)
		for _, c := range open {
			c.Close()
		}
	})
}

// Who follows the events and reads none of them holds up nobody, and is cut off.
func TestFollowerWhoReadsNothing(t *testing.T) {
	virtual(t, func(t *testing.T, w *world, dial func() net.Conn) {
		deaf, other := dial(), dial()
		defer deaf.Close()
		defer other.Close()
		assert.Equal(t, "HTTP/1.1 200 OK", ask(t, deaf, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		begin := time.Now()
		for i := range 100_000 {
			w.gateway.Events.Publish(Event{Kind: EventReload, Text: fmt.Sprint("number ", i)})
		}
		assert.Equal(t, "HTTP/1.1 200 OK", ask(t, other, healthz))
		assert.Zero(t, time.Since(begin), "nobody waits")
		synctest.Wait()
		waiting := func() (list []int) {
			h := w.gateway.Events
			h.mu.Lock()
			defer h.mu.Unlock()
			for s := range h.subscribers {
				s.mu.Lock()
				list = append(list, len(s.waiting))
				s.mu.Unlock()
			}
			return list
		}
		assert.Equal(t, []int{eventBuffer}, waiting())
		time.Sleep(writeTimeout + time.Second)
		synctest.Wait()
		assert.Empty(t, waiting())
	})
}

// No body is read beyond its bound, whoever reads it.
func TestBodiesAreBounded(t *testing.T) {
	addr, _ := serve(t, newGateway(t))
	var sent counter
	body := strings.NewReader(strings.Repeat("0x1+", 10_000_000))
	resp, err := http.Post("http://"+addr.Address+"/debug/pprof/symbol", "text/plain", io.TeeReader(body, &sent))
	if err == nil { // or else the connection was closed while there was more to send
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	assert.Less(t, sent.n.Load(), body.Size()/2, "most of it was not wanted")
}

// counter counts what is written.
type counter struct{ n atomic.Int64 }

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}

// Every answer has browsers do nothing with it that it is not for.
func TestHeadersOfAll(t *testing.T) {
	w := start(t, nil)
	s := w.publish("", "")
	for _, path := range []string{"/", "/app.js", "/none", "/api/v1/openapi.json", "/api/v1/none", "/api/v1/state", "/stats", "/metrics", "/debug/pprof/", "/debug/pprof/cmdline"} {
		_, _, h := s.do("GET", path, "", "Authorization", "Bearer "+s.read)
		assert.Equal(t, policy, h.Get("Content-Security-Policy"), path)
		assert.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		assert.Equal(t, "no-referrer", h.Get("Referrer-Policy"), path)
		assert.Equal(t, "same-origin", h.Get("Cross-Origin-Resource-Policy"), path)
	}
}

// Other sites may link to the page, and have a browser ask for nothing else.
func TestOtherSites(t *testing.T) {
	asked := ""
	h := sameOrigin(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked = r.URL.Path }))
	for _, c := range []struct {
		method, path, site, origin string
		want                       int
	}{
		{"GET", "/", "cross-site", "", 200},
		{"GET", "/", "same-site", "", 200},
		{"GET", "/api/v1/state", "same-origin", "", 200},
		{"GET", "/api/v1/state", "none", "", 200},
		{"GET", "/api/v1/state", "", "", 200},
		{"POST", "/api/v1/drain", "same-origin", "", 200},
		{"POST", "/api/v1/drain", "", "", 200},
		{"HEAD", "/", "cross-site", "", 403},
		{"POST", "/", "cross-site", "", 403},
		{"GET", "/api/v1/events", "cross-site", "", 403},
		{"GET", "/api/v1/events", "same-site", "", 403},
		{"GET", "/debug/pprof/profile", "cross-site", "", 403},
		{"OPTIONS", "/api/v1/drain", "cross-site", "http://evil.example", 403},
		{"DELETE", "/api/v1/bans", "cross-site", "", 403},
		{"DELETE", "/api/v1/bans", "", "http://evil.example", 403},
		{"DELETE", "/api/v1/bans", "", "null", 403},
	} {
		asked = ""
		r := httptest.NewRequest(c.method, "http://localhost:9180"+c.path, nil)
		for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Origin": c.origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, c.want, w.Code, "%v", c)
		assert.Equal(t, c.want == 200, asked != "", "%v", c)
	}
}

// Stacks with arguments are not to be had by any other name of the profile.
func TestNoArguments(t *testing.T) {
	addr, _ := serve(t, newGateway(t))
	for _, path := range []string{"goroutine", "%67oroutine", "./goroutine", "x/../goroutine", "/goroutine", "heap", ""} {
		for _, debug := range []string{"2", "%2B2", "02", "99999999999999999999"} {
			_, err := NewClient(addr).Get(context.Background(), "/debug/pprof/"+path+"?debug="+debug)
			assert.ErrorContains(t, err, "403 Forbidden", path+" "+debug)
		}
	}
}
