package main

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp/examples/bench/internal/cpu"
	"github.com/gopptp/gopptp/examples/bench/internal/report"
	"github.com/gopptp/gopptp/examples/bench/internal/traffic"
	"github.com/gopptp/gopptp/examples/bench/internal/tunnels"
)

// tcpFlows measures throughput, and with one flow what it costs the gateway.
func (r *run) tcpFlows(t *tunnel, round, flows int, name string) error {
	spent := func() time.Duration { return 0 }
	if t.Gateway != nil {
		before, err := t.Gateway.CPU()
		if err != nil {
			return err
		}
		spent = func() time.Duration {
			after, _ := t.Gateway.CPU()
			return after - before
		}
	}
	got, err := traffic.TCP{Server: t.ServerAddress, Flows: flows, For: r.tcp}.Run(r.ctx, t.Client)
	if err != nil {
		return err
	}
	cost := spent().Seconds() / (got.Received / 1e9)
	r.report.Measure(name, "Gbit/s", wireGuard).Add(round, t.name, got.BitsPerSecond()/1e9)
	if t.Gateway != nil && flows == 1 {
		r.report.Measure(cpuPerGB, "s/GB", wireGuard).Add(round, t.name, cost)
	}
	r.say("round %d  %-24s %-28s %6.2f Gbit/s, gateway %.2f s/GB", round+1, name, t.name, got.BitsPerSecond()/1e9, cost)
	return nil
}

// udpRate looks for the highest rate of small packets without loss. The first round
// looks everywhere, the others around what the one before has found.
func (r *run) udpRate(t *tunnel, round int) error {
	if t.Gateway == nil {
		return nil
	}
	load, err := traffic.OpenLoad(traffic.LoadConfig{
		From: t.Client, To: t.Server, Sources: t.ClientAddresses[:1],
		Targets: []netip.Addr{t.ServerAddress}, Size: 64,
	})
	if err != nil {
		return err
	}
	defer load.Close()
	start, factor, trials := 50e3, 2.0, r.firstTrials
	if t.best > 0 {
		start, factor, trials = t.best, 1.15, r.trials
	}
	best, err := traffic.Search(start, factor, trials, func(rate float64) (traffic.Trial, error) {
		if err := r.ctx.Err(); err != nil {
			return traffic.Trial{}, err
		}
		return load.Run(rate, r.udp)
	})
	if err != nil {
		return err
	}
	if best == 0 {
		return errors.New("losses at any rate")
	}
	t.best = best
	r.report.Measure(udp64, "1,000 packets/s", wireGuard).Add(round, t.name, best/1e3)
	r.say("round %d  %-24s %-28s %6.0f,000/s", round+1, "64-octet packets", t.name, best/1e3)
	return nil
}

// ping measures the latency of a tunnel that has nothing else to do.
func ping(t *tunnels.Tunnel, during time.Duration) (traffic.Latency, error) {
	return traffic.Echo(t.Client, t.Server, t.ClientAddresses[0], t.ServerAddress, 5*time.Millisecond, during)
}

func (r *run) idleLatency(t *tunnel, round int) error {
	l, err := ping(t.Tunnel, r.echo)
	if err != nil {
		return err
	}
	micro := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }
	r.report.Measure(latency, "µs", plain).Add(round, t.name, micro(l.Median))
	r.report.Measure(latency9, "µs", plain).Add(round, t.name, micro(l.P99))
	r.say("round %d  %-24s %-28s %6.1f µs, 99th percentile %.1f µs", round+1, "latency", t.name, micro(l.Median), micro(l.P99))
	return nil
}

// split is where the gateway's time went, over all rounds.
type split struct {
	cpu.Split
	octets float64
}

type splitKey struct {
	way     string
	reverse bool
}

// profiles has one flow to the gateway, and then one from it.
func (r *run) profiles(t *tunnel, round int) error {
	if !t.Profiled {
		return nil
	}
	both := cpu.Split{}
	for _, reverse := range []bool{false, true} {
		var got traffic.Octets
		profile, err := t.Gateway.Profile(func() (err error) {
			got, err = traffic.TCP{Server: t.ServerAddress, Flows: 1, For: r.profile, Reverse: reverse}.Run(r.ctx, t.Client)
			return err
		})
		if err != nil {
			return err
		}
		key := splitKey{t.name, reverse}
		s := r.splits[key]
		if s == nil {
			s = &split{Split: cpu.Split{}}
			r.splits[key] = s
		}
		this := cpu.Split{}
		if err := this.Add(profile); err != nil {
			return err
		}
		s.Merge(this, 1)
		s.octets += got.Received
		both.Merge(this, 1e9/got.Received) // as much of each direction
	}
	own := 100 * both.Of(cpu.Own)
	if t.stages.String() == "" {
		r.report.Measure(ownShare, "% of the gateway's CPU", "").Add(round, t.name, own)
	}
	r.say("round %d  %-24s %-28s %6.1f %% is our code but the cipher", round+1, "CPU profile", t.name, own)
	return nil
}

