package report

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Insert puts a section of a document between the markers that have its name, or at
// the end with markers around it.
func Insert(document, section []byte, name string) []byte {
	begin, end := "<!-- "+name+": begin -->", "<!-- "+name+": end -->"
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
	b.WriteString(r.Verdicts(bars))
	for _, m := range r.Measures {
		m.table(&b)
	}
	r.splits(&b)
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	return b.String()
}

// Verdicts is a table of what came of the bars.
func (r *Report) Verdicts(bars []Bar) string {
	verdicts := r.Judge(bars)
	if len(verdicts) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| bar | wanted | is | |\n|---|---|---|---|\n")
	for _, v := range verdicts {
		b.WriteString(v.row(r))
	}
	b.WriteString("\n")
	return b.String()
}

// Grid is a table of several measures, with a row for each and a column for each way.
func (r *Report) Grid(measures, ways []string) string {
	var b strings.Builder
	b.WriteString("| | " + strings.Join(ways, " | ") + " |\n|---|" + strings.Repeat("---|", len(ways)) + "\n")
	for _, name := range measures {
		for _, m := range r.Measures {
			if m.Name != name {
				continue
			}
			fmt.Fprintf(&b, "| %s, %s |", m.Name, m.Unit)
			for _, w := range ways {
				b.WriteString(" " + m.Of(w).text() + " |")
			}
			b.WriteString("\n")
		}
	}
	return b.String() + "\n"
}

func (v Verdict) row(r *Report) string {
	met := "met"
	if !v.Met {
		met = "**missed**"
	}
	unit := ""
	for _, m := range r.Measures {
		if m.Name == v.Measure {
			unit = m.Unit
		}
	}
	what := fmt.Sprintf("%s: %s", v.Measure, v.Way)
	wanted, is := "", v.Is.ratio()
	if v.To != "" {
		what += " against " + v.To
	}
	switch {
	case v.To == "" && v.Least != 0:
		wanted, is = fmt.Sprintf("≥ %s %s", number(v.Least), unit), v.Is.text()
	case v.To == "":
		wanted, is = fmt.Sprintf("≤ %s %s", number(v.Most), unit), v.Is.text()
	case v.Beyond != 0:
		wanted, is = fmt.Sprintf("≤ %s %s more", number(v.Beyond), unit), v.Is.text()
	case v.Most != 0:
		wanted = fmt.Sprintf("≤ %.2f ×", v.Most)
	default:
		wanted = fmt.Sprintf("≥ %.2f ×", v.Least)
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", what, wanted, is, met)
}

func (m *Measure) table(b *strings.Builder) {
	if m.Reference == "" {
		fmt.Fprintf(b, "| %s, %s | |\n|---|---|\n", m.Name, m.Unit)
	} else {
		fmt.Fprintf(b, "| %s, %s | | × %s |\n|---|---|---|\n", m.Name, m.Unit, m.Reference)
	}
	for _, s := range m.Series {
		ratio := " " + m.Ratio(s.Way, m.Reference).ratio() + " |"
		switch m.Reference {
		case "":
			ratio = ""
		case s.Way:
			ratio = " 1 |"
		}
		fmt.Fprintf(b, "| %s | %s |%s\n", s.Way, m.Of(s.Way).text(), ratio)
	}
	b.WriteString("\n")
}

// Kinds of parts that are summed up.
const (
	KindKernel  = "kernel"
	KindOwn     = "own"
	KindRuntime = "runtime"
)

// splits has a table for each direction, with a row a part and a column a way.
func (r *Report) splits(b *strings.Builder) {
	var directions []string
	for _, s := range r.Splits {
		if !slices.Contains(directions, s.Direction) {
			directions = append(directions, s.Direction)
		}
	}
	for _, d := range directions {
		var columns []*Split
		for _, s := range r.Splits {
			if s.Direction == d {
				columns = append(columns, s)
			}
		}
		row := func(name, mark string, cell func(s *Split) string) {
			fmt.Fprintf(b, "| %s%s%s |", mark, name, mark)
			for _, s := range columns {
				fmt.Fprintf(b, " %s%s%s |", mark, cell(s), mark)
			}
			b.WriteString("\n")
		}
		row("CPU of the gateway, TCP "+d+", ms a gigabyte", "", func(s *Split) string { return s.Way })
		b.WriteString("|---|" + strings.Repeat("---|", len(columns)) + "\n")
		for i, p := range columns[0].Parts {
			row(p.Name, "", func(s *Split) string { return milliseconds(s.PerGB, s.Parts[i].Share) })
		}
		row("all", "*", func(s *Split) string { return milliseconds(s.PerGB, 1) })
		row("system calls", "*", func(s *Split) string { return milliseconds(s.PerGB, s.of(KindKernel)) })
		row("our code but the cipher", "*", func(s *Split) string { return percent(s.of(KindOwn)) })
		row("with the Go runtime", "*", func(s *Split) string { return percent(s.of(KindOwn) + s.of(KindRuntime)) })
		b.WriteString("\n")
	}
}

// of is the share of a kind.
func (s *Split) of(kind string) (share float64) {
	for _, p := range s.Parts {
		if p.Kind == kind {
			share += p.Share
		}
	}
	return share
}

func milliseconds(all time.Duration, share float64) string {
	if share == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f", share*float64(all)/float64(time.Millisecond))
}

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
