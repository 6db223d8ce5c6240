package cli

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/examples/gateway/internal/capacity"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
	"github.com/gopptp/gopptp/examples/gateway/internal/logging"
	"github.com/gopptp/gopptp/examples/gateway/internal/serve"
	"github.com/gopptp/gopptp/examples/gateway/internal/systemd"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/userspace"
)

func serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `Runs the gateway in the foreground and logs to standard error, or where the
section log says.

It needs CAP_NET_RAW for GRE and CAP_NET_ADMIN for its network devices, and for
AF_XDP CAP_BPF as well; with CAP_SYS_RESOURCE it may have the open files that
limits.sessions takes, whatever the limit for its user. Forwarding (net.ipv4.ip_forward, and
with IPv6 net.ipv6.conf.all.forwarding), address translation and firewall are yours
to configure, or its own by section firewall; it changes nothing else of the host.

SIGTERM or SIGINT ends all sessions in order, for as long as stop_timeout says; a
second one drops what is left.

SIGHUP, like gateway reload, has it read its configuration anew. If that is good, it
counts for whatever begins afterwards, and sessions that are up go on; if not, or if it
changes what takes a restart, the log says so and nothing has changed.`,
		Args: cobra.NoArgs,
	}
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, store, err := load(*file, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		output, err := logging.Open(&cfg.Log, cmd.ErrOrStderr())
		if err != nil {
			return failure{err}
		}
		defer output.Close()
		log := output.Logger
		if !cfg.Firewall.Forwarding {
			serve.WarnOfHost(log, cfg.IPv6.Enabled())
		}
		stop := keepMemorySmall()
		defer stop()
		sockets, err := systemd.Passed()
		if err != nil {
			return failure{err}
		}
		if err := sockets.Check(cfg.Listen); err != nil {
			return failure{err}
		}
		err = serve.Run(serve.Options{
			Config:        cfg,
			Users:         store,
			Log:           log,
			Signals:       twoSignals(),
			Listen:        sockets.Listen,
			Manager:       systemd.Manager{Log: log},
			OpenDataplane: func() (gopptp.Dataplane, error) { return openDataplane(cfg, log) },
			Load: func() (*config.Config, *users.Store, diag.Problems) {
				cfg, store, problems := read(*file)
				if len(problems.Errors()) > 0 {
					return cfg, store, problems
				}
				if err := sockets.Check(cfg.Listen); err != nil {
					problems.Add(cfg.At("listen", err.Error()))
				}
				problems.Add(shortages(cfg)...)
				return cfg, store, problems
			},
			Hangups:     hangups(),
			Level:       output.Level,
			LostRecords: output.Dropped,
		})
		if err != nil {
			return failure{err}
		}
		return nil
	}
	return cmd
}

func openDataplane(cfg *config.Config, log *slog.Logger) (gopptp.Dataplane, error) {
	plane, err := dataplane.Open(planeOptions(cfg, log))
	if err != nil {
		return nil, err
	}
	logPlane(log, cfg, plane)
	needs := needsOf(cfg, plane.Mode() == dataplane.Kernel)
	for _, text := range needs.Short(capacity.Raise(needs)) {
		log.Warn(text, "key", "limits.sessions")
	}
	return plane, nil
}

func logPlane(log *slog.Logger, cfg *config.Config, plane *dataplane.Plane) {
	d := &cfg.Dataplane
	log = log.With("plane", plane.Mode()) // which was chosen for a reason that is in the log already
	if plane.Mode() == dataplane.Kernel {
		log.Info("data plane", "device", d.Device)
		if d.MSSClamp {
			log.Warn("dataplane.mss_clamp is not for the kernel: have the firewall clamp the segment size of TCP, or set it to false")
		}
		return
	}
	workers := slog.IntValue(d.Workers)
	if d.Workers == 0 {
		workers = slog.StringValue("auto")
	}
	log.Info("data plane", "tun", plane.DeviceName(), "mtu", cfg.DeviceMTU(), "workers", workers, "xdp", d.XDP, "offload", d.Offload)
}

var xdpModes = map[config.XDP]userspace.XDPMode{
	config.XDPAuto: userspace.XDPAuto, config.XDPOn: userspace.XDPOn, config.XDPOff: userspace.XDPOff,
}

func planeOptions(cfg *config.Config, log *slog.Logger) dataplane.Options {
	return dataplane.Options{
		Mode:      cfg.Dataplane.Mode,
		Needs:     dataplane.Needs{Encryption: cfg.Encryption, KeyLengths: cfg.KeyLengths(), IPv6: cfg.IPv6.Enabled()},
		Kernel:    kernel.Options{DeviceName: cfg.Dataplane.Device},
		Userspace: userspaceOptions(cfg),
		Logger:    log,
	}
}

func userspaceOptions(cfg *config.Config) userspace.Options {
	d := &cfg.Dataplane
	return userspace.Options{
		TUNName:       cfg.TUN,
		MTU:           cfg.DeviceMTU(),
		Addresses:     cfg.Addresses(),
		Prefixes:      cfg.Networks(),
		NoMSSClamp:    !d.MSSClamp,
		FlowControl:   cfg.FlowControl,
		ReceiveBuffer: int(d.ReceiveBuffer),
		SendBuffer:    int(d.SendBuffer),
		Workers:       d.Workers,
		Batch:         d.Batch,
		XDP:           xdpModes[d.XDP],
		Ring:          d.Ring,
		NoOffload:     !d.Offload,
	}
}

// twoSignals passes on the first two signals to stop. A third kills the process,
// whatever it is waiting for.
func twoSignals() <-chan os.Signal {
	in, out := make(chan os.Signal, 2), make(chan os.Signal, 2)
	signal.Notify(in, os.Interrupt, syscall.SIGTERM)
	go func() {
		for range cap(out) {
			out <- <-in
		}
		signal.Stop(in)
	}()
	return out
}

// hangups are orders to take the configuration anew. While that is done, another one waits,
// and any number of them are one.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}
