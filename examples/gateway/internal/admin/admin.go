// Package admin is the gateway's private address, by which its operator looks into
// the running gateway, over HTTP:
//
//	GET /healthz       "ok" while the gateway lives
//	GET /stats         what it counts, and what it takes of the host, as [Stats]
//	GET /debug/pprof/  profiles of net/http/pprof, for go tool pprof
//
// [Listen] opens the address, [Start] serves it, and [Client] asks it. Whoever can reach
// the address may ask anything: it is a Unix socket of one user, or on the loopback
// interface. No answer holds a secret: profiles have the names of functions, and no
// contents of memory.
//
// It is on the side. Nothing here holds up a session, and when the address fails, the
// log says so and the gateway goes on.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/net/netutil"

	"github.com/gopptp/gopptp"
)

// Gateway is what is administered.
type Gateway struct {
	Server    *gopptp.Server
	Dataplane gopptp.Dataplane
	Log       *slog.Logger
}

const (
	// maxConns is how many connections are served at once. More wait, so that they
	// cannot use up the descriptors of the process.
	maxConns = 64
	// maxHeader bounds the header of a request, but for what net/http adds to it.
	maxHeader = 8 << 10
	// stopTimeout is what answers have to end in, once their context has.
	stopTimeout = time.Second
)

// Server serves the address.
type Server struct {
	gateway Gateway
	started time.Time
	http    http.Server
	cancel  context.CancelFunc // of all requests
	done    chan struct{}      // closed when nothing is accepted any more
}

// Start serves l, which it owns from here on, until Close.
func Start(l net.Listener, g Gateway) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{gateway: g, started: time.Now(), cancel: cancel, done: make(chan struct{})}
	handler := s.routes()
	if l.Addr().Network() != "unix" {
		handler = onlyLocalNames(handler)
	}
	s.http = http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // pprof adds the duration of its profiles
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(g.Log.With("address", "admin").Handler(), slog.LevelWarn),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(netutil.LimitListener(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
			g.Log.Error("the admin address failed", "error", err)
		}
	}()
	return s
}

// Close ends all answers that are under way, and the address.
func (s *Server) Close() {
	s.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.done
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux() // the default one is open to any package of the program
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /stats", s.stats)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // has the profiles by name
	mux.HandleFunc("GET /debug/pprof/goroutine", goroutines)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	return mux
}

// onlyLocalNames refuses requests for other hosts. A web page can have a browser on this
// host ask the address under the page's own name, and read the answer: DNS rebinding.
func onlyLocalNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocalName(r.Host) {
			http.Error(w, "this address is for localhost and loopback addresses only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLocalName(hostport string) bool {
	if addr, err := netip.ParseAddrPort(hostport); err == nil {
		return addr.Addr().Unmap().IsLoopback()
	}
	host, _, err := net.SplitHostPort(hostport)
	return err == nil && host == "localhost"
}

// healthz asks the server for its counters, so that one that hangs does not pass for
// healthy.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	s.gateway.Server.Stats()
	io.WriteString(w, "ok\n")
}

func (s *Server) stats(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, s.gateway.stats(s.started))
}

// goroutines is the profile of that name, but for its form with arguments: keys that a
// function takes by value would be among them, and the gateway stands still for as long
// as the stacks are written.
func goroutines(w http.ResponseWriter, r *http.Request) {
	if debug, _ := strconv.Atoi(r.FormValue("debug")); debug > 1 {
		http.Error(w, "stacks with arguments may show keys; debug=1 has the stacks alone", http.StatusForbidden)
		return
	}
	pprof.Handler("goroutine").ServeHTTP(w, r)
}

// writeJSON answers with v, which can be encoded. That the client is gone is no matter.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}
