package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

func statsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show what the running gateway counts",
		Long: `Asks the running gateway, by the address at admin.listen of its configuration, for
its sessions, refusals, packets and memory. Counters are since its start. Of the
configuration, nothing else matters.`,
		Args: cobra.NoArgs,
	}
	file := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "write JSON instead of a table")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := adminClient(*file, cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		answer, err := client.Get(cmd.Context(), "/stats")
		if err != nil {
			return failure{err}
		}
		if *asJSON {
			_, err = cmd.OutOrStdout().Write(answer)
		} else {
			err = printStats(cmd.OutOrStdout(), answer)
		}
		if err != nil {
			return failure{err}
		}
		return nil
	}
	return cmd
}

// adminClient returns a client of the gateway that a configuration file is of. What is
// wrong with the address is reported to w; the rest of the file may be in the middle of a
// change.
func adminClient(file string, w io.Writer) (*admin.Client, error) {
	cfg, problems := config.Load(file)
	if cfg != nil {
		problems = slices.DeleteFunc(problems, func(p diag.Problem) bool { return !strings.HasPrefix(p.Key, "admin") })
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

func printStats(w io.Writer, answer []byte) error {
	var s admin.Stats
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber() // all of 64 bits
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	uptime := time.Duration(s.Uptime * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(w, "gateway %s, process %d, up %v\n", s.Version, s.PID, uptime)
	printFigures(w, "server", s.Server)
	printFigures(w, "dataplane", s.Dataplane)
	printFigures(w, "runtime", s.Runtime)
	return nil
}

// printFigures prints figures by their names, in two columns that 80 characters hold, and
// then those within them.
func printFigures(w io.Writer, title string, f admin.Figures) {
	var names, groups []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if _, ok := f[name].(map[string]any); ok {
			groups = append(groups, name)
		} else {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		fmt.Fprintf(w, "\n%s\n", title)
	}
	half := (len(names) + 1) / 2
	for i := range half {
		line := ""
		for j := i; j < len(names); j += half {
			line += fmt.Sprintf("  %-23s %13v", names[j], f[names[j]])
		}
		fmt.Fprintln(w, line)
	}
	for _, name := range groups {
		printFigures(w, title+"."+name, f[name].(map[string]any))
	}
}
