// Package userspace is a data plane for Linux that needs nothing of the
// kernel's own PPP and PPTP: sockets for GRE and one TUN device for all sessions.
// [Open] makes one, for a server or a client.
//
//	peers ── GRE, IP protocol 47 ─┬─ AF_XDP ──────┬─ calls ── TUN device ── host
//	                              └─ raw sockets ─┘
//
// It is a [gopptp.Dataplane]. A number of workers ([Options.Workers]), a goroutine
// each, move packets all the way, in batches; a few more goroutines have deadlines,
// addresses and routes. Their number has nothing to do with that of sessions. On
// other systems Open returns an error that wraps [gopptp.ErrNotSupported].
//
// AF_XDP is used on network interfaces that can do it, unless [Options.XDP] says
// otherwise, and raw sockets for everything else. Packets that go by AF_XDP pass no
// firewall rule and no traffic control of the host, and no packet capture sees them.
// TUNING.md, beside this file, says what else follows from it, and how to set up the
// host and the options where the defaults are not enough.
//
// # Privileges
//
// Open needs CAP_NET_RAW for the sockets, CAP_NET_ADMIN for the TUN device, its
// addresses and routes, and /dev/net/tun, which containers have to be given.
// Without one of them, Open says which. CAP_NET_ADMIN is needed as long as
// sessions come and go. AF_XDP needs CAP_BPF as well, and locked memory; without, raw
// sockets do.
//
// Everything is made in the network namespace of the thread that calls Open and
// stays there. A goroutine that has changed its namespace must be locked to its
// thread; those that use the [Plane] later need not be.
//
// # Addresses and routes
//
// The TUN device is new and goes with [Plane.Close], or with the process. A
// session's local address is put on it as a /32, and taken away with the last
// session that has it. The peer's address and the session's routes are routed
// to it unless [Options.Prefixes] covers them: a server that names its pool
// there changes nothing per session. A session whose MTU is below that of the
// device gets routes with its own MTU all the same. A route that the host has
// already, for exactly the same destination, is an error. Routes that somebody
// else adds to the device go when its last session does, because the kernel drops
// all routes of a device that has no address left.
//
// A route of a session that covers the address of the server itself, such as
// the default route, leads the tunnel into itself: the control connection then
// dies. Give the host a route to the server's address by its present gateway
// first, and remove it afterwards. Packets that come around are dropped and
// counted ([TUNStats]). The default route is added as its two halves, so that
// the one that the host has is back when the session ends. A server that gives
// its public address as its inner one, as some do, gets no route to it through
// the tunnel.
//
// # Packets of the process itself
//
// With [Options.Device] there is no TUN device, and no address or route of the host is
// touched: users' packets come from the process ([Plane.Send]) and go to it. So a
// program can be the host behind the tunnels, or tens of thousands of them.
//
// # IPv6
//
// IPv6 in the tunnels is for sessions that have agreed on it, on a kernel that has
// it; without, such a session carries IPv4 alone. A server routes the prefix of
// each session to the TUN device, unless [Options.Prefixes] covers it, and gives
// its own address, if it wants one, by [Options.Addresses]. A client gets the
// address that its server's Router Advertisements make, the link-local one beside
// it, both as a /128, and the session's IPv6 routes once it has the first.
//
// The advertisements never reach the kernel: all tunnels share one device, on
// which it could not tell their links apart, and what it does with them depends on
// sysctls and on whether it forwards. So the data plane is the IPv6 router or host
// of each link. Nothing of a link, to multicast or link-local addresses, passes
// between a server's host and its tunnels.
//
// # What the host has to be told
//
// A gateway forwards packets only with the sysctl net.ipv4.ip_forward set, and
// those of IPv6 with net.ipv6.conf.all.forwarding, which may cost the host a
// default route of its own that came by Router Advertisements (accept_ra=2 keeps
// it). It must let IP protocol 47 and TCP port 1723 in and out, and its forwarding
// rules must let the TUN device through; where the pool is not known to the rest of
// the network, it must masquerade. A stateful firewall that knows neither
// drops GRE as invalid.
//
// With rp_filter at 1, the host drops packets from the tunnel whose source
// address it would not route there. Those of peers are routed there; on a
// client, packets from networks beyond the session's routes are not.
//
// # Limits
//
// The outside is IPv4, as PPTP knows no other. One Plane in a network namespace:
// each would get a copy of every packet, and find calls of the other's in them.
// For the same reason a client and its own gateway cannot be in one namespace. The
// kernel's GRE and PPTP drivers also see every packet, and this package sees
// theirs: both may be used side by side, as plain GRE tunnels are filtered out
// in the kernel, and PPTP calls that are not ours are dropped, in the kernel too if
// [Options] has a range of call IDs. Without one they may not have calls with the same
// peer, as both choose call IDs by themselves. Package dataplane has both in one.
//
// While the sockets are open the kernel no longer answers GRE with ICMP "protocol
// unreachable".
//
// Outer packets go out without the DF bit. One that does not fit the path is
// fragmented, which costs speed but keeps the tunnel from hanging; the MTU of a
// session is there to make it rare.
//
// Packets that the host sends wait in the TUN device while the network is busy,
// where TCP notices. Where more is to be moved than a worker can, its sessions take
// turns, and the one that has most waiting loses packets first. What full queues
// drop is counted, in [Stats] or in the counters of the session.
package userspace
