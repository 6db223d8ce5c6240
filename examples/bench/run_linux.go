package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/examples/bench/internal/report"
	"github.com/gopptp/gopptp/examples/bench/internal/tunnels"
)

// options of a run.
type options struct {
	rounds int
	limit  time.Duration // of all

	tcp                 time.Duration // of iperf3, in seconds
	udp                 time.Duration // of a trial
	firstTrials, trials int           // in the first round, in those that know where to look
	echo                time.Duration
	profile             time.Duration
	load                time.Duration
	sessions            []int

	ways, stages *regexp.Regexp // nil: all
	progress     io.Writer

	wireGuard string // the directory that it is in
}

// run is a run under way.
type run struct {
	*options
	ctx     context.Context
	began   time.Time
	report  *report.Report
	tunnels []*tunnel
	splits  map[splitKey]*split
}

// tunnel is one of the ways, which is there for the whole run.
type tunnel struct {
	*tunnels.Tunnel
	name   string
	stages *regexp.Regexp
	best   float64 // packets a second, in the last search
}

// stage is something that is measured of each way in each round.
type stage struct {
	name    string
	measure func(r *run, t *tunnel, round int) error
}

var stages = []stage{
	{"tcp1", func(r *run, t *tunnel, round int) error { return r.tcpFlows(t, round, 1, tcp1) }},
	{"tcp4", func(r *run, t *tunnel, round int) error { return r.tcpFlows(t, round, 4, tcp4) }},
	{"udp64", (*run).udpRate},
	{"latency", (*run).idleLatency},
	{"profile", (*run).profiles},
}

// sessionStage is measured of other tunnels.
const sessionStage = "sessions"

func stageNames() (names []string) {
	for _, s := range stages {
		names = append(names, s.name)
	}
	return append(names, sessionStage)
}

func (o *options) wants(re *regexp.Regexp, name string) bool {
	return re == nil || re.MatchString(name)
}

// run measures everything, and returns what there is when the time is over.
func (o options) run(ctx context.Context) (_ *report.Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	r := &run{options: &o, ctx: ctx, began: time.Now(), splits: make(map[splitKey]*split), report: &report.Report{
		Command: "make bench-dataplane",
		Machine: report.Machine(),
		Date:    time.Now().Format(time.DateOnly),
	}}
	// wireguard-go has its sockets there, whose paths must be short.
	if o.wireGuard, err = os.MkdirTemp("", "bench-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(o.wireGuard)
	defer r.close()
	if err := r.open(); err != nil {
		return nil, err
	}
	for round := range o.rounds {
		if !r.hasTimeFor(round) {
			r.note("time was short: %d rounds instead of %d", round, o.rounds)
			break
		}
		r.round(round)
		r.report.Rounds = round + 1
	}
	r.close()
	if o.wants(o.stages, sessionStage) && ctx.Err() == nil {
		r.manySessions()
	}
	r.reportSplits()
	r.report.Took = time.Since(r.began)
	if err := ctx.Err(); err != nil && (!errors.Is(err, context.DeadlineExceeded) || r.report.Rounds == 0) {
		return nil, err
	}
	return r.report, nil
}

// hasTimeFor reports whether another round is likely to end in time, and leaves a
// sixth of it for the sessions.
func (r *run) hasTimeFor(round int) bool {
	if round == 0 {
		return true
	}
	spent := time.Since(r.began)
	return spent+spent/time.Duration(round) < r.limit*5/6
}

// open makes all tunnels. One that cannot be made is left out, and noted.
func (r *run) open() error {
	if r.wants(r.options.ways, wireGuard) {
		r.say("building %s", tunnels.WireGuardModule)
		if err := tunnels.BuildWireGuard(r.ctx, r.wireGuard); err != nil {
			return err
		}
	}
	for _, w := range ways {
		if !r.wants(r.options.ways, w.name) || w.extra && r.options.ways == nil {
			continue
		}
		t, err := tunnels.Open(w.kind(r.options))
		if err == nil {
			// The first packets have keys to agree on and neighbours to find.
			r.tunnels = append(r.tunnels, &tunnel{Tunnel: t, name: w.name, stages: regexp.MustCompile(w.stages)})
			_, err = ping(t, 50*time.Millisecond)
		}
		if errors.Is(err, unix.EPERM) {
			return fmt.Errorf("%s: needs root: %w", w.name, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

func (r *run) close() {
	for _, t := range r.tunnels {
		t.Close()
	}
	r.tunnels = nil
}

// round measures everything once, one way after the other.
func (r *run) round(round int) {
	for _, s := range stages {
		if !r.wants(r.stages, s.name) {
			continue
		}
		for _, t := range r.tunnels {
			if r.ctx.Err() != nil {
				return
			}
			if !t.stages.MatchString(s.name) {
				continue
			}
			err := t.Dead()
			if err == nil {
				err = s.measure(r, t, round)
			}
			if err != nil && r.ctx.Err() == nil {
				r.note("round %d, %s, %s: %v", round+1, s.name, t.name, err)
			}
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
