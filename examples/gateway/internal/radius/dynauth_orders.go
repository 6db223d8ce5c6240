package radius

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3576"
	"layeh.com/radius/rfc5176"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
)

// find returns the sessions that a request means: all that it says must be so of each. The
// cause is why there are none.
func (d *DynAuth) find(p *radius.Packet) ([]*gopptp.Session, rfc3576.ErrorCause) {
	if name, err := rfc2865.NASIdentifier_LookupString(p); err == nil && name != d.cfg.Identity.NAS {
		return nil, rfc3576.ErrorCause_Value_NASIdentificationMismatch
	}
	nas, hasNAS := address(rfc2865.NASIPAddress_Lookup(p))
	if own := d.cfg.Identity.Address; hasNAS && own.IsValid() && nas != own.Unmap() {
		return nil, rfc3576.ErrorCause_Value_NASIdentificationMismatch
	}

	id, noID := rfc2866.AcctSessionID_LookupString(p)
	user, noUser := rfc2865.UserName_LookupString(p)
	framed, hasFramed := address(rfc2865.FramedIPAddress_Lookup(p))
	port, noPort := rfc2865.NASPort_Lookup(p)
	from, noFrom := rfc2865.CallingStationID_LookupString(p)

	live := d.cfg.Sessions
	var list []*gopptp.Session
	switch { // by the one that tells most
	case noID == nil:
		list = one(live.Get(gopptp.SessionID(id)))
	case hasFramed:
		list = one(live.ByAddress(framed))
	case noUser == nil:
		list = live.ByUser(user)
	case noPort == nil:
		list = live.All()
	case noFrom == nil:
		if source, err := netip.ParseAddr(from); err == nil {
			list = live.BySource(source)
		}
	default:
		return nil, rfc3576.ErrorCause_Value_MissingAttribute
	}
	var found []*gopptp.Session
	for _, s := range list {
		if (noUser != nil || s.User() == user) &&
			(!hasFramed || s.Peer() == framed) &&
			(noPort != nil || port != 0 && grant.Of(s).NASPort == uint32(port)) && // zero is none
			(noFrom != nil || s.RemoteAddr().Addr().Unmap().String() == from) &&
			(!hasNAS || d.cfg.Identity.Address.IsValid() || s.LocalAddr().Addr().Unmap() == nas) {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return nil, rfc3576.ErrorCause_Value_SessionContextNotFound
	}
	return found, 0
}

func one(s *gopptp.Session) []*gopptp.Session {
	if s == nil {
		return nil
	}
	return []*gopptp.Session{s}
}

// change is what a CoA-Request changes.
type change struct {
	session, idle    *time.Duration
	fromPeer, toPeer *gopptp.BitRate
}

func (c change) any() bool { return c.session != nil || c.idle != nil || c.limits() }

func (c change) limits() bool { return c.fromPeer != nil || c.toPeer != nil }

// String is the change in words; empty if there is none.
func (c change) String() string {
	var list []string
	if c.session != nil {
		list = append(list, fmt.Sprintf("session timeout %v", *c.session))
	}
	if c.idle != nil {
		list = append(list, fmt.Sprintf("idle timeout %v", *c.idle))
	}
	if c.fromPeer != nil {
		list = append(list, fmt.Sprintf("rate from peer %v", *c.fromPeer))
	}
	if c.toPeer != nil {
		list = append(list, fmt.Sprintf("rate to peer %v", *c.toPeer))
	}
	return strings.Join(list, ", ")
}

// apply changes sessions, all of them or none (RFC 5176 §2.3), and then says why. Those
// that have ended meanwhile are left out of what it returns.
func (c change) apply(list []*gopptp.Session) (changed []*gopptp.Session, cause rfc3576.ErrorCause) {
	var before []gopptp.Rates
	for _, s := range list {
		old := s.Rates()
		switch err := c.limit(s, old); {
		case errors.Is(err, net.ErrClosed):
			continue
		case err != nil: // the data plane keeps no limits
			for i, s := range changed {
				_ = s.SetRates(before[i]) // it had them, or has ended
			}
			return nil, rfc3576.ErrorCause_Value_ResourcesUnavailable
		}
		changed, before = append(changed, s), append(before, old)
	}
	if len(changed) == 0 {
		return nil, rfc3576.ErrorCause_Value_SessionContextNotFound
	}
	for _, s := range changed {
		session, idle := s.Timeouts()
		if c.session != nil {
			session = *c.session
		}
		if c.idle != nil {
			idle = *c.idle
		}
		if c.session != nil || c.idle != nil {
			s.SetTimeouts(session, idle)
		}
	}
	return changed, 0
}

// limit changes the rates of a session, which has others now.
func (c change) limit(s *gopptp.Session, r gopptp.Rates) error {
	if !c.limits() {
		return nil
	}
	if c.fromPeer != nil {
		r.FromPeer = *c.fromPeer
	}
	if c.toPeer != nil {
		r.ToPeer = *c.toPeer
	}
	return s.SetRates(r)
}

// The numbers of the attributes that are understood, of vendors.
const (
	mikrotikVendor    = 14988
	mikrotikRateLimit = 8
	wisprVendor       = 14122
	wisprMaxUp        = 7
	wisprMaxDown      = 8
)

// parseChange reads what a request changes. Unless all of it can be done, the cause is why
// nothing is (RFC 5176 §3.5).
func parseChange(p *radius.Packet) (c change, cause rfc3576.ErrorCause) {
	for _, avp := range p.Attributes {
		if cause := understood(avp); cause != 0 {
			return change{}, cause
		}
	}
	if n, err := rfc2865.SessionTimeout_Lookup(p); err == nil {
		d := seconds(uint32(n))
		c.session = &d
	} else if !errors.Is(err, radius.ErrNoAttribute) {
		return change{}, rfc5176.ErrorCause_Value_InvalidAttributeValue
	}
	if n, err := rfc2865.IdleTimeout_Lookup(p); err == nil {
		d := seconds(uint32(n))
		c.idle = &d
	} else if !errors.Is(err, radius.ErrNoAttribute) {
		return change{}, rfc5176.ErrorCause_Value_InvalidAttributeValue
	}
	var err error
	if c.fromPeer, c.toPeer, err = rates(p); err != nil {
		return change{}, rfc5176.ErrorCause_Value_InvalidAttributeValue
	}
	return c, 0
}

// understood reports why a request with an attribute cannot be followed; zero if it can.
func understood(avp *radius.AVP) rfc3576.ErrorCause {
	switch avp.Type {
	case rfc2865.UserName_Type, rfc2865.NASIPAddress_Type, rfc2865.NASPort_Type, rfc2865.NASIdentifier_Type,
		rfc2865.NASPortType_Type, rfc2865.FramedIPAddress_Type, rfc2865.CallingStationID_Type,
		rfc2866.AcctSessionID_Type, // which session
		rfc2865.ProxyState_Type, rfc2865.State_Type, rfc2865.Class_Type, rfc2865.ReplyMessage_Type, rfc2866.AcctTerminateCause_Type,
		rfc2869.EventTimestamp_Type, rfc2869.MessageAuthenticator_Type, // nothing to do
		rfc2865.SessionTimeout_Type, rfc2865.IdleTimeout_Type:
		return 0
	case rfc2865.ServiceType_Type:
		return rfc3576.ErrorCause_Value_UnsupportedService // Authorize Only asks us to ask
	case rfc2865.VendorSpecific_Type:
		vendor, list, err := radius.VendorSpecific(avp.Attribute)
		if err != nil {
			return rfc3576.ErrorCause_Value_InvalidRequest
		}
		for len(list) > 0 {
			if len(list) < 2 || list[1] < 2 || int(list[1]) > len(list) {
				return rfc3576.ErrorCause_Value_InvalidRequest
			}
			switch typ := list[0]; {
			case vendor == mikrotikVendor && typ == mikrotikRateLimit:
			case vendor == wisprVendor && (typ == wisprMaxUp || typ == wisprMaxDown):
			default:
				return rfc3576.ErrorCause_Value_UnsupportedAttribute
			}
			list = list[list[1]:]
		}
		return 0
	}
	return rfc3576.ErrorCause_Value_UnsupportedAttribute
}
