package main

import (
	"context"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/examples/bench/internal/report"
)

// The test binary is also the peer that floods.
func TestMain(m *testing.M) {
	child.Main(roles)
	os.Exit(m.Run())
}

// missing ends a test that lacks something: with a skip, or with a failure where
// everything must be there.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Ten times as many sessions cost ten times as much, or not much more. How much that is
// does not matter.
func TestSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if os.Getuid() != 0 {
		missing(t, "network namespaces and TUN devices need root")
	}
	o := small
	o.progress = t.Output()
	r, err := o.run(context.Background())
	require.NoError(t, err)
	require.Empty(t, r.Notes)

	sizes := measured(r, setupCPU)
	require.Len(t, sizes, 2)
	const most = 2
	for _, cost := range plotted {
		m := r.Measure(cost, "", "")
		for _, size := range sizes {
			require.Positive(t, m.Of(size).Median, "%s, %s", cost, size)
		}
		require.Less(t, m.Ratio(sizes[1], sizes[0]).Median, float64(most), cost)
	}
}

// Whatever one peer floods with, others come up, stay, lose nothing and wait little. How
// little depends on what else the machine does, so that there is more than one try.
func TestFairness(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if os.Getuid() != 0 {
		missing(t, "network namespaces and TUN devices need root")
	}
	o := options{limit: 2 * time.Minute, neighbours: 20, flooding: time.Second, progress: t.Output()}
	const tries = 3
	for try := 1; ; try++ {
		r, err := o.run(context.Background())
		require.NoError(t, err)
		require.Empty(t, r.Notes)
		of := func(name, kind string) float64 { return r.Measure(name, "", "").Of(kind).Median }
		slow := ""
		for _, kind := range floods {
			require.Zero(t, of(pingDrops, kind), kind)
			require.Positive(t, of(pingP99, kind), kind)
			// A millisecond is nothing, however little it was without a flood.
			if of(pingLost, kind) > 1 || of(pingP99, kind) > floodMost*max(1, of(pingP99, calm)) {
				slow = kind
			}
		}
		if slow == "" {
			return
		}
		require.Less(t, try, tries, "neighbours of %s lose pings or wait long", slow)
	}
}

// A bar that names what is not there would never be missed.
func TestBars(t *testing.T) {
	r := new(report.Report)
	for _, name := range costs {
		for _, way := range []string{sessions(100), sessions(50000)} {
			r.Measure(name, "", sessions(100)).Add(0, way, 1)
		}
	}
	for _, name := range weather {
		for _, way := range []string{quiet, arrival, restart} {
			r.Measure(name, "", sessions(100)).Add(0, way, 1)
		}
	}
	for _, kind := range append([]string{calm}, floods...) {
		for _, name := range unrest {
			r.Measure(name, "", "").Add(0, kind, 1)
		}
	}
	require.Len(t, r.Judge(bars(r)), len(bars(r)))
	require.Len(t, bars(r), 11+2*len(floods))
	text := markdown(r, "plot.svg")
	for _, kind := range floods {
		require.Contains(t, text, "| "+kind+" | 1 | 1 | 1 | 1 | 1 |")
	}
	for _, name := range append(costs, weather...) {
		require.Contains(t, text, "| "+name+", ")
	}
	require.Contains(t, r.Plot(plotted, "", ""), residentEach)
	require.Empty(t, bars(new(report.Report)))
	require.Equal(t, 50000., number(sessions(50000)))
	require.Equal(t, 100., number(sessions(100)))
}

func TestSessions(t *testing.T) {
	require.Equal(t, "100 sessions", sessions(100))
	require.Equal(t, "1,000 sessions", sessions(1000))
	require.Equal(t, "50,050 sessions", sessions(50050))
}

func TestSizes(t *testing.T) {
	var o options
	require.NoError(t, o.only("100,50000"))
	require.Equal(t, []size{{100, 10}, {50000, 1}}, o.sizes)
	for _, bad := range []string{"0", "x", "1,", "65536"} {
		require.Error(t, o.only(bad), bad)
	}
}

func TestField(t *testing.T) {
	const dev = "    lo:     1 2\n pptp0: 100 7 0 0 0 0 0 0 200 8 0\n"
	for number, want := range map[int]float64{0: 100, 1: 7, 9: 8} {
		n, err := field(dev, "pptp0:", number)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	for word, number := range map[string]int{"eth0:": 0, "lo:": 99} {
		n, err := field(dev, word, number)
		require.Error(t, err)
		require.False(t, math.IsNaN(n))
	}
}

// What the clients were refused, and what happened besides.
func TestTally(t *testing.T) {
	for when, want := range map[string]map[string]float64{
		arrival: {refusals: 5, failures: 4},
		restart: {refusals: 5, failures: 0, away: 4},
	} {
		r := &run{options: &options{progress: t.Output()}, began: time.Now(), report: new(report.Report)}
		r.tally(&result{
			Failures: map[string]int{"control: connection reset by peer": 4, "call: busy": 3, "connect: connection refused": 2},
			Drops:    map[string]int{"lost-carrier at up": 7},
		}, counters{"refused_calls": 3, "refused_per_source": 2, "up": 9}, when)
		for name, n := range want {
			require.Equal(t, n, r.report.Measure(name, "", "").Of(when).Median, "%s, %s", when, name)
		}
	}
}
