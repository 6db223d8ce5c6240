//go:build !windows && !plan9

package logging

import (
	"log/slog"
	"log/syslog"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// syslogSink is a syslog server, or the one of this host.
type syslogSink struct {
	addr   config.SyslogAddr
	writer *syslog.Writer // nil: is to be connected
}

func openSyslog(addr config.SyslogAddr) (sink, error) { return &syslogSink{addr: addr}, nil }

func (s *syslogSink) write(r record) error {
	if s.writer == nil {
		w, err := syslog.Dial(s.addr.Network, s.addr.Address, syslog.LOG_DAEMON|syslog.LOG_INFO, identifier)
		if err != nil {
			return err
		}
		s.writer = w
	}
	// It connects anew by itself.
	switch text := string(r.text); {
	case r.level >= slog.LevelError:
		return s.writer.Err(text)
	case r.level >= slog.LevelWarn:
		return s.writer.Warning(text)
	case r.level >= slog.LevelInfo:
		return s.writer.Info(text)
	default:
		return s.writer.Debug(text)
	}
}

func (s *syslogSink) close() {
	if s.writer != nil {
		s.writer.Close()
	}
}
