// Package readiness says whether new clients are welcome, to whoever spreads them over
// gateways.
package readiness

import (
	"io"
	"net/http"
	"sync"
)

// Check says in a few words why no new clients are welcome; empty: they are.
type Check func() string

// Gate is ready while all of its checks pass. Nobody is welcome before there is one. Its
// methods are safe for concurrent use.
type Gate struct {
	mu     sync.Mutex
	checks []Check
	closed string // why it is not open whatever the checks say
}

// New returns a Gate that is closed.
func New() *Gate { return &Gate{closed: "not listening yet"} }

// Open opens the gate for as long as the checks pass.
func (g *Gate) Open(checks ...Check) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checks, g.closed = checks, ""
}

// Close closes it for a reason.
func (g *Gate) Close(why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = why
}

// Why returns why it is closed, each reason by itself; none if it is open.
func (g *Gate) Why() (reasons []string) {
	g.mu.Lock()
	checks, closed := g.checks, g.closed
	g.mu.Unlock()
	if closed != "" {
		return []string{closed}
	}
	for _, check := range checks {
		if why := check(); why != "" {
			reasons = append(reasons, why)
		}
	}
	return reasons
}

// Ready reports whether it is open.
func (g *Gate) Ready() bool { return len(g.Why()) == 0 }

// ServeHTTP answers with 200, or with 503 and why, a reason a line.
func (g *Gate) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	reasons := g.Why()
	if len(reasons) == 0 {
		io.WriteString(w, "ready\n")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, why := range reasons {
		io.WriteString(w, why+"\n")
	}
}
