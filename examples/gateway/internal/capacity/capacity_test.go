package capacity

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestShort(t *testing.T) {
	many := Needs{Sessions: 50000, HalfOpen: 1024}
	for name, c := range map[string]struct {
		needs Needs
		host  Host
		want  []string
	}{
		"nothing known":  {many, Host{}, nil},
		"enough":         {many, Host{Descriptors: 51280, MostAllowed: 1 << 20, Backlog: 4096, SYNBacklog: 4096, ConntrackTable: 100000}, nil},
		"enough for few": {Needs{Sessions: 100, HalfOpen: 10}, Host{Descriptors: 1024, Backlog: 128, ConntrackTable: 1024}, nil},
		"open files": {many, Host{Descriptors: 20000, MostAllowed: 1 << 20}, []string{
			"50000 sessions take 51280 open files, and this process may have 20000, enough for about 19744: clients beyond wait outside; LimitNOFILE=51280 in its unit of systemd, or ulimit -Hn 51280, raises that, and with CAP_SYS_RESOURCE the gateway does so itself",
		}},
		"of the kernel": {Needs{Sessions: 50000, HalfOpen: 1024, Kernel: true}, Host{Descriptors: 20000, MostAllowed: 65536}, []string{
			"50000 sessions take 251280 open files, and this process may have 20000, enough for about 3948: clients beyond wait outside; sysctl -w fs.nr_open=251280, and then LimitNOFILE=251280 in its unit of systemd, or ulimit -Hn 251280, raises that, and with CAP_SYS_RESOURCE the gateway does so itself",
		}},
		"network": {many, Host{Descriptors: math.MaxUint64, Backlog: 128, SYNBacklog: 256, ConntrackTable: 8192}, []string{
			"net.core.somaxconn is 128: of clients who dial at once, no more than that wait, and others are late by seconds; sysctl -w net.core.somaxconn=4096, before the gateway starts, changes that",
			"net.ipv4.tcp_max_syn_backlog is 256 and there are no SYN cookies: few forged connections keep clients out; sysctl -w net.ipv4.tcp_syncookies=1 changes that, or net.ipv4.tcp_max_syn_backlog=4096",
			"net.netfilter.nf_conntrack_max is 8192, and 50000 sessions alone may take 100000 entries: when the table is full, packets of all are dropped; sysctl -w net.netfilter.nf_conntrack_max=100000 is the least",
		}},
	} {
		assert.Equal(t, c.want, c.needs.Short(c.host), name)
	}
}

func TestString(t *testing.T) {
	assert.Equal(t, `open files: 1256, enough for about 1000 sessions in userspace or 200 in the kernel
connections that wait to be accepted: 4096
connection tracking: none`, Host{Descriptors: 1256, Backlog: 4096}.String())
	assert.Equal(t, `open files: could not tell
connections that wait to be accepted: could not tell
connection tracking: 8192`, Host{ConntrackTable: 8192}.String())
}

// What this host has is of the right size.
func TestRaise(t *testing.T) {
	few := Needs{Sessions: 1}
	h := Raise(few)
	assert.GreaterOrEqual(t, h.Descriptors, few.Descriptors())
	assert.Empty(t, few.Short(h))
}
