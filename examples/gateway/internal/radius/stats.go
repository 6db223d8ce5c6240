package radius

import (
	"sync/atomic"

	"github.com/gopptp/gopptp/examples/gateway/internal/latency"
)

// ServerStats are the figures of one server. The counters only grow.
type ServerStats struct {
	Server   string
	Priority int
	Alive    bool
	Links    int // sockets, or connections that are there or being made
	Waiting  int // requests that wait for an answer now

	Requests          uint64 // probes not included
	Retransmits       uint64
	Accepts           uint64
	Rejects           uint64
	Challenges        uint64
	AccountingReplies uint64
	Timeouts          uint64 // requests that were not answered before another server was asked, or nobody
	BadAuthenticators uint64 // answers that are forged, or from one who has another secret
	Unsigned          uint64 // answers without the Message-Authenticator that is required
	Malformed         uint64 // answers that are not RADIUS, or not for what was asked
	Unexpected        uint64 // answers that nobody waits for any more
	Probes            uint64 // Status-Server requests
	LinkFailures      uint64 // sockets and connections that could not be made, or broke
	// Latency is from the first packet to the server on.
	Latency latency.Snapshot
}

// ClientStats are the figures of a Client.
type ClientStats struct {
	InFlight    int    // requests now
	MaxInFlight int    // the bound of these
	Waiting     int    // that wait for one of these to end
	Busy        uint64 // that waited in vain
	Unanswered  uint64 // that no server answered
	Servers     []ServerStats
}

// counters are those of a server.
type counters struct {
	requests, retransmits, accepts, rejects, challenges, accounting, timeouts atomic.Uint64
	forged, unsigned, malformed, unexpected, probes, linkFailures             atomic.Uint64
	latency                                                                   latency.Histogram
}
