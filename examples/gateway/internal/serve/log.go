package serve

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// logSessions returns what logs sessions: each that comes up, and each end. What is
// refused before there is a session, the server logs itself.
func logSessions(log *slog.Logger) func(sessions.Event) {
	// The prefixes of those that are up, as logged. Events come one at a time.
	prefixes := make(map[gopptp.SessionID]netip.Prefix)
	return func(e sessions.Event) {
		s := e.Session
		switch e.Kind {
		case sessions.Up, sessions.Changed:
			prefix := s.IPv6Prefix()
			last := prefixes[s.ID()]
			if prefix.IsValid() {
				prefixes[s.ID()] = prefix
			}
			if e.Kind == sessions.Changed && prefix != last && prefix.IsValid() {
				log.Info("session has IPv6", "session", s.ID(), "user", s.User(), "prefix", prefix, "peer", s.PeerIPv6())
				return
			}
			logUp(log, s, e.Kind == sessions.Changed)
		case sessions.Down, sessions.Failed:
			delete(prefixes, s.ID())
			logEnd(log, e)
		}
	}
}

func logUp(log *slog.Logger, s *gopptp.Session, again bool) {
	level, msg := slog.LevelInfo, "session up"
	if again { // as when CCP is renegotiated
		level, msg = slog.LevelDebug, "session up again"
	}
	attrs := []slog.Attr{slog.Any("session", s.ID()), slog.String("user", s.User()), slog.Any("remote", s.RemoteAddr()),
		slog.Any("address", s.Peer()), slog.Any("local", s.Local()), slog.Int("mtu", s.MTU()),
		slog.String("encryption", s.Encryption()),
		slog.Duration("setup", s.UpAt().Sub(s.StartedAt()).Round(time.Microsecond))}
	if p := s.IPv6Prefix(); p.IsValid() { // mostly comes later
		attrs = append(attrs, slog.Any("prefix", p))
	}
	log.LogAttrs(context.Background(), level, msg, attrs...)
}

func logEnd(log *slog.Logger, e sessions.Event) {
	s := e.Session
	attrs := []slog.Attr{slog.Any("session", s.ID())}
	if user := s.User(); user != "" { // is known once authenticated
		attrs = append(attrs, slog.String("user", user))
	}
	attrs = append(attrs, slog.Any("remote", s.RemoteAddr()), slog.String("cause", e.Cause.String()))
	if e.Kind == sessions.Failed {
		attrs = append(attrs, slog.String("stage", e.Stage.String()), slog.Any("error", e.Err),
			slog.Duration("duration", e.Time.Sub(s.StartedAt()).Round(time.Millisecond)))
		log.LogAttrs(context.Background(), slog.LevelWarn, "session failed", attrs...)
		return
	}
	c := s.Counters()
	attrs = append(attrs,
		slog.Any("address", s.Peer()),
		slog.Duration("duration", e.Time.Sub(s.UpAt()).Round(time.Millisecond)),
		slog.Uint64("received_packets", c.ReceivedPackets),
		slog.Uint64("received_octets", c.ReceivedOctets),
		slog.Uint64("sent_packets", c.SentPackets),
		slog.Uint64("sent_octets", c.SentOctets),
		slog.Uint64("lost", c.Lost),
	)
	attrs = append(attrs, dropped(c)...)
	switch e.Cause {
	case gopptp.CauseLocal, gopptp.CausePeer, gopptp.CauseShutdown: // an end in order
	default:
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	log.LogAttrs(context.Background(), slog.LevelInfo, "session down", attrs...)
}

// dropped has the packets that were not carried: how many, and of those by
// reason that there are.
func dropped(c gopptp.Counters) (attrs []slog.Attr) {
	total := uint64(0)
	for _, d := range []struct {
		reason string
		n      uint64
	}{
		{"source", c.DroppedSource},
		{"clear", c.DroppedClear},
		{"encrypted", c.DroppedEncrypted},
		{"malformed", c.DroppedMalformed},
		{"queue", c.DroppedQueue},
		{"network", c.DroppedNetwork},
		{"rate", c.DroppedRate},
		{"link", c.DroppedLink},
	} {
		if total += d.n; d.n > 0 {
			attrs = append(attrs, slog.Uint64("dropped_"+d.reason, d.n))
		}
	}
	return append([]slog.Attr{slog.Uint64("dropped", total)}, attrs...)
}
