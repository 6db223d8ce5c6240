package lab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// benchWay is a server. The client is the same for all.
type benchWay struct {
	name  string
	start func(t *testing.T, h host, mppe string) *benchServer
}

const (
	benchKernel    = "kernel plane"
	benchUserspace = "userspace plane"
	benchPPTPD     = "pptpd, pppd"
)

var benchWays = []benchWay{
	{benchKernel, benchGateway(kernelPlane)},
	{benchUserspace, benchGateway(userspacePlane)},
	{benchPPTPD, startBenchPPTPD},
}

// benchServer is one that runs.
type benchServer struct {
	*process
	// up counts the sessions that are up, as far as the server says.
	up func() int
}

func benchGateway(p plane) func(*testing.T, host, string) *benchServer {
	return func(t *testing.T, h host, mppe string) *benchServer {
		g := startGateway(t, h, p, mppe)
		return &benchServer{g.process, func() int { return len(g.find(`msg="session up"`)) }}
	}
}

// startBenchPPTPD starts pptpd with pppd without what makes it slower, such as logs.
func startBenchPPTPD(t *testing.T, h host, mppe string) *benchServer {
	t.Helper()
	encryption := "require-mppe-128"
	if mppe != mppe128 {
		encryption = "nomppe"
	}
	writePPP(t, "chap-secrets", secrets())
	writePPP(t, "options", "")
	writePPP(t, "pptpd-options", strings.Join([]string{
		"name pptpd", "auth", "nodefaultroute", "refuse-pap", "refuse-chap", "refuse-mschap", "refuse-eap",
		"require-mschap-v2", "nobsdcomp", "nodeflate", "novj", encryption}, "\n")+"\n")
	writePPP(t, "pptpd.conf", fmt.Sprintf("option /etc/ppp/pptpd-options\nlocalip %s\nremoteip %s\nconnections 250\n", tunnelServer, tunnelPool))
	p := h.start(t, "pptpd", "pptpd", "-f", "-c", "/etc/ppp/pptpd.conf")
	h.awaitPort(t, 1723, 10*time.Second)
	return &benchServer{p, func() int { return len(descendants(p.cmd.Process.Pid, "pppd")) }}
}

// processes are the server's.
func (s *benchServer) processes() []int {
	return append([]int{s.cmd.Process.Pid}, offspring(s.cmd.Process.Pid)...)
}

// offspring are all processes below pid.
func offspring(pid int) (found []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			found = append(append(found, child), offspring(child)...)
		}
	}
	return found
}

// cpu is the processor time that the server's processes have had.
func (s *benchServer) cpu(t *testing.T) (sum time.Duration) {
	t.Helper()
	for _, pid := range s.processes() {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		require.NoError(t, err)
		// What is before the last bracket is the program's name.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		sum += ticks(t, fields[11]) + ticks(t, fields[12])
	}
	return sum
}

// memory is what the server's processes have in memory, in octets. What several of them
// share counts once.
func (s *benchServer) memory(t *testing.T) (sum float64) {
	t.Helper()
	for _, pid := range s.processes() {
		sum += kilobytes(t, fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss")
	}
	return sum
}

// busy is the time that the guest's processor was not idle, whoever had it.
func busy(t *testing.T) (sum time.Duration) {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	require.NoError(t, err)
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := bytes.Fields(line)
	for _, i := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq
		sum += ticks(t, fields[i])
	}
	return sum
}

// ticks is a time in units of USER_HZ.
func ticks(t *testing.T, field []byte) time.Duration {
	t.Helper()
	n, err := strconv.Atoi(string(field))
	require.NoError(t, err)
	return time.Duration(n) * 10 * time.Millisecond
}

// kernelMemory is what the kernel has for itself, in octets, but for what it can give
// back.
func kernelMemory(t *testing.T) float64 {
	t.Helper()
	require.NoError(t, os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0))
	return kilobytes(t, "/proc/meminfo", "Slab", "KernelStack", "PageTables", "VmallocUsed", "Percpu")
}

// kilobytes adds up lines of a file that are named, and returns octets.
func kilobytes(t *testing.T, file string, names ...string) float64 {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := regexp.MustCompile(`(?m)^(`+strings.Join(names, "|")+`): +(\d+) kB$`).FindAllSubmatch(text, -1)
	require.Len(t, lines, len(names), "%s: %s", filepath.Base(file), text)
	sum := 0
	for _, m := range lines {
		kB, err := strconv.Atoi(string(m[2]))
		require.NoError(t, err)
		sum += kB
	}
	return float64(sum) * 1024
}

func trimmed(text []byte) string { return strings.TrimSpace(string(text)) }
