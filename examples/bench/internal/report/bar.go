package report

import "math"

// Bar is what a measure has to come to.
type Bar struct {
	Measure string
	Way     string
	To      string  // the way it is compared with; empty: none, the value itself counts
	Least   float64 // the ratio, or the value
	Most    float64 // the ratio, or the value
	Beyond  float64 // how much more than the other it may be, in the measure's unit
}

// Verdict is what came of a bar.
type Verdict struct {
	Bar
	Is  Spread
	Met bool
}

// Judge looks at what the report has, and leaves bars out that were not measured.
func (r *Report) Judge(bars []Bar) (verdicts []Verdict) {
	for _, b := range bars {
		for _, m := range r.Measures {
			if m.Name != b.Measure {
				continue
			}
			v := Verdict{Bar: b}
			switch {
			case b.To == "":
				v.Is = m.Of(b.Way)
				v.Met = v.Is.Median <= b.Most
				if b.Least != 0 {
					v.Met = v.Is.Median >= b.Least
				}
			case b.Beyond != 0:
				v.Is = m.Beyond(b.Way, b.To)
				v.Met = v.Is.Median <= b.Beyond
			case b.Most != 0:
				v.Is = m.Ratio(b.Way, b.To)
				v.Met = v.Is.Median <= b.Most
			default:
				v.Is = m.Ratio(b.Way, b.To)
				v.Met = v.Is.Median >= b.Least
			}
			if !math.IsNaN(v.Is.Median) {
				verdicts = append(verdicts, v)
			}
		}
	}
	return verdicts
}