// reportSplits makes a table of the profiles, in the order of the ways.
func (r *run) reportSplits() {
	kinds := map[cpu.Kind]string{cpu.Kernel: report.KindKernel, cpu.Cipher: "cipher", cpu.Own: report.KindOwn, cpu.Runtime: report.KindRuntime}
	for _, w := range ways {
		for _, reverse := range []bool{false, true} {
			s := r.splits[splitKey{w.name, reverse}]
			if s == nil || s.Total() == 0 || s.octets == 0 {
				continue
			}
			direction := "in"
			if reverse {
				direction = "out"
			}
			out := &report.Split{
				Way: w.name, Direction: direction,
				PerGB: time.Duration(float64(s.Total()) / (s.octets / 1e9)),
			}
			for _, p := range cpu.Parts {
				out.Parts = append(out.Parts, report.PartTime{
					Name: p.Name, Kind: kinds[p.Kind], Share: float64(s.Split[p]) / float64(s.Total()),
				})
			}
			r.report.Splits = append(r.report.Splits, out)
		}
	}
}

const (
	// sessionRate is how many packets a second there are each way, over all sessions.
	sessionRate = 10e3
	sessionSize = 1000
)

func sessionsOf(n int) string { return fmt.Sprintf("gopptp MPPE, %d sessions", n) }

// manySessions has the same traffic over few sessions and over many, both ways at
// once.
func (r *run) manySessions() {
	type loaded struct {
		*tunnel
		up, down *traffic.Load
	}
	var all []loaded
	defer func() {
		for _, l := range all {
			l.up.Close()
			l.down.Close()
		}
		r.close()
	}()
	for _, n := range r.sessions {
		began := time.Now()
		t, err := tunnels.Open(tunnels.Ours(tunnels.Config{Plane: "auto", MPPE: true, Sessions: n}))
		if err != nil {
			r.note("%d sessions: %v", n, err)
			continue
		}
		r.say("%d sessions, up in %v", n, time.Since(began).Round(time.Millisecond))
		l := loaded{tunnel: &tunnel{Tunnel: t, name: sessionsOf(n)}}
		r.tunnels = append(r.tunnels, l.tunnel)
		servers := []netip.Addr{t.ServerAddress}
		var err1, err2 error
		l.up, err1 = traffic.OpenLoad(traffic.LoadConfig{
			From: t.Client, To: t.Server, Sources: t.ClientAddresses, Targets: servers, Size: sessionSize,
		})
		l.down, err2 = traffic.OpenLoad(traffic.LoadConfig{
			From: t.Server, To: t.Client, Sources: servers, Targets: t.ClientAddresses, Size: sessionSize,
		})
		all = append(all, l)
		if err := errors.Join(err1, err2); err != nil {
			r.note("%d sessions: %v", n, err)
			return
		}
	}
	for round := range r.rounds {
		for _, l := range all {
			if r.ctx.Err() != nil {
				return
			}
			if err := r.sessionLoad(l.tunnel, l.up, l.down, round); err != nil {
				r.note("round %d, %s: %v", round+1, l.name, err)
			}
		}
	}
}

func (r *run) sessionLoad(t *tunnel, up, down *traffic.Load, round int) error {
	before, err := t.Gateway.CPU()
	if err != nil {
		return err
	}
	type outcome struct {
		traffic.Trial
		err error
	}
	done := make(chan outcome)
	for _, l := range []*traffic.Load{up, down} {
		go func() {
			trial, err := l.Run(sessionRate, r.load)
			done <- outcome{trial, err}
		}()
	}
	first, second := <-done, <-done
	after, err := t.Gateway.CPU()
	if err := errors.Join(first.err, second.err, err); err != nil {
		return err
	}
	if lost := (first.Loss + second.Loss) / 2; lost > 0.01 {
		r.note("round %d, %s: %.1f %% lost", round+1, t.name, 100*lost)
	}
	packets := (first.Delivered + second.Delivered) * r.load.Seconds()
	cost := (after - before).Seconds() / packets * 1e6
	r.report.Measure(sessions, "µs", sessionsOf(1)).Add(round, t.name, cost)
	r.say("round %d  %-24s %-28s %6.2f µs a packet, %.2f %% lost", round+1, "sessions", t.name, cost, 50*(first.Loss+second.Loss))
	return nil
}
