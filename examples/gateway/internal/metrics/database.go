package metrics

import (
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/latency"
	"github.com/gopptp/gopptp/examples/gateway/internal/usercache"
)

// UserDatabase adds the database of users and the cache before it.
func (m *Metrics) UserDatabase(stats func() usercache.Stats) {
	m.registry.MustRegister(userTable(stats))
}

func userTable(stats func() usercache.Stats) *table[usercache.Stats] {
	type S = usercache.Stats
	t := one(stats)
	t.gauge("gopptp_userdb_down", "1 while the database of users is taken for down.", func(s *S) float64 { return truth(s.Down) })
	const cached = "Names that are remembered: of users, or of nobody."
	t.gauge("gopptp_userdb_cached", cached, func(s *S) float64 { return float64(s.Users) }, "kind", "user")
	t.gauge("gopptp_userdb_cached", cached, func(s *S) float64 { return float64(s.Unknown) }, "kind", "unknown")
	for result, n := range map[string]func(s *S) uint64{
		"hit":          func(s *S) uint64 { return s.Hits },
		"negative_hit": func(s *S) uint64 { return s.NegativeHits },
		"miss":         func(s *S) uint64 { return s.Misses },
		"stale":        func(s *S) uint64 { return s.Stale },
		"refused":      func(s *S) uint64 { return s.Refused },
	} {
		t.counter("gopptp_userdb_lookups_total", "Looks for users: answered from memory (hit, negative_hit, and stale while the database was slow or down), by a query (miss), or not (refused).", n, "result", result)
	}
	for result, n := range map[string]func(s *S) uint64{
		"hit":   func(s *S) uint64 { return s.SharedHits },
		"miss":  func(s *S) uint64 { return s.SharedMisses },
		"error": func(s *S) uint64 { return s.SharedErrors },
	} {
		t.counter("gopptp_userdb_shared_lookups_total", "Answers of the cache that gateways share.", n, "result", result)
	}
	const errors = "Failures of the database: of queries for users, and of looks for changes."
	t.counter("gopptp_userdb_errors_total", errors, func(s *S) uint64 { return s.Errors }, "what", "query")
	t.counter("gopptp_userdb_errors_total", errors, func(s *S) uint64 { return s.PollErrors }, "what", "changes")
	t.counter("gopptp_userdb_changes_total", "Users who were forgotten since they had been changed.", func(s *S) uint64 { return s.Changes })
	t.histogram("gopptp_userdb_query_seconds", "How long queries for users took.", latency.Bounds[:],
		func(s *S) ([]uint64, uint64, time.Duration) {
			return s.Latency.Counts[:], s.Latency.Count, s.Latency.Sum
		})
	return t
}
