package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gopptp/gopptp/examples/gateway/internal/login"
)

// logins are attempts to log in.
type logins struct {
	collectors
	attempts *prometheus.CounterVec
	took     *prometheus.HistogramVec
}

func newLogins() *logins {
	l := &logins{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gopptp_logins_total", Help: "Attempts to log in, each round of EAP by itself, by how they ended and who decided.",
		}, []string{"outcome", "backend"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gopptp_login_seconds", Help: "How long attempts to log in took, with what the policy waited for, by who decided.",
			Buckets: seconds(time.Millisecond, 2500*time.Microsecond, 5*time.Millisecond, 10*time.Millisecond, 25*time.Millisecond, 50*time.Millisecond,
				100*time.Millisecond, 250*time.Millisecond, 500*time.Millisecond, time.Second, 2500*time.Millisecond, 5*time.Second, 10*time.Second, 20*time.Second),
		}, []string{"backend"}),
	}
	l.collectors = collectors{l.attempts, l.took}
	for _, backend := range []string{backendLocal, backendRemote} {
		for _, o := range []login.Outcome{login.Accepted, login.Continued, login.Refused, login.NotAdmitted, login.Undecided} {
			l.attempts.WithLabelValues(outcomeLabel(o), backend)
		}
		l.took.WithLabelValues(backend)
	}
	l.attempts.WithLabelValues(outcomeLabel(login.Banned), backendNone)
	return l
}

// Who decided: the configuration or the database, RADIUS, or nobody.
const (
	backendLocal  = "local"
	backendRemote = "radius"
	backendNone   = "none"
)

// Login is for login.Config.Observe.
func (m *Metrics) Login(a login.Attempt) {
	backend := backendLocal
	switch {
	case a.Outcome == login.Banned:
		backend = backendNone
	case a.Remote:
		backend = backendRemote
	}
	m.logins.attempts.WithLabelValues(outcomeLabel(a.Outcome), backend).Inc()
	if backend != backendNone {
		m.logins.took.WithLabelValues(backend).Observe(a.Took.Seconds())
	}
}

func outcomeLabel(o login.Outcome) string { return strings.ReplaceAll(o.String(), " ", "_") }
