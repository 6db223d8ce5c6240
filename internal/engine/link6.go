package engine

import (
	"math/rand/v2"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/internal/loop"
)

// This is what a data plane does as a node on the IPv6 link that a tunnel is. One
// device of the host serves all tunnels, so the host cannot be that node: packets
// of a link stay here.

// linkReply is a packet of the link to be sent to the peer, with headroom.
type linkReply struct {
	call   *call
	packet []byte
}

// maxLinkReplies is how often in a second a peer is answered.
const maxLinkReplies = 20

// limiter lets so many things happen in a second.
type limiter struct {
	since int64 // Unix time in nanoseconds
	count int
}

func (l *limiter) allow(limit int, now time.Time) bool {
	// The clock may have been set back.
	if past := now.UnixNano() - l.since; past < 0 || past >= int64(time.Second) {
		l.since, l.count = now.UnixNano(), 0
	}
	if l.count >= limit {
		return false
	}
	l.count++
	return true
}

func (c *call) datagram6(b *inBatch, n *network, payload []byte) {
	p := trimIPv6(payload)
	if p == nil {
		c.rare.malformed.Add(1)
		return
	}
	src, dst := ipv6Source(p), ipv6Destination(p)
	onLink := isOnLink(dst)
	switch {
	case src == n.peer6:
		if !onLink { // goes no farther than the link (RFC 4291 section 2.5.6)
			c.rare.source.Add(1)
			return
		}
	case src.isUnspecified():
		if !isConfiguring(p) {
			c.rare.source.Add(1)
			return
		}
	case src.isLinkLocal(), src.isMulticast(), src.isLoopback(), !n.ip[ipv6].allows(src):
		c.rare.source.Add(1)
		return
	}
	switch {
	case onLink:
		c.linkPacket(b, n, p, src, dst)
	case dst.isUnspecified(), dst.isLoopback():
		c.rare.malformed.Add(1)
	case n.IPv6.Router && n.IPv6.Prefix.IsValid() && n.own6.contains(dst):
		// Would come straight back, and again, until its hop limit is used up
		// (RFC 4443 section 3.1, code 3).
		c.rare.link.Add(1)
	default:
		if !c.engine.cfg.NoMSSClamp {
			clampMSS6(p, n.ip[ipv6].mss)
		}
		c.deliver(b, p)
	}
}

// isConfiguring reports whether p may come from a node without an address yet:
// duplicate address detection, a Router Solicitation (RFC 4861 sections 4.1 and
// 4.3), or a report of multicast listeners (RFC 3590).
func isConfiguring(p []byte) bool {
	if dst := ipv6Destination(p); !dst.isMulticast() {
		return false
	}
	if p[6] == protocolHopByHop {
		return true // at most a report, which nobody reads
	}
	if p[6] != protocolICMPv6 || len(p) < ipv6HeaderLen+icmpv6HeaderLen {
		return false
	}
	kind := p[ipv6HeaderLen]
	return kind == icmpv6RouterSolicitation || kind == icmpv6NeighborSolicitation
}

// linkPacket takes a packet to a link-local or multicast address.
func (c *call) linkPacket(b *inBatch, n *network, p []byte, src, dst address) {
	handled := false
	if m := icmpv6(p); m != nil {
		handled = c.linkMessage(b, n, p, m, src, dst)
	}
	switch {
	case handled:
	case !n.IPv6.Router && dst == n.local6 && !isDiscoveryKind(p):
		// For a program on a host that speaks to its router, as ping does.
		c.deliver(b, p)
	default:
		c.rare.link.Add(1)
	}
}

func isDiscoveryKind(p []byte) bool {
	return p[6] == protocolICMPv6 && (len(p) <= ipv6HeaderLen ||
		p[ipv6HeaderLen] >= icmpv6RouterSolicitation && p[ipv6HeaderLen] <= icmpv6Redirect)
}

