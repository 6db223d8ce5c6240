package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nTarget %s (%s), %d tunnels, %.1f s\n\n", r.Target, r.Consent, r.Tunnels, r.Seconds)
	fmt.Fprintf(t, "Set-ups: %d of %d came up, %d failed, %d unended; %.0f/s, %d in the best second\n",
		r.Setups.Succeeded, r.Setups.Attempted, r.Setups.Failed, r.Setups.Unended, r.Setups.PerSecond, r.Setups.BestSecond)
	fmt.Fprintf(t, "Sessions: %d held at the end, %d at the most; %d hung up to be dialled again\n", r.Held.AtEnd, r.Held.Most, r.Setups.Planned)
	if len(r.Phases) > 0 {
		fmt.Fprint(t, "\nset-up, ms\tcount\tp50\tp90\tp99\tmax\t\n")
		for _, p := range r.Phases {
			fmt.Fprintf(t, "%s\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t\n", p.Name, p.Times.Count, p.Times.P50, p.Times.P90, p.Times.P99, p.Times.Max)
		}
	}
	counts := func(title string, m map[string]int) {
		if len(m) == 0 {
			return
		}
		fmt.Fprintf(t, "\n%s\n", title)
		names := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return m[b] - m[a] })
		for _, n := range names {
			fmt.Fprintf(t, "%7d  %s\n", m[n], n)
		}
	}
	counts("Failures", r.Failures)
	counts("Drops", r.Drops)
	if len(r.Traffic) > 0 {
		fmt.Fprint(t, "\ntraffic\tsent\tback\tlost\treordered\tdoubled\tin flight\tMbit/s out\tin\tms p50\tp99\tmax\t\n")
		for _, k := range r.Traffic {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.2f\t%.2f\t%.1f\t%.1f\t%.1f\t\n", k.Kind, k.Sent, k.Received, k.Lost, k.Reordered,
				k.Duplicates, k.InFlight, k.SentBits/1e6, k.ReceivedBits/1e6, k.RTT.P50, k.RTT.P99, k.RTT.Max)
		}
		fmt.Fprintf(t, "\nPackets that were damaged: %d, misdelivered: %d, not ours: %d\n", r.Odd.Damaged, r.Odd.Misdelivered, r.Odd.Foreign)
	}
	fmt.Fprintf(t, "\nLoad generator: %.1f s of processor, %d octets of memory a session", r.Process.CPUSeconds, r.Process.OctetsASession)
	if len(r.Traffic) > 0 {
		fmt.Fprintf(t, ", %d packets dropped here, sender behind by up to %.1f ms", r.Process.Dropped, r.Process.SenderBehind)
	}
	fmt.Fprintln(t)
	for _, n := range r.Notes {
		fmt.Fprintln(t, "Note:", n)
	}
	return t.Flush()
}
