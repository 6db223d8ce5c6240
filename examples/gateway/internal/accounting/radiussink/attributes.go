package radiussink

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2867"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3162"

	"github.com/gopptp/gopptp/examples/gateway/internal/accounting"
)

const (
	maxText       = 253 // octets of an attribute
	maxAttributes = radius.MaxPacketLength - 20
)

// attributes are those of the Accounting-Request of a record. Address is the
// NAS-IP-Address; if it is not valid, that is the address that the session's peer has
// connected to.
func attributes(r *accounting.Record, address netip.Addr, now time.Time) radius.Attributes {
	var l list
	l.number(rfc2866.AcctStatusType_Type, uint32(r.Kind))
	l.text(rfc2866.AcctSessionID_Type, r.Session)
	l.text(rfc2865.NASIdentifier_Type, r.NAS)
	if !address.IsValid() {
		address = r.Local.Addr()
	}
	l.address(rfc2865.NASIPAddress_Type, address)
	l.number(rfc2869.EventTimestamp_Type, uint32(r.Time.Unix()))
	l.number(rfc2866.AcctDelayTime_Type, seconds(r.Delay(now)))
	if r.Kind.OfSession() {
		l.session(r)
	}
	return l.Attributes
}

// list is one that attributes are added to.
type list struct{ radius.Attributes }

// session adds what a session has, and says who it is (RFC 2866 §5.13 and RFC 2867).
func (l *list) session(r *accounting.Record) {
	l.text(rfc2865.UserName_Type, r.User)
	l.number(rfc2865.ServiceType_Type, uint32(rfc2865.ServiceType_Value_FramedUser))
	l.number(rfc2865.FramedProtocol_Type, uint32(rfc2865.FramedProtocol_Value_PPP))
	if r.NASPort != 0 {
		l.number(rfc2865.NASPort_Type, r.NASPort)
	}
	l.number(rfc2865.NASPortType_Type, uint32(rfc2865.NASPortType_Value_Virtual))
	l.address(rfc2865.FramedIPAddress_Type, r.Address)
	if p := r.IPv6Prefix; p.IsValid() {
		octets := p.Addr().As16()
		l.Add(rfc3162.FramedIPv6Prefix_Type, append([]byte{0, byte(p.Bits())}, octets[:(p.Bits()+7)/8]...))
	}
	if a := r.InterfaceID; a.Is6() {
		octets := a.As16()
		l.Add(rfc3162.FramedInterfaceID_Type, octets[8:])
	}
	authentic := rfc2866.AcctAuthentic_Value_Local
	if r.Backend == "radius" {
		authentic = rfc2866.AcctAuthentic_Value_RADIUS
	}
	l.number(rfc2866.AcctAuthentic_Type, uint32(authentic))

	client, server := r.Remote.Addr().Unmap().String(), r.Local.Addr().Unmap().String()
	l.text(rfc2865.CallingStationID_Type, client)
	l.text(rfc2865.CalledStationID_Type, server)
	l.number(rfc2868.TunnelType_Type, uint32(rfc2868.TunnelType_Value_PPTP)) // its tag, the first octet, is none
	l.number(rfc2868.TunnelMediumType_Type, uint32(rfc2868.TunnelMediumType_Value_IPv4))
	l.text(rfc2868.TunnelClientEndpoint_Type, client) // begins with no octet that could be a tag
	l.text(rfc2868.TunnelServerEndpoint_Type, server)
	l.text(rfc2867.AcctTunnelConnection_Type, strconv.Itoa(int(r.Serial)))

	if r.Kind != accounting.Start {
		l.usage(&r.Usage)
	}
	if r.Kind == accounting.Stop {
		l.number(rfc2866.AcctTerminateCause_Type, uint32(r.Cause))
	}
	l.class(r.Class)
}

// usage adds counters. Input is what comes from the user.
func (l *list) usage(u *accounting.Usage) {
	l.number(rfc2866.AcctSessionTime_Type, seconds(u.Duration))
	l.number(rfc2866.AcctInputOctets_Type, uint32(u.ReceivedOctets))
	l.number(rfc2869.AcctInputGigawords_Type, uint32(u.ReceivedOctets>>32))
	l.number(rfc2866.AcctInputPackets_Type, uint32(u.ReceivedPackets))
	l.number(rfc2866.AcctOutputOctets_Type, uint32(u.SentOctets))
	l.number(rfc2869.AcctOutputGigawords_Type, uint32(u.SentOctets>>32))
	l.number(rfc2866.AcctOutputPackets_Type, uint32(u.SentPackets))
}

// class adds what the server wants to have back, as far as it fits: a Stop without it is
// worth more than no Stop.
func (l *list) class(values [][]byte) {
	size := 0
	for _, a := range l.Attributes {
		size += 2 + len(a.Attribute)
	}
	for _, v := range values {
		if size += 2 + len(v); size > maxAttributes {
			return
		}
		if len(v) > 0 && len(v) <= maxText {
			l.Add(rfc2865.Class_Type, v)
		}
	}
}

func (l *list) number(t radius.Type, n uint32) {
	l.Add(t, binary.BigEndian.AppendUint32(nil, n))
}

// text adds what is not empty, cut to what an attribute can hold.
func (l *list) text(t radius.Type, s string) {
	if s != "" {
		l.Add(t, radius.Attribute(s[:min(len(s), maxText)]))
	}
}

func (l *list) address(t radius.Type, a netip.Addr) {
	if a = a.Unmap(); a.Is4() && !a.IsUnspecified() {
		l.Add(t, a.AsSlice())
	}
}

func seconds(d time.Duration) uint32 {
	return uint32(min(max(0, d/time.Second), 1<<32-1))
}
