package metrics

import (
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/accounting"
)

// Accounting adds the queue of accounting, and what waits for each sink.
func (m *Metrics) Accounting(stats func() accounting.QueueStats) {
	m.registry.MustRegister(queueTable(stats), lineTable(func() []accounting.LineStats { return stats().Lines }))
}

func queueTable(stats func() accounting.QueueStats) *table[accounting.QueueStats] {
	type S = accounting.QueueStats
	t := one(stats)
	t.counter("gopptp_accounting_records_total", "Records that the queue took in.", func(s *S) uint64 { return s.Records })
	t.counter("gopptp_accounting_commits_total", "Transactions on the disk.", func(s *S) uint64 { return s.Commits })
	t.counter("gopptp_accounting_commit_errors_total", "Transactions that failed.", func(s *S) uint64 { return s.CommitErrors })
	t.gauge("gopptp_accounting_unwritten_records", "Records that are not on disk yet.", func(s *S) float64 { return float64(s.Unwritten) })
	t.gauge("gopptp_accounting_disk_failing", "1 while the disk takes nothing.", func(s *S) float64 { return truth(s.DiskFails) })
	return t
}

func lineTable(take func() []accounting.LineStats) *table[accounting.LineStats] {
	type S = accounting.LineStats
	t := many(take, func(s *S) []string { return []string{s.Sink} }, "sink")
	t.gauge("gopptp_accounting_waiting_records", "Records that wait to be delivered.", func(s *S) float64 { return float64(s.Waiting) })
	t.gauge("gopptp_accounting_oldest_seconds", "Age of the oldest record that is next to be delivered; 0 without any.", func(s *S) float64 {
		if s.Oldest.IsZero() {
			return 0
		}
		return max(0, time.Since(s.Oldest).Seconds())
	})
	t.gauge("gopptp_accounting_sink_down", "1 while attempts deliver nothing.", func(s *S) float64 { return truth(s.Down) })
	t.counter("gopptp_accounting_failures_total", "Attempts that delivered nothing.", func(s *S) uint64 { return s.Failures })
	for outcome, n := range map[string]func(s *S) uint64{
		"delivered":  func(s *S) uint64 { return s.Delivered },
		"superseded": func(s *S) uint64 { return s.Superseded },
		"dropped":    func(s *S) uint64 { return s.Dropped },
		"rejected":   func(s *S) uint64 { return s.Rejected },
		"lost":       func(s *S) uint64 { return s.Lost },
	} {
		t.counter("gopptp_accounting_done_total", "Records that wait no more: delivered; superseded and dropped, which are Interims; rejected, which can never be delivered; lost, by a disk that failed.", n, "outcome", outcome)
	}
	return t
}
