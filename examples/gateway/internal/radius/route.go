package radius

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/rfc4818"
)

// routes returns the networks behind a user, and what is wrong with others.
func routes(p *radius.Packet, own netip.Addr) (list []netip.Prefix, problems []error) {
	add := func(prefix netip.Prefix, err error) {
		switch {
		case err != nil:
			problems = append(problems, err)
		case prefix.Bits() == 0:
			problems = append(problems, fmt.Errorf("route %v would take all of the gateway's packets", prefix))
		case prefix.Contains(own):
			problems = append(problems, fmt.Errorf("route %v has the gateway's own address %v in it", prefix, own))
		default:
			list = append(list, prefix)
		}
	}
	four, _ := rfc2865.FramedRoute_GetStrings(p)
	for _, text := range four {
		prefix, err := parseRoute(text)
		if err == nil && !prefix.Addr().Is4() {
			err = fmt.Errorf("Framed-Route %q is not one of IPv4", short(text))
		}
		add(prefix, err)
	}
	six, _ := rfc3162.FramedIPv6Route_GetStrings(p)
	for _, text := range six {
		prefix, err := parseRoute(text)
		if err == nil && prefix.Addr().Is4() {
			err = fmt.Errorf("Framed-IPv6-Route %q is not one of IPv6", short(text))
		}
		add(prefix, err)
	}
	delegated, err := rfc4818.DelegatedIPv6Prefix_Gets(p)
	if err != nil {
		problems = append(problems, fmt.Errorf("Delegated-IPv6-Prefix: %w", err))
	}
	for _, n := range delegated {
		add(prefixOf(n), nil)
	}
	return list, problems
}

// prefixOf is the prefix of what a dictionary made.
func prefixOf(n *net.IPNet) netip.Prefix {
	addr, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr, ones)
}

// parseRoute reads a Framed-Route or Framed-IPv6-Route (RFC 2865 §5.22): a network, then a
// gateway and metrics, of which nothing is needed here, as the way is the tunnel. The
// network has its length or, as some servers write it, a mask behind it; without any it
// is as long as its class says.
func parseRoute(text string) (netip.Prefix, error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return netip.Prefix{}, fmt.Errorf("Framed-Route %q is empty", short(text))
	}
	bad := fmt.Errorf("Framed-Route %q does not begin with a network", short(text))
	if strings.Contains(fields[0], "/") {
		p, err := netip.ParsePrefix(fields[0])
		if err != nil {
			return netip.Prefix{}, bad
		}
		return p.Masked(), nil
	}
	addr, err := netip.ParseAddr(fields[0])
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, bad
	}
	if !addr.Is4() {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if len(fields) > 1 {
		if bits, ok := parseMask(fields[1]); ok {
			return netip.PrefixFrom(addr, bits).Masked(), nil
		}
	}
	return netip.PrefixFrom(addr, classOf(addr)).Masked(), nil
}

// parseMask reads a mask of IPv4. Zero is none: it would be the gateway of a route.
func parseMask(text string) (bits int, ok bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is4() || addr.IsUnspecified() {
		return 0, false
	}
	ones, size := net.IPMask(addr.AsSlice()).Size()
	return ones, size != 0
}

// classOf is the length of a network that has none beside it. An address within a
// network, which classes know nothing of, is that of a host.
func classOf(addr netip.Addr) int {
	a := addr.As4()
	bits := 32
	switch {
	case a[0] < 128:
		bits = 8
	case a[0] < 192:
		bits = 16
	case a[0] < 224:
		bits = 24
	}
	if netip.PrefixFrom(addr, bits).Masked().Addr() != addr {
		return 32
	}
	return bits
}
