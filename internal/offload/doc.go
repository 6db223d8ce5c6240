// Package offload does in userspace what a network card does for a host that
// offloads segmentation and checksums: the work behind a TUN device with
// IFF_VNET_HDR. It has no I/O.
//
// What such a device carries is a packet with a [Header] in front. A [Splitter]
// takes one that the host sends, up to 64 KiB, and makes packets of the size that
// goes on the wire. A [Coalescer] takes packets from the wire and joins those that
// follow each other in their flow, so that the host handles them as one.
//
// # What is joined
//
// The rules are those of the Linux kernel's receive offload, where it has them:
// joining packets, and splitting the result, gives the same packets back. One field
// may differ: where all packets of an IPv4 flow have the same Identification, it
// comes back counted up. Such packets are joined only if DF is set, with which the
// field means nothing (RFC 6864).
//
// The host trusts a joined packet, and so does not look at its checksums. Package
// offload therefore verifies those of all packets before it joins them. One that
// fails goes to the host alone, as it came, for the host to find. Packets of one
// flow keep their order, whether they are joined or not.
//
// # Memory
//
// Splitters and Coalescers are for one goroutine. Once made, they do not allocate.
package offload
