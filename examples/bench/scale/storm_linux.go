package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// What is measured of a storm, and of those who are up meanwhile.
const (
	backShare = "clients that come up"
	backTime  = "until they are up"
	refusals  = "attempts that the gateway refuses"
	away      = "attempts that end with the gateway, or find none"
	failures  = "attempts that fail otherwise"
	stormP99  = "set-up, 99th percentile, in a storm"

	pingMedian = "ping of those who are up, median"
	pingP99    = "ping of those who are up, 99th percentile"
	pingLost   = "pings that are lost"
	pingDrops  = "sessions that were up and are dropped"
)

// The storms.
const (
	quiet   = "before"
	arrival = "newcomers"
	restart = "gateway restarts"
)

// storms has many clients dial at once: first beside sessions that are up, then because
// the gateway has died, and is back.
func (r *run) storms() error {
	g, err := r.start()
	if err != nil {
		return err
	}
	defer func() { g.kill() }()
	if err := r.calm(g); err != nil {
		return err
	}
	if err := r.newcomers(g); err != nil {
		return err
	}
	g.kill()
	if g, err = r.start(); err != nil {
		return err
	}
	return r.restart(&g)
}

// calm measures pings while nothing else happens.
func (r *run) calm(g *gateway) error {
	residents, err := r.reside(g)
	if err != nil {
		return err
	}
	defer residents.kill()
	if err := r.sleep(r.quiet); err != nil {
		return err
	}
	return errors.Join(r.pings(residents, quiet), g.empty(r.ctx))
}

// newcomers has all dial at once, beside sessions that are up.
func (r *run) newcomers(g *gateway) error {
	residents, err := r.reside(g)
	if err != nil {
		return err
	}
	defer residents.kill()
	clients, err := r.flood()
	if err != nil {
		return err
	}
	defer clients.kill()
	began := time.Now()
	profiled := r.profile(g, arrival)
	if err := r.back(g, clients, arrival, r.residents, began); err != nil {
		return err
	}
	if err := errors.Join(profiled(), r.pings(residents, arrival)); err != nil {
		return err
	}
	counters, err := g.counters(r.ctx)
	if err != nil {
		return err
	}
	result, err := clients.hangUp(r.ctx)
	if err != nil {
		return err
	}
	r.tally(result, counters, arrival)
	r.take(stormP99, "ms", "", arrival, result.setup().P99)
	return nil
}

// restart has the gateway die when all are up, who dial again at once.
func (r *run) restart(g **gateway) error {
	clients, err := r.flood()
	if err != nil {
		return err
	}
	defer clients.kill()
	if err := (*g).await(r.ctx, r.storm, clients); err != nil {
		return err
	}
	first, err := (*g).counters(r.ctx)
	if err != nil {
		return err
	}
	(*g).kill()
	if *g, err = r.start(); err != nil {
		return err
	}
	if err := r.back(*g, clients, restart, 0, time.Now()); err != nil {
		return err
	}
	second, err := (*g).counters(r.ctx)
	if err != nil {
		return err
	}
	for name, n := range first {
		second[name] += n
	}
	result, err := clients.hangUp(r.ctx)
	if err != nil {
		return err
	}
	r.tally(result, second, restart)
	return nil
}

// pings is how many each session sends that is up, a second.
const pings = 10

// reside brings sessions up that stay, and ping.
func (r *run) reside(g *gateway) (*clients, error) {
	c, err := r.dial(r.inside, load{
		tunnels: r.residents, rate: 1000, dialling: underWay, packets: float64(pings * r.residents), policy: firstOfAll,
	})
	if err != nil {
		return nil, err
	}
	if err := g.await(r.ctx, r.residents, c); err != nil {
		c.kill()
		return nil, fmt.Errorf("those who are up: %w", err)
	}
	return c, nil
}

// pings ends sessions that ping, and takes down how they fared.
func (r *run) pings(c *clients, when string) error {
	result, err := c.hangUp(r.ctx)
	if err != nil {
		return err
	}
	if len(result.Traffic) == 0 {
		return errors.New("nobody has pinged")
	}
	t := result.Traffic[0]
	r.take(pingMedian, "ms", quiet, when, t.RTT.P50)
	r.take(pingP99, "ms", quiet, when, t.RTT.P99)
	r.take(pingLost, "%", "", when, 100*float64(t.Lost)/float64(t.Sent))
	r.take(pingDrops, "of all", "", when, float64(sum(result.Drops)))
	r.say("%s: pings: median %.2f ms, p99 %.2f ms, %d of %d lost, %d sessions dropped", when, t.RTT.P50, t.RTT.P99, t.Lost, t.Sent, sum(result.Drops))
	return nil
}

// flood has all clients dial at once.
func (r *run) flood() (*clients, error) {
	const atOnce = 1e5 // a second
	return r.dial(r.outside, load{tunnels: r.storm, rate: atOnce, dialling: r.storm, policy: lastOfAll})
}

// back waits until all clients are up, beside others, and takes down how long that took.
func (r *run) back(g *gateway, c *clients, when string, others int, began time.Time) error {
	const patience = 90 * time.Second
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	err := g.await(ctx, r.storm+others, c)
	took := time.Since(began)
	counters, missing := g.counters(r.ctx)
	if missing != nil {
		return missing
	}
	up := counters["up"] - float64(others)
	r.take(backShare, "%", "", when, 100*up/float64(r.storm))
	if err != nil {
		return err
	}
	r.take(backTime, "s", "", when, took.Seconds())
	r.say("%s: %d are up after %.1f s", when, r.storm, took.Seconds())
	return nil
}

// tally takes down which attempts failed, and why.
func (r *run) tally(result *result, c counters, when string) {
	refused := c.refused()
	rest := max(0, float64(sum(result.Failures))-refused)
	if when == restart {
		// The system ends the connections of a process that is killed.
		ended := 0
		for why, n := range result.Failures {
			for _, how := range []string{"connection lost: EOF", "connection reset by peer", "connection refused"} {
				if strings.HasSuffix(why, how) {
					ended += n
				}
			}
		}
		without := min(rest, float64(ended))
		rest -= without
		r.take(away, "of all", "", when, without)
		result.Drops = nil // of all of them
	}
	r.take(refusals, "of all", "", when, refused)
	r.take(failures, "of all", "", when, rest)
	r.troubles(fmt.Sprintf("%s, %d clients", when, r.storm), result)
	for name, n := range c {
		if n > 0 && strings.HasPrefix(name, "refused_") {
			r.note("%s, as counted by the gateway: %s %.0f", when, name, n)
		}
	}
}

func (r *run) take(name, unit, reference, way string, value float64) {
	r.report.Measure(name, unit, reference).Add(0, way, value)
}