// linkMessage reports whether it had a use for an ICMPv6 message.
func (c *call) linkMessage(b *inBatch, n *network, p, m []byte, src, dst address) bool {
	router := n.IPv6.Router
	switch m[0] {
	case icmpv6RouterSolicitation:
		if !router || !isDiscovery(p, m, solicitationOptions) {
			return false
		}
		to := src
		if src.isUnspecified() {
			to = allNodes
		}
		c.reply(b, func() []byte { return routerAdvertisement(n.local6, to, n.IPv6, n.mtu) })
	case icmpv6RouterAdvertisement:
		if router || src != n.peer6 || !isDiscovery(p, m, advertisementOptions) {
			return false
		}
		a := decodeRouterAdvertisement(m)
		if h, ok := c.handler.(gopptp.IPv6Handler); ok {
			h.RouterAdvertised(a)
		}
	case icmpv6NeighborSolicitation:
		if !isDiscovery(p, m, neighborOptions) || address6(m[8:]) != n.local6 {
			return false // among them a peer that makes sure of its own address
		}
		to, flags := src, byte(neighborSolicited|neighborOverride)
		if src.isUnspecified() { // the peer has chosen our address
			to, flags = allNodes, neighborOverride
		}
		if router {
			flags |= neighborRouter
		}
		c.reply(b, func() []byte { return neighborAdvertisement(n.local6, to, flags) })
	case icmpv6EchoRequest:
		if dst != n.local6 || len(m) < 8 || len(p) > n.mtu {
			return false
		}
		c.reply(b, func() []byte { return echoReply(n.local6, src, m) })
	default:
		return false
	}
	return true
}

// reply sends the packet that f makes, unless there have been too many. The lock
// of the other direction must not be taken here.
func (c *call) reply(b *inBatch, f func() []byte) {
	if c.in.replies.allow(maxLinkReplies, time.Now()) {
		b.replies = append(b.replies, linkReply{c, f()})
	}
}

// sendReplies holds no lock of b's direction.
func (b *inBatch) sendReplies(e *Engine) {
	out := e.outbound.get()
	for i, r := range b.replies {
		out.enter(r.call)
		r.call.sendLink(out, r.packet)
		b.replies[i] = linkReply{}
	}
	b.replies = b.replies[:0]
	out.flush()
	e.outbound.put(out)
}

// sendLink sends a packet of the link, with its headroom. It is no user's, and
// not counted.
func (c *call) sendLink(b *outBatch, buf []byte) {
	if n := c.out.network; n != nil && n.ip[ipv6].there {
		c.carry(b, n, ipv6, buf)
	}
}

// link6 is what belongs to the deadlines' goroutine.
type link6 struct {
	posted bool // linkChanged is about to run; under call.mu

	timer *loop.Timer         // nil before it is needed
	of    *gopptp.IPv6Network // what the rest is about
	sent  int                 // solicitations, or advertisements that nobody asked for
}

const (
	// The first advertisements come sooner (RFC 4861 sections 6.2.4 and 10),
	// since one that is lost would leave the peer without an address.
	initialAdverts        = 3
	initialAdvertInterval = 16 * time.Second

	// Solicitations do not end, but become rare (RFC 7559).
	firstSolicitInterval = 4 * time.Second
	maxSolicitInterval   = time.Hour
)

// postLink lets the link follow c.want. c.mu is held.
func (c *call) postLink() {
	if !c.link.posted {
		c.link.posted = c.engine.deadlines.Post(c.linkChanged)
	}
}

// linkChanged runs on the goroutine of the deadlines.
func (c *call) linkChanged() {
	c.mu.Lock()
	c.link.posted = false
	var n *gopptp.IPv6Network
	if c.want != nil && c.want.ip[ipv6].there {
		n = c.want.IPv6
	}
	c.mu.Unlock()
	if n != nil && c.link.of != nil && sameIPv6(n, c.link.of) {
		return
	}
	c.link.of, c.link.sent = n, 0
	c.linkTick(time.Now())
}

// linkTick sends what the link is to be told from time to time. It is lazy: one
// timer a call, which is set once for each packet.
func (c *call) linkTick(now time.Time) {
	l := &c.link
	var packet func(n *network) []byte
	var next time.Duration
	switch n := l.of; {
	case n == nil:
	case n.Router:
		packet = func(n *network) []byte { return routerAdvertisement(n.local6, allNodes, n.IPv6, n.mtu) }
		// At random, so that the sessions of a gateway do not keep step.
		next = minAdvertInterval + rand.N(maxAdvertInterval-minAdvertInterval)
		if l.sent+1 < initialAdverts {
			next = initialAdvertInterval
		}
	case !n.Prefix.IsValid():
		packet = func(n *network) []byte { return routerSolicitation(n.local6) }
		next = min(firstSolicitInterval<<min(l.sent, 16), maxSolicitInterval)
	}
	if packet == nil {
		if l.timer != nil {
			l.timer.Set(time.Time{})
		}
		return
	}
	l.sent++
	out := c.engine.outbound.get()
	out.enter(c)
	if n := c.out.network; n != nil && n.ip[ipv6].there {
		c.sendLink(out, packet(n))
	}
	out.flush()
	c.engine.outbound.put(out)
	if l.timer == nil {
		l.timer = c.engine.deadlines.NewTimer(c.linkTick)
	}
	l.timer.Set(now.Add(next))
}
