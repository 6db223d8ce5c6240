// Package target decides what load may be put on: what is one's own, or of somebody
// who has agreed.
package target

import (
	"fmt"
	"net/netip"
	"strings"
)

// Consent is on what ground a target may be loaded.
type Consent string

// The grounds that need nobody's word.
const (
	Loopback  Consent = "loopback"
	Namespace Consent = "private network namespace"
)

// local are the networks that the Internet does not route: private ones (RFC 1918,
// RFC 6598), link-local (RFC 3927), for benchmarks (RFC 2544), and for documentation
// (RFC 5737).
var local = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
}

// Refusal says why a target is not loaded.
type Refusal struct {
	Target netip.Addr
	Reason string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf(`%v is not loaded: %s.
Thousands of clients are an attack on whoever has not asked for them. Load goes to
  - a loopback address,
  - a private address, from a network namespace that is not the host's own, or
  - any address whose owner has agreed: --i-have-permission-of OWNER`, r.Target, r.Reason)
}

// Check returns on what ground addr may be loaded, or a Refusal. private reports
// whether this process is in a network namespace of its own, as Private does; owner is
// who has agreed, if anybody.
func Check(addr netip.Addr, private func() (bool, error), owner string) (Consent, error) {
	if owner = strings.TrimSpace(owner); owner != "" {
		return Consent("permission of " + owner), nil
	}
	if addr.IsLoopback() {
		return Loopback, nil
	}
	inside := false
	for _, p := range local {
		inside = inside || p.Contains(addr)
	}
	if !inside {
		return "", &Refusal{addr, "it is a public address"}
	}
	switch ok, err := private(); {
	case err != nil:
		return "", &Refusal{addr, fmt.Sprintf("it is not known whether this is a network namespace for tests (%v)", err)}
	case !ok:
		return "", &Refusal{addr, "it is reached from the host's own network"}
	}
	return Namespace, nil
}
