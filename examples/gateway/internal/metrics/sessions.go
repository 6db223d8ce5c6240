package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// sessionMetrics are how sessions end, and what passes in them.
type sessionMetrics struct {
	collectors
	traffic  traffic
	ended    *prometheus.CounterVec
	failed   *prometheus.CounterVec
	duration prometheus.Histogram
}

func newSessionMetrics() *sessionMetrics {
	m := &sessionMetrics{
		traffic: traffic{live: make(map[*gopptp.Session]struct{})},
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gopptp_sessions_ended_total", Help: "Sessions that ended after they had been up, by cause.",
		}, []string{"cause"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gopptp_sessions_failed_total", Help: "Sessions that ended without having been up, by cause.",
		}, []string{"cause"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gopptp_session_duration_seconds", Help: "How long sessions that ended had been up.",
			Buckets: seconds(10*time.Second, time.Minute, 5*time.Minute, 15*time.Minute, time.Hour, 4*time.Hour, 12*time.Hour, 24*time.Hour, 7*24*time.Hour),
		}),
	}
	// All there can be are there from the beginning: the first one of a kind is a rise.
	for c := gopptp.CauseLocal; ; c++ {
		label, known := causeLabel(c)
		if !known {
			break
		}
		m.ended.WithLabelValues(label)
		m.failed.WithLabelValues(label)
	}
	m.collectors = collectors{m.ended, m.failed, m.duration, trafficTable(m.traffic.sum)}
	return m
}

// SessionEvent is for sessions.Registry.Watch.
func (m *Metrics) SessionEvent(e sessions.Event) {
	s := m.sessions
	cause, _ := causeLabel(e.Cause)
	switch e.Kind {
	case sessions.Up:
		s.traffic.begin(e.Session)
	case sessions.Down:
		s.traffic.end(e.Session)
		s.ended.WithLabelValues(cause).Inc()
		s.duration.Observe(e.Time.Sub(e.Session.UpAt()).Seconds())
	case sessions.Failed:
		s.traffic.end(e.Session)
		s.failed.WithLabelValues(cause).Inc()
	}
}

// causeLabel is a cause in one word, and whether the library has a name for it.
func causeLabel(c gopptp.Cause) (label string, known bool) {
	name := c.String()
	return strings.NewReplacer(" ", "_", "-", "_").Replace(name), !strings.HasPrefix(name, "cause ")
}

// collectors are several as one.
type collectors []prometheus.Collector

// Describe implements prometheus.Collector.
func (list collectors) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range list {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (list collectors) Collect(ch chan<- prometheus.Metric) {
	for _, c := range list {
		c.Collect(ch)
	}
}

func seconds(list ...time.Duration) []float64 {
	s := make([]float64, len(list))
	for i, d := range list {
		s[i] = d.Seconds()
	}
	return s
}
