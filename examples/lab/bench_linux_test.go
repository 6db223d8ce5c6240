package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// benchSize is how much of everything is measured.
type benchSize struct {
	Rounds       int
	Limit        time.Duration // of the time that all takes
	MPPE         []string      // the kinds of encryption
	TCP          time.Duration // each way
	Packets      time.Duration // for each number that is under way
	Sessions     int           // that memory is compared with
	WarmSessions int           // before them
	AtOnce       int           // of sessions that are being set up
}

var (
	fullBench = benchSize{Rounds: 3, Limit: 10 * time.Minute, MPPE: []string{mppe128, noMPPE},
		TCP: 2 * time.Second, Packets: 400 * time.Millisecond,
		Sessions: 100, WarmSessions: 20, AtOnce: 4}
	// smallBench is enough to see that it works.
	smallBench = benchSize{Rounds: 1, Limit: time.Minute, MPPE: []string{mppe128},
		TCP: 200 * time.Millisecond, Packets: 50 * time.Millisecond,
		Sessions: 4, WarmSessions: 2, AtOnce: 2}
)

const (
	envBench     = "LAB_BENCH"      // the directory for the results of all; without it, only a little is measured
	envBenchText = "LAB_BENCH_TEXT" // the Markdown file to write them into
	envBenchSize = "LAB_BENCH_SIZE" // set inside only

	benchResults = "kernel.json"
)

// TestBenchKernel measures the kernel data plane beside the other one, and beside
// pptpd with pppd: see make bench-kernel.
func TestBenchKernel(t *testing.T) {
	if text := os.Getenv(envBenchSize); text != "" {
		var size benchSize
		require.NoError(t, json.Unmarshal([]byte(text), &size))
		size.measure(t)
		return
	}
	need(t, umlKernel)
	size, results := smallBench, os.Getenv(envBench)
	if results != "" {
		size = fullBench
	} else {
		t.Parallel()
	}
	began := time.Now()
	r := size.run(t)
	r.Command, r.Date, r.Took = "make bench-kernel", began.Format(time.DateOnly), time.Since(began)
	r.Machine += " of " + processor()
	section := r.markdown()
	t.Logf("in %v:\n%s", r.Took.Round(time.Second), section)
	if results == "" {
		return
	}
	require.NoError(t, os.MkdirAll(results, 0o755))
	r.write(t, filepath.Join(results, benchResults))
	if document := os.Getenv(envBenchText); document != "" {
		text, err := os.ReadFile(document)
		require.NoError(t, err)
		text, err = insertBench(text, section)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(document, text, 0o644))
	}
}

// run measures in User-Mode Linux.
func (size benchSize) run(t *testing.T) *benchReport {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	text, err := json.Marshal(size)
	require.NoError(t, err)
	dir := environmentDir(t)
	res := environment{kind: umlKernel, limit: size.Limit, ours: true}.boot(t, job{
		Dir:  dir,
		Args: []string{self, "-test.v", "-test.run=^" + t.Name() + "$", "-test.count=1", "-test.timeout=" + size.Limit.String()},
		Env:  []string{envBenchSize + "=" + string(text), envOurs + "=" + buildOurs(t)},
	})
	require.True(t, res.ended(t))
	require.Equal(t, "0", res.exit, "exit status")
	r := new(benchReport)
	text, err = os.ReadFile(filepath.Join(dir, benchResults))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, r))
	return r
}

// measure is what happens inside. The ways take turns, so that what else the machine
// does comes upon all of them.
func (size benchSize) measure(t *testing.T) {
	r := &benchReport{Machine: benchMachine(t, "User-Mode Linux"), Rounds: size.Rounds}
	r.Connection = connectionMemory(t, size.Sessions)
	for round := range size.Rounds {
		for _, mppe := range size.MPPE {
			for _, w := range benchWays {
				t.Run(fmt.Sprintf("round %d/%s/%s", round+1, w.name, mppe), func(t *testing.T) {
					size.measureTraffic(t, w, mppe, r)
				})
			}
		}
		for _, w := range benchWays {
			t.Run(fmt.Sprintf("round %d/%s/sessions", round+1, w.name), func(t *testing.T) {
				size.measureSessions(t, w, r)
			})
		}
		if t.Failed() {
			return
		}
	}
	r.write(t, filepath.Join(os.Getenv(envDir), benchResults))
}

// benchMachine says what this is measured on, as far as the inside knows.
func benchMachine(t *testing.T, kernel string) string {
	t.Helper()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	require.NoError(t, err)
	return fmt.Sprintf("%s, %s %s with one processor", runtime.Version(), kernel, trimmed(release))
}

// processor is the host's.
func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	info := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		info[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return fmt.Sprintf("%s (family %s, model %s)", info["model name"], info["cpu family"], info["model"])
}
