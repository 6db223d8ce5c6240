// Package cli is the command line of dial.
package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/examples/dial/internal/explain"
	"github.com/gopptp/gopptp/examples/dial/internal/tunnel"
	"github.com/gopptp/gopptp/kernel"
)

// flags are those of the command line, as they are written.
type flags struct {
	secretFlags
	securityFlags
	plane   planeFlags
	user    string
	routes  []string
	mtu     int
	timeout time.Duration
	keep    time.Duration
	echo    time.Duration
	silence int
	dns     bool
	ipv6    bool
	probe   bool
	verbose bool
}

// Main runs the command line args and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	code := explain.OK
	cmd := command(func(host string, f *flags) error {
		if f.probe {
			fmt.Fprintln(stdout, kernel.Probe())
			return nil
		}
		o, err := f.options(host, stdin)
		if err != nil {
			return err
		}
		o.Stdout, o.Stderr = stdout, stderr
		log := logger(f.verbose, stderr)
		o.Client.Logger = log
		o.End = untilSignal()
		o.OpenDataplane = func() (gopptp.Dataplane, func() string, error) {
			p, err := dataplane.Open(f.plane.options(&o.Client, log))
			if err != nil {
				return nil, nil, err
			}
			one := &plane{Plane: p}
			return one, one.device, nil
		}
		code = tunnel.Run(*o)
		return nil
	})
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		fmt.Fprintf(stderr, "dial: %v; see dial --help\n", err)
		return int(explain.Usage)
	}
	return int(code)
}

