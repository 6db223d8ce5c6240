package cli

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/examples/gateway/internal/importer"
)

func importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Make a configuration of that of pptpd or accel-ppp",
		Long: `Makes a configuration of that of another server, users and their secrets included. What
could not be carried over is said on standard error, a line each, and is in the
configuration as comments. Nothing of the other server is changed.

The exit code is 0 if the gateway would start with it, and 1 if not.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return usagef("say what to import: pptpd or accel-ppp") },
	}
	cmd.AddCommand(importPPTPD(), importAccelPPP())
	return cmd
}

func importPPTPD() *cobra.Command {
	var from importer.PPTPD
	cmd := &cobra.Command{Use: "pptpd", Short: "Import the configuration of pptpd and pppd", Args: cobra.NoArgs}
	f := cmd.Flags()
	f.StringVar(&from.Conf, "pptpd-conf", "/etc/pptpd.conf", "pptpd's configuration `FILE`")
	f.StringVar(&from.Options, "options", "", "the `FILE` of pppd's options (default: that which pptpd's names)")
	f.StringVar(&from.ChapSecrets, "chap-secrets", "/etc/ppp/chap-secrets", "the `FILE` with the users")
	f.StringVar(&from.RADIUS, "radius", "", "the `FILE` of the RADIUS client, where pppd has one (default: that which pppd's options name)")
	return importFrom(cmd, func() (*importer.Result, error) { return importer.FromPPTPD(from) })
}

func importAccelPPP() *cobra.Command {
	var from importer.AccelPPP
	cmd := &cobra.Command{Use: "accel-ppp", Short: "Import the configuration of accel-ppp", Args: cobra.NoArgs}
	f := cmd.Flags()
	f.StringVar(&from.Conf, "conf", "/etc/accel-ppp.conf", "accel-ppp's configuration `FILE`")
	f.StringVar(&from.ChapSecrets, "chap-secrets", "", "the `FILE` with the users (default: that which the configuration names)")
	return importFrom(cmd, func() (*importer.Result, error) { return importer.FromAccelPPP(from) })
}

func importFrom(cmd *cobra.Command, do func() (*importer.Result, error)) *cobra.Command {
	output := cmd.Flags().StringP("output", "o", "", "write to this `FILE`, which must not be there, rather than to standard output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, err := do()
		if err != nil {
			return failure{err}
		}
		for _, n := range r.Notes {
			fmt.Fprintln(cmd.ErrOrStderr(), n)
		}
		if *output == "" {
			_, err = cmd.OutOrStdout().Write(r.Text)
		} else {
			err = writeNew(*output, r.Text)
		}
		if err != nil {
			return failure{err}
		}
		for _, p := range r.Problems {
			if *output != "" {
				p.File = *output
			}
			fmt.Fprintln(cmd.ErrOrStderr(), p)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "users: %d, to be looked at: %d\n", r.Users, len(r.Notes))
		if len(r.Problems.Errors()) > 0 {
			return failure{fmt.Errorf("the gateway would not start with this configuration")}
		}
		return nil
	}
	return cmd
}

// writeNew writes a file that is not there yet, for the user alone: it holds passwords.
func writeNew(file string, text []byte) error {
	f, err := os.OpenFile(filepath.Clean(file), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(f.Name()) // is not all of it
	}
	return err
}
