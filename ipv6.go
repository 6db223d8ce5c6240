package gopptp

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/gopptp/gopptp/ipcp"
	"github.com/gopptp/gopptp/ppp"
)

// IPv6Config has the sessions of a Server carry IPv6 beside IPv4. Each end gets a
// link-local address by IPV6CP; all else a peer is told by Router Advertisements,
// as on any link. A peer that refuses IPV6CP, or ends it, goes on with IPv4.
//
// A session is up when IPv4 is, and needs it to come up: peers that would do
// without do not exist. It goes on with IPv6 alone if the peer closes IPCP later.
// A tunnel whose MTU is below 1,280 octets carries no IPv6.
type IPv6Config struct {
	// Pool gives each peer a /64 of its own, for whom the Authenticator names
	// none. Nil, or exhausted: such a peer has its link-local address only.
	Pool PrefixPool
	// DNS are the IPv6 name servers that peers are told, at most eight.
	DNS []netip.Addr
	// InterfaceID makes our link-local address in all sessions. The zero value
	// draws one for each.
	InterfaceID ipcp.InterfaceID
}

// minIPv6MTU is what a link has to carry for IPv6 (RFC 8200 §5).
const minIPv6MTU = 1280

// maxIPv6DNS is how many name servers a Router Advertisement is made with.
const maxIPv6DNS = 8

func (c *IPv6Config) validate(bad func(field, format string, args ...any), mtu int) {
	if mtu != 0 && mtu < minIPv6MTU {
		bad("MTU", "%d is below %d, which IPv6 needs", mtu, minIPv6MTU)
	}
	if len(c.DNS) > maxIPv6DNS {
		bad("IPv6.DNS", "has %d addresses, at most %d can be given", len(c.DNS), maxIPv6DNS)
	}
	for _, a := range c.DNS {
		if !a.Is6() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			bad("IPv6.DNS", "%q is not the IPv6 address of a server", a)
		}
	}
}

// isDelegated reports whether hosts of one link can have their addresses in p.
func isDelegated(p netip.Prefix) bool {
	a := p.Addr()
	return p.IsValid() && a.Is6() && !a.Is4In6() && p.Bits() == 64 && p == p.Masked() && a.IsGlobalUnicast()
}

// splitRoutes sorts prefixes by family.
func splitRoutes(routes []netip.Prefix) (four, six []netip.Prefix) {
	for _, p := range routes {
		if p.Addr().Is4() {
			four = append(four, p)
		} else {
			six = append(six, p)
		}
	}
	return four, six
}

// ipv6Link is a session's part for IPv6. Only the session's worker touches it.
type ipv6Link struct {
	ncp     *ipcp.IPV6CP // nil: none
	router  *advertised  // what the peer has told us, as its host; never nil, never changed
	changed bool         // since the Observer was told
}

// advertised is what is known of a router.
type advertised struct {
	prefix   netip.Prefix
	deadline time.Time // of prefix; zero if it does not end
	dns      []netip.Addr
}

var silentRouter advertised

// open reports whether the tunnel can carry IPv6.
func (l *ipv6Link) open() bool { return l.ncp != nil && l.ncp.Opened() }

// ipv6Network is what IPV6CP has agreed on, nil if it is not open or the tunnel
// cannot carry IPv6 for another reason.
func (s *Session) ipv6Network(mtu int, routes []netip.Prefix) *IPv6Network {
	l := &s.link
	if !l.ipv6.open() {
		return nil
	}
	local, peer := l.ipv6.ncp.Local(), l.ipv6.ncp.Peer()
	if peer == (ipcp.InterfaceID{}) {
		s.log(slog.LevelInfo, "no IPv6: the peer has no interface identifier")
		return nil
	}
	if mtu < minIPv6MTU {
		s.log(slog.LevelInfo, "no IPv6: the MTU is too small", "mtu", mtu)
		return nil
	}
	n := &IPv6Network{Local: local.LinkLocal(), Peer: peer.LinkLocal(), Routes: routes}
	l.cfg.role.ipv6Network(s, n)
	return n
}

// publishIPv6 reports whether n, which may be nil, is news.
func (s *Session) publishIPv6(n *IPv6Network) (changed bool) {
	now := &noIPv6
	if n != nil {
		now = &sessionIPv6{local: n.Local, peer: n.Peer, prefix: n.Prefix, address: n.Address(), dns: n.DNS}
		if !n.Router {
			now.dns = s.link.ipv6.router.dns
		}
	}
	s.update(func(i *sessionInfo) {
		old := i.ipv6
		changed = old.local != now.local || old.peer != now.peer || old.prefix != now.prefix ||
			old.address != now.address || !slices.Equal(old.dns, now.dns)
		i.ipv6 = now
	})
	return changed
}

// routerAdvertised follows the peer, who is the router of this link.
func (s *Session) routerAdvertised(a RouterAdvertisement, now time.Time) {
	l := &s.link
	if l.over || l.ended || !l.ipv6.open() {
		return
	}
	six := *l.ipv6.router
	switch {
	case !a.Prefix.IsValid(): // says nothing about one from before
	case a.PrefixLifetime > 0:
		six.prefix, six.deadline = a.Prefix, time.Time{}
		if a.PrefixLifetime != InfiniteLifetime {
			six.deadline = now.Add(a.PrefixLifetime)
		}
	case a.Prefix == six.prefix:
		six.prefix, six.deadline = netip.Prefix{}, time.Time{}
	}
	if len(a.DNS) > 0 {
		six.dns = a.DNS
	}
	l.ipv6.router = &six
	s.reattachIPv6(now)
}

