// Package admin is how operators look into the running gateway and tell it what to do, over
// HTTP:
//
//	GET /healthz       "ok" while the gateway lives
//	GET /readyz        "ready" while new clients are welcome
//	GET /metrics       what it counts, for Prometheus
//	GET /stats         what it counts, and what it takes of the host, as [Stats]
//	    /api/v1/       sessions, bans, draining and the like; /api/v1/openapi.json has all of it
//	GET /debug/pprof/  profiles of net/http/pprof, for go tool pprof
//	GET /              a page for browsers, over the API
//
// [Listen] opens an address, [Server] serves it, and [Client] asks it. Who may do what is a
// [Role]: whoever can open the Unix socket may do everything, and on the loopback interface
// one may look. [ListenWeb] opens one for the network, where it takes a token. No answer holds a secret, but for the packets of users in traces: profiles
// have the names of functions, and no contents of memory.
//
// It is on the side. Nothing here holds up a session, and when an address fails, the
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
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// Gateway is what is administered.
type Gateway struct {
	Server    *gopptp.Server
	Dataplane gopptp.Dataplane
	Live      *sessions.Registry
	Log       *slog.Logger

	// These may be nil, where the gateway has no such thing.
	Events   *Events
	Reload   ReloadFunc
	Bans     Bans
	Sections []Section
	Metrics  http.Handler // for Prometheus
	Ready    http.Handler // answers with 503 while new clients are not welcome
}

const (
	// maxConns is how many connections of one address are served at once. More wait, so
	// that they cannot use up the descriptors of the process.
	maxConns = 64
	// maxHeader bounds the header of a request, but for what net/http adds to it.
	maxHeader = 8 << 10
	// stopTimeout is what answers have to end in, once their context has.
	stopTimeout = time.Second
)

// Server serves the addresses of a gateway.
type Server struct {
	gateway Gateway
	sampler *sampler
	drainer drainer
	traces  atomic.Int32 // under way
	started time.Time
	mux     http.Handler
	ctx     context.Context // of all requests
	cancel  context.CancelFunc

	mu        sync.Mutex
	addresses []*http.Server
	running   sync.WaitGroup // of what accepts
}

// New returns a Server that has no address yet.
func New(g Gateway) *Server {
	if g.Events == nil {
		g.Events = new(Events)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		gateway: g, sampler: &sampler{ctx: ctx, live: g.Live},
		started: time.Now(), ctx: ctx, cancel: cancel,
	}
	s.mux = s.routes().mux()
	return s
}

// Serve has l served until Close, which closes it. Whoever reaches a Unix socket may do
// everything; on the loopback interface, any program of the host may look.
func (s *Server) Serve(l net.Listener) {
	who := open("the Unix socket", RoleOperate)
	if l.Addr().Network() != "unix" {
		who = open("the loopback address", RoleRead)
	}
	s.serve(l, onlyLocalNames(sameOrigin(authorize(who, s.mux))))
}

func (s *Server) serve(l net.Listener, h http.Handler) {
	address := &http.Server{
		Handler:           http.MaxBytesHandler(guarded(h), maxBody),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // pprof adds the duration of its profiles
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ErrorLog:          slog.NewLogLogger(s.gateway.Log.With("address", "admin").Handler(), slog.LevelWarn),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses = append(s.addresses, address)
	s.running.Go(func() {
		if err := address.Serve(netutil.LimitListener(l, maxConns)); !errors.Is(err, http.ErrServerClosed) {
			s.gateway.Log.Error("the admin address failed", "listen", l.Addr().String(), "error", err)
		}
	})
}

// Close ends all answers that are under way, and the addresses.
func (s *Server) Close() {
	s.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.addresses {
		if a.Shutdown(ctx) != nil {
			a.Close()
		}
	}
	s.running.Wait()
}

// healthz asks the server for its counters, so that one that hangs does not pass for
// healthy.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	s.gateway.Server.Stats()
	io.WriteString(w, "ok\n")
}

func (s *Server) stats(w http.ResponseWriter, r *http.Request) error {
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	writeJSON(w, s.gateway.stats(s.started))
	return nil
}

// profiles are those by name, but for the forms with arguments of functions: keys that one
// takes by value would be among them, and the gateway stands still for as long as the stacks
// are written.
func profiles(w http.ResponseWriter, r *http.Request) {
	if debug, _ := strconv.Atoi(r.FormValue("debug")); debug > 1 {
		http.Error(w, "stacks with arguments may show keys; debug=1 has the stacks alone", http.StatusForbidden)
		return
	}
	pprof.Index(w, r)
}

// writeJSON answers with v, which can be encoded. That the client is gone is no matter.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}
