package radius

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"
	"layeh.com/radius/vendors/microsoft"
	"layeh.com/radius/vendors/mikrotik"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
)

// grants returns what an Access-Accept grants, and what of it cannot be done, which is
// left out. An error is what must not be.
func (a *Authenticator) grants(req *gopptp.AuthRequest, p *radius.Packet) (*gopptp.AuthResult, []error, error) {
	g := &grant.Grant{
		Backend: "radius",
		Pool:    rfc2869.FramedPool_GetString(p),
		Filter:  rfc2865.FilterID_GetString(p),
		Quota: uint64(mikrotik.MikrotikTotalLimitGigawords_Get(p))<<32 |
			uint64(mikrotik.MikrotikTotalLimit_Get(p)),
		MaxSessions:     int(min(rfc2865.PortLimit_Get(p), math.MaxInt32)),
		InterimInterval: seconds(uint32(rfc2869.AcctInterimInterval_Get(p))),
		NASPort:         uint32(req.CallID),
	}
	g.Class, _ = rfc2865.Class_Gets(p)
	result := &gopptp.AuthResult{
		User:           rfc2865.UserName_GetString(p),
		Message:        short(rfc2865.ReplyMessage_GetString(p)),
		SessionTimeout: seconds(uint32(rfc2865.SessionTimeout_Get(p))),
		IdleTimeout:    seconds(uint32(rfc2865.IdleTimeout_Get(p))),
		DNS:            addresses(microsoft.MSPrimaryDNSServer_Get(p), microsoft.MSSecondaryDNSServer_Get(p)),
		NBNS:           addresses(microsoft.MSPrimaryNBNSServer_Get(p), microsoft.MSSecondaryNBNSServer_Get(p)),
		Attributes:     g,
	}
	var err error
	if result.Address, err = framedAddress(p); err != nil {
		return nil, nil, err
	}
	var problems []error
	result.Routes, problems = routes(p, a.cfg.Own)
	fromPeer, toPeer, err := rates(p)
	if err != nil {
		problems = append(problems, err)
	}
	if fromPeer != nil {
		result.Rates.FromPeer = *fromPeer
	}
	if toPeer != nil {
		result.Rates.ToPeer = *toPeer
	}
	if n, err := rfc3162.FramedIPv6Prefix_Lookup(p); err == nil {
		switch prefix := prefixOf(n); {
		case prefix.Bits() != 64:
			problems = append(problems, fmt.Errorf("Framed-IPv6-Prefix %v is not a /64", prefix))
		case a.cfg.Prefixes.IsValid() && a.cfg.Prefixes.Overlaps(prefix):
			problems = append(problems, fmt.Errorf("Framed-IPv6-Prefix %v is in ipv6.prefix, of which any session may get it", prefix))
		default:
			result.IPv6Prefix = prefix
		}
	} else if !errors.Is(err, radius.ErrNoAttribute) {
		problems = append(problems, fmt.Errorf("Framed-IPv6-Prefix: %w", err))
	}
	return result, problems, nil
}

// framedAddress is the address that a user must have; not valid: one of a pool.
func framedAddress(p *radius.Packet) (netip.Addr, error) {
	ip, err := rfc2865.FramedIPAddress_Lookup(p)
	if errors.Is(err, radius.ErrNoAttribute) {
		return netip.Addr{}, nil
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("radius: Framed-IP-Address: %w", err)
	}
	addr, _ := netip.AddrFromSlice(ip)
	addr = addr.Unmap()
	switch addr {
	case netip.AddrFrom4([4]byte{255, 255, 255, 255}), // what the user asks for: nothing asks here
		netip.AddrFrom4([4]byte{255, 255, 255, 254}), // what we choose (RFC 2865 §5.8)
		netip.IPv4Unspecified():
		return netip.Addr{}, nil
	}
	if a := addr.As4(); !addr.IsGlobalUnicast() || a[0] == 0 || a[0] >= 240 {
		return netip.Addr{}, fmt.Errorf("radius: Framed-IP-Address %v cannot be the address of a host", addr)
	}
	return addr, nil
}

// addresses are those of servers that are there.
func addresses(list ...net.IP) (addrs []netip.Addr) {
	for _, ip := range list {
		addr, ok := netip.AddrFromSlice(ip)
		if addr = addr.Unmap(); ok && addr.Is4() && !addr.IsUnspecified() && !slices.Contains(addrs, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

func seconds(n uint32) time.Duration { return time.Duration(n) * time.Second }
