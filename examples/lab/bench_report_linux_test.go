package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// benchReport is what one run has measured.
type benchReport struct {
	Command    string
	Machine    string
	Date       string
	Took       time.Duration
	Rounds     int
	Connection float64 // octets of the kernel's that a TCP connection has, both ends
	Measures   []*benchMeasure
}

// benchMeasure is one quantity.
type benchMeasure struct {
	Table  string
	Name   string
	Unit   string
	Values map[string][]float64 // of each way, a value a round
}

func (r *benchReport) measure(table, name string) *benchMeasure {
	for _, m := range r.Measures {
		if m.Table == table && m.Name == name {
			return m
		}
	}
	return nil
}

// add adds the value of a round.
func (r *benchReport) add(table, name, unit, way string, value float64) {
	m := r.measure(table, name)
	if m == nil {
		m = &benchMeasure{table, name, unit, make(map[string][]float64)}
		r.Measures = append(r.Measures, m)
	}
	m.Values[way] = append(m.Values[way], value)
}

func (r *benchReport) write(t *testing.T, file string) {
	t.Helper()
	text, err := json.MarshalIndent(r, "", "\t")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, append(text, '\n'), 0o644))
}

// The section of the document that is ours is between these lines.
const (
	benchBegin = "<!-- bench-kernel: begin -->\n"
	benchEnd   = "<!-- bench-kernel: end -->\n"
)

// insertBench puts a section between the marks of a document.
func insertBench(document []byte, section string) ([]byte, error) {
	return insertBetween(document, benchBegin, section, benchEnd)
}

// writeSection replaces what is between two lines of a file.
func writeSection(t *testing.T, file, begin, section, end string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	text, err = insertBetween(text, begin, section, end)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o644))
}

func insertBetween(document []byte, begin, section, end string) ([]byte, error) {
	before, rest, begins := bytes.Cut(document, []byte(begin))
	_, after, ends := bytes.Cut(rest, []byte(end))
	if !begins || !ends {
		return nil, errors.New("the document has no place for the results")
	}
	return slices.Concat(before, []byte(begin+section+end), after), nil
}

// markdown is that section.
func (r *benchReport) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "    %s\n\n", r.Command)
	fmt.Fprintf(&b, "%s; %s; %d rounds, one way after the other in each, %v in all.\n", r.Machine, r.Date, r.Rounds, r.Took.Round(time.Second))
	b.WriteString("Figures are medians of the rounds, with the lowest and the highest; ratios are the\nmedians of those within a round.\n\n")
	table := ""
	for _, m := range r.Measures {
		if m.Table != table {
			if table != "" {
				b.WriteString("\n")
			}
			table = m.Table
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s ÷ pptpd | %s ÷ pptpd |\n|---|---|---|---|---|---|\n",
				table, benchKernel, benchUserspace, benchPPTPD, benchKernel, benchUserspace)
		}
		m.row(&b)
	}
	fmt.Fprintf(&b, "\nA TCP connection alone has %.1f KB in the kernel, both ends together.\n", r.Connection/1e3)
	return b.String()
}

func (m *benchMeasure) row(b *strings.Builder) {
	fmt.Fprintf(b, "| %s, %s |", m.Name, m.Unit)
	for _, way := range []string{benchKernel, benchUserspace, benchPPTPD} {
		v := slices.Sorted(slices.Values(m.Values[way]))
		fmt.Fprintf(b, " %s (%s–%s) |", figure(median(v)), figure(v[0]), figure(v[len(v)-1]))
	}
	for _, way := range []string{benchKernel, benchUserspace} {
		var ratios []float64
		for i, to := range m.Values[benchPPTPD] {
			ratios = append(ratios, m.Values[way][i]/to)
		}
		fmt.Fprintf(b, " %s |", figure(median(slices.Sorted(slices.Values(ratios)))))
	}
	b.WriteString("\n")
}

// median is that of sorted values.
func median(v []float64) float64 {
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// figure has three digits that mean something, and commas.
func figure(f float64) string {
	switch {
	case f == 0:
		return "0"
	case f < 1:
		return fmt.Sprintf("%.3f", f)
	case f < 10:
		return fmt.Sprintf("%.2f", f)
	case f < 100:
		return fmt.Sprintf("%.1f", f)
	case f < 1000:
		return fmt.Sprintf("%.0f", f)
	}
	unit := math.Pow(10, math.Floor(math.Log10(f))-2)
	n := int(math.Round(f/unit) * unit)
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

func TestBenchReport(t *testing.T) {
	r := &benchReport{Command: "make it", Machine: "a machine", Date: "today", Took: 61 * time.Second, Rounds: 3, Connection: 8192}
	for i, v := range []float64{2000, 3000, 4000} {
		r.add("MPPE", "TCP", "Mbit/s", benchKernel, v)
		r.add("MPPE", "TCP", "Mbit/s", benchUserspace, v/10)
		r.add("MPPE", "TCP", "Mbit/s", benchPPTPD, v/float64(100*(i+1)))
		r.add("sessions", "memory", "KB", benchKernel, 0)
		r.add("sessions", "memory", "KB", benchUserspace, 0.5)
		r.add("sessions", "memory", "KB", benchPPTPD, 1)
	}
	text := r.markdown()
	require.Contains(t, text, "| TCP, Mbit/s | 3,000 (2,000–4,000) | 300 (200–400) | 15.0 (13.3–20.0) | 200 | 20.0 |\n")
	require.Contains(t, text, "\n\n| sessions | ")
	require.Contains(t, text, "| memory, KB | 0 (0–0) | 0.500 (0.500–0.500) | 1.00 (1.00–1.00) | 0 | 0.500 |\n")

	_, err := insertBench([]byte("no marks\n"), text)
	require.Error(t, err)
	once, err := insertBench([]byte("before\n"+benchBegin+"old\n"+benchEnd+"after\n"), text)
	require.NoError(t, err)
	require.Equal(t, "before\n"+benchBegin+text+benchEnd+"after\n", string(once))
	twice, err := insertBench(once, text)
	require.NoError(t, err)
	require.Equal(t, string(once), string(twice))
}