// prefixExpired ends the use of a prefix that has not been advertised for too long.
func (s *Session) prefixExpired(now time.Time) {
	six := *s.link.ipv6.router
	six.prefix, six.deadline = netip.Prefix{}, time.Time{}
	s.link.ipv6.router = &six
	s.reattachIPv6(now)
}

// reattachIPv6 lets the data plane follow what the router has said, if that is
// new.
func (s *Session) reattachIPv6(now time.Time) {
	l := &s.link
	if l.attaching {
		info := s.read().ipv6
		if info.prefix == l.ipv6.router.prefix && slices.Equal(info.dns, l.ipv6.router.dns) {
			s.arm()
			return
		}
		l.attaching = false
	}
	s.attach(now)
	s.arm()
}

// networkClosed follows a network protocol that is open no more. The other one
// goes on.
func (s *Session) networkClosed(p ppp.Protocol, now time.Time) {
	l := &s.link
	if p == ppp.ProtocolIPV6CP {
		l.ipv6.router = &silentRouter
	}
	l.attaching = false
	if l.lcp.Opened() {
		s.attach(now)
	}
	if !l.attaching {
		l.call.Detach()
		s.publishIPv6(nil)
	}
}

// networkFinished ends a session that will not come up. Without IPv6, the link
// sees to that itself.
func (s *Session) networkFinished(e ppp.LayerFinished, now time.Time) {
	l := &s.link
	if e.Protocol != ppp.ProtocolIPCP || l.stage >= StateUp || l.ppp.Phase() != ppp.PhaseNetwork {
		return
	}
	err := fmt.Errorf("%w: %v", ppp.ErrNoNetwork, e.Protocol)
	if e.Err != nil {
		err = fmt.Errorf("%w: %w", err, e.Err)
	}
	s.end(causeOf(err), err, now)
}

// leasePrefix takes a prefix from the pool. A session lives without one.
func (r *serverRole) leasePrefix(ctx context.Context, req PoolRequest) netip.Prefix {
	if r.cfg.IPv6 == nil || r.cfg.IPv6.Pool == nil {
		return netip.Prefix{}
	}
	p, err := r.cfg.IPv6.Pool.Acquire(ctx, req)
	switch {
	case err != nil:
		r.cfg.Logger.Warn("no IPv6 prefix", "session", req.Session, "user", req.User, "error", err)
		return netip.Prefix{}
	case !isDelegated(p):
		r.cfg.Logger.Error("the prefix pool gave what is no /64", "session", req.Session, "prefix", p)
		r.cfg.IPv6.Pool.Release(p)
		return netip.Prefix{}
	}
	return p
}

// ipv6Layer implements sessionRole.
func (r *serverRole) ipv6Layer(s *Session) *ipcp.IPV6CP {
	if r.cfg.IPv6 == nil {
		return nil
	}
	return ipcp.NewIPV6CP(ipcp.IPV6CPConfig{
		Local:        r.cfg.IPv6.InterfaceID,
		FirstTimeout: networkTimeout(s.link.rtt),
	})
}

// ipv6Network implements sessionRole.
func (r *serverRole) ipv6Network(s *Session, n *IPv6Network) {
	n.Router = true
	n.Prefix = s.link.granted.IPv6Prefix
	n.DNS = r.cfg.IPv6.DNS
}

// ipv6Layer implements sessionRole.
func (c *client) ipv6Layer(s *Session) *ipcp.IPV6CP {
	if !c.cfg.IPv6 {
		return nil
	}
	return ipcp.NewIPV6CP(ipcp.IPV6CPConfig{
		Local:        c.cfg.InterfaceID,
		FirstTimeout: networkTimeout(s.link.rtt),
	})
}

// ipv6Network implements sessionRole.
func (c *client) ipv6Network(s *Session, n *IPv6Network) {
	n.Prefix = s.link.ipv6.router.prefix
}

// sessionIPv6 is what a session publishes about IPv6. It is replaced, never changed.
type sessionIPv6 struct {
	local, peer netip.Addr
	prefix      netip.Prefix
	address     netip.Addr
	dns         []netip.Addr
}

var noIPv6 sessionIPv6

// LocalIPv6 is our link-local address in the tunnel; the zero value where it
// carries no IPv6, or not yet.
func (s *Session) LocalIPv6() netip.Addr { return s.read().ipv6.local }

// PeerIPv6 is the other end's link-local address.
func (s *Session) PeerIPv6() netip.Addr { return s.read().ipv6.peer }

// IPv6Prefix is the /64 that the server has given to the tunnel; not valid if
// there is none. A client learns it a little after its session has come up.
func (s *Session) IPv6Prefix() netip.Prefix { return s.read().ipv6.prefix }

// IPv6Address is our address in IPv6Prefix, a client's only.
func (s *Session) IPv6Address() netip.Addr { return s.read().ipv6.address }

// IPv6DNS returns the IPv6 name servers, as DNS does.
func (s *Session) IPv6DNS() []netip.Addr { return slices.Clone(s.read().ipv6.dns) }
