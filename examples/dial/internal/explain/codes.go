// Package explain puts the ends of tunnels into plain words: what happened, what
// to look at, and an exit code for scripts.
package explain

import (
	"fmt"
	"strings"
)

// Code is an exit code.
type Code int

// The exit codes. They do not change.
const (
	OK          Code = 0  // the tunnel was up and ended as ordered
	Failure     Code = 1  // anything that has no code of its own
	Usage       Code = 2  // bad command line; nothing was tried
	NoConnect   Code = 3  // no TCP connection to the server
	Refused     Code = 4  // the server refused the control connection or the call
	GREBlocked  Code = 5  // no GRE packet came back
	BadLogin    Code = 6  // authentication failed
	Encryption  Code = 7  // no agreement on MPPE
	Negotiation Code = 8  // no agreement on anything else of PPP
	NoAddress   Code = 9  // the server gave no address
	NotInTime   Code = 10 // --timeout was over
	Lost        Code = 11 // the tunnel was up, and ended unasked
	Local       Code = 12 // this machine: privileges, or the network device
	Interrupted Code = 13 // by a signal, before the tunnel was up
)

var meanings = map[Code]string{
	OK:          "the tunnel was up and ended as ordered",
	Failure:     "any other failure",
	Usage:       "bad command line; nothing was tried",
	NoConnect:   "no TCP connection to the server: refused, no answer, unknown name",
	Refused:     "the server refused the PPTP control connection or the call",
	GREBlocked:  "GRE (IP protocol 47) is blocked on the way",
	BadLogin:    "authentication failed: wrong user name or password",
	Encryption:  "no agreement on encryption (MPPE)",
	Negotiation: "no agreement on the rest of PPP",
	NoAddress:   "the server gave no address",
	NotInTime:   "the tunnel was not up in time",
	Lost:        "the tunnel was up, and was lost or ended by the server",
	Local:       "this machine could not: privileges, or the network device",
	Interrupted: "interrupted by a signal before the tunnel was up",
}

// Table lists the codes, for a help text.
func Table() string {
	var b strings.Builder
	for c := OK; c <= Interrupted; c++ {
		fmt.Fprintf(&b, "  %2d  %s\n", c, meanings[c])
	}
	return b.String()
}
