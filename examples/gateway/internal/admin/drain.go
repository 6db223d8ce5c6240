package admin

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/gopptp/gopptp"
)

// How many sessions are ended at a time when the deadline has come, and how long after the
// last ones: they all come in elsewhere then.
const (
	drainBatch = 100
	drainPause = 100 * time.Millisecond
)

const maxDrain = 30 * 24 * time.Hour

// drainer ends the sessions that are left when a deadline has come.
type drainer struct {
	mu       sync.Mutex
	deadline time.Time // zero: there is none
	cancel   context.CancelFunc
}

// set replaces the deadline. end is called when it has come, with a context that ends when
// there is another one, or none any more.
func (d *drainer) set(ctx context.Context, in time.Duration, end func(context.Context)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel != nil {
		d.cancel()
		d.cancel, d.deadline = nil, time.Time{}
	}
	if in == 0 {
		return
	}
	ctx, d.cancel = context.WithCancel(ctx)
	d.deadline = time.Now().Add(in)
	go func() {
		timer := time.NewTimer(in)
		defer timer.Stop()
		select {
		case <-timer.C:
			end(ctx)
		case <-ctx.Done():
		}
	}()
}

// at is the deadline; nil if there is none.
func (d *drainer) at() *time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deadline.IsZero() {
		return nil
	}
	at := d.deadline.Round(0)
	return &at
}

func (s *Server) drain(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	in := p.duration("deadline", 0, time.Second, maxDrain)
	if err := p.end(); err != nil {
		return err
	}
	s.gateway.Server.Drain()
	s.drainer.set(s.ctx, in, s.endAll)
	if in > 0 {
		s.gateway.Log.Info("sessions that are left are ended", "in", in, "by", clientOf(r).name)
	}
	s.drained(w, r, EventDrain)
	return nil
}

func (s *Server) undrain(w http.ResponseWriter, r *http.Request) error {
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	s.drainer.set(s.ctx, 0, nil)
	s.gateway.Server.Undrain()
	s.drained(w, r, EventUndrain)
	return nil
}

func (s *Server) drained(w http.ResponseWriter, r *http.Request, kind string) {
	s.gateway.Log.Info("draining", "on", kind == EventDrain, "by", clientOf(r).name)
	s.gateway.Events.Publish(Event{Kind: kind, Text: "by " + clientOf(r).name})
	writeJSON(w, s.stateOf(r))
}

var errDrained = errors.New("the gateway is drained, and the deadline has come")

// endAll ends all sessions in order, some at a time.
func (s *Server) endAll(ctx context.Context) {
	list := s.gateway.Server.Sessions()
	s.gateway.Log.Info("the deadline to drain has come", "sessions", len(list))
	ticker := time.NewTicker(drainPause)
	defer ticker.Stop()
	for i, one := range list {
		if i > 0 && i%drainBatch == 0 {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
		one.End(gopptp.CauseAdmin, errDrained)
	}
}
