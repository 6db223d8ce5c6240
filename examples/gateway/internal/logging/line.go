package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// lineHandler queues records as lines.
type lineHandler struct {
	inner slog.Handler // writes into shared.line
	max   int          // octets of a line
	*shared
}

// shared is what all Handlers have in common that come from one.
type shared struct {
	queue *queue
	mu    sync.Mutex
	line  bytes.Buffer
}

func newLineHandler(f config.LogFormat, opts *slog.HandlerOptions, limit int, q *queue) slog.Handler {
	s := &shared{queue: q}
	return &lineHandler{format(f, &s.line, opts), limit, s}
}

// without leaves the built-in attributes of some names out.
func without(keys ...string) func(groups []string, a slog.Attr) slog.Attr {
	return func(groups []string, a slog.Attr) slog.Attr {
		for _, k := range keys {
			if len(groups) == 0 && a.Key == k {
				return slog.Attr{}
			}
		}
		return a
	}
}

// Enabled implements slog.Handler.
func (h *lineHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.inner.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h *lineHandler) Handle(ctx context.Context, r slog.Record) error {
	text, err := h.text(ctx, h.inner, r)
	if err == nil {
		h.queue.put(record{r.Level, text[:min(len(text), h.max)]})
	}
	return err
}

// text is what inner writes, without the end of the line.
func (s *shared) text(ctx context.Context, inner slog.Handler, r slog.Record) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line.Reset()
	err := inner.Handle(ctx, r)
	return bytes.TrimSuffix(bytes.Clone(s.line.Bytes()), []byte("\n")), err
}

// WithAttrs implements slog.Handler.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lineHandler{h.inner.WithAttrs(attrs), h.max, h.shared}
}

// WithGroup implements slog.Handler.
func (h *lineHandler) WithGroup(name string) slog.Handler {
	return &lineHandler{h.inner.WithGroup(name), h.max, h.shared}
}

// lines are records written to something, each a line.
type lines struct{ w io.Writer }

func (l lines) write(r record) error {
	_, err := l.w.Write(append(r.text, '\n'))
	return err
}

func (lines) close() {}
