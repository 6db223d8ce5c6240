package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/examples/gateway/internal/capacity"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
	"github.com/gopptp/gopptp/examples/gateway/internal/tokens"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
)

func checkConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check-config",
		Short: "Say what is wrong with a configuration file",
		Long: `Reads the configuration and the secrets file that it names, and says what is
wrong with them, a line a problem:

  FILE:LINE: KEY: what is wrong

It also warns of what this host lacks for limits.sessions, as seen by the user who asks.
Nothing is started. The exit code is 0 if the gateway would start, warnings
notwithstanding, and 2 if not.`,
		Args: cobra.NoArgs,
	}
	file := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, store, err := load(*file, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		for _, p := range shortages(cfg) {
			fmt.Fprintln(cmd.ErrOrStderr(), p)
		}
		addresses := 0
		for _, p := range cfg.Pools {
			addresses += p.Size()
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: good: users: %d, addresses in pools: %d\n", *file, store.Len(), addresses)
		return nil
	}
	return cmd
}

// shortages are what the host lacks for the sessions that are allowed: no less than that,
// as the data plane, which is not open, may take more.
func shortages(cfg *config.Config) (list diag.Problems) {
	needs := needsOf(cfg, cfg.Dataplane.Mode == dataplane.Kernel)
	for _, text := range needs.Short(capacity.Raise(needs)) {
		p := cfg.At("limits.sessions", text)
		p.Warning = true
		list.Add(p)
	}
	return list
}

// needsOf is what sessions take of the host, if the kernel moves their packets or not.
func needsOf(cfg *config.Config, kernel bool) capacity.Needs {
	return capacity.Needs{Sessions: cfg.Limits.Sessions, HalfOpen: cfg.Limits.HalfOpen, Kernel: kernel}
}

// load reads the configuration and the users, and reports all problems to w.
// With an error, there were some that are no warnings.
func load(file string, w io.Writer) (*config.Config, *users.Store, error) {
	cfg, store, problems := read(file)
	for _, p := range problems {
		fmt.Fprintln(w, p)
	}
	if len(problems.Errors()) > 0 {
		return nil, nil, errReported
	}
	return cfg, store, nil
}

// read reads and checks the configuration and the users. They can be used if there are no
// problems but warnings.
func read(file string) (*config.Config, *users.Store, diag.Problems) {
	cfg, problems := config.Load(file)
	var store *users.Store
	if cfg != nil {
		s, more := users.Load(cfg)
		store = s
		problems.Add(more...)
		if web := &cfg.Admin.Web; web.Listen.IsValid() && web.TokensFile != "" {
			_, more := tokens.Load(web.TokensFile)
			problems.Add(more...)
		}
	}
	problems.Sort()
	return cfg, store, problems
}
