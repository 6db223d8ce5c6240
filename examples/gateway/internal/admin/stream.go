package admin

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

const (
	// writeTimeout is how long a client that streams may read nothing.
	writeTimeout = 30 * time.Second
	// aliveInterval is how often it hears something where nothing happens.
	aliveInterval = 15 * time.Second
)

// stream writes events as Server-Sent Events or, to whoever does not ask for these, as a
// JSON object a line.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	user := p.text("user")
	if err := p.end(); err != nil {
		return err
	}
	sub := s.gateway.Events.subscribe(user)
	if sub == nil {
		return problem(http.StatusServiceUnavailable, "%d clients follow the events already", maxSubscribers)
	}
	defer s.gateway.Events.unsubscribe(sub)

	before, after, kind := "", "\n", "application/x-ndjson"
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		before, after, kind = "data: ", "\n\n", "text/event-stream"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	out := newStreamWriter(w)
	if out.flush() != nil { // so that the client knows that it is heard
		return nil
	}
	alive := time.NewTicker(aliveInterval)
	defer alive.Stop()
	for {
		select {
		case <-r.Context().Done():
			return nil
		case <-alive.C:
			if kind == "text/event-stream" {
				out.Write([]byte(": alive\n\n"))
			}
		case <-sub.more:
			for _, e := range sub.take() {
				text, _ := json.Marshal(e)
				out.Write([]byte(before + string(text) + after))
			}
		}
		if out.flush() != nil {
			return nil
		}
	}
}

// streamWriter writes an answer that has no end, to a client that goes on reading.
type streamWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func newStreamWriter(w http.ResponseWriter) *streamWriter {
	return &streamWriter{w: w, control: http.NewResponseController(w)}
}

// Write implements io.Writer. After an error it does nothing.
func (s *streamWriter) Write(b []byte) (n int, err error) {
	if s.err == nil {
		s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
		n, s.err = s.w.Write(b)
	}
	return n, s.err
}

func (s *streamWriter) flush() error {
	if s.err == nil {
		s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
		s.err = s.control.Flush()
	}
	return s.err
}
