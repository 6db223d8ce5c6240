package cli

import (
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
)

func sessionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List the sessions that are up",
		Long: `Lists the sessions that are up. What is too wide for the terminal is left out, the least
important first; --json has all of it, and gateway show all of one session.

--source and --address take an address, or a network such as 192.0.2.0/24. --search looks
for a part of a user name, an address or an ID. --sort takes id, user, source, address,
up_at, rate, rate_from and rate_to, with - before it for the other way round. Rates are
bit/s now; they take a second to measure.`,
		Args: cobra.NoArgs,
	}
	query := make(map[string]*string)
	for _, f := range []struct{ name, help string }{
		{"user", "only those of the user `NAME`"},
		{"source", "only those from the `ADDRESS`"},
		{"address", "only those with the `ADDRESS` in the tunnel"},
		{"group", "only those of users in the group `NAME`"},
		{"search", "only those with `TEXT` in name, address or ID"},
	} {
		query[f.name] = cmd.Flags().String(f.name, "", f.help)
	}
	sort := cmd.Flags().String("sort", "user", "in the order of `KEY`")
	limit := cmd.Flags().Int("limit", 0, "at most `N` of them; 0: all")
	rates := cmd.Flags().Bool("rates", false, "show what passes now")
	return askCommand(cmd, func(a *asker, _ []string) error {
		if *limit < 0 {
			return usagef("--limit %d is negative", *limit)
		}
		values := url.Values{"sort": {*sort}}
		for name, value := range query {
			if *value != "" {
				values.Set(name, *value)
			}
		}
		if *rates {
			values.Set("rates", "true")
		}
		all, err := a.pages(values, *limit)
		if err != nil {
			return err
		}
		if a.json {
			return printJSON(a.cmd, all)
		}
		printSessions(a.cmd.OutOrStdout(), all)
		return nil
	})
}

// pageSize is how many sessions are asked for at once.
const pageSize = 1000

// pages asks for page after page.
func (a *asker) pages(query url.Values, limit int) (*admin.Page, error) {
	all := &admin.Page{Sessions: []admin.Session{}}
	for {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-len(all.Sessions))
		}
		query.Set("limit", strconv.Itoa(size))
		var page admin.Page
		if err := a.Do(a.cmd.Context(), "GET", "/sessions?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all.Sessions, all.Total = append(all.Sessions, page.Sessions...), page.Total
		if page.Next == "" || limit > 0 && len(all.Sessions) >= limit {
			return all, nil
		}
		query.Set("cursor", page.Next)
	}
}

func printSessions(w io.Writer, p *admin.Page) {
	columns := []column{
		{"ID", 0}, {"USER", 0}, {"GROUP", 7}, {"SOURCE", 1}, {"ADDRESS", 0}, {"UPTIME", 2},
		{"ENCRYPTION", 8}, {"RECEIVED", 5}, {"SENT", 6}, {"FROM", 3}, {"TO", 4},
	}
	rows := make([][]string, len(p.Sessions))
	for i, s := range p.Sessions {
		from, to := "-", "-"
		if t := s.Traffic; t != nil {
			from, to = bitRate(t.FromPeer), bitRate(t.ToPeer)
		}
		rows[i] = []string{
			string(s.ID), or(s.User), or(s.Group), s.Source.String(), s.Address.String(), span(s.Uptime),
			or(s.Encryption), octets(s.ReceivedOctets), octets(s.SentOctets), from, to,
		}
	}
	if len(rows) > 0 {
		printTable(w, columns, rows)
	}
	if len(rows) == p.Total {
		fmt.Fprintf(w, "sessions: %d\n", p.Total)
	} else {
		fmt.Fprintf(w, "sessions: %d of %d\n", len(rows), p.Total)
	}
}
