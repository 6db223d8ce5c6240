// Gateway is a PPTP access gateway with one configuration file.
//
//	gateway serve --config FILE          run until SIGTERM or SIGINT
//	gateway check-config --config FILE   say what is wrong with FILE
//	gateway import pptpd or accel-ppp    make a configuration of that of another server
//	gateway probe                        say whether the kernel can move the packets
//	gateway sessions, show, disconnect, drain, undrain, reload, bans, ban, unban, events, trace, stats
//	                                     ask the running gateway, or have it do something
//	gateway token NAME --config FILE     make a token for its web page and its API
//
// gateway.example.yaml has every key of the file with its default. The exit code
// is 0 after an order to stop, 1 after a failure, 2 for a bad command line or
// configuration, in which case nothing has been started.
//
// The code is below internal: cli has the commands, config the configuration
// file, secrets the secrets file, users what both say of users, serve the running
// gateway, admin its addresses for operators, capture traces, and diag the lines that say what is wrong with a file.
package main

import (
	"os"

	"github.com/gopptp/gopptp/examples/gateway/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdout, os.Stderr))
}
