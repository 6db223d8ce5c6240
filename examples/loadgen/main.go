// Loadgen is many PPTP clients at once: it brings thousands of tunnels to a server up,
// keeps, drops and brings up again, sends packets through them, and says how that went.
//
//	loadgen [flags] HOST
//
// It loads nothing but loopback addresses, private addresses from a network namespace
// for tests, and what somebody has agreed to: see loadgen --help, which lists the exit
// codes as well.
//
// The code is below internal: cli has the flags, target what may be loaded, host what the
// machine must have, load the run, traffic the packets in the tunnels, and report the
// figures.
package main

import (
	"os"

	"github.com/gopptp/gopptp/examples/loadgen/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
