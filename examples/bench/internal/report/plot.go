package report

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Plot is an SVG of some measures, each as bars of the ratios to its reference, with
// the lowest and the highest of the rounds. Ways whose names begin with ours are
// picked out, and one is left out, which would make all others small.
func (r *Report) Plot(measures []string, ours, without string) string {
	const (
		width, left, right = 760, 190, 90
		row, gap, head     = 22, 34, 26
	)
	var body strings.Builder
	y := 16
	for _, name := range measures {
		for _, m := range r.Measures {
			if m.Name != name {
				continue
			}
			series := slices.DeleteFunc(slices.Clone(m.Series), func(s *Series) bool { return s.Way == without })
			most := 0.0
			for _, s := range series {
				if v := m.Ratio(s.Way, m.Reference); v.N > 0 {
					most = max(most, v.High)
				}
			}
			if most == 0 {
				continue
			}
			scale := func(v float64) float64 { return left + v/most*(width-left-right) }
			fmt.Fprintf(&body, `<text x="8" y="%d" class="h">%s, times %s</text>`+"\n", y, html.EscapeString(m.Name), html.EscapeString(m.Reference))
			y += head - 12
			fmt.Fprintf(&body, `<path d="M%.1f %dv%d" class="r"/>`+"\n", scale(1), y, row*len(series))
			for _, s := range series {
				v := m.Ratio(s.Way, m.Reference)
				if math.IsNaN(v.Median) {
					continue
				}
				class := "b"
				if strings.HasPrefix(s.Way, ours) {
					class = "o"
				}
				fmt.Fprintf(&body, `<text x="%d" y="%d" class="l">%s</text>`+"\n", left-8, y+15, html.EscapeString(s.Way))
				fmt.Fprintf(&body, `<rect x="%d" y="%d" width="%.1f" height="%d" class="%s"/>`+"\n", left, y+3, scale(v.Median)-left, row-6, class)
				fmt.Fprintf(&body, `<path d="M%.1f %dH%.1f" class="s"/>`+"\n", scale(v.Low), y+row/2, scale(v.High))
				fmt.Fprintf(&body, `<text x="%.1f" y="%d" class="v">%.2f</text>`+"\n", scale(v.High)+6, y+15, v.Median)
				y += row
			}
			y += gap
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">
<style>
.h{font-weight:bold}.v{paint-order:stroke;stroke:#fff;stroke-width:3}.l{text-anchor:end}.b{fill:#9aa5b1}.o{fill:#2b7bba}
.s{stroke:#222;stroke-width:1.5}.r{stroke:#c0392b;stroke-dasharray:4 3}
</style>
<rect width="100%%" height="100%%" fill="#fff"/>
%s</svg>
`, width, y, body.String())
}
