package report

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/loadgen/internal/stats"
	"github.com/gopptp/gopptp/examples/loadgen/internal/traffic"
)

func sample() *Report {
	var h stats.Histogram
	for i := range 100 {
		h.Add(time.Duration(i+1) * 100 * time.Microsecond)
	}
	kinds := [traffic.Kinds]traffic.Totals{
		traffic.Ping: {Sent: 10, SentOctets: 1000, Received: 9, ReceivedOctets: 900, Lost: 1},
		traffic.Bulk: {Sent: 90, SentOctets: 9000, Received: 90, ReceivedOctets: 9000, Reordered: 2},
	}
	return &Report{
		Target: "192.0.2.1:1723", Consent: "loopback", Tunnels: 7, Seconds: 8,
		Setups:   Setups{Attempted: 10, Succeeded: 7, Failed: 2, Unended: 1, PerSecond: 3.5, BestSecond: 4},
		Phases:   []Phase{{"TCP", TimesOf(&h)}},
		Failures: map[string]int{"timeout at call": 1, "connect: connection refused": 12},
		Drops:    map[string]int{},
		Held:     Held{Most: 7, AtEnd: 6},
		Traffic:  TrafficOf(kinds, func(traffic.Kind) stats.Histogram { return h }, 8*time.Second),
		Notes:    []string{"short of nothing"},
	}
}

func TestTrafficOf(t *testing.T) {
	rows := sample().Traffic
	require.Len(t, rows, 3)
	require.Equal(t, []string{"ping", "bulk", "all"}, []string{rows[0].Kind, rows[1].Kind, rows[2].Kind})
	require.Equal(t, 1000.0, rows[0].SentBits)
	require.EqualValues(t, 100, rows[2].Sent)
	require.EqualValues(t, 1, rows[2].Lost)
	require.EqualValues(t, 200, rows[2].RTT.Count)
	require.InDelta(t, 5, rows[2].RTT.P50, 0.2)
	require.InDelta(t, 9.9, rows[2].RTT.P99, 0.3)
	require.Equal(t, 10.0, rows[2].RTT.Max)
}

func TestTable(t *testing.T) {
	var b strings.Builder
	require.NoError(t, sample().WriteTable(&b))
	for _, line := range []string{
		"Target 192.0.2.1:1723 (loopback), 7 tunnels, 8.0 s",
		"Set-ups: 7 of 10 came up, 2 failed, 1 unended; 4/s, 4 in the best second",
		"     12  connect: connection refused\n      1  timeout at call",
		"Note: short of nothing",
	} {
		require.Contains(t, b.String(), line)
	}
	require.NotContains(t, b.String(), "Drops")
}

// The names are promised not to change.
func TestJSON(t *testing.T) {
	var b strings.Builder
	require.NoError(t, sample().WriteJSON(&b))
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(b.String()), &got))
	for _, name := range []string{"target", "consent", "tunnels", "seconds", "setups", "phases", "failures", "drops", "held", "traffic", "odd_packets", "process"} {
		require.Contains(t, got, name)
	}
	require.Contains(t, got["phases"].([]any)[0], "ms")
}

func TestClean(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *Report)
		clean  bool
	}{
		"all well":     {func(*Report) {}, true},
		"reordered":    {func(r *Report) { r.Traffic = []Traffic{{Reordered: 1, InFlight: 1}} }, true},
		"unended":      {func(r *Report) { r.Setups.Unended = 1 }, true},
		"failed":       {func(r *Report) { r.Setups.Failed = 1 }, false},
		"dropped":      {func(r *Report) { r.Drops = map[string]int{"dead-peer": 1} }, false},
		"lost":         {func(r *Report) { r.Traffic = []Traffic{{Lost: 1}} }, false},
		"doubled":      {func(r *Report) { r.Traffic = []Traffic{{Duplicates: 1}} }, false},
		"damaged":      {func(r *Report) { r.Odd.Damaged = 1 }, false},
		"misdelivered": {func(r *Report) { r.Odd.Misdelivered = 1 }, false},
		"foreign":      {func(r *Report) { r.Odd.Foreign = 1 }, true},
	} {
		r := new(Report)
		c.change(r)
		require.Equal(t, c.clean, r.Clean(), name)
	}
}
