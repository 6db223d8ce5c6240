package report

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"time"
)

// The section of the document that is ours begins and ends with these lines.
const (
	begin = "<!-- bench-dataplane: begin -->"
	end   = "<!-- bench-dataplane: end -->"
)

// Insert puts a section between the markers of a document, or at its end with
// markers around it.
func Insert(document, section []byte) []byte {
	ours := []byte(begin + "\n" + strings.TrimSpace(string(section)) + "\n" + end + "\n")
	from := bytes.Index(document, []byte(begin))
	to := bytes.Index(document, []byte(end))
	if from < 0 || to < from {
		document = append(bytes.TrimRight(document, "\n"), "\n\n"...)
		return append(document, ours...)
	}
	after := bytes.TrimPrefix(document[to+len(end):], []byte("\n"))
	return bytes.Join([][]byte{document[:from], ours, after}, nil)
}

// Markdown is the section of the report. plot is the path to its plot.
func (r *Report) Markdown(bars []Bar, plot string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "    %s\n\n", r.Command)
	fmt.Fprintf(&b, "%s, %s; %d rounds, one way after the other in each, %v in all.\n", r.Machine, r.Date, r.Rounds, r.Took.Round(time.Second))
	b.WriteString("Figures are medians of the rounds, with the lowest and the highest; ratios are taken\nwithin a round.\n\n")
	if plot != "" {
		fmt.Fprintf(&b, "![Ratios to wireguard-go](%s)\n\n", plot)
	}
	if verdicts := r.Judge(bars); len(verdicts) > 0 {
		b.WriteString("| bar | wanted | is | |\n|---|---|---|---|\n")
		for _, v := range verdicts {
			b.WriteString(v.row(r))
		}
		b.WriteString("\n")
	}
	for _, m := range r.Measures {
		m.table(&b)
	}
	r.splits(&b)
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	return b.String()
}

func (v Verdict) row(r *Report) string {
	met := "met"
	if !v.Met {
		met = "**missed**"
	}
	what := fmt.Sprintf("%s: %s against %s", v.Measure, v.Way, v.To)
	switch {
	case v.Beyond != 0:
		unit := ""
		for _, m := range r.Measures {
			if m.Name == v.Measure {
				unit = " " + m.Unit
			}
		}
		return fmt.Sprintf("| %s | ≤ %s%s more | %s | %s |\n", what, number(v.Beyond), unit, v.Is.text(), met)
	case v.Most != 0:
		return fmt.Sprintf("| %s | ≤ %.2f × | %s | %s |\n", what, v.Most, v.Is.ratio(), met)
	}
	return fmt.Sprintf("| %s | ≥ %.2f × | %s | %s |\n", what, v.Least, v.Is.ratio(), met)
}

func (m *Measure) table(b *strings.Builder) {
	fmt.Fprintf(b, "| %s, %s | | × %s |\n|---|---|---|\n", m.Name, m.Unit, m.Reference)
	for _, s := range m.Series {
		ratio := m.Ratio(s.Way, m.Reference).ratio()
		if s.Way == m.Reference {
			ratio = "1"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", s.Way, m.Of(s.Way).text(), ratio)
	}
	b.WriteString("\n")
}

// splits has a table with a row a part and a column a split.
func (r *Report) splits(b *strings.Builder) {
	if len(r.Splits) == 0 {
		return
	}
	b.WriteString("| CPU of the gateway |")
	for _, s := range r.Splits {
		fmt.Fprintf(b, " %s, %s |", s.Way, s.Direction)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(r.Splits)) + "\n| s a gigabyte |")
	for _, s := range r.Splits {
		fmt.Fprintf(b, " %.2f |", s.PerGB.Seconds())
	}
	b.WriteString("\n")
	for i, p := range r.Splits[0].Parts {
		fmt.Fprintf(b, "| %s |", p.Name)
		for _, s := range r.Splits {
			fmt.Fprintf(b, " %s |", percent(s.Parts[i].Share))
		}
		b.WriteString("\n")
	}
	for _, kind := range []string{"our code", "our code and the Go runtime"} {
		fmt.Fprintf(b, "| *%s* |", kind)
		for _, s := range r.Splits {
			sum := 0.0
			for _, p := range s.Parts {
				if p.Kind == KindOwn || p.Kind == KindRuntime && kind != "our code" {
					sum += p.Share
				}
			}
			fmt.Fprintf(b, " *%s* |", percent(sum))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// Kinds of parts that are summed up.
const (
	KindOwn     = "own"
	KindRuntime = "runtime"
)

func percent(share float64) string {
	if share == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*share)
}

// text is a spread as a figure.
func (s Spread) text() string {
	switch s.N {
	case 0:
		return "–"
	case 1:
		return number(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", number(s.Median), number(s.Low), number(s.High))
}

func (s Spread) ratio() string {
	switch s.N {
	case 0:
		return "–"
	case 1:
		return fmt.Sprintf("%.2f", s.Median)
	}
	return fmt.Sprintf("%.2f (%.2f–%.2f)", s.Median, s.Low, s.High)
}

// number has three digits that mean something, and commas.
func number(f float64) string {
	if math.IsNaN(f) {
		return "–"
	}
	if a := math.Abs(f); a < 1000 {
		digits := 2
		if a >= 100 {
			digits = 0
		} else if a >= 10 {
			digits = 1
		}
		return fmt.Sprintf("%.*f", digits, f)
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(f)))-2)
	text := fmt.Sprintf("%.0f", math.Round(f/unit)*unit)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
