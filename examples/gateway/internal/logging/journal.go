package logging

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// journalSocket is where journald takes records.
const journalSocket = "/run/systemd/journal/socket"

// A field has maxField octets at the most, and a record hardly more than maxRecord, so that
// it is one datagram wherever the kernel's default for these has been left as it is.
const (
	maxField  = 8 << 10
	maxRecord = 64 << 10
)

// journal is journald's native protocol: a datagram a record, of fields.
type journal struct {
	path string
	conn *net.UnixConn // nil: is to be connected
}

func (j *journal) write(r record) error {
	if j.conn == nil {
		c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: j.path, Net: "unixgram"})
		if err != nil {
			return err
		}
		j.conn = c
	}
	if _, err := j.conn.Write(r.text); errors.Is(err, syscall.EMSGSIZE) {
		return errTooLarge
	} else if err != nil {
		j.close() // of a journald that has started anew, the socket is another
		return err
	}
	return nil
}

func (j *journal) close() {
	if j.conn != nil {
		j.conn.Close()
		j.conn = nil
	}
}

// journalHandler queues records as journald takes them: a message that can be read by
// itself, and each attribute as a field, such as GOPPTP_SESSION.
type journalHandler struct {
	inner  slog.Handler // writes the attributes as text into shared.line
	fields []byte       // of attributes that all records have
	prefix string       // of the names of fields
	*shared
}

func newJournalHandler(level slog.Leveler, q *queue) slog.Handler {
	s := &shared{queue: q}
	inner := slog.NewTextHandler(&s.line, &slog.HandlerOptions{Level: level, ReplaceAttr: without(slog.TimeKey, slog.LevelKey, slog.MessageKey)})
	return &journalHandler{inner: inner, prefix: "GOPPTP_", shared: s}
}

// Enabled implements slog.Handler.
func (h *journalHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.inner.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (h *journalHandler) Handle(ctx context.Context, r slog.Record) error {
	attrs, err := h.text(ctx, h.inner, r)
	if err != nil {
		return err
	}
	message := r.Message
	if len(attrs) > 0 {
		message += " " + string(attrs)
	}
	b := appendField(nil, "MESSAGE", message)
	b = appendField(b, "PRIORITY", strconv.Itoa(priority(r.Level)))
	b = appendField(b, "SYSLOG_IDENTIFIER", identifier)
	b = append(b, h.fields...)
	r.Attrs(func(a slog.Attr) bool {
		b = appendAttr(b, h.prefix, a)
		return len(b) < maxRecord
	})
	h.queue.put(record{r.Level, b})
	return nil
}

// WithAttrs implements slog.Handler.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.inner = h.inner.WithAttrs(attrs)
	c.fields = bytes.Clone(h.fields)
	for _, a := range attrs {
		c.fields = appendAttr(c.fields, h.prefix, a)
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *journalHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.inner = h.inner.WithGroup(name)
	c.prefix += fieldName(name) + "_"
	return &c
}

// priority is a level as syslog counts them.
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}

func appendAttr(b []byte, prefix string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		return appendField(b, prefix+fieldName(a.Key), v.String())
	}
	if a.Key != "" {
		prefix += fieldName(a.Key) + "_"
	}
	for _, one := range v.Group() {
		b = appendAttr(b, prefix, one)
	}
	return b
}

// appendField appends a field: NAME=value, or with its length if it has more than a line.
func appendField(b []byte, name, value string) []byte {
	value = value[:min(len(value), maxField)]
	b = append(b, name...)
	if !strings.Contains(value, "\n") {
		return append(append(append(b, '='), value...), '\n')
	}
	b = binary.LittleEndian.AppendUint64(append(b, '\n'), uint64(len(value)))
	return append(append(b, value...), '\n')
}

// fieldName is a name as journald takes it: of capital letters, digits and underscores,
// and 64 of them with the prefix.
func fieldName(name string) string {
	const room = 40
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name[:min(len(name), room)])
}
