package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

func userListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the users",
		Long: `Lists the users with what is their own; gateway user show also has what they have of
their group. What is too wide for the terminal is left out, the least important first.`,
		Args: cobra.NoArgs,
	}
	var which userdb.Filter
	cmd.Flags().StringVar(&which.Match, "match", "", "only those with `TEXT` in their name")
	cmd.Flags().StringVar(&which.Group, "group", "", "only those in the group `NAME`")
	cmd.Flags().BoolVar(&which.Disabled, "disabled", false, "only those who are disabled")
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	return databaseCommand(cmd, func(t *userTask, _ []string) error {
		columns := []column{
			{"NAME", 0}, {"STATE", 0}, {"GROUP", 1}, {"ADDRESS", 2}, {"POOL", 5}, {"SESSIONS", 6},
			{"FROM", 7}, {"TO", 8}, {"QUOTA", 9}, {"EXPIRES", 4}, {"NOTE", 3},
		}
		rows, list := [][]string{}, []map[string]any{}
		now := time.Now()
		err := t.List(t.ctx, which, func(u *userdb.User) error {
			if *asJSON {
				list = append(list, userJSON(u, now))
				return nil
			}
			rows = append(rows, []string{
				plain(u.Name), stateOf(u, now), or(u.Group.String()), or(u.Address.String()), or(u.Pool.String()), or(u.MaxSessions.String()),
				or(u.RateFromPeer.String()), or(u.RateToPeer.String()), or(u.Quota.String()), or(u.ExpiresAt.String()), or(u.Note.String()),
			})
			return nil
		})
		switch {
		case err != nil:
			return err
		case *asJSON:
			return printJSON(t.cmd, list)
		case len(rows) > 0:
			printTable(t.cmd.OutOrStdout(), columns, rows)
		}
		return nil
	})
}

// stateOf is whether a user can come in, in a word or two.
func stateOf(u *userdb.User, now time.Time) string {
	switch {
	case u.Disabled:
		return "disabled"
	case u.ExpiresAt.Past(now):
		return "expired"
	case u.PasswordExpiresAt.Past(now):
		return "must change password"
	}
	return "enabled"
}

// userJSON has no secrets in it.
func userJSON(u *userdb.User, now time.Time) map[string]any {
	object := map[string]any{
		"name": u.Name, "state": stateOf(u, now), "disabled": u.Disabled,
		"created_at": u.CreatedAt.Time().UTC(), "updated_at": u.UpdatedAt.Time().UTC(),
	}
	jsonOf(userSettings(u), object)
	return object
}

func userShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a user",
		Long:  "Shows a user, with what it has of its group. There is no password or hash in it.",
		Args:  exactNames(1),
	}
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	return databaseCommand(cmd, func(t *userTask, args []string) error {
		u, err := t.Get(t.ctx, args[0])
		if err != nil {
			return err
		}
		merged, err := t.Lookup(t.ctx, args[0])
		if err != nil {
			return err
		}
		if merged.User == nil { // deleted just now
			merged.User = u
		}
		now := time.Now()
		if *asJSON {
			object := userJSON(u, now)
			effective := make(map[string]any)
			jsonOf(merged.User.Settings.All(), effective)
			object["effective"] = effective
			return printJSON(t.cmd, object)
		}
		lines := append([][3]string{{"name", u.Name}, {"state", stateOf(u, now)}}, fieldsOf(u.Own())...)
		own := u.Settings.All()
		for i, s := range merged.User.Settings.All() {
			from := ""
			if own[i].Value.String() == "" {
				from = "of the group"
			}
			if text := s.Value.String(); text != "" {
				lines = append(lines, [3]string{flagOf(s.Column), text, from})
			}
		}
		lines = append(lines, [3]string{"created", u.CreatedAt.String()}, [3]string{"updated", u.UpdatedAt.String()})
		printFields(t.cmd.OutOrStdout(), lines)
		return nil
	})
}
