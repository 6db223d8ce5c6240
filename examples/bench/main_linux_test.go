package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/examples/bench/internal/report"
	"github.com/gopptp/gopptp/examples/bench/internal/tunnels"
)

// The test binary is also the processes of the benchmark.
func TestMain(m *testing.M) {
	child.Main(tunnels.Roles)
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

// A little of everything can be measured. How fast it is does not matter.
func TestSmoke(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if os.Getuid() != 0 {
		missing(t, "network namespaces and TUN devices need root")
	}
	if _, err := exec.LookPath("iperf3"); err != nil {
		missing(t, "%v", err)
	}
	o := small
	o.progress = t.Output()
	r, err := o.run(context.Background())
	require.NoError(t, err)
	require.Empty(t, r.Notes)

	require.Equal(t, 1, r.Rounds)
	of := func(name string) (found []string) {
		for _, m := range r.Measures {
			if m.Name != name {
				continue
			}
			for _, s := range m.Series {
				require.Positive(t, float64(s.Values[0]), "%s, %s", name, s.Way)
				found = append(found, s.Way)
			}
		}
		return found
	}
	var all, echoed, tunnelled []string
	for _, w := range ways {
		if !o.ways.MatchString(w.name) {
			continue
		}
		echoed = append(echoed, w.name)
		if w.stages != "" {
			continue
		}
		all = append(all, w.name)
		if w.name != plain {
			tunnelled = append(tunnelled, w.name)
		}
	}
	require.Equal(t, all, of(tcp1))
	require.Equal(t, all, of(tcp4))
	require.Equal(t, echoed, of(latency))
	require.Equal(t, tunnelled, of(cpuPerGB))
	require.Equal(t, tunnelled, of(udp64))
	require.Equal(t, []string{sessionsOf(1), sessionsOf(20)}, of(sessions))
	require.NotEmpty(t, r.Splits)
	for _, s := range r.Splits {
		require.Positive(t, s.PerGB)
	}
}

// A bar that names what is not there would never be missed.
func TestBars(t *testing.T) {
	names := []string{sessionsOf(1), sessionsOf(100), sessionsOf(10000)}
	for _, w := range ways {
		names = append(names, w.name)
	}
	r := new(report.Report)
	for _, name := range append([]string{latency, ownShare, sessions}, plotted...) {
		m := r.Measure(name, "", "")
		for _, way := range names {
			m.Add(0, way, 1)
		}
	}
	require.Len(t, r.Judge(bars), len(bars))
}
