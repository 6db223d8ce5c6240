// Package capacity says whether the host lets a gateway have what its sessions take of
// it: open files, the backlog of connections, entries of connection tracking. Open files
// it takes where it may. The backlog is as long as net.core.somaxconn has it, as package
// net sees to; that and the rest are sysctls, and the operator's.
package capacity

import (
	"fmt"
	"math"
)

// What a session takes of the host.
const (
	userspaceDescriptors = 1                        // its control connection
	kernelDescriptors    = userspaceDescriptors + 4 // its call's sockets, channel and unit
	spareDescriptors     = 256                      // of everything else
	conntrackEntries     = 2                        // its control connection and GRE
)

// rush is how many connections come at once, before TCP spreads them by itself: those
// that find no room repeat themselves a second later, and again after two more. It is
// also what a Linux of today comes with.
const rush = 4096

// Needs is what a gateway needs.
type Needs struct {
	Sessions int  // limits.sessions
	HalfOpen int  // limits.half_open
	Kernel   bool // the kernel moves the packets
}

// Descriptors is how many it may have open at once.
func (n Needs) Descriptors() uint64 {
	return uint64(n.Sessions*perSession(n.Kernel) + n.HalfOpen + spareDescriptors)
}

func perSession(kernel bool) int {
	if kernel {
		return kernelDescriptors
	}
	return userspaceDescriptors
}

// Host is what there is. Zero fields are not known, or without limit.
type Host struct {
	Descriptors    uint64 // that this process may have (RLIMIT_NOFILE)
	MostAllowed    uint64 // of them that any process can be allowed (fs.nr_open)
	Backlog        int    // connections that wait to be accepted (net.core.somaxconn)
	SYNBacklog     int    // connections under way, if there are no SYN cookies
	ConntrackTable int    // entries, if there is connection tracking
}

// Sessions is how many sessions the descriptors are enough for.
func (h Host) Sessions(kernel bool) int {
	return max(0, int(min(h.Descriptors, math.MaxInt32))-spareDescriptors) / perSession(kernel)
}

// Short says what is short, what that means, and what to do about it: a text each.
func (n Needs) Short(h Host) (list []string) {
	short := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if need := n.Descriptors(); h.Descriptors != 0 && h.Descriptors < need {
		advice := fmt.Sprintf("LimitNOFILE=%d in its unit of systemd, or ulimit -Hn %d, raises that", need, need)
		if h.MostAllowed != 0 && h.MostAllowed < need {
			advice = fmt.Sprintf("sysctl -w fs.nr_open=%d, and then ", need) + advice
		}
		short("%d sessions take %d open files, and this process may have %d, enough for about %d: clients beyond wait outside; %s, and with CAP_SYS_RESOURCE the gateway does so itself",
			n.Sessions, need, h.Descriptors, h.Sessions(n.Kernel), advice)
	}
	want := min(n.Sessions, rush)
	if h.Backlog != 0 && h.Backlog < want {
		short("net.core.somaxconn is %d: of clients who dial at once, no more than that wait, and others are late by seconds; sysctl -w net.core.somaxconn=%d, before the gateway starts, changes that",
			h.Backlog, want)
	}
	if h.SYNBacklog != 0 && h.SYNBacklog < want {
		short("net.ipv4.tcp_max_syn_backlog is %d and there are no SYN cookies: few forged connections keep clients out; sysctl -w net.ipv4.tcp_syncookies=1 changes that, or net.ipv4.tcp_max_syn_backlog=%d",
			h.SYNBacklog, want)
	}
	if least := n.Sessions * conntrackEntries; h.ConntrackTable != 0 && h.ConntrackTable < least {
		short("net.netfilter.nf_conntrack_max is %d, and %d sessions alone may take %d entries: when the table is full, packets of all are dropped; sysctl -w net.netfilter.nf_conntrack_max=%d is the least",
			h.ConntrackTable, n.Sessions, least, least)
	}
	return list
}

// String is what there is, a line each.
func (h Host) String() string {
	text := fmt.Sprintf("open files: %d, enough for about %d sessions in userspace or %d in the kernel\n", h.Descriptors, h.Sessions(false), h.Sessions(true))
	if h.Descriptors == 0 {
		text = "open files: could not tell\n"
	}
	text += "connections that wait to be accepted: " + count(h.Backlog, "could not tell")
	return text + "\nconnection tracking: " + count(h.ConntrackTable, "none")
}

func count(n int, zero string) string {
	if n == 0 {
		return zero
	}
	return fmt.Sprint(n)
}
