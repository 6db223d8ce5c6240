// Package cli is the gateway's command line: a file a command.
package cli

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

// The exit codes.
const (
	ExitOK      = 0 // done, or stopped as ordered
	ExitFailure = 1 // something failed at run time
	ExitUsage   = 2 // bad command line or configuration; nothing was started
	// Of commands that ask the running gateway, or work on the database.
	ExitNotRunning = 3 // it does not answer
	ExitNotFound   = 4 // there is no such session, ban, user or group
)

// failure is an error at run time: the command line was good.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// errReported ends a command that has said already what was wrong with its
// configuration.
var errReported = errors.New("reported")

// Main runs the command line args and returns the exit code.
func Main(args []string, stdout, stderr io.Writer) int {
	return execute(args, os.Stdin, stdout, stderr)
}

func execute(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.Execute()
	switch f := (failure{}); {
	case err == nil:
		return ExitOK
	case errors.As(err, &f):
		fmt.Fprintln(stderr, "gateway:", oneLine(f.error))
		return exitCode(f.error)
	case errors.Is(err, errReported):
		return ExitUsage
	default:
		fmt.Fprintf(stderr, "gateway: %s; see gateway --help\n", oneLine(err))
		return ExitUsage
	}
}

// exitCode tells failures apart that a script may want to.
func exitCode(err error) int {
	var p *admin.Problem
	switch {
	case errors.Is(err, admin.ErrNotRunning):
		return ExitNotRunning
	case errors.As(err, &p) && p.Status == http.StatusNotFound, errors.Is(err, userdb.ErrNotFound):
		return ExitNotFound
	}
	return ExitFailure
}

// oneLine is an error without the line breaks of joined ones.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

const defaultConfig = "/etc/gopptp/gateway.yaml"

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "A PPTP access gateway",
		Long: `A PPTP access gateway with one configuration file.

PPTP is broken: what is recorded on the way can be decrypted, and changed
unnoticed. It serves compatibility, not secrecy.

Exit codes:
  0  done, or stopped by SIGTERM or SIGINT
  1  a failure at run time
  2  a bad command line or configuration; nothing was started
  3  the running gateway was to be asked, and does not answer
  4  there is no such session, ban, user or group`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(*cobra.Command, []string) error { return errors.New("a command is missing") },
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.AddCommand(serveCommand(), checkConfigCommand(), probeCommand())
	cmd.AddCommand(tokenCommand())
	cmd.AddCommand(askCommands()...)
	cmd.AddCommand(importCommand(), userCommand(), groupCommand())
	return cmd
}

// configFlag adds --config.
func configFlag(cmd *cobra.Command) *string {
	file := cmd.Flags().StringP("config", "c", defaultConfig, "the configuration `FILE`")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml") // for shell completion
	return file
}
