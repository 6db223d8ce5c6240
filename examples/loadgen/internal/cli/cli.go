// Package cli is the command line of loadgen.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/loadgen/internal/target"
)

// flags are those of the command line, as they are written.
type flags struct {
	planFlags
	userFlags
	trafficFlags
	owner string
	json  string
	quiet bool
}

// Main runs the command line args and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	code := ok
	cmd := command(func(host string, f *flags) error {
		o, err := f.options(stdin)
		if err != nil {
			return err
		}
		r := &runner{flags: f, options: o, stdout: stdout, stderr: stderr}
		code = r.run(untilSignal(), host)
		return nil
	})
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		fmt.Fprintf(stderr, "loadgen: %v; see loadgen --help\n", err)
		return usage
	}
	return code
}

func command(run func(host string, f *flags) error) *cobra.Command {
	f := new(flags)
	cmd := &cobra.Command{
		Use:   "loadgen [flags] HOST",
		Short: "Be many clients of a PPTP server",
		Long: `Brings many tunnels to a PPTP server up, at a rate, keeps them, sends packets through
them if it is told to, and says how long that took, what failed and what was lost.
HOST is a name or an IPv4 address, with :PORT if that is not 1723. It ends by itself
after --duration, and earlier by SIGINT or SIGTERM, with a report all the same.

Thousands of clients are an attack on whoever has not asked for them. HOST must be a
loopback address; or a private address, with loadgen in a network namespace that is not
the host's own; or its owner has agreed: --i-have-permission-of.

Users are --user with the number of the client in the place of %d, all with the password
of --password-file or of the environment variable ` + passwordVariable + `; or those of
--users-file, in turn.

Many tunnels want many source addresses: an address has some 28,000 ports for a server,
and servers limit the connections of one. --add-sources gives the host those of --source
for the time of the run. Without --source, a loopback HOST is dialled from 127.64.0.0/16.

--traffic says what sessions are used for, in shares: idle; ping, a packet a second;
small, of 100 octets; large, of the tunnel's MTU; bulk, as many of these as make
--bulk-rate. Packets are made in this process, pass no network device, and are answered
by the host behind the server (ICMP echo, or UDP to a service that sends back what it
gets). What does not come back within a second is lost; what is doubled, damaged or
another session's is told apart.

It needs CAP_NET_RAW for GRE, and CAP_NET_ADMIN for --add-sources.

Exit codes:
` + codeTable(),
		Example: `  loadgen --tunnels 1000 --rate 200 --password-file secret 127.0.0.1
  loadgen --tunnels 20000 --rate 1500 --ramp 5s --source 10.1.0.0/16 --add-sources \
      --traffic idle=90,ping=9,bulk=1 --duration 5m --users-file users --json result.json 10.0.0.1`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return fmt.Errorf("needs one HOST, not %d", len(args))
			}
			return nil
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(_ *cobra.Command, args []string) error { return run(args[0], f) },
	}
	p := cmd.Flags()
	p.SortFlags = false
	p.IntVarP(&f.tunnels, "tunnels", "n", 100, "how many tunnels (`N`), 1 to 1000000")
	p.Float64VarP(&f.rate, "rate", "r", 50, "how many are dialled in a second (`N`)")
	p.DurationVar(&f.ramp, "ramp", 0, "`DURATION` in which the rate grows to that")
	p.DurationVarP(&f.duration, "duration", "d", time.Minute, "`DURATION` of the run, from the first dial until the sessions are hung up")
	p.DurationVar(&f.hold, "hold", 0, "hang a session up after this `DURATION`, and dial again; 0: at the end")
	p.Float64Var(&f.churn, "churn", 0, "the `PART` of the sessions that is hung up and dialled again in each second, 0 to 1")
	p.BoolVar(&f.redial, "redial", true, "dial again after a failure or a drop")
	p.DurationVar(&f.backoff, "backoff", time.Second, "`DURATION` to wait before that, twice as much each time, half of it left to chance")
	p.DurationVar(&f.maxBackoff, "max-backoff", 30*time.Second, "and no more than this `DURATION`")
	p.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long a set-up may take (`DURATION`)")
	p.IntVar(&f.maxDialling, "max-dialling", 4096, "the most set-ups that are under way (`N`)")
	p.StringArrayVar(&f.sources, "source", nil, "dial from this `ADDRESS`, or those of a network such as 10.1.0.0/16, in turn; may be repeated")
	p.BoolVar(&f.addSources, "add-sources", false, "make them the host's for the time of the run")
	p.StringVarP(&f.user, "user", "u", "user%d", "the users' `NAME`")
	p.StringVar(&f.passwordFile, "password-file", "", "their password is the first line of `FILE`; - is standard input")
	p.StringVar(&f.usersFile, "users-file", "", "each line of `FILE` has a name and a password; - is standard input")
	p.StringVar(&f.encryption, "encryption", gopptp.EncryptionRequire.String(), "MPPE: require, prefer, allow or deny (`POLICY`)")
	p.StringVar(&f.auth, "auth", "ms-chapv2", "how to authenticate: ms-chapv2, ms-chapv1, chap-md5, pap or eap (`METHOD`)")
	p.DurationVar(&f.echo, "echo-interval", gopptp.DefaultEchoInterval, "ask a server that is silent for this `DURATION` whether it is there")
	p.StringVar(&f.shares, "traffic", "idle=1", "what sessions are used for, such as idle=70,ping=20,small=5,large=4,bulk=1 (`SHARES`)")
	p.Float64Var(&f.smallRate, "small-rate", 50, "packets a second of a small session (`N`)")
	p.Float64Var(&f.largeRate, "large-rate", 10, "packets a second of a large session (`N`)")
	p.StringVar(&f.bulkRate, "bulk-rate", "1M", "bits a second of a bulk session, with k, M or G (`RATE`)")
	p.StringVar(&f.via, "via", "icmp", "icmp: echo requests; udp: to an echo service; sink: UDP that is not answered (`WAY`)")
	p.Uint16Var(&f.port, "port", 7, "`PORT` of udp or sink")
	p.StringVar(&f.to, "to", "", "send to this `ADDRESS` behind the server, rather than its own in the tunnel")
	p.StringVar(&f.xdp, "xdp", "off", "AF_XDP past the host's network stack, for GRE: off, auto or on (`MODE`)")
	p.IntVar(&f.workers, "workers", 0, "how many goroutines move packets (`N`); 0: one a processor but one, at most 4")
	p.StringVar(&f.json, "json", "", "write the report to `FILE` too, as JSON; with - to standard output, and the table to standard error")
	p.BoolVarP(&f.quiet, "quiet", "q", false, "no line of progress")
	p.StringVar(&f.owner, "i-have-permission-of", "", "`OWNER` of HOST has agreed to this; the report says so")
	cmd.CompletionOptions.DisableDefaultCmd = true
	return cmd
}

