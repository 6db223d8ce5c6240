// Package kernel is a data plane that has the Linux kernel carry users' packets: its
// PPTP driver, its PPP and its MPPE. A packet never reaches the process. Each session
// has a network device of its own, as with pppd.
//
//	plane, err := kernel.Open(kernel.Options{})
//
// It needs the modules pptp, ppp_generic and, for encryption, ppp_mppe, and the
// capabilities CAP_NET_ADMIN and CAP_NET_RAW. [Probe] says what is missing, and what to
// do about it. Package dataplane chooses between this package and userspace, and has
// userspace take the sessions that the kernel cannot.
//
// # What it is good for
//
// It costs the process nothing per packet, and needs no tuning. Tools that know pppd's
// devices know these. Against that, package userspace needs no modules, has one device
// for all sessions, and on most machines is faster; BENCHMARKS.md compares them.
//
// # What the kernel cannot do
//
//   - It tells calls apart by the peer's address and the peer's call ID. Two clients
//     behind one NAT may choose the same: Connect of the second fails with
//     [ErrCollision].
//   - Call IDs of ours are unique on the host, whoever the peer is, and those of other
//     programs count: 65,535 calls at the most. Then Open fails with [ErrNoCallID].
//   - Its MPPE knows keys of 128 and of 40 bits, not of 56: PrepareReceive and
//     SetEncryption fail with mppe.ErrNotSupported. Both modes work, but in stateful mode
//     two Linux kernels do not find each other again if what is lost is the packet with
//     which one begins anew: each then has another key, and takes what it decrypts for
//     packets. Stateless mode, the default, does not know that; stateful calls are better
//     left to userspace, as package dataplane does. After 4,096 or more packets lost in a
//     row, it cannot tell which key is the next in either.
//   - A packet that was overtaken is dropped, not put right, and what is lost is not
//     counted. Windows are not kept, and acknowledgements only ride on packets.
//   - The maximum segment size of TCP connections is left alone. Where they are
//     forwarded, have nftables or iptables clamp it, to the MTU of the route.
//   - IPv6 is not carried: of a Network with both, IPv4 is attached.
//   - Routes into a tunnel that cover the peer's outer address, as a default route does,
//     need a longer one to it on the host: none is added.
//   - A device a session: with thousands, whatever lists or follows the host's devices
//     becomes slow. Connect looks through all calls of the host, and what ends a call
//     waits for other processors, some milliseconds; that happens off the session's
//     goroutine.
//
// A raw GRE socket of the host, such as package userspace has, gets a copy of each
// packet of these calls too. The kernel, in turn, ignores packets of calls that are not
// its own.
//
// # What is added to it
//
// The kernel takes packets in clear whatever was agreed on, and stops encrypting when
// the peer asks for a new negotiation, before anybody could stop the packets. Here a
// filter on each call's socket keeps the first out where encryption is required or
// agreed on, and the second is seen by the session first. LCP's requests that come before
// a call is connected are kept, which the kernel would drop. Users' packets pass between
// Attach and Detach only, and where encryption is required not before it works. Detach
// takes addresses and routes away, so that the host has none of them while CCP is
// negotiated anew.
//
// Limits ([gopptp.Rates]) are kept by filters of the session's device: in each direction
// a matchall with the action police, in a qdisc clsact. So what is above is dropped, as
// in userspace, and counted, and the host's qdisc is the administrator's. A burst is of
// 64 KiB at the least, which the kernel may move at once, unless that took minutes. The
// modules are sch_ingress, cls_matchall, act_police and act_gact; without them Attach of a
// Network with limits fails with [ErrNoRates].
//
// # Concurrency
//
// What takes longer than a system call happens on goroutines of the plane, in order for
// each call; an error there ends the call by CallHandler.Failed. All calls are read by
// one goroutine, which takes no thread while there is nothing to be read.
package kernel
