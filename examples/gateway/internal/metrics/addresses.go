package metrics

import "github.com/gopptp/gopptp/examples/gateway/internal/addresses"

// Pools adds the pools of addresses.
func (m *Metrics) Pools(stats func() []addresses.Stats) {
	m.registry.MustRegister(poolTable(stats))
}

func poolTable(stats func() []addresses.Stats) *table[addresses.Stats] {
	type S = addresses.Stats
	t := many(stats, func(s *S) []string { return []string{s.Name} }, "pool")
	t.gauge("gopptp_pool_size", "Addresses of the pool that are for users.", func(s *S) float64 { return float64(s.Size) })
	t.gauge("gopptp_pool_used", "Addresses that sessions have.", func(s *S) float64 { return float64(s.Used) })
	t.gauge("gopptp_pool_quarantined", "Addresses that are kept from others than the last user.", func(s *S) float64 { return float64(s.Quarantined) })
	t.gauge("gopptp_pool_remembered", "Addresses that are kept for the last user as long as nobody else needs them.", func(s *S) float64 { return float64(s.Remembered) })
	t.counter("gopptp_pool_refused_total", "Requests to the pool that found nothing, in its chain neither.", func(s *S) uint64 { return s.Refused })
	return t
}
