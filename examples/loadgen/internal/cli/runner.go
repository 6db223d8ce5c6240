package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/gopptp/gopptp/examples/internal/rlimit"
	"github.com/gopptp/gopptp/examples/loadgen/internal/host"
	"github.com/gopptp/gopptp/examples/loadgen/internal/load"
	"github.com/gopptp/gopptp/examples/loadgen/internal/report"
	"github.com/gopptp/gopptp/examples/loadgen/internal/target"
	"github.com/gopptp/gopptp/userspace"
)

// runner carries out a command line that is checked.
type runner struct {
	flags          *flags
	options        *load.Options
	stdout, stderr io.Writer
}

// loopbackSources are where a loopback address is dialled from: on one host, the two
// ends of GRE must not have the same address.
var loopbackSources = netip.MustParsePrefix("127.64.0.0/16")

func (r *runner) run(ctx context.Context, name string) int {
	rep, err := r.load(ctx, name)
	if err != nil {
		fmt.Fprintln(r.stderr, "loadgen:", err)
		return codeOf(err)
	}
	if err := r.write(rep); err != nil {
		fmt.Fprintln(r.stderr, "loadgen:", err)
		return shortage
	}
	switch {
	case rep.Setups.Succeeded == 0:
		return nothingUp
	case !rep.Clean():
		return unclean
	}
	return ok
}

func (r *runner) load(ctx context.Context, name string) (*report.Report, error) {
	o, f := r.options, r.flags
	var err error
	if o.Target, err = parseHost(ctx, name, net.DefaultResolver.LookupNetIP); err != nil {
		return nil, err
	}
	consent, err := target.Check(o.Target.Addr(), target.Private, f.owner)
	if err != nil {
		return nil, err
	}
	sources, _ := f.sourceList() // has been checked
	if len(sources) == 0 && consent == target.Loopback && !loopbackSources.Contains(o.Target.Addr()) {
		sources = host.Sources{loopbackSources}
	}
	if f.addSources {
		remove, err := sources.Add()
		if err != nil {
			return nil, fmt.Errorf("--add-sources: %w", err)
		}
		defer remove()
	}
	if a, missing := sources.Missing(); missing {
		return nil, fmt.Errorf("%v of --source is not an address of this host; --add-sources makes it one", a)
	}
	o.Source = sources.At
	notes, err := r.prepare(sources.Count())
	if err != nil {
		return nil, err
	}
	o.Dial = func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
		return host.Dialer(from).DialContext(ctx, "tcp4", to.String())
	}
	o.CPUTime = host.CPUTime
	o.OpenPlane = func(deliver func([][]byte)) (load.Plane, error) {
		p, err := userspace.Open(userspace.Options{
			Device: device(deliver), XDP: xdpModes[f.xdp], Workers: f.workers,
			ReceiveBuffer: 32 << 20, SendBuffer: 8 << 20,
		})
		return plane{p}, err
	}
	if !f.quiet {
		o.Progress, o.Rewrite = r.stderr, isTerminal(r.stderr)
		from := "whatever address the host takes"
		if n := sources.Count(); n > 0 {
			from = count(n, "address", "addresses")
		}
		fmt.Fprintf(r.stderr, "loadgen: %s to %v (%s), %g a second from %s, for %v\n",
			count(o.Tunnels, "tunnel", "tunnels"), o.Target, consent, o.Rate, from, o.Duration)
	}
	rep, err := load.Run(ctx, *o)
	if err != nil {
		return nil, err
	}
	rep.Consent, rep.Notes = string(consent), append(notes, rep.Notes...)
	return rep, nil
}

// prepare raises limits, and says what is short.
func (r *runner) prepare(sources int) (notes []string, err error) {
	o := r.options
	needs := host.Needs{Tunnels: o.Tunnels, Redials: o.Churn * float64(o.Tunnels), Sources: sources}
	if o.Hold > 0 {
		needs.Redials += min(float64(o.Tunnels)/o.Hold.Seconds(), o.Rate)
	}
	descriptors, err := rlimit.Raise(uint64(needs.Descriptors()))
	if err != nil {
		return nil, fmt.Errorf("limit of descriptors: %w", err)
	}
	fatal, hindrances := needs.Short(descriptors, host.Ports())
	for _, h := range hindrances {
		fmt.Fprintln(r.stderr, "loadgen: may be short of", h)
	}
	if len(fatal) == 0 {
		return hindrances, nil
	}
	for _, s := range fatal[1:] {
		fmt.Fprintln(r.stderr, "loadgen: short of", s)
	}
	return nil, fmt.Errorf("short of %s", fatal[0])
}

// write writes the report.
func (r *runner) write(rep *report.Report) error {
	table := r.stdout
	switch r.flags.json {
	case "":
	case "-":
		table = r.stderr
		if err := rep.WriteJSON(r.stdout); err != nil {
			return err
		}
	default:
		f, err := os.Create(r.flags.json)
		if err != nil {
			return fmt.Errorf("--json: %w", err)
		}
		if err := rep.WriteJSON(f); err != nil {
			f.Close()
			return fmt.Errorf("--json: %w", err)
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("--json: %w", err)
		}
	}
	return rep.WriteTable(table)
}

// plane is the data plane of all clients.
type plane struct{ *userspace.Plane }

// Dropped implements load.Plane.
func (p plane) Dropped() uint64 {
	s := p.Stats().GRE
	return s.ReceiveQueueFull + s.SendQueueFull
}

// device takes packets out of the tunnels.
type device func(packets [][]byte)

// Deliver implements userspace.Device.
func (d device) Deliver(packets [][]byte) { d(packets) }
