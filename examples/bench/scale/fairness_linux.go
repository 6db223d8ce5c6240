package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
)

// floodPackets is of the gateway, all others are of the neighbours.
const floodPackets = "GRE packets that the gateway gets, pings among them"

// calm is no flood.
const calm = "nothing"

// fairness has one peer flood in all ways that there are, one after the other, and takes
// down how those fare who come up meanwhile, and ping.
func (r *run) fairness() error {
	g, err := r.start()
	if err != nil {
		return err
	}
	defer g.kill()
	for _, kind := range append([]string{calm}, floods...) {
		if err := r.beside(g, kind); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// beside is one flood.
func (r *run) beside(g *gateway, kind string) error {
	if kind != calm {
		// It is another machine, which does not take the gateway's processors.
		const idlest = 19
		r.outside.ns.Do(func() { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, idlest) })
		flooder, err := child.StartRole(r.outside.ns, roleFlooder, floodConfig{Kind: kind, Server: outerGateway}, nil)
		r.outside.ns.Do(func() { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, 0) })
		if err != nil {
			return err
		}
		defer flooder.Stop()
	}
	neighbours, err := r.dial(r.inside, load{
		tunnels: r.neighbours, rate: 1000, dialling: underWay, packets: float64(pings * r.neighbours), policy: firstOfAll,
	})
	if err != nil {
		return err
	}
	defer neighbours.kill()
	if err := r.arrive(g, neighbours); err != nil {
		return err
	}
	before, err1 := g.received(r.ctx)
	began := time.Now()
	if err := r.sleep(r.flooding); err != nil {
		return err
	}
	after, err2 := g.received(r.ctx)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	rate := (after - before) / time.Since(began).Seconds()
	r.take(floodPackets, "a second", "", kind, rate)
	r.say("%s: the gateway gets %.0f packets of GRE a second", kind, rate)
	return r.pings(neighbours, kind)
}

// arrive waits until the neighbours are up, and maybe the flooder.
func (r *run) arrive(g *gateway, neighbours *clients) error {
	const patience = 10 * time.Second
	for began := time.Now(); ; {
		c, err := g.counters(r.ctx)
		if err != nil {
			return err
		}
		if int(c["up"]) >= r.neighbours {
			return nil
		}
		if time.Since(began) > patience {
			return fmt.Errorf("%.0f of %d sessions come up", c["up"], r.neighbours)
		}
		select {
		case <-neighbours.Done():
			return fmt.Errorf("the load generator has ended: %s", neighbours.Output())
		default:
		}
		if err := r.sleep(10 * time.Millisecond); err != nil {
			return err
		}
	}
}
