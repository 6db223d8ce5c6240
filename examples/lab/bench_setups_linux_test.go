package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// envSetups is the Markdown file to write the results of TestBenchSetups into.
	envSetups = "LAB_SETUPS"

	setupsResults = "setups.json"
	setupsBegin   = "<!-- bench-setups: begin -->\n"
	setupsEnd     = "<!-- bench-setups: end -->\n"
)

// setupCounts is how many sessions each server sets up: the first are not counted. Those of
// pptpd take so long that fewer have to do.
var (
	setupCounts = map[string]int{benchKernel: 200, benchUserspace: 200, benchPPTPD: 40}
	firstSetups = 20
	setupsLimit = 20 * time.Minute
)

// TestBenchSetups counts the instructions of a set-up, ours and those of pptpd with pppd,
// on Debian's kernel: see make bench-setups.
func TestBenchSetups(t *testing.T) {
	if os.Getenv(envDir) != "" {
		measureSetups(t)
		return
	}
	document := os.Getenv(envSetups)
	if document == "" {
		t.Skip("counts instructions on an emulated machine, which takes minutes: make bench-setups")
	}
	need(t, umlKernel) // for the peers; this is its kernel's place
	self, err := os.Executable()
	require.NoError(t, err)
	dir, began := environmentDir(t), time.Now()
	res := environment{kind: emulated, limit: setupsLimit}.boot(t, job{
		Dir:  dir,
		Args: []string{self, "-test.v", "-test.run=^" + t.Name() + "$", "-test.timeout=" + setupsLimit.String()},
		Env:  []string{envOurs + "=" + buildOurs(t)},
	})
	require.True(t, res.ended(t))
	require.Equal(t, "0", res.exit, "exit status")
	r := new(benchReport)
	text, err := os.ReadFile(filepath.Join(dir, setupsResults))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, r))
	section := fmt.Sprintf("    make bench-setups\n\n%s; %s, in %v.\n\n%s",
		r.Machine, began.Format(time.DateOnly), time.Since(began).Round(time.Second), setupsTable(r))
	t.Logf("\n%s", section)
	text, err = os.ReadFile(document)
	require.NoError(t, err)
	text, err = insertBetween(text, setupsBegin, section, setupsEnd)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(document, text, 0o644))
}

// measureSetups is what happens inside.
func measureSetups(t *testing.T) {
	r := &benchReport{Machine: benchMachine(t, "Linux")}
	for _, w := range benchWays {
		t.Run(w.name, func(t *testing.T) {
			server, clients := network(t, 1)
			syslog(t)
			s := w.start(t, server, mppe128)
			l := openSessionLoad(t, clients[0])
			l.call(t, s, firstSetups, fullBench.AtOnce)
			before := s.instructions(t)
			n := setupCounts[w.name]
			l.call(t, s, n, fullBench.AtOnce)
			each := (s.instructions(t) - before) / float64(n)
			r.add("set-ups", "instructions", "1,000 a session", w.name, each/1e3)
			t.Logf("%d sessions, %.0f instructions each", n, each)
		})
	}
	if !t.Failed() {
		r.write(t, filepath.Join(os.Getenv(envDir), setupsResults))
	}
}

// instructions is what the server's processes have executed, the kernel's in their system
// calls and page faults included. It means nothing but on an emulated machine.
func (s *benchServer) instructions(t *testing.T) (sum float64) {
	t.Helper()
	for _, pid := range s.processes() {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		require.NoError(t, err)
		require.NotEmpty(t, threads)
		for _, thread := range threads {
			text, err := os.ReadFile(thread)
			require.NoError(t, err)
			ran, err := strconv.ParseFloat(string(bytes.Fields(text)[0]), 64) // in nanoseconds
			require.NoError(t, err)
			sum += ran / nsPerInstruction
		}
	}
	return sum
}

// setupsTable is that of the document.
func setupsTable(r *benchReport) string {
	m := r.measure("set-ups", "instructions")
	var b bytes.Buffer
	fmt.Fprintf(&b, "| | instructions of the server's processes a set-up, in thousands | pptpd ÷ it |\n|---|---|---|\n")
	for _, w := range benchWays {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", w.name, figure(m.Values[w.name][0]), figure(m.Values[benchPPTPD][0]/m.Values[w.name][0]))
	}
	return b.String()
}
