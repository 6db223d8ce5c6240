// Package firewall is the gateway's part in the host's firewall: a table of nftables of its
// own, which nothing else is in. The table is made as a whole when the gateway starts, in
// place of one that a crash has left, and is removed when it stops. Other settings exchange
// its rules at once, and leave its sets as they are. It
//
//   - drops GRE of PPTP from addresses without a control connection, and counts it;
//   - drops new connections, and GRE, of addresses that are banned;
//   - masquerades what clients send out of the host;
//   - lowers the maximum segment size of TCP connections through devices of tunnels.
//
// It accepts nothing: what other tables of the host drop stays dropped.
//
// The rules about GRE are at netfilter's input hook. What is for tunnels in the kernel, and
// what raw sockets get, has passed that hook. AF_XDP takes packets before there is any
// netfilter, but only those of calls, by both addresses and the call ID, each of which has a
// control connection: it lets in less than the rules do. All others go on to the hook, and are
// counted there. Other versions of GRE than that of PPTP are not looked at, nor is IPv6, over
// which there is no PPTP.
package firewall

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
)

// Settings say what is in the table.
type Settings struct {
	// Enabled is whether there is a table. Without it the rest means nothing.
	Enabled bool
	Table   string
	// Ports are those of control connections.
	Ports []uint16
	// PeersOnly drops GRE from addresses without a control connection.
	PeersOnly bool
	// Masquerade are the networks of clients whose packets get the host's address on their
	// way out of it, by Interfaces, or, if there are none, by all but Tunnels. Networks
	// do not overlap.
	Masquerade []netip.Prefix
	Interfaces []string
	// Tunnels are the devices of tunnels. A * at the end of one stands for any characters.
	Tunnels []string
	// ClampMSS are those of them whose packets nobody else clamps.
	ClampMSS []string
}

// Config is what Open needs.
type Config struct {
	Settings
	Log *slog.Logger
	// Namespace is a descriptor of the network namespace, for tests. Zero: ours.
	Namespace int
}

// Snapshot is what the firewall has counted since its table was made.
type Snapshot struct {
	Enabled bool `json:"enabled"`
	Peers   int  `json:"peers"`  // addresses with a control connection, or with one of late
	Banned  int  `json:"banned"` // addresses and networks

	StrangersPackets uint64 `json:"strangers_packets"` // GRE from no peer, dropped
	StrangersOctets  uint64 `json:"strangers_octets"`
	BannedPackets    uint64 `json:"banned_packets"` // of banned sources, dropped
	BannedOctets     uint64 `json:"banned_octets"`
	Restored         uint64 `json:"restored"` // how often others had removed or changed the table
}

// ForeignTableError says that a table of the name is there that the gateway has not made.
type ForeignTableError struct{ Table string }

func (e *ForeignTableError) Error() string {
	return fmt.Sprintf("table inet %s is there already, and is not the gateway's: give it another name, by firewall.table", e.Table)
}

// ErrNotSupported is the error on other systems than Linux.
var ErrNotSupported = errors.New("firewall: needs nftables, which is of Linux")
