// Package logging is where the gateway's log goes: standard error, syslog, or journald with
// its fields.
//
// Nobody waits for syslog or journald: records for these are queued, and while they are slow
// or gone the queue holds so many, and further ones are lost and counted.
package logging

import (
	"io"
	"log/slog"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// identifier is the gateway's name in logs that are not its own.
const identifier = "gopptp-gateway"

// Log is a Logger that can be told its level while it works.
type Log struct {
	*slog.Logger
	Level *slog.LevelVar
	queue *queue // nil: records are written at once
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
		h = newLineHandler(cfg.Format, l.Level, l.queue)
	case config.LogJournald:
		l.queue = newQueue("journald", &journal{path: journalSocket}, stderr)
		h = newJournalHandler(l.Level, l.queue)
	default:
		h = format(cfg.Format, stderr, &slog.HandlerOptions{Level: l.Level})
	}
	l.Logger = slog.New(h)
	return l, nil
}

// Dropped is how many records are lost.
func (l *Log) Dropped() uint64 {
	if l.queue == nil {
		return 0
	}
	return l.queue.dropped.Load()
}

// Close writes what is queued, if that can be done soon.
func (l *Log) Close() {
	if l.queue != nil {
		l.queue.close()
	}
}

func format(f config.LogFormat, w io.Writer, opts *slog.HandlerOptions) slog.Handler {
	if f == config.LogJSON {
		return slog.NewJSONHandler(w, opts)
	}
	return slog.NewTextHandler(w, opts)
}
