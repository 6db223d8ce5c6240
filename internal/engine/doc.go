// Package engine is what data planes have in common: everything between GRE
// packets on a wire and IP packets of the host. It has no I/O. Package userspace
// puts a raw socket and a TUN device to it, package memory an in-process network.
//
// Three kinds of goroutines enter it: who reads the wire calls [Engine.Inbound],
// who reads the host [Engine.Outbound], and the sessions call what
// [gopptp.Dataplane] and [gopptp.Call] have. The engine adds two of its own,
// whatever the number of calls: one for deadlines, and one for what may block
// ([Host].Attach and Detach).
//
// Only IPv4 is carried. The transmit window of the peer is ignored, as package
// gre explains.
package engine
