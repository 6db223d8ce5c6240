package cli

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
)

func drainCommand() *cobra.Command {
	return stateCommand("drain", &cobra.Command{
		Use:   "drain",
		Short: "Let nobody in any more",
		Long: `Has the gateway refuse newcomers in order. Sessions that are up go on until they end by
themselves. gateway undrain takes it back.`,
	})
}

func undrainCommand() *cobra.Command {
	return stateCommand("undrain", &cobra.Command{
		Use:   "undrain",
		Short: "Let users in again",
	})
}

func stateCommand(order string, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs
	return askCommand(cmd, func(a *asker, _ []string) error {
		var s admin.State
		return a.do("POST", "/"+order, nil, &s, func(w io.Writer) {
			state := "lets users in"
			if s.Draining {
				state = "refuses newcomers"
			}
			fmt.Fprintf(w, "the gateway %s; sessions: %d\n", state, s.Sessions)
		})
	})
}

func reloadCommand() *cobra.Command {
	return askCommand(&cobra.Command{
		Use:   "reload",
		Short: "Have the gateway take its configuration anew",
		Long: `Has the running gateway read its configuration, check it, and take it: what begins
afterwards is by the new one, and sessions that are up go on. If something is wrong with it,
the gateway says so, a line a problem, and goes on as it was.`,
		Args: cobra.NoArgs,
	}, func(a *asker, _ []string) error {
		var done admin.Reloaded
		err := a.do("POST", "/reload", nil, &done, func(w io.Writer) {
			for _, change := range done.Changes {
				fmt.Fprintln(w, plain(change))
			}
			fmt.Fprintf(w, "changes: %d\n", len(done.Changes))
		})
		if p := new(admin.Problem); errors.As(err, &p) {
			for _, line := range p.Problems {
				fmt.Fprintln(a.cmd.ErrOrStderr(), plain(line))
			}
		}
		return err
	})
}
