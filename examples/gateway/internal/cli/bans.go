package cli

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
)

func bansCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bans",
		Short: "List who may not come in for a while",
		Args:  cobra.NoArgs,
	}
	limit := cmd.Flags().Int("limit", 1000, "at most `N` of them, those that end first")
	return askCommand(cmd, func(a *asker, _ []string) error {
		var list admin.BanList
		return a.get("/bans?limit="+strconv.Itoa(*limit), &list, func(w io.Writer) { printBans(w, &list) })
	})
}

func printBans(w io.Writer, list *admin.BanList) {
	rows := make([][]string, len(list.Bans))
	for i, b := range list.Bans {
		rows[i] = []string{or(b.User), or(b.Source), span(b.Seconds), b.Until.Local().Format(time.DateTime), or(b.Reason)}
	}
	if len(rows) > 0 {
		printTable(w, []column{{"USER", 0}, {"SOURCE", 0}, {"LEFT", 0}, {"UNTIL", 2}, {"REASON", 1}}, rows)
	}
	if len(rows) == list.Total {
		fmt.Fprintf(w, "bans: %d\n", list.Total)
	} else {
		fmt.Fprintf(w, "bans: %d of %d\n", len(rows), list.Total)
	}
}

// whoFlags say whom a ban is of.
func whoFlags(cmd *cobra.Command) (user, source *string) {
	return cmd.Flags().String("user", "", "the user `NAME`"), cmd.Flags().String("source", "", "the `ADDRESS`, or a network such as 192.0.2.0/24")
}

func banCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ban --user NAME | --source ADDRESS",
		Short: "Keep a user or a source out for a while",
		Long: `Keeps a user out, or a source, or with both the user from that source. Sessions that are up
go on: gateway disconnect ends them.`,
		Args: cobra.NoArgs,
	}
	user, source := whoFlags(cmd)
	length := cmd.Flags().Duration("for", time.Hour, "for so long")
	reason := cmd.Flags().String("reason", "", "`WHY`, for those who list bans")
	return askCommand(cmd, func(a *asker, _ []string) error {
		order := admin.BanOrder{User: *user, Source: *source, Duration: length.String(), Reason: *reason}
		var done admin.BanInForce
		return a.do("POST", "/bans", order, &done, func(w io.Writer) {
			fmt.Fprintf(w, "banned until %s\n", done.Until.Local().Format(time.DateTime))
		})
	})
}

func unbanCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unban --user NAME | --source ADDRESS",
		Short: "Let a user or a source in again",
		Long:  `Ends a ban, which is named as gateway bans lists it.`,
		Args:  cobra.NoArgs,
	}
	user, source := whoFlags(cmd)
	return askCommand(cmd, func(a *asker, _ []string) error {
		query := make(url.Values)
		if *user != "" {
			query.Set("user", *user)
		}
		if *source != "" {
			query.Set("source", *source)
		}
		if err := a.Do(a.cmd.Context(), "DELETE", "/bans?"+query.Encode(), nil, nil); err != nil {
			return err
		}
		if a.json {
			return printJSON(a.cmd, struct{}{})
		}
		fmt.Fprintln(a.cmd.OutOrStdout(), "the ban is over")
		return nil
	})
}
