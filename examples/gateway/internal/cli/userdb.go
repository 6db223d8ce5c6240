package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/database"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
	"github.com/gopptp/gopptp/ppp"
)

// userTask is what the commands have in common that work on the users in the database.
type userTask struct {
	*userdb.Store
	cmd   *cobra.Command
	ctx   context.Context
	clear bool // passwords are kept in clear, too
	pools []config.Pool
}

// say prints one line about what has been done.
func (t *userTask) say(format string, args ...any) error {
	_, err := fmt.Fprintf(t.cmd.OutOrStdout(), format+"\n", args...)
	return err
}

// databaseCommand returns a command that works on the users. Of the configuration file, it
// needs the database, and whether chap-md5 is there.
func databaseCommand(cmd *cobra.Command, run func(t *userTask, args []string) error) *cobra.Command {
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		t := &userTask{cmd: cmd, ctx: cmd.Context()}
		db, err := t.open(*file)
		if err != nil {
			return err
		}
		defer db.Close()
		return atRunTime(run(t, args))
	}
	return cmd
}

// setCommand changes the settings of a user or a group.
func setCommand[T any](cmd *cobra.Command, what string, settings func(*T) []userdb.Setting,
	update func(s *userdb.Store, ctx context.Context, name string, change func(*T) error) error,
) *cobra.Command {
	cmd.Args = exactNames(1)
	settingFlags(cmd.Flags(), settings(new(T)))
	return databaseCommand(cmd, func(t *userTask, args []string) error {
		if err := update(t.Store, t.ctx, args[0], func(one *T) error {
			given, err := apply(cmd.Flags(), settings(one))
			if err == nil && !given {
				err = usagef("what to set is missing")
			}
			return err
		}); err != nil {
			return err
		}
		t.checkPool()
		return t.say("%s %q changed", what, args[0])
	})
}

// eachCommand does something with each of the users or groups that are named.
func eachCommand(cmd *cobra.Command, what, done string, do func(t *userTask, name string) error) *cobra.Command {
	cmd.Args = exactNames(0)
	return databaseCommand(cmd, func(t *userTask, args []string) error {
		for _, name := range args {
			if err := do(t, name); err != nil {
				return err
			}
			if err := t.say("%s %q %s", what, name, done); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *userTask) open(file string) (*database.DB, error) {
	cfg, problems := config.Load(file)
	if cfg != nil {
		problems = slices.DeleteFunc(problems, func(p diag.Problem) bool { return !strings.HasPrefix(p.Key, "database") || p.Warning })
		if len(problems) == 0 && !cfg.Database.Enabled() {
			problems.Add(cfg.At("database.url", "is empty: there is no database of users"))
		}
	}
	for _, p := range problems {
		fmt.Fprintln(t.cmd.ErrOrStderr(), p)
	}
	if len(problems) > 0 {
		return nil, errReported
	}
	db, err := database.Open(&cfg.Database)
	if err != nil {
		return nil, failure{err}
	}
	if err := db.Prepare(t.ctx); err != nil {
		db.Close()
		return nil, failure{fmt.Errorf("database %v: %w", cfg.Database.URL, err)}
	}
	t.clear = cfg.MethodPath(ppp.AuthCHAPMD5) != ""
	t.pools = cfg.NamedPools()
	t.Store = userdb.New(db, t.clear)
	return db, nil
}

// checkPool warns of a pool that is not in the configuration, which may have it later.
func (t *userTask) checkPool() {
	pool := t.cmd.Flags().Lookup("pool").Value.String()
	if pool != "" && !slices.ContainsFunc(t.pools, func(p config.Pool) bool { return p.Name == pool }) {
		fmt.Fprintf(t.cmd.ErrOrStderr(), "warning: the configuration has no pool %q: nobody gets an address from it\n", pool)
	}
}

// flagOf is the flag of a column.
func flagOf(column string) string {
	return strings.ReplaceAll(strings.TrimSuffix(column, "_name"), "_", "-")
}

// settingFlags adds a flag for each setting, which sets it.
func settingFlags(flags *pflag.FlagSet, settings []userdb.Setting) {
	for _, s := range settings {
		flags.Var(s.Value, flagOf(s.Column), s.Help)
	}
}

// apply copies the settings whose flags were given. It reports whether there are any.
func apply(flags *pflag.FlagSet, settings []userdb.Setting) (any bool, err error) {
	for _, s := range settings {
		if f := flags.Lookup(flagOf(s.Column)); f.Changed {
			any = true
			if err := s.Value.Set(f.Value.String()); err != nil {
				return false, err
			}
		}
	}
	return any, nil
}

// exactNames is for commands that take names.
func exactNames(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < 1:
			return errors.New("a name is missing")
		case n > 0 && len(args) > n:
			return fmt.Errorf("%q is one name too many", args[n])
		}
		return nil
	}
}

// fieldsOf are the settings that are set, as printFields takes them.
func fieldsOf(settings []userdb.Setting) (lines [][3]string) {
	for _, s := range settings {
		if text := s.Value.String(); text != "" {
			lines = append(lines, [3]string{flagOf(s.Column), text})
		}
	}
	return lines
}

// printFields prints what is set, a line each, and where it is from.
func printFields(w io.Writer, lines [][3]string) {
	width := 0
	for _, l := range lines {
		width = max(width, len(l[0]))
	}
	for _, l := range lines {
		from := ""
		if l[2] != "" {
			from = "  (" + l[2] + ")"
		}
		fmt.Fprintf(w, "%-*s  %s%s\n", width, l[0], plain(l[1]), from)
	}
}

// jsonOf is settings as JSON: what is not set is left out.
func jsonOf(settings []userdb.Setting, into map[string]any) {
	for _, s := range settings {
		column := strings.TrimSuffix(s.Column, "_name")
		switch v := s.Value.(type) {
		case *userdb.Networks:
			if *v != nil {
				into[column] = append([]string{}, strings.Fields(strings.TrimSuffix(v.String(), "none"))...)
			}
		case *userdb.Time:
			if v.Valid {
				into[column] = v.Time().UTC()
			}
		default:
			if raw, err := v.Value(); err == nil && raw != nil {
				into[column] = raw
			}
		}
	}
}
