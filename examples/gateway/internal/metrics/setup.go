package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gopptp/gopptp"
)

// setup is how long the set-up of sessions takes, stage by stage.
type setup struct {
	collectors
	stages *prometheus.HistogramVec
	total  prometheus.Histogram
	// at is when sessions that are being set up entered the stage in which they are. The
	// one goroutine that tells of events has it.
	at map[*gopptp.Session]entered
}

type entered struct {
	stage gopptp.State
	time  time.Time
}

func newSetup() *setup {
	buckets := seconds(
		time.Millisecond, 5*time.Millisecond, 10*time.Millisecond, 25*time.Millisecond, 50*time.Millisecond, 100*time.Millisecond,
		250*time.Millisecond, 500*time.Millisecond, time.Second, 2500*time.Millisecond, 5*time.Second, 10*time.Second, 30*time.Second, time.Minute)
	s := &setup{
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gopptp_setup_stage_seconds", Help: "How long sessions were in a stage of their set-up before they entered the next one.", Buckets: buckets,
		}, []string{"stage"}),
		total: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "gopptp_setup_seconds", Help: "How long sessions that came up took for that, from the control connection on.", Buckets: buckets,
		}),
		at: make(map[*gopptp.Session]entered),
	}
	s.collectors = collectors{s.stages, s.total}
	for stage := gopptp.StateCall; stage < gopptp.StateUp; stage++ {
		s.stages.WithLabelValues(stageLabel(stage))
	}
	return s
}

// Observer returns an Observer that follows the stages of sessions, and tells next.
func (m *Metrics) Observer(next gopptp.Observer) gopptp.Observer {
	return gopptp.ObserverFunc(func(e gopptp.SessionEvent) {
		m.setup.event(e)
		next.SessionEvent(e)
	})
}

func (s *setup) event(e gopptp.SessionEvent) {
	last, known := s.at[e.Session]
	switch {
	case e.State > gopptp.StateUp: // it has failed, and says nothing of how long a stage takes
		delete(s.at, e.Session)
		return
	case e.Again || known && e.State <= last.stage: // a renegotiation
		return
	case known:
		s.stages.WithLabelValues(stageLabel(last.stage)).Observe(e.Time.Sub(last.time).Seconds())
	}
	if e.State == gopptp.StateUp {
		delete(s.at, e.Session)
		s.total.Observe(e.Session.UpAt().Sub(e.Session.StartedAt()).Seconds())
		return
	}
	s.at[e.Session] = entered{e.State, e.Time}
}

// stageLabel is a stage in one word.
func stageLabel(s gopptp.State) string { return s.String() }
