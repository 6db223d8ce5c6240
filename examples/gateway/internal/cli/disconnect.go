package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
)

func disconnectCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "disconnect ID | --user NAME | --source ADDRESS | --all --yes",
		Short: "End sessions in order",
		Long: `Ends one session, or those of a user, from a source, or all. --source takes an address, or
with --yes a network such as 192.0.2.0/24. A client may dial in again at once: gateway ban
and gateway drain keep it out.`,
		Args: cobra.MaximumNArgs(1),
	}
	order := new(admin.Disconnect)
	cmd.Flags().StringVar(&order.User, "user", "", "those of the user `NAME`")
	cmd.Flags().StringVar(&order.Source, "source", "", "those from the `ADDRESS`")
	cmd.Flags().BoolVar(&order.All, "all", false, "all of them")
	cmd.Flags().BoolVar(&order.Confirm, "yes", false, "confirm that")
	return askCommand(cmd, func(a *asker, args []string) error {
		if len(args) > 0 {
			order.ID = gopptp.SessionID(args[0])
		}
		switch {
		case order.All && !order.Confirm:
			return usagef("--all ends all sessions: confirm it with --yes")
		case strings.Contains(order.Source, "/") && !order.Confirm:
			return usagef("--source %s ends the sessions of a whole network: confirm it with --yes", order.Source)
		}
		var done admin.Disconnected
		return a.do("POST", "/disconnect", order, &done, func(w io.Writer) {
			fmt.Fprintf(w, "disconnected: %d\n", done.Disconnected)
		})
	})
}
