package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gopptp/gopptp/examples/bench/internal/report"
)

var (
	costs   = []string{setupCPU, setupRate, setupMedian, setupP99, residentEach, kernelEach, idleCPU, packetCPU}
	plotted = []string{setupCPU, residentEach, packetCPU}
	unrest  = []string{pingMedian, pingP99, pingLost, pingDrops, floodPackets}
	weather = []string{backShare, backTime, stormP99, refusals, away, failures, pingMedian, pingP99, pingLost, pingDrops}
)

// What is wanted of that many sessions that are idle, in % of a processor.
const wanted, idleMost = 50000, 5

// floodMost is how many times as long the slowest pings of neighbours may take while one
// peer floods. Two processors do the flooding, too.
const floodMost = 50

// number is how many sessions a name means.
func number(way string) float64 {
	n, _ := strconv.Atoi(strings.ReplaceAll(strings.TrimSuffix(way, " sessions"), ",", ""))
	return float64(n)
}

// bars are what is wanted of the largest number of sessions, and of storms. Where that
// is not as many as it ought to be, the share of processor time is less too.
func bars(r *report.Report) []report.Bar {
	sizes := measured(r, setupCPU)
	if len(sizes) == 0 {
		return nil
	}
	many := sizes[len(sizes)-1]
	list := []report.Bar{
		{Measure: setupRate, Way: many, Least: 1500},
		{Measure: residentEach, Way: many, Most: 12},
		{Measure: idleCPU, Way: many, Most: idleMost * number(many) / wanted},
		{Measure: pingP99, Way: arrival, To: quiet, Most: 5},
	}
	for _, storm := range []string{arrival, restart} {
		list = append(list,
			report.Bar{Measure: backShare, Way: storm, Least: 100},
			report.Bar{Measure: failures, Way: storm, Most: 0})
	}
	for _, kind := range floods {
		list = append(list,
			report.Bar{Measure: pingLost, Way: kind, Most: 1},
			report.Bar{Measure: pingP99, Way: kind, To: calm, Most: floodMost})
	}
	for _, cost := range plotted {
		// It is linear if it is the same for each.
		if sizes := measured(r, cost); len(sizes) > 1 {
			list = append(list, report.Bar{Measure: cost, Way: many, To: sizes[0], Most: 1.3})
		}
	}
	return list
}

// measured are the ways of a measure.
func measured(r *report.Report, measure string) (ways []string) {
	for _, m := range r.Measures {
		if m.Name != measure {
			continue
		}
		for _, s := range m.Series {
			ways = append(ways, s.Way)
		}
	}
	return ways
}

// floodTable has a row a flood: there are more of them than measures.
func floodTable(r *report.Report) string {
	var b strings.Builder
	b.WriteString("| one peer sends |")
	for _, name := range unrest {
		fmt.Fprintf(&b, " %s, %s |", name, r.Measure(name, "", "").Unit)
	}
	b.WriteString("\n|---" + strings.Repeat("|---", len(unrest)) + "|\n")
	for _, kind := range append([]string{calm}, floods...) {
		fmt.Fprintf(&b, "| %s |", kind)
		for _, name := range unrest {
			fmt.Fprintf(&b, " %.3g |", r.Measure(name, "", "").Of(kind).Median)
		}
		b.WriteByte('\n')
	}
	return b.String() + "\n"
}

// markdown is the section of the report. plot is the path to its plot.
func markdown(r *report.Report, plot string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "    %s\n\n%s, %s; %v in all.\nFigures are medians, with the lowest and the highest, of what was measured more than once.\n\n",
		r.Command, r.Machine, r.Date, r.Took.Round(time.Second))
	if plot != "" {
		fmt.Fprintf(&b, "![Cost by the number of sessions](%s)\n\n", plot)
	}
	b.WriteString(r.Verdicts(bars(r)))
	if sizes := measured(r, setupCPU); len(sizes) > 0 {
		b.WriteString(r.Grid(costs, sizes))
	}
	if len(measured(r, backShare)) > 0 {
		b.WriteString(r.Grid(weather, []string{quiet, arrival, restart}))
	}
	if len(measured(r, floodPackets)) > 0 {
		fmt.Fprintf(&b, "One peer floods:\n\n%s", floodTable(r))
	}
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "- %s\n", note)
	}
	return b.String()
}
