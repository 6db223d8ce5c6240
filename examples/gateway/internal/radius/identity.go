package radius

import (
	"net"
	"net/netip"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

// Identity is how servers know the gateway.
type Identity struct {
	// NAS is the NAS-Identifier.
	NAS string
	// Address is the NAS-IP-Address; not valid: the one that the peer has connected to.
	Address netip.Addr
}

// attributes are those of the identity; local is our address where it has none.
func (i Identity) attributes(local netip.Addr) radius.Attributes {
	var list radius.Attributes
	if i.NAS != "" {
		list.Add(rfc2865.NASIdentifier_Type, radius.Attribute(i.NAS))
	}
	if i.Address.IsValid() {
		local = i.Address
	}
	if local = local.Unmap(); local.Is4() && !local.IsUnspecified() {
		list.Add(rfc2865.NASIPAddress_Type, local.AsSlice())
	}
	return list
}

// Attributes are those that name the gateway in requests that are of no session.
func (i Identity) Attributes() radius.Attributes { return i.attributes(netip.Addr{}) }

// address makes one of what a dictionary made.
func address(ip net.IP, err error) (netip.Addr, bool) {
	addr, ok := netip.AddrFromSlice(ip)
	return addr.Unmap(), ok && err == nil
}
