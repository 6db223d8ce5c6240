// Package report keeps what was measured and writes it: as JSON, as a section of a
// Markdown document, and as a plot.
package report

import (
	"encoding/json"
	"math"
	"slices"
	"time"
)

// Report is what one run has measured.
type Report struct {
	Command  string
	Machine  string
	Date     string
	Took     time.Duration
	Rounds   int
	Notes    []string `json:",omitempty"` // of what could not be measured
	Measures []*Measure
	Splits   []*Split
}

// Measure is one quantity, of several ways to carry packets.
type Measure struct {
	Name string
	Unit string
	// Reference is the way that others are compared with.
	Reference string
	Series    []*Series
}

// Series is what one way has come to, a value a round: NaN where it has none.
type Series struct {
	Way    string
	Values []Number
}

// Number is a float64 that may be NaN in JSON, as null.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// Split is where processor time went.
type Split struct {
	Way       string
	Direction string
	// PerGB is the time for a gigabyte of what is in the tunnel.
	PerGB time.Duration
	Parts []PartTime
}

// PartTime is the share of a part.
type PartTime struct {
	Name  string
	Kind  string
	Share float64
}

// Measure returns the one of that name, new if need be.
func (r *Report) Measure(name, unit, reference string) *Measure {
	for _, m := range r.Measures {
		if m.Name == name {
			return m
		}
	}
	m := &Measure{Name: name, Unit: unit, Reference: reference}
	r.Measures = append(r.Measures, m)
	return m
}

// Add adds the value of a round, from zero on.
func (m *Measure) Add(round int, way string, value float64) {
	s := m.find(way)
	if s == nil {
		s = &Series{Way: way}
		m.Series = append(m.Series, s)
	}
	for len(s.Values) <= round {
		s.Values = append(s.Values, Number(math.NaN()))
	}
	s.Values[round] = Number(value)
}

func (m *Measure) find(way string) *Series {
	for _, s := range m.Series {
		if s.Way == way {
			return s
		}
	}
	return nil
}

// Spread is the median of values, and the lowest and highest of them.
type Spread struct {
	Low, Median, High float64
	N                 int
}

// spread is of those values that are numbers.
func spread(values []float64) Spread {
	values = slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(values) == 0 {
		return Spread{math.NaN(), math.NaN(), math.NaN(), 0}
	}
	slices.Sort(values)
	n := len(values)
	return Spread{values[0], (values[(n-1)/2] + values[n/2]) / 2, values[n-1], n}
}

// Of is what a way has come to.
func (m *Measure) Of(way string) Spread {
	var values []float64
	if s := m.find(way); s != nil {
		for _, v := range s.Values {
			values = append(values, float64(v))
		}
	}
	return spread(values)
}

// Ratio is a way compared with another, round by round: what a busy machine does to
// a round, it does to both.
func (m *Measure) Ratio(way, to string) Spread {
	return m.compare(way, to, func(a, b float64) float64 { return a / b })
}

// Beyond is how much a way has more than another, round by round.
func (m *Measure) Beyond(way, to string) Spread {
	return m.compare(way, to, func(a, b float64) float64 { return a - b })
}

func (m *Measure) compare(way, to string, f func(a, b float64) float64) Spread {
	var values []float64
	if a, b := m.find(way), m.find(to); a != nil && b != nil {
		for i := range min(len(a.Values), len(b.Values)) {
			values = append(values, f(float64(a.Values[i]), float64(b.Values[i])))
		}
	}
	return spread(values)
}

// JSON is the whole report.
func (r *Report) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "\t")
	return append(text, '\n'), err
}
