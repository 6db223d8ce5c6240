package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/capture"
)

const (
	defaultTrace = time.Minute
	maxTrace     = time.Hour
	// maxTraces is how many sessions are traced at once.
	maxTraces = 16
)

// trace streams what passes in a session from now on, as a pcapng file.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	length := p.duration("duration", defaultTrace, time.Second, maxTrace)
	packets := p.boolean("packets")
	if err := p.end(); err != nil {
		return err
	}
	one, err := s.find(r)
	if err != nil {
		return err
	}
	if s.traces.Add(1) > maxTraces {
		s.traces.Add(-1)
		return problem(http.StatusServiceUnavailable, "%d sessions are traced already", maxTraces)
	}
	defer s.traces.Add(-1)
	c := capture.New(one.LocalAddr(), one.RemoteAddr())
	if packets {
		stop, err := capture.Tap(c, one.Peer(), one.IPv6Prefix())
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return problem(http.StatusNotImplemented, "packets of users cannot be had here: %v", err)
		case err != nil:
			return err
		}
		defer stop()
	}
	defer one.Trace(c.Trace)()
	s.gateway.Log.Info("session traced", "session", one.ID(), "user", one.User(), "packets", packets, "for", length, "by", clientOf(r).name)

	ctx, cancel := context.WithTimeout(r.Context(), length)
	defer cancel()
	go func() { // the end of the session is the end of its trace
		select {
		case <-one.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	w.Header().Set("Content-Type", "application/x-pcapng")
	w.Header().Set("Content-Disposition", `attachment; filename="`+string(one.ID())+`.pcapng"`)
	w.Header().Set("Cache-Control", "no-store")
	out := newStreamWriter(w)
	_ = c.WriteTo(out, out.flush, ctx.Done()) // that the client is gone is no matter
	return nil
}
