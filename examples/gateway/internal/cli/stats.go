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
its sessions, refusals, packets, RADIUS servers, pools and memory. Counters are since its
start. Of the configuration, nothing else matters.`,
		Args: cobra.NoArgs,
	}, func(a *asker, _ []string) error {
		var s statistics
		if err := a.figures("/stats", &s.Stats); err != nil {
			return err
		}
		if err := a.figures("/api/v1/sections", &s.Sections); err != nil {
			return err
		}
		if a.json {
			return printJSON(a.cmd, s)
		}
		s.print(a.cmd.OutOrStdout())
		return nil
	})
}

// figures asks for some, which keep all of their 64 bits.
func (a *asker) figures(path string, into any) error {
	answer, err := a.Get(a.cmd.Context(), path)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	return nil
}

// statistics are those of the gateway, and the sections of its other parts.
type statistics struct {
	admin.Stats
	Sections map[string]any `json:"sections"`
}

func (s *statistics) print(w io.Writer) {
	uptime := time.Duration(s.Uptime * float64(time.Second)).Round(time.Second)
	fmt.Fprintf(w, "gateway %s, process %d, up %v\n", s.Version, s.PID, uptime)
	printFigures(w, "server", s.Server)
	printFigures(w, "dataplane", s.Dataplane)
	for _, name := range slices.Sorted(maps.Keys(s.Sections)) {
		for _, g := range groupsOf(name, s.Sections[name]) {
			printFigures(w, g.title, g.figures)
		}
	}
	printFigures(w, "runtime", s.Runtime)
}

// group is figures with a title.
type group struct {
	title   string
	figures admin.Figures
}

// groupsOf are the groups that a value stands for: one, or those of a list, each of which
// has a name. What else is in lists, such as the buckets of a histogram, is in the JSON.
func groupsOf(title string, value any) (groups []group) {
	switch v := value.(type) {
	case admin.Figures:
		return []group{{title, v}}
	case []any:
		for _, one := range v {
			f, _ := one.(admin.Figures)
			for _, key := range []string{"name", "server"} {
				if name, ok := f[key].(string); ok {
					f = maps.Clone(f)
					delete(f, key)
					groups = append(groups, group{title + " " + name, f})
					break
				}
			}
		}
	}
	return groups
}

// printFigures prints figures by their names, in two columns that 80 characters hold, and
// then those within them.
func printFigures(w io.Writer, title string, f admin.Figures) {
	var names []string
	var groups []group
	for _, name := range slices.Sorted(maps.Keys(f)) {
		switch f[name].(type) {
		case admin.Figures, []any:
			groups = append(groups, groupsOf(title+"."+name, f[name])...)
		default:
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
	for _, g := range groups {
		printFigures(w, g.title, g.figures)
	}
}
