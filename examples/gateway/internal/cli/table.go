package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// column is one of a table.
type column struct {
	title string
	// rank says which go first where there is not enough room: those with the highest.
	// Those with rank 0 stay.
	rank int
}

// gap is between columns.
const gap = 2

// printTable prints rows so that they fit a terminal, without the columns for which there is
// no room.
func printTable(w io.Writer, columns []column, rows [][]string) {
	keep := fitting(columns, rows, widthOf(w))
	out := tabwriter.NewWriter(w, 0, 0, gap, ' ', tabwriter.StripEscape)
	line := func(cells func(i int) string) {
		var b strings.Builder
		for n, i := range keep {
			if n > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(cells(i))
		}
		fmt.Fprintln(out, b.String())
	}
	line(func(i int) string { return columns[i].title })
	for _, row := range rows {
		line(func(i int) string { return row[i] })
	}
	out.Flush()
}

// fitting returns the columns that fit into a width; zero: any.
func fitting(columns []column, rows [][]string, width int) (keep []int) {
	widths := make([]int, len(columns))
	total := -gap
	for i, c := range columns {
		keep = append(keep, i)
		widths[i] = len(c.title)
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
		total += widths[i] + gap
	}
	for width > 0 && total > width {
		worst := 0
		for n, i := range keep {
			if columns[i].rank > columns[keep[worst]].rank {
				worst = n
			}
		}
		if columns[keep[worst]].rank == 0 {
			break
		}
		total -= widths[keep[worst]] + gap
		keep = append(keep[:worst], keep[worst+1:]...)
	}
	return keep
}

// widthOf is that of the terminal that w is, or else what COLUMNS says; zero: any.
func widthOf(w io.Writer) int {
	if file, ok := w.(*os.File); ok {
		if width := terminalWidth(file); width > 0 {
			return width
		}
	}
	width, _ := strconv.Atoi(os.Getenv("COLUMNS"))
	return max(width, 0)
}

// plain is text of a user's or a peer's, such as a name, without what a terminal would act
// on.
func plain(text string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return text
	}
	return strconv.Quote(text)
}

// or is text, or a dash where there is none.
func or(text string) string {
	if text == "" {
		return "-"
	}
	return plain(text)
}

// span is a duration in its two largest units.
func span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	day := 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// scaled is a number with three digits and a unit, by powers of step.
func scaled(n uint64, step float64, units ...string) string {
	v, unit := float64(n), 0
	for v >= step && unit < len(units)-1 {
		v /= step
		unit++
	}
	switch {
	case unit == 0 || v >= 100:
		return fmt.Sprintf("%.0f%s", v, units[unit])
	case v >= 10:
		return fmt.Sprintf("%.1f%s", v, units[unit])
	}
	return fmt.Sprintf("%.2f%s", v, units[unit])
}

func octets(n uint64) string { return scaled(n, 1024, "B", "KiB", "MiB", "GiB", "TiB", "PiB") }

func bitRate(n uint64) string { return scaled(n, 1000, "bit/s", "kbit/s", "Mbit/s", "Gbit/s") }
