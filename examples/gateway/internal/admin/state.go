package admin

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

// State is the answer to GET /api/v1/state, and to POST /api/v1/drain and undrain.
type State struct {
	Version  string    `json:"version"`
	PID      int       `json:"pid"`
	Started  time.Time `json:"started"`
	Uptime   float64   `json:"uptime_seconds"`
	Draining bool      `json:"draining"` // newcomers are refused
	// Deadline is when the sessions that are left are ended, while Draining.
	Deadline *time.Time `json:"deadline,omitempty"`
	Sessions int        `json:"sessions"` // that are up
	Role     string     `json:"role"`     // of who asks
}

func (s *Server) stateOf(r *http.Request) State {
	return State{
		Version: version(), PID: os.Getpid(), Started: s.started.Round(0), Uptime: seconds(time.Since(s.started)),
		Draining: s.gateway.Server.Draining(), Deadline: s.drainer.at(), Sessions: s.gateway.Live.Len(), Role: clientOf(r).role.String(),
	}
}

func (s *Server) state(w http.ResponseWriter, r *http.Request) error {
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	writeJSON(w, s.stateOf(r))
	return nil
}

// ReloadFunc has the gateway take its configuration anew, and says what has changed, a
// line a change. With an error nothing has; that a configuration is wrong is a
// diag.Problems.
type ReloadFunc func(ctx context.Context) (changes []string, err error)

// Reloaded is the answer to POST /api/v1/reload.
type Reloaded struct {
	Changes []string `json:"changes"`
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	if s.gateway.Reload == nil {
		return problem(http.StatusNotImplemented, "this gateway cannot take its configuration anew while it runs")
	}
	changes, err := s.gateway.Reload(r.Context())
	var wrong diag.Problems
	switch {
	case errors.As(err, &wrong):
		p := problem(http.StatusUnprocessableEntity, "the configuration is wrong, and nothing has changed")
		for _, one := range wrong {
			p.Problems = append(p.Problems, one.String())
		}
		return p
	case err != nil:
		return problem(http.StatusUnprocessableEntity, "nothing has changed: %v", err)
	}
	s.gateway.Events.Publish(Event{Kind: EventReload, Text: "by " + clientOf(r).name})
	writeJSON(w, Reloaded{notNil(changes)})
	return nil
}
