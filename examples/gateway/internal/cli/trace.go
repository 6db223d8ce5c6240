package cli

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func traceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace ID",
		Short: "Record what passes in a session, for Wireshark",
		Long: `Records the control messages and PPP control frames of one session to a pcapng file, and
with --packets the user's packets too, until the time is over, the session ends, or it is
interrupted. What passwords could be found from is left out.`,
		Args: cobra.ExactArgs(1),
	}
	output := cmd.Flags().StringP("output", "o", "", "the `FILE`, which must not be there yet; -: standard output (default ID.pcapng)")
	length := cmd.Flags().Duration("for", time.Minute, "for so long")
	packets := cmd.Flags().Bool("packets", false, "record the user's packets, too")
	return askCommand(cmd, func(a *asker, args []string) error {
		if a.json {
			return usagef("a trace is no JSON")
		}
		ctx, stop := untilInterrupted(a.cmd)
		defer stop()
		query := url.Values{"duration": {length.String()}}
		if *packets {
			query.Set("packets", "true")
		}
		stream, err := a.Stream(ctx, "/sessions/"+url.PathEscape(args[0])+"/trace?"+query.Encode())
		if err != nil {
			return err
		}
		defer stream.Close()
		name := *output
		if name == "" {
			name = args[0] + ".pcapng"
		}
		if name == "-" {
			if out, ok := a.cmd.OutOrStdout().(*os.File); ok && terminalWidth(out) > 0 {
				return usagef("a trace is not for a terminal")
			}
			return record(a.cmd.OutOrStdout(), stream, ctx.Err)
		}
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		err = record(file, stream, ctx.Err)
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err == nil {
			fmt.Fprintln(a.cmd.OutOrStdout(), name)
		}
		return err
	})
}

// record copies a trace. That it ends because it was interrupted is no failure.
func record(w io.Writer, stream io.Reader, interrupted func() error) error {
	_, err := io.Copy(w, stream)
	if interrupted() != nil {
		return nil
	}
	return err
}
