package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
)

func eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happens, as it happens",
		Long: `Shows sessions that come up, end or fail, and what operators do, until it is interrupted.
With --json, each is a JSON object on a line of its own.`,
		Args: cobra.NoArgs,
	}
	user := cmd.Flags().String("user", "", "only those of the user `NAME`")
	return askCommand(cmd, func(a *asker, _ []string) error {
		ctx, stop := untilInterrupted(a.cmd)
		defer stop()
		path := "/events"
		if *user != "" {
			path += "?user=" + url.QueryEscape(*user)
		}
		stream, err := a.Stream(ctx, path)
		if err != nil {
			return err
		}
		defer stream.Close()
		lines := bufio.NewScanner(stream)
		for lines.Scan() {
			if err := a.printEvent(lines.Bytes()); err != nil {
				return err
			}
		}
		if err := lines.Err(); err != nil && ctx.Err() == nil {
			return fmt.Errorf("the gateway's answer breaks off: %w", err)
		}
		return nil
	})
}

// untilInterrupted is the context of a command that ends in order by SIGINT or SIGTERM.
func untilInterrupted(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
}

func (a *asker) printEvent(line []byte) error {
	w := a.cmd.OutOrStdout()
	if a.json {
		_, err := fmt.Fprintf(w, "%s\n", line)
		return err
	}
	var e admin.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("the gateway's answer: %w", err)
	}
	_, err := io.WriteString(w, eventText(&e)+"\n")
	return err
}

func eventText(e *admin.Event) string {
	text := e.Time.Local().Format(time.DateTime) + "  " + e.Kind
	add := func(name, value string) {
		if strings.ContainsAny(value, " =") {
			value = strconv.Quote(value) // is one value, whatever it has in it
		}
		if value != "" {
			text += " " + name + "=" + plain(value)
		}
	}
	if e.Kind == admin.EventLost {
		return fmt.Sprintf("%s %d events, which came faster than they were read", text, e.Lost)
	}
	add("session", string(e.Session))
	add("user", e.User)
	if e.Source != nil {
		add("source", e.Source.String())
	}
	if e.Address != nil {
		add("address", e.Address.String())
	}
	add("source", e.Network)
	if e.Until != nil {
		add("until", e.Until.Local().Format(time.DateTime))
	}
	if e.Uptime > 0 {
		text += fmt.Sprintf(" uptime=%s received=%s sent=%s", span(e.Uptime), octets(e.ReceivedOctets), octets(e.SentOctets))
	}
	add("cause", e.Cause)
	add("stage", e.Stage)
	if e.Error != "" {
		text += fmt.Sprintf(" error=%q", e.Error)
	}
	if e.Text != "" {
		text += " " + plain(e.Text)
	}
	return text
}
