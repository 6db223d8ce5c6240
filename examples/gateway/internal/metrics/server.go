package metrics

import "github.com/gopptp/gopptp"

// Server adds what the PPTP server counts.
func (m *Metrics) Server(stats func() gopptp.ServerStats) {
	m.registry.MustRegister(serverTable(stats))
}

func serverTable(stats func() gopptp.ServerStats) *table[gopptp.ServerStats] {
	type S = gopptp.ServerStats
	t := one(stats)
	t.gauge("gopptp_connections", "Control connections.", func(s *S) float64 { return float64(s.Connections) })
	t.gauge("gopptp_connections_half_open", "Control connections without a session that is up.", func(s *S) float64 { return float64(s.HalfOpen) })
	t.gauge("gopptp_sessions", "Sessions, those being set up included.", func(s *S) float64 { return float64(s.Sessions) })
	t.gauge("gopptp_sessions_up", "Sessions that are up.", func(s *S) float64 { return float64(s.Up) })
	t.gauge("gopptp_authentications", "Authentications under way.", func(s *S) float64 { return float64(s.Authentications) })
	t.gauge("gopptp_authentications_waiting", "Authentications that wait for one of those under way to end.", func(s *S) float64 { return float64(s.AuthenticationsWaiting) })

	t.counter("gopptp_connections_accepted_total", "Control connections that were taken in.", func(s *S) uint64 { return s.Accepted })
	t.counter("gopptp_connections_delayed_total", "Control connections that were taken in after they had waited for their turn.", func(s *S) uint64 { return s.Delayed })
	t.counter("gopptp_accept_errors_total", "Errors of the listeners, such as for want of file descriptors.", func(s *S) uint64 { return s.AcceptErrors })
	t.counter("gopptp_sessions_started_total", "Sessions that began.", func(s *S) uint64 { return s.SessionsStarted })
	t.counter("gopptp_sessions_came_up_total", "Sessions that came up.", func(s *S) uint64 { return s.SessionsUp })

	for reason, n := range map[string]func(s *S) uint64{
		"half_open":    func(s *S) uint64 { return s.RefusedHalfOpen },
		"per_source":   func(s *S) uint64 { return s.RefusedPerSource },
		"source_rate":  func(s *S) uint64 { return s.RefusedSourceRate },
		"sessions":     func(s *S) uint64 { return s.RefusedSessions },
		"calls":        func(s *S) uint64 { return s.RefusedCalls },
		"auth_waiting": func(s *S) uint64 { return s.RefusedAuthWaiting },
		"open":         func(s *S) uint64 { return s.RefusedOpen },
		"draining":     func(s *S) uint64 { return s.RefusedDraining },
	} {
		t.counter("gopptp_refused_total", "Control connections and calls that were refused, by the limit or the reason.", n, "reason", reason)
	}
	for reason, n := range map[string]func(s *S) uint64{
		"authentication": func(s *S) uint64 { return s.FailedAuthentication },
		"auth_wait":      func(s *S) uint64 { return s.FailedAuthWait },
		"flood":          func(s *S) uint64 { return s.FailedFlood },
	} {
		t.counter("gopptp_failed_total", "Sessions, and with reason flood control connections, that ended for a reason that may be an attack.", n, "reason", reason)
	}
	const resets = "CCP Reset-Requests, by which the end that has lost packets in stateful mode has encryption begin anew; sent by the gateway, or received from clients."
	t.counter("gopptp_mppe_resets_total", resets, func(s *S) uint64 { return s.ResetsSent }, "direction", "sent")
	t.counter("gopptp_mppe_resets_total", resets, func(s *S) uint64 { return s.ResetsReceived }, "direction", "received")
	return t
}

// Log adds how many of its records are lost.
func (m *Metrics) Log(lost func() uint64) {
	t := one(lost)
	t.counter("gopptp_log_dropped_records_total", "Log records that standard error, syslog or journald did not take.", func(n *uint64) uint64 { return *n })
	m.registry.MustRegister(t)
}

// Ready adds whether new clients are welcome.
func (m *Metrics) Ready(ready func() bool) {
	t := one(ready)
	t.gauge("gopptp_ready", "1 while new clients are welcome, as /readyz says.", func(b *bool) float64 { return truth(*b) })
	m.registry.MustRegister(t)
}
