// Package dataplane has the Linux kernel move users' packets where it can, and package
// userspace where it cannot, behind one [gopptp.Dataplane]:
//
//	plane, err := dataplane.Open(dataplane.Options{Userspace: userspace.Options{TUNName: "vpn0"}})
//
// # Which plane
//
// In mode [Auto] the kernel is asked what it can do ([kernel.Probe]). If that is all
// that [Needs] demands, the kernel moves the packets; if not, userspace does, and the log
// says what is missing and what to do about it. [Kernel] insists on the kernel, and
// [Userspace] does not ask it.
//
// The kernel's driver carries IPv4 in the tunnels, and MPPE of 40 and 128 bits. It keeps
// no transmit window and does not touch TCP's segment sizes; a rule of the firewall does
// that, where packets are forwarded. Where sessions are to have IPv6 or flow control, or
// where AF_XDP is insisted on, Auto chooses userspace.
//
// # Calls that move
//
// With the kernel chosen, a call that it cannot carry moves to userspace, while it is set
// up and before its first user's packet. It keeps its call ID and goes on with its GRE
// sequence numbers, so that the peer does not notice, and no frame is lost or handed up
// twice. That happens when
//
//   - another call has the same peer address and the same call ID of the peer's, by which
//     the driver tells calls apart; clients behind one NAT may have that,
//   - CCP agrees on keys of 56 bits,
//   - the session has limits ([gopptp.Rates]), and the kernel lacks the modules for them,
//   - CCP agrees on stateful encryption, which two Linux kernels may get wrong for good
//     after a loss, see package kernel; in mode [Kernel] such calls stay,
//   - the kernel's call IDs are used up: it has one set of them for all peers.
//
// The userspace plane, with its TUN device and sockets, is opened when the first call
// needs it, which holds up that call's worker for some milliseconds. It is in the network
// namespace that Open was called in. [Options.NoSpill] has such calls fail instead.
//
// What [userspace.Options] say of addresses and prefixes is for the TUN device: with the
// kernel chosen, the host has its address in the tunnels while there is a session, and no
// route to addresses that nobody has.
//
// # Two planes in one host
//
// The kernel's driver and a raw socket for GRE each see every packet of the host, and
// neither knows of the other's calls. So each plane has a range of call IDs of its own,
// see [Options], and the raw sockets have a filter that drops the kernel's packets before
// anybody is woken. What it costs is a look at each packet of the kernel's calls, once
// a raw socket is there. The kernel drops what is for calls that it does not know.
//
// An ID that has moved to userspace with its call is not given to another call with the
// same peer until that has ended.
package dataplane
