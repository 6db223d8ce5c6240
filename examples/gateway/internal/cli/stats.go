package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
)

func statsCommand() *cobra.Command {
	return askCommand(&cobra.Command{
		Use:   "stats",
		Short: "Show what the running gateway counts",
		Long: `Asks the running gateway, by the address at admin.listen of its configuration, for
its sessions, refusals, packets and memory. Counters are since its start. Of the
configuration, nothing else matters.`,
		Args: cobra.NoArgs,
	}, func(a *asker, _ []string) error {
		answer, err := a.Get(a.cmd.Context(), "/stats")
		if err != nil {
			return err
		}
		if a.json {
			_, err = a.cmd.OutOrStdout().Write(answer)
			return err
		}
		return printStats(a.cmd.OutOrStdout(), answer)
	})
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
