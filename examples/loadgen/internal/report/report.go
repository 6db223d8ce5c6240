// Package report has the figures of a run, as a table for people and as JSON for
// programs.
package report

import (
	"encoding/json"
	"io"
	"time"

	"github.com/gopptp/gopptp/examples/loadgen/internal/stats"
	"github.com/gopptp/gopptp/examples/loadgen/internal/traffic"
)

// Report is what a run has found. Its JSON names stay as they are.
type Report struct {
	Target  string   `json:"target"`
	Consent string   `json:"consent"`
	Tunnels int      `json:"tunnels"`
	Rate    float64  `json:"rate_per_second"`
	Seconds float64  `json:"seconds"` // from the first dial until the sessions were hung up
	Notes   []string `json:"notes,omitempty"`
	// Interrupted: it was ended before its time.
	Interrupted bool `json:"interrupted,omitempty"`

	Setups   Setups         `json:"setups"`
	Phases   []Phase        `json:"phases"`
	Failures map[string]int `json:"failures"` // sessions that did not come up, by cause
	Drops    map[string]int `json:"drops"`    // sessions that were up and ended unasked, by cause
	Held     Held           `json:"held"`
	Traffic  []Traffic      `json:"traffic"`
	Odd      Odd            `json:"odd_packets"`
	Process  Process        `json:"process"`
}

// Setups counts attempts to bring a session up.
type Setups struct {
	Attempted int `json:"attempted"`
	Succeeded int `json:"succeeded"`
	Failed    int `json:"failed"`
	Unended   int `json:"unended"` // when the run was over
	Planned   int `json:"hung_up"` // sessions that were hung up to be dialled again
	// PerSecond is the rate from the first dial until all tunnels had been up once, or
	// to the last that came up.
	PerSecond float64 `json:"per_second"`
	// BestSecond is the most in a second.
	BestSecond int `json:"best_second"`
}

// Held counts sessions that were up at the same time.
type Held struct {
	Most  int `json:"most"`
	AtEnd int `json:"at_end"`
}

// Phase is how long a part of the set-up took.
type Phase struct {
	Name  string `json:"name"`
	Times Times  `json:"ms"`
}

// Times are quantiles in milliseconds.
type Times struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// TimesOf reads them from a histogram.
func TimesOf(h *stats.Histogram) Times {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return Times{h.Count(), ms(h.Quantile(0.5)), ms(h.Quantile(0.9)), ms(h.Quantile(0.99)), ms(h.Max())}
}

// Traffic is that of sessions of one kind, or of all.
type Traffic struct {
	Kind         string  `json:"kind"`
	Sent         uint64  `json:"sent_packets"`
	SentBits     float64 `json:"sent_bits_per_second"`
	Received     uint64  `json:"received_packets"` // each once
	ReceivedBits float64 `json:"received_bits_per_second"`
	Lost         uint64  `json:"lost"`
	Reordered    uint64  `json:"reordered"`
	Duplicates   uint64  `json:"duplicates"`
	InFlight     uint64  `json:"in_flight"` // when their session ended
	RTT          Times   `json:"round_trip_ms"`
}

// Odd counts packets from the tunnels that are not what was sent.
type Odd struct {
	Damaged      uint64 `json:"damaged"`
	Misdelivered uint64 `json:"misdelivered"`
	Foreign      uint64 `json:"foreign"`
}

// Process is what the load generator itself took.
type Process struct {
	// Dropped packets were lost in full queues of this machine, of GRE in either
	// direction; the server had no part in it.
	Dropped        uint64  `json:"dropped_packets"`
	CPUSeconds     float64 `json:"cpu_seconds"`
	OctetsASession uint64  `json:"memory_octets_per_session"` // heap and stacks
	SenderBehind   float64 `json:"sender_behind_ms"`          // at the worst
}

// TrafficOf makes the rows of kinds that there are, and one for all if they are
// several.
func TrafficOf(kinds [traffic.Kinds]traffic.Totals, rtt func(traffic.Kind) stats.Histogram, over time.Duration) (rows []Traffic) {
	var all traffic.Totals
	var allRTT stats.Histogram
	row := func(name string, t traffic.Totals, h *stats.Histogram) Traffic {
		bits := func(octets uint64) float64 { return float64(octets) * 8 / max(over.Seconds(), 0.001) }
		return Traffic{
			Kind: name, Sent: t.Sent, SentBits: bits(t.SentOctets), Received: t.Received, ReceivedBits: bits(t.ReceivedOctets),
			Lost: t.Lost, Reordered: t.Reordered, Duplicates: t.Duplicates, InFlight: t.InFlight, RTT: TimesOf(h),
		}
	}
	for k, t := range kinds {
		if t.Sent == 0 {
			continue
		}
		h := rtt(traffic.Kind(k))
		rows = append(rows, row(traffic.Kind(k).String(), t, &h))
		allRTT.Merge(&h)
		all.Sent += t.Sent
		all.SentOctets += t.SentOctets
		all.Received += t.Received
		all.ReceivedOctets += t.ReceivedOctets
		all.Lost += t.Lost
		all.Reordered += t.Reordered
		all.Duplicates += t.Duplicates
		all.InFlight += t.InFlight
	}
	if len(rows) > 1 {
		rows = append(rows, row("all", all, &allRTT))
	}
	return rows
}

// Clean reports that all was as it should be: every session came up and stayed, and
// every packet came back, once, as it was.
func (r *Report) Clean() bool {
	for _, t := range r.Traffic {
		if t.Lost+t.Duplicates > 0 {
			return false
		}
	}
	return r.Setups.Failed == 0 && len(r.Drops) == 0 && r.Odd.Damaged+r.Odd.Misdelivered == 0
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
