package main

import (
	"errors"
	"fmt"
	"time"
)

// What is measured at a number of sessions.
const (
	setupCPU     = "CPU of the gateway a set-up"
	setupRate    = "set-ups"
	setupMedian  = "set-up, median"
	setupP99     = "set-up, 99th percentile"
	residentEach = "resident memory of the gateway a session"
	kernelEach   = "memory of the kernel a session"
	idleCPU      = "CPU of the gateway, all sessions idle"
	packetCPU    = "CPU of the gateway a packet"
)

// sessions is the name of a size.
func sessions(n int) string {
	if n < 1000 {
		return fmt.Sprint(n, " sessions")
	}
	return fmt.Sprintf("%d,%03d sessions", n/1000, n%1000)
}

// As many set-ups are under way as keep two processors busy. The rate is one that no
// gateway on two processors comes near to.
const (
	underWay  = 64
	unlimited = 20000
)

// size measures a number of sessions, on a gateway of its own.
func (r *run) size(s size) error {
	r.say("%s come up", sessions(s.sessions))
	g, err := r.start()
	if err != nil {
		return err
	}
	defer g.kill()
	// What the first sessions take, whoever comes after them, is not to count.
	const warm = 200
	if _, err := r.setUp(g, warm, nil); err != nil {
		return err
	}
	for round := range r.rounds {
		if err := r.setUps(g, s, round); err != nil {
			return err
		}
	}
	if r.load == 0 {
		return nil
	}
	return r.packetCost(g, s.sessions)
}

// setups is how it went to bring sessions up.
type setups struct {
	cpu  time.Duration // of the gateway
	rate float64
	took times
}

// setUps measures one round of set-ups, and in the first one what sessions take that
// are up.
func (r *run) setUps(g *gateway, s size, round int) error {
	way := sessions(s.sessions)
	before, err := g.memory()
	if err != nil {
		return err
	}
	profiled := func() error { return nil }
	if round == r.rounds-1 {
		profiled = r.profile(g, fmt.Sprint("setups-", s.sessions))
	}
	var all setups
	for i := range s.repeats {
		var up func() error
		if round+i == 0 {
			up = func() error { return r.held(g, s.sessions, before) }
		}
		one, err := r.setUp(g, s.sessions, up)
		if err != nil {
			return err
		}
		all.cpu += one.cpu
		all.rate += one.rate
		all.took.P50 += one.took.P50
		all.took.P99 += one.took.P99
	}
	if err := profiled(); err != nil {
		return err
	}
	n := float64(s.repeats)
	r.add(setupCPU, "µs", way, round, micro(all.cpu)/n/float64(s.sessions))
	r.add(setupRate, "a second", way, round, all.rate/n)
	r.add(setupMedian, "ms", way, round, all.took.P50/n)
	r.add(setupP99, "ms", way, round, all.took.P99/n)
	r.say("%s, round %d: %.0f µs a set-up, %.0f a second, p99 %.1f ms", way, round+1,
		micro(all.cpu)/n/float64(s.sessions), all.rate/n, all.took.P99/n)
	return nil
}

// setUp brings sessions up as fast as they will come, has a look at them, and has them
// hang up.
func (r *run) setUp(g *gateway, n int, look func() error) (s setups, err error) {
	began, err := g.CPU()
	if err != nil {
		return s, err
	}
	c, err := r.dial(r.outside, load{tunnels: n, rate: unlimited, dialling: underWay})
	if err != nil {
		return s, err
	}
	defer c.kill()
	if err := g.await(r.ctx, n, c); err != nil {
		return s, err
	}
	up, err := g.CPU()
	if err == nil && look != nil {
		err = look()
	}
	if err != nil {
		return s, err
	}
	result, err := c.hangUp(r.ctx)
	if err != nil {
		return s, err
	}
	r.troubles(sessions(n), result)
	return setups{up - began, result.Setups.PerSecond, result.setup()}, g.empty(r.ctx)
}

// troubles notes what should not have happened.
func (r *run) troubles(what string, result *result) {
	for why, n := range result.Failures {
		r.note("%s: %d set-ups failed: %s", what, n, why)
	}
	for why, n := range result.Drops {
		r.note("%s: %d sessions were dropped: %s", what, n, why)
	}
}

// held looks at sessions that are up.
func (r *run) held(g *gateway, n int, before memory) error {
	way := sessions(n)
	// The gateway tidies up first.
	long := max(r.idle, time.Second) / 2
	if err := r.sleep(long); err != nil {
		return err
	}
	began, err := g.CPU()
	if err != nil {
		return err
	}
	from := time.Now()
	if err := r.sleep(long); err != nil {
		return err
	}
	ended, err1 := g.CPU()
	during := time.Since(from)
	after, err2 := g.memory()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	idle := 100 * float64(ended-began) / float64(during)
	if r.idle > 0 {
		r.add(idleCPU, "% of a processor", way, 0, idle)
	}
	// The load generator has as many sockets as the gateway, in the same kernel.
	const kilo, ends = 1024, 2
	resident, kernel := (after.resident-before.resident)/float64(n)/kilo, (after.kernel-before.kernel)/float64(n)/kilo/ends
	// What is garbage, and what the kernel caches, changes by more than a few sessions take.
	const enough, enoughOfKernel = 500, 1000
	if n >= enough {
		r.add(residentEach, "KiB", way, 0, resident)
	}
	if n >= enoughOfKernel {
		r.add(kernelEach, "KiB", way, 0, kernel)
	}
	r.say("%s: %.1f KiB each, %.1f in the kernel, idle %.2f %%", way, resident, kernel, idle)
	// Last, as it has garbage collected.
	return r.snapshot(g, fmt.Sprint("heap-", n))
}

// packetCost has packets go through all sessions.
func (r *run) packetCost(g *gateway, n int) error {
	c, err := r.dial(r.outside, load{tunnels: n, rate: unlimited, dialling: underWay, packets: r.packets})
	if err != nil {
		return err
	}
	defer c.kill()
	if err := g.await(r.ctx, n, c); err != nil {
		return err
	}
	// Those that came up last begin to send.
	if err := r.sleep(time.Second); err != nil {
		return err
	}
	const rounds = 3
	for round := range rounds {
		count, err1 := g.packets()
		began, err2 := g.CPU()
		if err := errors.Join(err1, err2, r.sleep(r.load/rounds)); err != nil {
			return err
		}
		passed, err1 := g.packets()
		ended, err2 := g.CPU()
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if passed == count {
			return errors.New("no packets came through")
		}
		r.add(packetCPU, "µs", sessions(n), round, micro(ended-began)/(passed-count))
		r.say("%s: %.1f µs a packet, %.0f a second", sessions(n), micro(ended-began)/(passed-count), (passed-count)/(r.load/rounds).Seconds())
	}
	result, err := c.hangUp(r.ctx)
	if err != nil {
		return err
	}
	r.troubles(sessions(n)+", packets", result)
	return g.empty(r.ctx)
}

// add adds a value of a size. Sizes are compared with the first.
func (r *run) add(name, unit, way string, round int, value float64) {
	r.report.Measure(name, unit, sessions(r.sizes[0].sessions)).Add(round, way, value)
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
