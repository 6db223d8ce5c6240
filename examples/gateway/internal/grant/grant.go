// Package grant is what a user who has logged in is granted, beyond what the library
// itself acts on, whoever granted it: the configuration file, a database or a RADIUS
// server. It is what gopptp.AuthResult.Attributes holds in this gateway.
package grant

import (
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/hours"
)

// Grant belongs to one session. It does not change once the session has it.
type Grant struct {
	// Backend is who decided: "config", "sql" or "radius".
	Backend string
	// Group is that of the user, for policy and pools; empty: none.
	Group string
	// Pool is the name of the pool of addresses to take one from; empty: the first one.
	Pool string
	// Quota is how many octets may pass, both ways together; zero: any number.
	Quota uint64
	// MaxSessions is how many sessions the user may have at a time; zero: as the
	// policy of the gateway says.
	MaxSessions int
	// Sources are where the user may come from; nil: from anywhere.
	Sources []netip.Prefix
	// Hours are when the user may be in; nil: always.
	Hours []hours.Window
	// InterimInterval is how often accounting tells of the session; zero: as the
	// gateway is configured.
	InterimInterval time.Duration
	// Filter is the name of a filter of the operator's (RADIUS Filter-Id); empty: none.
	Filter string
	// NASPort is the number by which RADIUS knows the session's port; zero: it knows none.
	NASPort uint32
	// Class is what RADIUS accounting must send back as it came (RFC 2865 §5.25).
	Class [][]byte
}

// none is what those have of whom nothing is known.
var none = new(Grant)

// Of returns what a session was granted; never nil.
func Of(s *gopptp.Session) *Grant { return From(s.Attributes()) }

// From returns the grant in the Attributes of an AuthResult or a PoolRequest; never nil.
func From(attributes any) *Grant {
	if g, ok := attributes.(*Grant); ok && g != nil {
		return g
	}
	return none
}
