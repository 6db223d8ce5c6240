// Package nexthop keeps the link-layer way to peers current, for a data plane that
// builds Ethernet frames itself. It is for Linux alone, IPv4 outside.
//
//	route ──▶ next hop's address ──▶ neighbour's MAC   ┐
//	   └────▶ device ──────────────▶ our MAC and MTU   ┴─▶ Hop
//
// A [Table] follows the kernel by rtnetlink with one goroutine, in the network
// namespace of the thread that called [Open]. [Table.Watch] gives a [Path] for a
// local address and a peer, at once; its calls share it. [Path.Load] is two atomic
// loads for the data path: the [Hop], or nil where frames cannot be built here.
// Then a packet goes by the caller's IP socket, as it would without this package:
// the kernel looks for the neighbour, and when it has found it there is a Hop.
//
// # Where there is no Hop
//
// Before the first look-up, which the goroutine makes within a moment. Without a
// route, or with one that is no unicast by an Ethernet device: local, broadcast,
// blackhole, encapsulated, a gateway of IPv6, a device without ARP. While the
// device is down or has no carrier, the local address is not the host's, or the
// neighbour is not known or does not answer. And on a host with IPsec policies for
// what it sends, since they would be passed by: these are looked at with every
// look-up of a route, so a new one is seen after a minute at the latest.
//
// Of several equal routes a Path takes the one that the kernel takes for these two
// addresses. Rules that look at the protocol, at marks or at the class of service
// are not followed, and nothing passes the host's output filters or its queueing
// discipline: who needs those must not build frames.
//
// # Neighbours that only we talk to
//
// The kernel believes in a neighbour for as long as it hears from it, or sends to it
// and gets answers when it asks. Our packets it does not see. So an entry would
// become stale, be collected, and a neighbour that is gone would go unnoticed. Load
// therefore notes that a Hop was used, which costs a load, and a store a second at
// most; and while an entry is stale, the goroutine looks once a second whether it
// was, and then tells the kernel (NTF_USE, as "ip neigh ... use"). That is to the
// kernel what a packet is: it waits for news for five seconds, asks the neighbour,
// and says in the end whether it is reachable. The data path does nothing for it,
// and no packet goes another way and is overtaken. It takes CAP_NET_ADMIN; where
// the kernel refuses, there is no Hop until the entry is fresh again, which the
// packets then see to.
//
// # Cost
//
// Paths behind one gateway share one Hop. A new MAC, or a device that goes down, is
// a store for each gateway concerned, however many peers there are. A change of
// routes, addresses or rules has all paths looked up again, in batches, since what it
// changes is for the kernel to say. That is 2 to 3 µs a path, a fifth of a second for
// 50,000. At once, but no more often than takes a tenth of a processor; and again
// after a second, because the kernel reports some changes before it makes them.
// Routes to single hosts that are not peers, such as those of the tunnels themselves,
// are known to change nothing. Once a minute all is looked up anyway: the kernel
// keeps redirects and path MTUs to itself. If it had to drop reports, everything is
// read again.
//
// It takes Linux 5.0 for single neighbours to be read.
package nexthop
