// Package cli is the command line of inspect.
package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/spf13/cobra"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/inspect/internal/capture"
	"github.com/gopptp/gopptp/examples/inspect/internal/conversation"
)

// The exit codes.
const (
	ExitOK      = 0 // read, and no session failed
	ExitFailure = 1 // a file could not be read or written
	ExitUsage   = 2 // bad command line
	ExitFailed  = 3 // read, and a session failed, or there is none
)

// Errors that choose the exit code.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

var errSessionFailed = errors.New("a session failed")

// options are the flags.
type options struct {
	passwordFile, hashFile, decryptTo string
	json, summary                     bool
}

// Main runs the command line args and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := command()
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.Execute()
	switch f := (failure{}); {
	case err == nil:
		return ExitOK
	case errors.Is(err, errSessionFailed):
		return ExitFailed
	case errors.As(err, &f):
		fmt.Fprintln(stderr, "inspect:", oneLine(f.error))
		return ExitFailure
	default:
		fmt.Fprintf(stderr, "inspect: %s; see inspect --help\n", oneLine(err))
		return ExitUsage
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "inspect [flags] CAPTURE",
		Short: "Say what happened in a capture of PPTP",
		Long: `Reads a capture of PPTP, pcap or pcapng, and prints it as a conversation: for
each call the phases, the options asked for and given, what was sent again, what
GRE lost, and why the session failed. CAPTURE is a file, or - for the standard
input. Record it with all octets, both tcp port 1723 and ip proto 47:

  tcpdump -i any -s 0 -w capture.pcap 'tcp port 1723 or ip proto 47'

With the password of one's own session, or its NT hash, MPPE is decrypted: what
was in the tunnel is summed up, and --decrypt-to writes it to a capture of raw
IP packets. The beginning of the session must be in the capture, with an
authentication by MS-CHAP. Neither password nor keys are printed.

Exit codes:
  0  no session failed
  1  a file could not be read or written
  2  a bad command line
  3  a session failed, or there is none`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("one capture is wanted, not %d", len(args))
			}
			return nil
		},
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, args []string) error { return run(cmd, args[0], &o) },
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	f := cmd.Flags()
	f.StringVar(&o.passwordFile, "password-file", "", "`FILE` whose only line is the user's password")
	f.StringVar(&o.hashFile, "nt-hash-file", "", "`FILE` whose only line is the NT hash of it, 32 hexadecimal digits")
	f.StringVar(&o.decryptTo, "decrypt-to", "", "write the packets in the tunnel to `FILE`, a pcap of raw IP")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.summary, "summary", false, "leave out what was said, packet by packet")
	cmd.MarkFlagsMutuallyExclusive("password-file", "nt-hash-file")
	return cmd
}

func run(cmd *cobra.Command, file string, o *options) (err error) {
	hash, err := o.secret()
	if err != nil {
		return failure{err}
	}
	if hash != nil {
		defer hash.Wipe()
	}
	in := cmd.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return failure{err}
		}
		defer f.Close()
		in = f
	}
	reader, err := capture.NewReader(in)
	if err != nil {
		return failure{fmt.Errorf("%s: %w", file, err)}
	}

	opts := conversation.Options{NTHash: hash}
	if o.decryptTo != "" {
		w, err := create(o.decryptTo)
		if err != nil {
			return failure{err}
		}
		opts.Packet = w.packet
		defer func() {
			if e := w.close(); e != nil && (err == nil || errors.Is(err, errSessionFailed)) {
				err = failure{e}
			}
		}()
	}

	a := conversation.New(opts)
	for {
		p, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return failure{fmt.Errorf("%s: %w", file, err)}
		}
		a.Add(p)
	}
	if reader.Cut() {
		fmt.Fprintf(cmd.ErrOrStderr(), "inspect: %s: ends within a packet; what comes before it was read\n", file)
	}
	r := a.Report()
	if err := o.print(cmd.OutOrStdout(), r); err != nil {
		return failure{err}
	}
	if r.Failed() {
		return errSessionFailed
	}
	return nil
}

func (o *options) print(w io.Writer, r *conversation.Report) error {
	if !o.json {
		return r.WriteText(w, !o.summary)
	}
	if o.summary {
		for _, c := range r.Connections {
			c.Timeline = nil
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// maxSecret bounds a file with a secret, in octets.
const maxSecret = 4096

// secret reads the user's NT hash, or makes it of the password; nil if neither
// is given.
func (o *options) secret() (*chap.NTHash, error) {
	file := o.passwordFile + o.hashFile
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, err
	}
	defer clear(b)
	line, rest, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(b) > maxSecret || len(line) == 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%s: must have one line, and nothing else", file)
	}
	if o.passwordFile != "" {
		h := chap.NTPasswordHash(string(line))
		return &h, nil
	}
	h, err := chap.ParseNTHash(string(bytes.TrimSpace(line)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &h, nil
}

// writer writes a capture of raw IP packets.
type writer struct {
	f   *os.File
	w   *pcapgo.Writer
	err error // the first
}

// create makes a file that nobody else may read: what is in it was meant to be
// secret.
func create(file string) (*writer, error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	w := &writer{f: f, w: pcapgo.NewWriterNanos(f)}
	if err := w.w.WriteFileHeader(65536, layers.LinkTypeRaw); err != nil {
		f.Close()
		return nil, err
	}
	return w, nil
}

func (w *writer) packet(at time.Time, ip []byte) {
	if w.err == nil {
		w.err = w.w.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(ip), Length: len(ip)}, ip)
	}
}

func (w *writer) close() error {
	if err := w.f.Close(); w.err == nil {
		w.err = err
	}
	return w.err
}
