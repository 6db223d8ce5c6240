package cli

import (
	"fmt"
	"strings"
)

// The exit codes. They do not change.
const (
	ok        = 0
	unclean   = 1
	usage     = 2
	refused   = 3
	shortage  = 4
	nothingUp = 5
)

var codes = map[int]string{
	ok:        "every session came up and stayed, and every packet came back, once, as it was",
	unclean:   "there were failures, drops, or packets lost, doubled, damaged or misdelivered",
	usage:     "bad command line; nothing was tried",
	refused:   "HOST may not be loaded; nothing was tried",
	shortage:  "this machine cannot: descriptors, ports, addresses, privileges",
	nothingUp: "no session came up",
}

func codeTable() string {
	var b strings.Builder
	for c := range len(codes) {
		fmt.Fprintf(&b, "  %2d  %s\n", c, codes[c])
	}
	return b.String()
}
