package metrics

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// table is a Collector of snapshots of one type. There may be several snapshots, told apart
// by labels, such as one of each server.
type table[S any] struct {
	take    func() []S
	keys    []string // labels by which snapshots are told apart
	key     func(s *S) []string
	columns []column[S]
	descs   map[string]*prometheus.Desc // by the name of the metric
}

// column is one series, or one of each snapshot.
type column[S any] struct {
	desc   *prometheus.Desc
	labels []string // values of the labels besides the table's
	metric func(s *S, labels []string) prometheus.Metric
}

// one is a table of a single snapshot.
func one[S any](take func() S) *table[S] {
	return many(func() []S { return []S{take()} }, func(*S) []string { return nil })
}

func many[S any](take func() []S, key func(s *S) []string, keys ...string) *table[S] {
	return &table[S]{take: take, keys: keys, key: key, descs: make(map[string]*prometheus.Desc)}
}

// add adds a column. Its labels are names and values in turn. Columns of one name have the
// help of the first, and the same labels.
func (t *table[S]) add(name, help string, labels []string, metric func(desc *prometheus.Desc, s *S, labels []string) prometheus.Metric) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	desc := t.descs[name]
	if desc == nil {
		desc = prometheus.NewDesc(name, help, append(append([]string(nil), t.keys...), names...), nil)
		t.descs[name] = desc
	}
	t.columns = append(t.columns, column[S]{desc, values, func(s *S, labels []string) prometheus.Metric { return metric(desc, s, labels) }})
}

// counter adds a figure that only grows.
func (t *table[S]) counter(name, help string, value func(s *S) uint64, labels ...string) {
	t.add(name, help, labels, func(desc *prometheus.Desc, s *S, labels []string) prometheus.Metric {
		return prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value(s)), labels...)
	})
}

// gauge adds a figure that goes up and down.
func (t *table[S]) gauge(name, help string, value func(s *S) float64, labels ...string) {
	t.add(name, help, labels, func(desc *prometheus.Desc, s *S, labels []string) prometheus.Metric {
		return prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value(s), labels...)
	})
}

// histogram adds one of latencies, whose buckets have the upper bounds, and their counts
// each its own.
func (t *table[S]) histogram(name, help string, bounds []time.Duration, value func(s *S) (counts []uint64, count uint64, sum time.Duration), labels ...string) {
	t.add(name, help, labels, func(desc *prometheus.Desc, s *S, labels []string) prometheus.Metric {
		counts, count, sum := value(s)
		buckets, below := make(map[float64]uint64, len(bounds)), uint64(0)
		for i, b := range bounds {
			below += counts[i]
			buckets[b.Seconds()] = below
		}
		return prometheus.MustNewConstHistogram(desc, count, sum.Seconds(), buckets, labels...)
	})
}

// Describe implements prometheus.Collector.
func (t *table[S]) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range t.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (t *table[S]) Collect(ch chan<- prometheus.Metric) {
	for _, s := range t.take() {
		key := t.key(&s)
		if len(key) != len(t.keys) {
			panic(fmt.Sprintf("metrics: %d labels for %v", len(key), t.keys))
		}
		for _, c := range t.columns {
			ch <- c.metric(&s, append(append([]string(nil), key...), c.labels...))
		}
	}
}

// truth is 1 or 0.
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