// parseHost resolves HOST.
func parseHost(ctx context.Context, host string, lookup func(context.Context, string, string) ([]netip.Addr, error)) (netip.AddrPort, error) {
	name, port := host, fmt.Sprint(gopptp.DefaultPort)
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		name, port = host[:i], host[i+1:]
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return netip.AddrPort{}, &hostError{fmt.Errorf("%q is not a port", port)}
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		found, err := lookup(ctx, "ip4", name)
		if err != nil {
			return netip.AddrPort{}, &hostError{err}
		}
		addr = found[0].Unmap()
	}
	if !addr.Is4() {
		return netip.AddrPort{}, &hostError{fmt.Errorf("%v is not an IPv4 address, and PPTP knows no other", addr)}
	}
	return netip.AddrPortFrom(addr, uint16(number)), nil
}

// hostError is what is wrong with HOST.
type hostError struct{ error }

// untilSignal ends with the first signal to end. A second kills the process,
// whatever it is waiting for.
func untilSignal() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}

// isTerminal reports whether w is one.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// codeOf is the exit code for an error from before the run.
func codeOf(err error) int {
	var no *target.Refusal
	var host *hostError
	switch {
	case errors.As(err, &no):
		return refused
	case errors.As(err, &host):
		return usage
	}
	return shortage
}

// count is a number and what it is of.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}
