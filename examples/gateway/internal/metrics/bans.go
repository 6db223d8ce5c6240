package metrics

import "github.com/gopptp/gopptp/examples/gateway/internal/bans"

// Bans adds who is kept out after too many failures.
func (m *Metrics) Bans(stats func() bans.Stats) {
	m.registry.MustRegister(banTable(stats))
}

func banTable(stats func() bans.Stats) *table[bans.Stats] {
	type S = bans.Stats
	t := one(stats)
	t.gauge("gopptp_bans", "Bans that are in force.", func(s *S) float64 { return float64(s.Bans) })
	t.gauge("gopptp_bans_of_sources", "Bans of whole sources that are in force.", func(s *S) float64 { return float64(s.SourceBans) })
	const remembered = "Sources that are remembered for failures, and users who have failed there."
	t.gauge("gopptp_bans_remembered", remembered, func(s *S) float64 { return float64(s.Sources) }, "what", "source")
	t.gauge("gopptp_bans_remembered", remembered, func(s *S) float64 { return float64(s.SourceUsers) }, "what", "user")
	t.counter("gopptp_bans_failures_total", "Log-ins that failed for a wrong name or password, as the bans count them.", func(s *S) uint64 { return s.Failures })
	t.counter("gopptp_bans_begun_total", "Bans that began by themselves.", func(s *S) uint64 { return s.Banned })
	const refused = "Log-ins and connections that a ban refused."
	t.counter("gopptp_bans_refused_total", refused, func(s *S) uint64 { return s.RefusedLogins }, "what", "login")
	t.counter("gopptp_bans_refused_total", refused, func(s *S) uint64 { return s.RefusedConnections }, "what", "connection")
	return t
}
