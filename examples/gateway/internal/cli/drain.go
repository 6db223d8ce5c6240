package cli

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
)

func drainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Let nobody in any more",
		Long: `Has the gateway refuse newcomers in order. Sessions that are up go on until they end by
themselves, or until the deadline, when those that are left are ended in order, some at a
time. gateway undrain takes it back.`,
	}
	deadline := cmd.Flags().Duration("deadline", 0, "end the sessions that are left after `TIME`, such as 10m (1s to 720h)")
	return stateCommand(cmd, func() (string, error) {
		switch {
		case !cmd.Flags().Changed("deadline"):
			return "/drain", nil
		case *deadline <= 0:
			return "", usagef("--deadline: %v is not a time to come", *deadline)
		}
		return "/drain?deadline=" + deadline.String(), nil
	})
}

func undrainCommand() *cobra.Command {
	return stateCommand(&cobra.Command{
		Use:   "undrain",
		Short: "Let users in again",
	}, func() (string, error) { return "/undrain", nil })
}

// stateCommand gives an order and shows the state after it.
func stateCommand(cmd *cobra.Command, order func() (path string, err error)) *cobra.Command {
	cmd.Args = cobra.NoArgs
	return askCommand(cmd, func(a *asker, _ []string) error {
		path, err := order()
		if err != nil {
			return err
		}
		var s admin.State
		return a.do("POST", path, nil, &s, func(w io.Writer) {
			state := "lets users in"
			if s.Draining {
				state = "refuses newcomers"
			}
			if s.Deadline != nil {
				state += ", and ends at " + s.Deadline.Local().Format(time.DateTime) + " who is left"
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
