package metrics

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	promcollectors "github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics are those of one gateway. Parts of it are added before it is served.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger

	logins   *logins
	sessions *sessionMetrics
	setup    *setup
}

// New returns the metrics of the process, of sessions and of log-ins, which are told by
// SessionEvent, Observer and Login.
func New(log *slog.Logger) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), log: log, logins: newLogins(), sessions: newSessionMetrics(), setup: newSetup()}
	m.registry.MustRegister(
		promcollectors.NewGoCollector(),
		promcollectors.NewProcessCollector(promcollectors.ProcessCollectorOpts{}),
		buildInfo(),
		m.logins, m.sessions, m.setup,
	)
	return m
}

func buildInfo() prometheus.Collector {
	labels := prometheus.Labels{"version": "unknown", "goversion": "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		labels["version"], labels["goversion"] = info.Main.Version, info.GoVersion
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gopptp_build_info", Help: "1, with the version of the gateway and of Go as labels.", ConstLabels: labels,
	}, func() float64 { return 1 })
}

// A scrape reads the counters of every session, so there are few at a time.
const (
	maxScrapes    = 4
	scrapeTimeout = 20 * time.Second
)

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(m.log.With("address", "metrics").Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: maxScrapes,
		Timeout:             scrapeTimeout,
	})
}
