package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/tokens"
)

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token NAME",
		Short: "Make a token for the web page and the API",
		Long: `Makes a token, adds its hash to the file at admin.web.tokens_file of the configuration, and
writes the token to standard output: it is not kept anywhere else. A gateway that runs knows
it at once. To take it back, remove its line from the file.

The role read looks at everything; operate changes things, and traces sessions, too.`,
		Args: cobra.ExactArgs(1),
	}
	file := configFlag(cmd)
	role := cmd.Flags().String("role", tokens.Read, "read or operate")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, err := tokensFile(*file, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		if err := tokens.Make(name, *file); err != nil {
			return failure{err}
		}
		token, err := tokens.Add(name, args[0], *role)
		if err != nil {
			return failure{err}
		}
		fmt.Fprintln(cmd.OutOrStdout(), token)
		return nil
	}
	return cmd
}

// tokensFile reads the name of the file from a configuration. The rest of that may be in the
// middle of a change.
func tokensFile(file string, w io.Writer) (string, error) {
	cfg, problems := config.Load(file)
	switch {
	case cfg == nil || cfg.Wrong("admin.web.tokens_file"):
	case cfg.Admin.Web.TokensFile == "":
		problems = problems[:0]
		problems.Add(cfg.At("admin.web.tokens_file", "is empty: there is no file for the token"))
	default:
		return cfg.Admin.Web.TokensFile, nil
	}
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
	return "", errReported
}
