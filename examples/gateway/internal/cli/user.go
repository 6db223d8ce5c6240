package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

func userCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "Show and change the users in the database",
		Long: `Shows and changes the users in the database that the configuration names. The gateway
need not run. All gateways on the database know within database.cache.poll; sessions that
are up go on as they are, unless gateway disconnect ends them.

Run it as the user whom the gateway runs as, or as root: an SQLite database is a file that
both must be able to write.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return errors.New("what to do with the user is missing") },
	}
	cmd.AddCommand(userAddCommand(), userPasswdCommand(), userListCommand(), userShowCommand(), userSetCommand(),
		userDisableCommand(), userEnableCommand(), userDeleteCommand())
	return cmd
}

const settingsHelp = `
A flag with an empty value, like --quota "", unsets: then what the user's group has counts,
and where that has nothing, the gateway's policy.`

// userSettings are all that can be set of a user.
func userSettings(u *userdb.User) []userdb.Setting { return append(u.Own(), u.Settings.All()...) }

func userAddCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user",
		Long:  "Adds a user, with the password that is typed or on standard input.\n" + settingsHelp,
		Args:  exactNames(1),
	}
	u := new(userdb.User)
	settingFlags(cmd.Flags(), userSettings(u))
	stdin := passwordFlag(cmd)
	disabled := cmd.Flags().Bool("disabled", false, "the user cannot come in yet")
	return databaseCommand(cmd, func(t *userTask, args []string) error {
		expires := u.PasswordExpiresAt
		u.Name, u.Disabled = args[0], *disabled
		if !userdb.Possible(u.Name) {
			return usagef("%q cannot be the name of a user", u.Name)
		}
		switch _, err := t.Get(t.ctx, u.Name); { // before a password is typed
		case err == nil:
			return fmt.Errorf("user %q %w", u.Name, userdb.ErrExists)
		case !errors.Is(err, userdb.ErrNotFound):
			return err
		}
		if err := readPassword(t, *stdin, u); err != nil {
			return err
		}
		u.PasswordExpiresAt = expires
		if err := t.Add(t.ctx, u); err != nil {
			return err
		}
		t.checkPool()
		return t.say("user %q added", u.Name)
	})
}

func userPasswdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "passwd NAME",
		Short: "Give a user a new password",
		Long: `Gives a user the password that is typed or on standard input. With --must-change the
user has to set a new one at the next log-in, which clients of MS-CHAP can; others, and
those of EAP, cannot come in by it.`,
		Args: exactNames(1),
	}
	stdin := passwordFlag(cmd)
	must := cmd.Flags().Bool("must-change", false, "the user must change it")
	return databaseCommand(cmd, func(t *userTask, args []string) error {
		if _, err := t.Get(t.ctx, args[0]); err != nil {
			return err
		}
		fresh := &userdb.User{Name: args[0]}
		if err := readPassword(t, *stdin, fresh); err != nil {
			return err
		}
		if err := t.Update(t.ctx, args[0], func(u *userdb.User) error {
			u.SetPassword(fresh.NTHash, fresh.Password)
			if *must {
				u.PasswordExpiresAt = userdb.At(time.Now())
			}
			return nil
		}); err != nil {
			return err
		}
		return t.say("user %q has a new password", args[0])
	})
}

func userSetCommand() *cobra.Command {
	return setCommand(&cobra.Command{
		Use:   "set NAME",
		Short: "Change what a user is granted",
		Long:  "Changes what a user is granted, for sessions that begin afterwards.\n" + settingsHelp,
	}, "user", userSettings, (*userdb.Store).Update)
}

func userDisableCommand() *cobra.Command {
	return eachCommand(&cobra.Command{Use: "disable NAME...", Short: "Keep users out"}, "user", "disabled", disable(true))
}

func userEnableCommand() *cobra.Command {
	return eachCommand(&cobra.Command{Use: "enable NAME...", Short: "Let users in again"}, "user", "enabled", disable(false))
}

func disable(disabled bool) func(t *userTask, name string) error {
	return func(t *userTask, name string) error {
		return t.Update(t.ctx, name, func(u *userdb.User) error { u.Disabled = disabled; return nil })
	}
}

func userDeleteCommand() *cobra.Command {
	return eachCommand(&cobra.Command{Use: "delete NAME...", Short: "Delete users"}, "user", "deleted",
		func(t *userTask, name string) error { return t.Delete(t.ctx, name) })
}
