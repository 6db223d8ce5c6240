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

func userAddCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user",
		Long:  "Adds a user, with the password that is typed or on standard input.\n" + settingsHelp,
		Args:  exactNames(1),
	}
	u := new(userdb.User)
	settingFlags(cmd.Flags(), u.Own())
	settingFlags(cmd.Flags(), u.Settings.All())
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
		t.checkPool(u.Pool)
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
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Change what a user is granted",
		Long:  "Changes what a user is granted, for sessions that begin afterwards.\n" + settingsHelp,
		Args:  exactNames(1),
	}
	scratch := new(userdb.User)
	settingFlags(cmd.Flags(), scratch.Own())
	settingFlags(cmd.Flags(), scratch.Settings.All())
	return databaseCommand(cmd, func(t *userTask, args []string) error {
		if err := t.Update(t.ctx, args[0], func(u *userdb.User) error {
			given, err := apply(cmd.Flags(), append(u.Own(), u.Settings.All()...))
			if err == nil && !given {
				err = usagef("what to set is missing")
			}
			return err
		}); err != nil {
			return err
		}
		t.checkPool(scratch.Pool)
		return t.say("user %q changed", args[0])
	})
}

func userDisableCommand() *cobra.Command {
	return switchCommand("disable", "Keep users out", "disabled", true)
}

func userEnableCommand() *cobra.Command {
	return switchCommand("enable", "Let users in again", "enabled", false)
}

func switchCommand(verb, short, done string, disabled bool) *cobra.Command {
	cmd := &cobra.Command{Use: verb + " NAME...", Short: short, Args: exactNames(0)}
	return databaseCommand(cmd, func(t *userTask, args []string) error {
		for _, name := range args {
			if err := t.Update(t.ctx, name, func(u *userdb.User) error { u.Disabled = disabled; return nil }); err != nil {
				return err
			}
			if err := t.say("user %q %s", name, done); err != nil {
				return err
			}
		}
		return nil
	})
}

func userDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "delete NAME...", Short: "Delete users", Args: exactNames(0)}
	return databaseCommand(cmd, func(t *userTask, args []string) error {
		for _, name := range args {
			if err := t.Delete(t.ctx, name); err != nil {
				return err
			}
			if err := t.say("user %q deleted", name); err != nil {
				return err
			}
		}
		return nil
	})
}
