package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

// asker is what the commands have in common that ask the running gateway.
type asker struct {
	*admin.Client
	cmd  *cobra.Command
	json bool
}

// askCommand returns such a command. Of the configuration file, it needs the address.
func askCommand(cmd *cobra.Command, run func(a *asker, args []string) error) *cobra.Command {
	a := &asker{cmd: cmd}
	file := configFlag(cmd)
	cmd.Flags().BoolVar(&a.json, "json", false, "write JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if a.Client, err = adminClient(*file, cmd.ErrOrStderr()); err != nil {
			return err
		}
		return atRunTime(run(a, args))
	}
	return cmd
}

// usage is an error of the command line.
type usage struct{ error }

// atRunTime is the error of a command whose line may have been good: it was not if the
// gateway says so.
func atRunTime(err error) error {
	p := new(admin.Problem)
	if err == nil || errors.As(err, new(usage)) || errors.As(err, &p) && p.Status == http.StatusBadRequest {
		return err
	}
	return failure{err}
}

func usagef(format string, args ...any) error { return usage{fmt.Errorf(format, args...)} }

// do has the API do something. What it answers is printed as JSON, if that is asked for, or
// else by print; answer is decoded before.
func (a *asker) do(method, path string, body, answer any, print func(w io.Writer)) error {
	if err := a.Do(a.cmd.Context(), method, path, body, answer); err != nil {
		return err
	}
	if a.json {
		return printJSON(a.cmd, answer)
	}
	print(a.cmd.OutOrStdout())
	return nil
}

func (a *asker) get(path string, answer any, print func(w io.Writer)) error {
	return a.do(http.MethodGet, path, nil, answer, print)
}

func printJSON(cmd *cobra.Command, v any) error {
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// adminClient returns a client of the gateway that a configuration file is of. What is
// wrong with the address is reported to w; the rest of the file may be in the middle of a
// change.
func adminClient(file string, w io.Writer) (*admin.Client, error) {
	cfg, problems := config.Load(file)
	if cfg != nil {
		problems = slices.DeleteFunc(problems, func(p diag.Problem) bool { return !strings.HasPrefix(p.Key, "admin") || p.Warning })
		if len(problems) == 0 && cfg.Admin.Listen.IsZero() {
			problems.Add(cfg.At("admin.listen", "is empty: the gateway has no address to ask it by"))
		}
	}
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
	if len(problems) > 0 {
		return nil, errReported
	}
	return admin.NewClient(cfg.Admin.Listen), nil
}

// askCommands are all of them.
func askCommands() []*cobra.Command {
	return []*cobra.Command{
		statsCommand(), sessionsCommand(), showCommand(), disconnectCommand(),
		drainCommand(), undrainCommand(), reloadCommand(),
		bansCommand(), banCommand(), unbanCommand(),
		eventsCommand(), traceCommand(),
	}
}
