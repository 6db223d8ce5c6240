package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gopptp/gopptp/examples/gateway/internal/policy"
)

// Policy adds whom the policy refused, and why.
func (m *Metrics) Policy(stats func() policy.Stats) {
	t := one(stats)
	t.gauge("gopptp_policy_places", "Sessions of users who were admitted, those that are not up yet included.", func(s *policy.Stats) float64 { return float64(s.Places) })
	t.counter("gopptp_policy_replaced_total", "Sessions that ended for another of the same user.", func(s *policy.Stats) uint64 { return s.Replaced })
	m.registry.MustRegister(t, &refusals{stats, prometheus.NewDesc("gopptp_policy_refused_total", "Users whose password was right and who were refused, by reason.", []string{"reason"}, nil)})
}

// refusals has the reasons of the policy, which names them itself.
type refusals struct {
	stats func() policy.Stats
	desc  *prometheus.Desc
}

func (r *refusals) Describe(ch chan<- *prometheus.Desc) { ch <- r.desc }

func (r *refusals) Collect(ch chan<- prometheus.Metric) {
	for reason, n := range r.stats().Refused {
		ch <- prometheus.MustNewConstMetric(r.desc, prometheus.CounterValue, float64(n), strings.ReplaceAll(reason, "-", "_"))
	}
}
