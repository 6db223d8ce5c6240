package radius

import (
	"sync/atomic"

	"github.com/gopptp/gopptp/examples/gateway/internal/latency"
)

// ServerStats are the figures of one server. The counters only grow.
type ServerStats struct {
	Server   string `json:"server"`
	Priority int    `json:"priority"`
	Alive    bool   `json:"alive"`
	Links    int    `json:"links"`   // sockets, or connections that are there or being made
	Waiting  int    `json:"waiting"` // requests that wait for an answer now

	Requests          uint64 `json:"requests"` // probes not included
	Retransmits       uint64 `json:"retransmits"`
	Accepts           uint64 `json:"accepts"`
	Rejects           uint64 `json:"rejects"`
	Challenges        uint64 `json:"challenges"`
	AccountingReplies uint64 `json:"accounting_replies"`
	Timeouts          uint64 `json:"timeouts"`           // requests that were not answered before another server was asked, or nobody
	BadAuthenticators uint64 `json:"bad_authenticators"` // answers that are forged, or from one who has another secret
	Unsigned          uint64 `json:"unsigned"`           // answers without the Message-Authenticator that is required
	Malformed         uint64 `json:"malformed"`          // answers that are not RADIUS, or not for what was asked
	Unexpected        uint64 `json:"unexpected"`         // answers that nobody waits for any more
	Probes            uint64 `json:"probes"`             // Status-Server requests
	LinkFailures      uint64 `json:"link_failures"`      // sockets and connections that could not be made, or broke
	// Latency is from the first packet to the server on.
	Latency latency.Snapshot `json:"latency"`
}

// ClientStats are the figures of a Client.
type ClientStats struct {
	InFlight    int           `json:"in_flight"`     // requests now
	MaxInFlight int           `json:"max_in_flight"` // the bound of these
	Waiting     int           `json:"waiting"`       // that wait for one of these to end
	Busy        uint64        `json:"busy"`          // that waited in vain
	Unanswered  uint64        `json:"unanswered"`    // that no server answered
	Servers     []ServerStats `json:"servers"`
}

// counters are those of a server.
type counters struct {
	requests, retransmits, accepts, rejects, challenges, accounting, timeouts atomic.Uint64
	forged, unsigned, malformed, unexpected, probes, linkFailures             atomic.Uint64
	latency                                                                   latency.Histogram
}
