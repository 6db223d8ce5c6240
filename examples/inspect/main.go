// Inspect reads a capture of PPTP and prints it as a conversation: what the two
// ends said, what was lost on the way, and, for each session that failed, why.
//
//	inspect [--password-file FILE | --nt-hash-file FILE] [--decrypt-to OUT] [--json] [--summary] CAPTURE
//
// With the password, or the NT hash, of one's own session it decrypts MPPE. The
// exit code is 0 if no session failed, 1 if a file could not be read or written,
// 2 for a bad command line, and 3 if a session failed or there is none.
//
// The code is below internal: cli has the command line, capture reads files of
// packets, conversation is what understands them, and scene plays sessions for
// its tests.
package main

import (
	"os"

	"github.com/gopptp/gopptp/examples/inspect/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
