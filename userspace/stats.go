package userspace

// Stats counts what happens outside of calls. The counters of a call, which
// include what the data plane dropped from it, are its own.
type Stats struct {
	// Calls is the number of open calls.
	Calls int
	GRE   GREStats
	TUN   TUNStats
}

// GREStats counts packets on the raw sockets and those of AF_XDP.
type GREStats struct {
	Received uint64 // GRE packets of version 1 with PPP in them
	Sent     uint64

	ReceivedXDP uint64 // of those received, and sent, by AF_XDP
	SentXDP     uint64

	UnknownCall       uint64 // received for no call of ours, or not from its peer
	ReceivedMalformed uint64 // received, but no enhanced GRE, or too large for any tunnel
	ReceiveQueueFull  uint64 // dropped by the kernel since nobody took them in time: modulo 2^32
	SendQueueFull     uint64 // dropped since the network device did not take them in time
	SendTooLarge      uint64 // dropped since the network device cannot carry them
	SendRefused       uint64 // dropped by the kernel: no route, firewall, or the source address is gone
}

// TUNStats counts IP packets on the TUN device.
type TUNStats struct {
	Received uint64 // from the host
	Sent     uint64 // to the host

	NoCall   uint64 // from the host, but to nobody's address
	NotIP    uint64 // from the host, but not well-formed IPv4 or IPv6
	Link     uint64 // from the host to IPv6 multicast and link-local addresses, as it sends on any device
	TooLarge uint64 // from the host, and larger than any tunnel carries
	Looped   uint64 // from the host, but outer packets of a tunnel: a route leads them into it
	Refused  uint64 // the host did not take them
}
