package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/examples/bench/internal/netns"
	"github.com/gopptp/gopptp/examples/bench/internal/report"
)

// options of a run.
type options struct {
	sizes  []size
	rounds int           // that each is measured in
	limit  time.Duration // of all

	idle    time.Duration // that sessions are watched while they are idle; 0: not
	echo    time.Duration // of silence, until somebody asks; 0: the default
	load    time.Duration // that packets are counted
	packets float64       // a second and direction, through all sessions together

	storm     int // clients that dial at once
	residents int // sessions that are up meanwhile
	quiet     time.Duration

	neighbours int           // that are up while one peer floods; 0: nobody does
	flooding   time.Duration // how long, in each way

	programs string // where they are; they are built if it is empty
	profiles string
	progress io.Writer
}

// size is how many sessions there are, and how often they are brought up in a round.
type size struct{ sessions, repeats int }

// run is a run under way.
type run struct {
	*options
	ctx    context.Context
	began  time.Time
	report *report.Report

	server           *netns.Namespace // of the gateway
	outside, inside  place            // of clients, and of those that are there before them
	dir              string           // of everything that is written
	gateway, loadgen string           // the programs
	gateways, loads  int              // started
}

// run measures everything, and returns what there is when the time is over.
func (o options) run(ctx context.Context) (_ *report.Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	o.sizes = slices.Clone(o.sizes)
	r := &run{options: &o, ctx: ctx, began: time.Now(), report: &report.Report{
		Command: "make bench-scale",
		Machine: report.Machine(),
		Date:    time.Now().Format(time.DateOnly),
	}}
	if err := r.bound(); err != nil {
		return nil, err
	}
	if r.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(r.dir)
	if err := r.build(); err != nil {
		return nil, err
	}
	defer r.leave()
	if err := r.enter(); err != nil {
		return nil, err
	}
	for _, s := range o.sizes {
		if err := r.size(s); err != nil {
			if r.stopped() {
				break
			}
			r.note("%s: %v", sessions(s.sessions), err)
		}
	}
	if o.storm > 0 && !r.stopped() {
		if err := r.storms(); err != nil && !r.stopped() {
			r.note("storm: %v", err)
		}
	}
	if o.neighbours > 0 && !r.stopped() {
		if err := r.fairness(); err != nil && !r.stopped() {
			r.note("floods: %v", err)
		}
	}
	r.report.Took = time.Since(r.began)
	if r.stopped() {
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) || len(r.report.Measures) == 0 {
			return nil, ctx.Err()
		}
		r.note("time was short: not everything was measured")
	}
	return r.report, nil
}

// stopped reports whether the time is over.
func (r *run) stopped() bool { return r.ctx.Err() != nil }

// bound lets the programs have the descriptors that they need, one a session, or takes
// no more sessions than there are descriptors.
func (r *run) bound() error {
	most := r.storm
	for _, s := range r.sizes {
		most = max(most, s.sessions)
	}
	const spare = 600 // descriptors that are no control connections
	need := uint64(most) + spare
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Max >= need {
		return nil
	}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: need, Max: need}) == nil {
		return nil // the programs inherit it
	}
	if limit.Max < 2*spare {
		return fmt.Errorf("a process may have %d descriptors, and raising that needs CAP_SYS_RESOURCE", limit.Max)
	}
	most = int(limit.Max-spare) / 100 * 100
	r.note("a process may have %d descriptors here, one a session, and raising that needs CAP_SYS_RESOURCE: %s at the most", limit.Max, sessions(most))
	for i := range r.sizes {
		r.sizes[i].sessions = min(r.sizes[i].sessions, most)
	}
	r.sizes = slices.CompactFunc(r.sizes, func(a, b size) bool { return a.sessions == b.sessions })
	r.storm = min(r.storm, most)
	return nil
}

// build builds the programs, and writes the gateway's configuration.
func (r *run) build() error {
	if p := r.programs; p != "" {
		r.gateway, r.loadgen = filepath.Join(p, "gateway"), filepath.Join(p, "loadgen")
		return r.configure()
	}
	r.say("building the gateway and the load generator")
	r.gateway, r.loadgen = filepath.Join(r.dir, "gateway"), filepath.Join(r.dir, "loadgen")
	for name, file := range map[string]string{"gateway": r.gateway, "loadgen": r.loadgen} {
		const module = "github.com/gopptp/gopptp/examples/"
		if out, err := exec.CommandContext(r.ctx, "go", "build", "-o", file, module+name).CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", name, err, out)
		}
	}
	return r.configure()
}

// enter makes the namespaces.
func (r *run) enter() (err error) {
	prefix := func(address string) netip.Prefix { return netip.PrefixFrom(netip.MustParseAddr(address), 30) }
	if r.server, r.outside.ns, err = netns.Pair(prefix(outerGateway), prefix(outerClients)); err != nil {
		return err
	}
	if err := r.server.Route(netip.MustParsePrefix(clientSources), netip.MustParseAddr(outerClients)); err != nil {
		return err
	}
	r.outside.sources, r.outside.gateway = clientSources, outerGateway
	r.inside.sources, r.inside.gateway = residentSources, outerGateway2
	if r.inside.ns, err = netns.New(); err != nil {
		return err
	}
	if err := netns.Join(r.server, r.inside.ns, "eth1", netns.Device, prefix(outerGateway2), prefix(outerResidents)); err != nil {
		return err
	}
	return r.server.Route(netip.MustParsePrefix(residentSources), netip.MustParseAddr(outerResidents))
}

func (r *run) leave() {
	for _, ns := range []*netns.Namespace{r.server, r.outside.ns, r.inside.ns} {
		if ns != nil {
			ns.Close()
		}
	}
}

// say shows what goes on.
func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.progress, "%5.0f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

func (r *run) note(format string, args ...any) {
	note := fmt.Sprintf(format, args...)
	r.say("%s", note)
	r.report.Notes = append(r.report.Notes, note)
}

// sleep waits, but not when the time is over.
func (r *run) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}
