// Package logging is where the gateway's log goes: standard error, syslog, or journald with
// its fields.
//
// Nobody waits for any of them: records are queued, and while the log is slow or gone, as
// standard error is when its reader has stopped, the queue holds so many, and further ones are
// lost and counted.
package logging

import (
	"io"
	"log/slog"
	"math"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// identifier is the gateway's name in logs that are not its own.
const identifier = "gopptp-gateway"

// Log is a Logger that can be told its level while it works.
type Log struct {
	*slog.Logger
	Level *slog.LevelVar
	queue *queue
}

// Open returns the log of a configuration. What becomes of a log that cannot be written is
// said on stderr, too.
func Open(cfg *config.Log, stderr io.Writer) (*Log, error) {
	l := &Log{Level: new(slog.LevelVar)}
	l.Level.Set(cfg.Level)
	var h slog.Handler
	switch cfg.Output {
	case config.LogSyslog:
		s, err := openSyslog(cfg.Syslog)
		if err != nil {
			return nil, err
		}
		l.queue = newQueue("syslog", s, stderr)
		// syslog has the time itself.
		h = newLineHandler(cfg.Format, &slog.HandlerOptions{Level: l.Level, ReplaceAttr: without(slog.TimeKey)}, maxField, l.queue)
	case config.LogJournald:
		l.queue = newQueue("journald", &journal{path: journalSocket}, stderr)
		h = newJournalHandler(l.Level, l.queue)
	default:
		l.queue = newQueue("standard error", lines{stderr}, io.Discard)
		h = newLineHandler(cfg.Format, &slog.HandlerOptions{Level: l.Level}, math.MaxInt, l.queue)
	}
	l.Logger = slog.New(h)
	return l, nil
}

// Dropped is how many records are lost.
func (l *Log) Dropped() uint64 { return l.queue.dropped.Load() }

// Close writes what is queued, if that can be done soon.
func (l *Log) Close() { l.queue.close() }

func format(f config.LogFormat, w io.Writer, opts *slog.HandlerOptions) slog.Handler {
	if f == config.LogJSON {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}
