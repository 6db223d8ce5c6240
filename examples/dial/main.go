// Dial brings a tunnel to a PPTP server up, says in plain words how that goes and
// why it failed if it did, and keeps the tunnel until it is told to end.
//
//	dial [flags] HOST
//
// Lines on standard output that begin with "up:" and "down:" are for programs and
// stay as they are; see dial --help, which lists the exit codes as well. Package
// explain has a code for each kind of failure.
//
// The code is below internal: cli has the flags, tunnel the life of the tunnel
// and what is printed about it, explain the words and codes for its failures.
package main

import (
	"os"

	"github.com/gopptp/gopptp/examples/dial/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
