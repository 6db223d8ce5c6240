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
	writeSection(t, document, setupsBegin, section, setupsEnd)
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
			before := s.work(t)
			n := setupCounts[w.name]
			l.call(t, s, n, fullBench.AtOnce)
			after := s.work(t)
			each := (after.instructions - before.instructions) / float64(n)
			system := after.system - before.system
			inKernel := each * system / (system + after.user - before.user)
			r.add("set-ups", "instructions", "1,000 a session", w.name, each/1e3)
			r.add("set-ups", "of the kernel", "1,000 a session", w.name, inKernel/1e3)
			t.Logf("%d sessions, %.0f instructions each, some %.0f of them the kernel's", n, each, inKernel)
		})
	}
	if !t.Failed() {
		r.write(t, filepath.Join(os.Getenv(envDir), setupsResults))
	}
}

// work is what the server's processes have executed, the kernel's in their system calls and
// page faults included. It means nothing but on an emulated machine.
type work struct {
	instructions float64
	// Which share of them is the kernel's is only known from ticks of the clock.
	user, system float64
}

func (s *benchServer) work(t *testing.T) (sum work) {
	t.Helper()
	number := func(text []byte) float64 {
		n, err := strconv.ParseFloat(string(text), 64)
		require.NoError(t, err)
		return n
	}
	for _, pid := range s.processes() {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		require.NoError(t, err)
		require.NotEmpty(t, threads)
		for _, thread := range threads {
			text, err := os.ReadFile(thread)
			require.NoError(t, err)
			sum.instructions += number(bytes.Fields(text)[0]) / nsPerInstruction // of nanoseconds
			text, err = os.ReadFile(filepath.Join(filepath.Dir(thread), "stat"))
			require.NoError(t, err)
			_, text, _ = bytes.Cut(text, []byte(") ")) // the name is before that
			const utime, stime = 14 - 3, 15 - 3        // proc_pid_stat(5)
			sum.user += number(bytes.Fields(text)[utime])
			sum.system += number(bytes.Fields(text)[stime])
		}
	}
	return sum
}

// setupsTable is that of the document.
func setupsTable(r *benchReport) string {
	all, kernel := r.measure("set-ups", "instructions").Values, r.measure("set-ups", "of the kernel").Values
	var b bytes.Buffer
	fmt.Fprintf(&b, "| | instructions of the server's processes a set-up, in thousands | some of them the kernel's | pptpd ÷ it |\n|---|---|---|---|\n")
	for _, w := range benchWays {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", w.name, figure(all[w.name][0]), figure(kernel[w.name][0]), figure(all[benchPPTPD][0]/all[w.name][0]))
	}
	return b.String()
}
