package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/examples/bench/internal/netns"
)

// load describes what a load generator does.
type load struct {
	tunnels  int
	rate     float64 // of dialling, a second
	dialling int     // at once
	packets  float64 // a second through all tunnels together; 0: they are idle
	// policy is how it gets processors; zero: as the gateway does. Clients are other
	// machines, which do not take the gateway's processors, nor wait for it to let go of
	// theirs.
	policy uint32
}

// The policies of clients that dial while the gateway is to be watched, and of those whose
// latency is.
const (
	lastOfAll  = unix.SCHED_IDLE
	firstOfAll = unix.SCHED_FIFO
)

// clients is a load generator that runs.
type clients struct {
	*child.Process
	cmd  *exec.Cmd
	json string // the file of its report
}

// dial starts a load generator.
func (r *run) dial(at place, l load) (*clients, error) {
	r.loads++
	c := &clients{json: filepath.Join(r.dir, fmt.Sprintf("load%d.json", r.loads))}
	args := []string{
		"--tunnels", strconv.Itoa(l.tunnels), "--rate", fmt.Sprint(l.rate), "--max-dialling", strconv.Itoa(l.dialling),
		"--source", at.sources, "--add-sources", "--user", user, "--duration", "1h", "--quiet", "--json", c.json,
		// The namespace is ours; in a container that cannot always be seen.
		"--i-have-permission-of", "whoever runs this benchmark",
		"--timeout", "60s", "--backoff", "1s", "--max-backoff", "8s",
	}
	if r.echo > 0 {
		args = append(args, "--echo-interval", r.echo.String())
	}
	if l.packets > 0 {
		args = append(args, "--traffic", "small=1", "--small-rate", fmt.Sprint(l.packets/float64(l.tunnels)))
	}
	c.cmd = exec.Command(r.loadgen, append(args, at.gateway)...)
	c.cmd.Env = append(os.Environ(), "GOPPTP_PASSWORD="+password)
	// A process has the policy of the thread that starts it.
	at.ns.Do(func() { schedule(l.policy) })
	defer at.ns.Do(func() { schedule(unix.SCHED_NORMAL) })
	var err error
	c.Process, err = child.Start(at.ns, c.cmd)
	return c, err
}

// schedule sets the thread's policy, if it may have that.
func schedule(policy uint32) {
	a := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy}
	if policy == firstOfAll {
		a.Priority = 1
	}
	_ = unix.SchedSetAttr(0, &a, 0)
}

// place is where clients are, and what they dial.
type place struct {
	ns               *netns.Namespace
	sources, gateway string
}

// hangUp has the clients hang up, and returns what they say.
func (c *clients) hangUp(ctx context.Context) (*result, error) {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.Done():
	case <-ctx.Done():
		c.kill()
		return nil, fmt.Errorf("the load generator does not end: %s", c.Output())
	}
	text, err := os.ReadFile(c.json)
	if err != nil {
		return nil, fmt.Errorf("the load generator has failed: %s", c.Output())
	}
	r := new(result)
	return r, json.Unmarshal(text, r)
}

// kill ends the clients, which hang up no more.
func (c *clients) kill() {
	_ = c.cmd.Process.Kill()
	<-c.Done()
}

// result is what is used of the load generator's report.
type result struct {
	Setups struct {
		PerSecond float64 `json:"per_second"`
	} `json:"setups"`
	Phases []struct {
		Name  string `json:"name"`
		Times times  `json:"ms"`
	} `json:"phases"`
	Failures map[string]int `json:"failures"`
	Drops    map[string]int `json:"drops"`
	Traffic  []struct {
		Sent int   `json:"sent_packets"`
		Lost int   `json:"lost"`
		RTT  times `json:"round_trip_ms"`
	} `json:"traffic"`
}

// times are in milliseconds.
type times struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// setup is how long set-ups took.
func (r *result) setup() times {
	for _, p := range r.Phases {
		if p.Name == "total" {
			return p.Times
		}
	}
	return times{}
}

// sum adds counts up.
func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
