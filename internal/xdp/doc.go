// Package xdp moves the GRE packets of known calls past the network stack of
// Linux, with AF_XDP sockets. It has three parts:
//
//   - A [Filter] knows the calls. All interfaces share it.
//   - An [Interface] is a network interface with our XDP program, which redirects
//     the packets of known calls and leaves everything else to the stack.
//   - A [Socket] is one receive queue of an interface, and a way to send.
//
// What the program takes is an Ethernet frame of at most [MaxReceive] octets with
// an IPv4 packet that has no options and is no fragment, in which there is GRE of
// version 1 with protocol 0x880B, whose addresses and call ID are in the filter.
// It looks at nothing else: the checksum of the IPv4 header, both lengths, and
// what else GRE has are for the receiver to check. Firewall rules, routing and
// packet captures of the host do not see what it takes.
//
// The kernel takes the program away with the process, however that ends. A driver
// that takes XDP programs itself may have to reset its queues for it, which can
// cost the link for a moment. What the interface does not let us do fails with an
// error that says what is missing.
//
// # Speed
//
// Sending and receiving a frame over veth, both in copy mode, costs about the same
// in native mode as in generic mode (some 7 % less). How many frames a call sends
// makes no difference from 32 on. Rings of 256 frames are a few per cent faster
// than rings of 2048, as their memory stays in the cache, but fill up in a quarter
// of a millisecond. BenchmarkFrame and BenchmarkTCP measure it.
//
// # Goroutines
//
// Filter is safe for concurrent use. A Socket has two sides, each for one goroutine
// at a time: Receive and Free, and Frame, Submit, Discard, Flush and Pending.
// Interfaces are opened in the network namespace of the calling thread, and used
// from any. Close unmaps the memory of the frames, so it must come after all use
// of the sockets and their frames.
package xdp