func command(run func(host string, f *flags) error) *cobra.Command {
	f := new(flags)
	cmd := &cobra.Command{
		Use:   "dial [flags] HOST",
		Short: "Bring a tunnel to a PPTP server up",
		Long: `Brings a tunnel to a PPTP server up and keeps it until SIGINT or SIGTERM.
HOST is a name or an IPv4 address, with :PORT if that is not 1723.

The password comes from --password-file, --nt-hash-file or the environment
variable ` + passwordVariable + `, and never from the command line, which all users of a
machine can read.

A --route that covers HOST itself, such as 0.0.0.0/0, needs a route of its own to
HOST beside the tunnel, or the tunnel's packets would go into the tunnel.

PPTP is broken: what is recorded on the way can be decrypted, and changed
unnoticed. It serves compatibility, not secrecy.

Two lines on standard output are for programs, and stay as they are:
  up: local=10.8.0.2 peer=10.8.0.1 mtu=1456 encryption="MPPE 128-bit stateless" device=pptp0 elapsed=6.1ms
  down: cause=local duration=1m0s received_packets=9 received_octets=756 sent_packets=9 sent_octets=756 ...
elapsed is the time from the TCP connection to a tunnel that is up. With --ipv6
there is another one, a moment after the first, if the server does IPv6:
  ipv6: address=2001:db8:1:7::2 prefix=2001:db8:1:7::/64 peer=fe80::1

Exit codes:
` + explain.Table(),
		Example: `  dial --user alice --password-file secret --route 192.168.7.0/24 vpn.example.com
  ` + passwordVariable + `=... dial --user 'CORP\bob' --for 10s 192.0.2.1`,
		Args: func(_ *cobra.Command, args []string) error {
			if f.probe && len(args) == 0 {
				return nil
			}
			return oneHost(args)
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(_ *cobra.Command, args []string) error { return run(strings.Join(args, ""), f) },
	}
	p := cmd.Flags()
	p.SortFlags = false
	p.StringVarP(&f.user, "user", "u", "", "the user's `NAME`, with DOMAIN\\ in front if there is one")
	p.StringVar(&f.passwordFile, "password-file", "", "the password is the first line of `FILE`; - is standard input")
	p.StringVar(&f.ntHashFile, "nt-hash-file", "", "the first line of `FILE` is the password's NT hash, 32 hexadecimal digits")
	p.StringVar(&f.encryption, "encryption", gopptp.EncryptionRequire.String(), "MPPE: require, prefer, allow or deny (`POLICY`)")
	p.StringVar(&f.auth, "auth", "ms-chapv2", "ways to authenticate, the best first: ms-chapv2,ms-chapv1,chap-md5,pap,eap (`METHODS`)")
	p.StringVar(&f.mppeKeys, "mppe-keys", "128", "key lengths of MPPE that will do, of 128,56,40 (`BITS`)")
	p.StringVar(&f.mppeModes, "mppe-modes", "stateless", "how MPPE may change its keys: stateless,stateful (`MODES`)")
	p.StringArrayVar(&f.routes, "route", nil, "route `NETWORK`, such as 192.168.7.0/24, into the tunnel; may be repeated")
	p.BoolVar(&f.ipv6, "ipv6", false, "carry IPv6 too, if the server will; what it is to reach needs a --route, ::/0 is all")
	p.IntVar(&f.mtu, "mtu", 0, "largest IP packet in the tunnel, 576 to 1500 `OCTETS`; 0: what fits")
	p.StringVar(&f.plane.dataplane, "dataplane", "auto", "who moves the packets: kernel, userspace, or auto, the kernel if it can (`MODE`)")
	p.StringVar(&f.plane.tun, "tun", "", "`NAME` of the tunnel's network device, in userspace (default the first free pptpN, or pppN in the kernel)")
	p.StringVar(&f.plane.xdp, "xdp", "auto", "AF_XDP past the host's firewall rules and packet captures, where it can be had: auto, off, or on, which is for userspace (`MODE`)")
	p.IntVar(&f.plane.workers, "workers", 0, "how many goroutines move packets (`N`); 0: one a processor but one, at most 4")
	p.BoolVar(&f.dns, "dns", false, "ask for name servers and print them")
	p.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long the tunnel may take to come up (`DURATION`)")
	p.DurationVar(&f.keep, "for", 0, "end the tunnel after this `DURATION`; 0: not by itself")
	p.DurationVar(&f.echo, "echo-interval", gopptp.DefaultEchoInterval, "ask a server that is silent for this `DURATION` whether it is there")
	p.IntVar(&f.silence, "echo-failures", gopptp.DefaultEchoFailures, "give it up after asking so often (`N`)")
	p.BoolVar(&f.probe, "probe", false, "say what of the kernel's data plane this machine has, and what to do about the rest; no HOST")
	p.BoolVarP(&f.verbose, "verbose", "v", false, "log what the library has to say to standard error")
	cmd.CompletionOptions.DisableDefaultCmd = true
	return cmd
}

func oneHost(args []string) error {
	if len(args) != 1 || args[0] == "" {
		return fmt.Errorf("needs one HOST, not %d", len(args))
	}
	return nil
}

// options checks the flags.
func (f *flags) options(host string, stdin io.Reader) (*tunnel.Options, error) {
	o := &tunnel.Options{Host: host, Timeout: f.timeout, For: f.keep}
	c := &o.Client
	c.User, c.MTU, c.RequestDNS, c.RequestNBNS = f.user, f.mtu, f.dns, f.dns
	c.EchoInterval, c.EchoFailures = f.echo, f.silence
	c.IPv6 = f.ipv6
	switch {
	case f.user == "":
		return nil, fmt.Errorf("--user is missing")
	case len(f.user) > 255:
		return nil, fmt.Errorf("--user has %d octets, at most 255 fit", len(f.user))
	case f.mtu != 0 && (f.mtu < 576 || f.mtu > 1500):
		return nil, fmt.Errorf("--mtu: %d is neither 0 nor from 576 to 1500", f.mtu)
	case f.ipv6 && f.mtu != 0 && f.mtu < 1280:
		return nil, fmt.Errorf("--mtu: %d is below 1280, which --ipv6 needs", f.mtu)
	case f.timeout <= 0:
		return nil, fmt.Errorf("--timeout: %v is not a time to wait", f.timeout)
	case f.keep < 0:
		return nil, fmt.Errorf("--for: %v is negative", f.keep)
	case f.echo < time.Second:
		return nil, fmt.Errorf("--echo-interval: %v is less than 1s", f.echo)
	case f.silence < 1:
		return nil, fmt.Errorf("--echo-failures: %d is less than 1", f.silence)
	}
	if err := f.plane.check(); err != nil {
		return nil, err
	}
	if err := f.apply(c); err != nil {
		return nil, err
	}
	for _, text := range f.routes {
		route, err := parseRoute(text)
		if err != nil {
			return nil, err
		}
		if route.Addr().Is6() && !f.ipv6 {
			return nil, fmt.Errorf("--route: %v needs --ipv6", route)
		}
		c.Routes = append(c.Routes, route)
	}
	secret, err := f.read(stdin)
	if err != nil {
		return nil, err
	}
	if err := secret.use(c); err != nil {
		return nil, err
	}
	return o, nil
}

// parseRoute reads a network, or the address of one host.
func parseRoute(text string) (netip.Prefix, error) {
	route, err := netip.ParsePrefix(text)
	if host, notHost := netip.ParseAddr(text); notHost == nil {
		route, err = host.Prefix(host.BitLen())
	}
	if err != nil || route.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("--route: %q is not a network, like 192.168.7.0/24", text)
	}
	return route.Masked(), nil
}

func logger(verbose bool, w io.Writer) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}

// untilSignal ends with the first signal to end. A second kills the process,
// whatever it is waiting for.
func untilSignal() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx
}
