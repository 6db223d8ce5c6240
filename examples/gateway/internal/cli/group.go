package cli

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

func groupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group",
		Short: "Show and change the groups of users in the database",
		Long: `Shows and changes the groups of users in the database that the configuration names. What a
group has counts for its users where they have nothing of their own. A group of the same
name in the configuration adds what is in neither.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return errors.New("what to do with the group is missing") },
	}
	cmd.AddCommand(groupAddCommand(), groupSetCommand(), groupListCommand(), groupShowCommand(), groupDeleteCommand())
	return cmd
}

// groupSettings are all that can be set of a group.
func groupSettings(g *userdb.Group) []userdb.Setting {
	return append(g.Settings.All(), userdb.Setting{Column: "note", Help: "for the operator", Value: &g.Note})
}

func groupAddCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "add NAME", Short: "Add a group", Args: exactNames(1)}
	g := new(userdb.Group)
	settingFlags(cmd.Flags(), groupSettings(g))
	return databaseCommand(cmd, func(t *userTask, args []string) error {
		g.Name = args[0]
		if err := t.AddGroup(t.ctx, g); err != nil {
			return err
		}
		t.checkPool()
		return t.say("group %q added", g.Name)
	})
}

func groupSetCommand() *cobra.Command {
	return setCommand(&cobra.Command{
		Use:   "set NAME",
		Short: "Change what the users of a group are granted",
		Long: `Changes what the users of a group are granted, for sessions that begin afterwards. A flag
with an empty value, like --quota "", unsets.`,
	}, "group", groupSettings, (*userdb.Store).UpdateGroup)
}

func groupListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the groups", Args: cobra.NoArgs}
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	return databaseCommand(cmd, func(t *userTask, _ []string) error {
		groups, users, err := t.Groups(t.ctx)
		if err != nil {
			return err
		}
		columns := []column{
			{"NAME", 0}, {"USERS", 0}, {"POOL", 1}, {"SESSIONS", 5}, {"FROM", 2}, {"TO", 3}, {"QUOTA", 4}, {"NOTE", 6},
		}
		rows, list := [][]string{}, []map[string]any{}
		for _, g := range groups {
			list = append(list, groupJSON(g, users[g.Name]))
			rows = append(rows, []string{
				plain(g.Name), strconv.Itoa(users[g.Name]), or(g.Pool.String()), or(g.MaxSessions.String()),
				or(g.RateFromPeer.String()), or(g.RateToPeer.String()), or(g.Quota.String()), or(g.Note.String()),
			})
		}
		if *asJSON {
			return printJSON(t.cmd, list)
		}
		if len(rows) > 0 {
			printTable(t.cmd.OutOrStdout(), columns, rows)
		}
		return nil
	})
}

func groupJSON(g *userdb.Group, users int) map[string]any {
	object := map[string]any{
		"name": g.Name, "users": users,
		"created_at": g.CreatedAt.Time().UTC(), "updated_at": g.UpdatedAt.Time().UTC(),
	}
	jsonOf(groupSettings(g), object)
	return object
}

func groupShowCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show NAME", Short: "Show a group", Args: exactNames(1)}
	asJSON := cmd.Flags().Bool("json", false, "write JSON")
	return databaseCommand(cmd, func(t *userTask, args []string) error {
		g, err := t.Group(t.ctx, args[0])
		if err != nil {
			return err
		}
		users, err := t.Members(t.ctx, g.Name)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(t.cmd, groupJSON(g, users))
		}
		lines := append([][3]string{{"name", g.Name}, {"users", strconv.Itoa(users)}}, fieldsOf(groupSettings(g))...)
		lines = append(lines, [3]string{"created", g.CreatedAt.String()}, [3]string{"updated", g.UpdatedAt.String()})
		printFields(t.cmd.OutOrStdout(), lines)
		return nil
	})
}

func groupDeleteCommand() *cobra.Command {
	return eachCommand(&cobra.Command{Use: "delete NAME...", Short: "Delete groups that have no users"}, "group", "deleted",
		func(t *userTask, name string) error { return t.DeleteGroup(t.ctx, name) })
}
