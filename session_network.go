package gopptp

import (
	"time"

	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// mru is what we let the peer send: as much as fits outside, or what keeps its
// packets within the configured MTU when MPPE adds to them.
func (c *sessionConfig) mru() int {
	if c.mtu == 0 {
		return outerMTU - overhead
	}
	return min(outerMTU-overhead, c.mtu+mppe.HeaderLen+2)
}

// attach lets users' packets flow once IPCP is open and CCP has settled. IPv6 may
// join them later, and stays if IPCP is closed again.
func (s *Session) attach(now time.Time) {
	l := &s.link
	four := l.ipcp.Opened()
	if l.attaching || l.over || l.ended || !l.settled || l.ccpBegun() ||
		!four && (!l.ipv6.open() || l.stage < StateUp) {
		return
	}
	_, encrypted := l.ccpSend()
	if l.cfg.encryption == EncryptionRequire && !encrypted {
		return // the link is about to end for it
	}
	routes, routes6 := splitRoutes(l.cfg.role.routes(s))
	n := Network{
		MTU:    l.tunnelMTU(encrypted),
		Header: l.lcp.HeaderCompression(),
		Rates:  s.Rates(),
	}
	if four {
		n.Local, n.Peer, n.Routes = l.ipcp.Local(), l.ipcp.Peer(), routes
	}
	if n.IPv6 = s.ipv6Network(n.MTU, routes6); n.IPv6 == nil && !four {
		return
	}
	l.attaching = true
	s.update(func(i *sessionInfo) {
		i.mtu = n.MTU
		if four {
			i.local, i.peer = n.Local, n.Peer
			i.dns, i.nbns = l.cfg.role.nameServers(s)
		}
	})
	l.ipv6.changed = s.publishIPv6(n.IPv6) || l.ipv6.changed
	if err := l.call.Attach(n); err != nil {
		s.end(CauseDataplane, err, now)
	}
}

// outerMTU is what the path outside the tunnel is taken to carry.
const outerMTU = 1500

// overhead is what a tunnel adds at the most: IP, GRE with both numbers, and a
// PPP header that is not compressed.
const overhead = 20 + 16 + ppp.MaxHeader

// tunnelMTU is the largest IP packet that fits what the peer receives and the
// path carries. MPPE adds its header and a second protocol field.
func (l *sessionLink) tunnelMTU(encrypted bool) int {
	mtu := min(outerMTU-overhead, l.lcp.PeerMRU())
	if encrypted {
		mtu -= mppe.HeaderLen + 2
	}
	if l.cfg.mtu > 0 {
		mtu = min(mtu, l.cfg.mtu)
	}
	return mtu
}

// attached follows the data plane's answer to Attach.
func (s *Session) attached(err error, now time.Time) {
	l := &s.link
	if l.over || l.ended || !l.attaching {
		return
	}
	if err != nil {
		s.end(CauseDataplane, err, now)
		return
	}
	first := l.stage < StateUp
	l.setupDeadline = time.Time{}
	if s.State() != StateUp || l.ipv6.changed {
		l.ipv6.changed = false
		s.enter(StateUp, now)
	}
	if first {
		l.control.up(s)
		s.startTimeouts(now)
	}
	s.arm()
}
