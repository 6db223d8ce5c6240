// Command scale measures what sessions cost a gateway, from a hundred to 50,000, and
// what a storm of clients does to it: see make bench-scale. The gateway and the load
// generator are those of this module, in network namespaces of their own. It needs root
// and Go, and leaves nothing behind.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/examples/bench/internal/report"
)

func main() {
	child.Main(roles)
	o := full
	sizes := flag.String("sizes", "", "measure at these `numbers` of sessions, such as 100,1000, or none")
	flag.IntVar(&o.storm, "storm", o.storm, "how many `clients` dial at once; 0: no storm")
	flag.IntVar(&o.neighbours, "neighbours", o.neighbours, "how many `sessions` are up while one peer floods; 0: no floods")
	flag.DurationVar(&o.limit, "limit", o.limit, "of the time that all takes")
	flag.DurationVar(&o.idle, "idle", o.idle, "how long idle sessions are watched")
	flag.DurationVar(&o.echo, "echo", o.echo, "how long a session is silent until somebody asks, if not for as long as by default")
	flag.IntVar(&o.rounds, "rounds", o.rounds, "how often each number of sessions is measured")
	flag.DurationVar(&o.load, "load", o.load, "how long packets go through sessions; 0: none do")
	flag.StringVar(&o.programs, "programs", "", "the `directory` of the gateway and the load generator, if they are not to be built")
	flag.StringVar(&o.profiles, "profiles", "", "the `directory` for profiles of the gateway's CPU and heap")
	results := flag.String("results", "", "the `directory` for scale.json and scale.svg")
	document := flag.String("document", "", "the Markdown `file` to write the results into")
	flag.Parse()
	if err := o.only(*sizes); err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "scale: bad arguments; -h explains them:", err)
		os.Exit(2)
	}
	o.progress = os.Stdout

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	r, err := o.run(ctx)
	stop()
	if err == nil {
		fmt.Println("\n" + markdown(r, ""))
		to := report.Place{Name: "scale", Results: *results, Document: *document}
		err = r.Save(to, r.Plot(plotted, "", ""), func(plot string) string { return markdown(r, plot) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

// only takes the sizes that are wanted; all if none are named.
func (o *options) only(numbers string) error {
	if numbers == "" {
		return nil
	}
	o.sizes = nil
	if numbers == "none" {
		return nil
	}
	for _, text := range strings.Split(numbers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxSessions {
			return fmt.Errorf("%q is not a number of sessions", text)
		}
		o.sizes = append(o.sizes, sizeOf(n))
	}
	return nil
}

// maxSessions is what the gateway's configuration allows.
const maxSessions = 65535

// sizeOf takes so many sessions. Few of them are up in no time, and a garbage collection
// more or less shows; so that is done several times.
func sizeOf(sessions int) size { return size{sessions, max(1, min(10, 4000/sessions))} }

// full is what make bench-scale measures, small is enough to see that cost grows no
// faster than sessions do.
var (
	full = options{
		sizes:  []size{sizeOf(100), sizeOf(1000), sizeOf(10000), sizeOf(50000)},
		limit:  10 * time.Minute,
		rounds: 2, idle: time.Minute, load: 10 * time.Second, packets: 10000,
		storm: 20000, residents: 100, quiet: 10 * time.Second,
		neighbours: 50, flooding: 3 * time.Second,
	}
	small = options{
		sizes:  []size{sizeOf(500), sizeOf(5000)},
		limit:  time.Minute,
		rounds: 1, load: 2 * time.Second, packets: 5000,
	}
)
