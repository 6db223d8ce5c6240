package host

import (
	"fmt"
	"math"
)

// Needs is what a plan wants of the host.
type Needs struct {
	Tunnels int
	// Redials is how many of them are dialled again in a second.
	Redials float64
	Sources int // addresses; 0: one
}

// spare are descriptors that are no control connections.
const spare = 256

// Descriptors is how many descriptors are needed: one a control connection.
func (n Needs) Descriptors() int { return n.Tunnels + spare }

// timeWait is how long, in seconds, a port cannot be used again after a connection.
const timeWait = 60

// Short says what of it the host does not have, with what can be done about it: what
// makes the plan impossible, and what may hinder it.
func (n Needs) Short(descriptors uint64, ports int) (fatal, hindrances []string) {
	if uint64(n.Descriptors()) > descriptors {
		fatal = append(fatal, fmt.Sprintf("descriptors: %d tunnels need %d, and the limit is %d; raise it with ulimit -Hn, or run as root",
			n.Tunnels, n.Descriptors(), descriptors))
	}
	sources := max(n.Sources, 1)
	if ports == 0 {
		return fatal, nil // not known
	}
	each := (n.Tunnels + sources - 1) / sources
	closing := int(math.Ceil(n.Redials * timeWait / float64(sources)))
	remedy := "give more addresses with --source, or widen net.ipv4.ip_local_port_range"
	switch {
	case each > ports:
		fatal = append(fatal, fmt.Sprintf("ports: %d tunnels from %d source address(es) need %d each, and there are %d; %s",
			n.Tunnels, sources, each, ports, remedy))
	case each+closing > ports:
		hindrances = append(hindrances, fmt.Sprintf("ports: with what is dialled again, up to %d a source address are in use or in TIME_WAIT, and there are %d; %s",
			each+closing, ports, remedy))
	}
	return fatal, hindrances
}
