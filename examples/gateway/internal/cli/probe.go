package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/capacity"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/kernel"
)

func probeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "probe",
		Short: "Say whether this host's kernel can move the packets",
		Long: `Says what the kernel's data plane needs, whether this host has it, and what to do
about it where not, a line an ability:

  NAME: supported, not supported or could not tell: why (ADVICE)

and how much the host lets a gateway have that this user would start.

The kernel may load modules for it, and a PPP device is there for a moment. The exit
code is 0 if the kernel has all of it, and 1 if not: then dataplane.mode auto is
userspace.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report := kernel.Probe()
			fmt.Fprintln(cmd.OutOrStdout(), report)
			fmt.Fprintln(cmd.OutOrStdout(), capacity.Raise(needsOf(config.Default(), true)))
			if report.Err(true) != nil {
				return failure{errors.New("the kernel cannot move the packets; userspace does")}
			}
			return nil
		},
	}
}
