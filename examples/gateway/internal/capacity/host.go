package capacity

import (
	"os"
	"strconv"
	"strings"

	"github.com/gopptp/gopptp/examples/internal/rlimit"
)

// Raise lets the process have the descriptors that are needed, or as many as it may, and
// returns what there is.
func Raise(n Needs) Host {
	h := Host{
		Backlog:        sysctl("net/core/somaxconn"),
		ConntrackTable: sysctl("net/netfilter/nf_conntrack_max"),
		MostAllowed:    uint64(sysctl("fs/nr_open")),
	}
	h.Descriptors, _ = rlimit.Raise(n.Descriptors()) // then it is not known
	if sysctl("net/ipv4/tcp_syncookies") == 0 {
		h.SYNBacklog = sysctl("net/ipv4/tcp_max_syn_backlog")
	}
	return h
}

// sysctl reads a number, 0 if it cannot be read.
func sysctl(name string) int {
	text, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}
