// Package engine is what data planes have in common: everything between GRE
// packets on a wire and IP packets of the host. It has no I/O. Package userspace
// puts a raw socket and a TUN device to it, package memory an in-process network.
//
// Two kinds of goroutines enter it: workers read wire and host, and call
// [Port.Inbound] and [Port.Outbound], each on a port of its own; sessions call what
// [gopptp.Dataplane] and [gopptp.Call] have. The engine adds two, whatever the
// number of calls: one for deadlines, and one for what may block ([Host].Attach
// and Detach).
//
// # Locks
//
// A call has a lock for each direction, in and out, so that a tunnel can encrypt
// and decrypt at once. Numbers and acknowledgements travel between directions
// (see package gre) and have a third lock, num, which is held for a few
// instructions only. What a session does to a call is under a fourth, mu. They
// are taken in the order mu, then in or out, then num; never in and out at once.
//
// Packets come in batches that go through many calls. What a batch has made of
// them leaves in one piece at its end, so the locks of their direction are held
// until then: otherwise another goroutine could take the next number, or the
// next packet out of the cipher, and be first on the wire. A batch that finds a
// lock taken first sends what it has and lets go of everything, so that nobody
// waits while holding a lock of another call.
//
// Data planes with several workers lead the packets of a call to one of them.
// Then locks are free whenever they are taken, once for a call and batch. They are
// there for what cannot be led: the frames of sessions, deadlines, a packet that
// comes by another way.
//
// Methods of a [gopptp.CallHandler] are called under mu or in. They do not block,
// and must not call the engine back.
//
// # Many calls
//
// A processor's caches hold the memory of some thousands of calls. With more, that
// memory is what a packet costs, so a batch has all it needs fetched side by side
// before it begins (warm.go), what packets need is together in the structures, and
// nothing is looked for by steps that grow in number with the calls, but the alarms
// of those that owe an acknowledgement (deadline.go).
//
// # Limits
//
// The rates of a session are policed, not shaped (limit.go): what is above is dropped,
// and nothing waits. Packets towards the peer are those that the host hands over, so
// of a segmented flow each that leaves; those from the peer have been decrypted.
//
// Users' packets are IPv4 and IPv6. On the IPv6 link that a tunnel is, the engine
// is a node itself, a router or a host (link6.go): what is to or from link-local
// and multicast addresses ends there. The transmit window of the peer is ignored
// unless Config.FlowControl is set; package gre explains why.
package engine
