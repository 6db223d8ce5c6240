// Command bench measures the userspace data plane end to end, beside wireguard-go,
// a naive PPTP and no tunnel at all, in network namespaces of its own: see make
// bench-dataplane. It needs root, iperf3 and Go, and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/examples/bench/internal/report"
	"github.com/gopptp/gopptp/examples/bench/internal/tunnels"
)

func main() {
	child.Main(tunnels.Roles)

	o := full
	smoke := flag.Bool("smoke", false, "measure little of everything, to see that it works")
	flag.IntVar(&o.rounds, "rounds", o.rounds, "how often each way is measured")
	flag.DurationVar(&o.limit, "limit", o.limit, "of the time that all takes")
	ways := flag.String("ways", "", "measure those ways only whose names match the `regexp`")
	measures := flag.String("measures", "", "measure that only which matches the `regexp`: "+strings.Join(stageNames(), ", "))
	results := flag.String("results", "", "the `directory` for dataplane.json and dataplane.svg")
	document := flag.String("document", "", "the Markdown `file` to write the results into")
	flag.Parse()
	if *smoke {
		o = small
	}
	err := errors.Join(only(&o.ways, *ways), only(&o.stages, *measures))
	if err != nil || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "bench: bad arguments; -h explains them:", err)
		os.Exit(2)
	}
	o.progress = os.Stdout

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	r, err := o.run(ctx)
	stop()
	if err == nil {
		err = write(r, *results, *document)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// only sets a regexp, if there is one to be set.
func only(re **regexp.Regexp, expression string) (err error) {
	if expression != "" {
		*re, err = regexp.Compile(expression)
	}
	return err
}

// write writes the results to where they are wanted, and always to the terminal.
func write(r *report.Report, results, document string) error {
	fmt.Println("\n" + r.Markdown(bars, ""))
	to := report.Place{Name: "dataplane", Results: results, Document: document}
	return r.Save(to, r.Plot(plotted, ours, plain), func(plot string) string { return r.Markdown(bars, plot) })
}

// full is what make bench-dataplane measures, small is enough to see that it works.
var (
	full = options{
		rounds: 3, limit: 10 * time.Minute,
		tcp: 2 * time.Second, udp: 700 * time.Millisecond, firstTrials: 8, trials: 5,
		echo: 1500 * time.Millisecond, profile: 2 * time.Second,
		load: 3 * time.Second, sessions: []int{1, 100, 10000},
	}
	small = options{
		rounds: 1, limit: 2 * time.Minute,
		tcp: time.Second, udp: 200 * time.Millisecond, firstTrials: 2, trials: 2,
		echo: 200 * time.Millisecond, profile: time.Second,
		load: 300 * time.Millisecond, sessions: []int{1, 20},
		ways: regexp.MustCompile(`^(plain veth|wireguard-go|gopptp MPPE(, raw socket)?|naive MPPE|null, AF_XDP)$`),
	}
)
