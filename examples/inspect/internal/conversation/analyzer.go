package conversation

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/pptp"
)

// Options say what an Analyzer does beyond reading.
type Options struct {
	// NTHash is that of a user's password; nil if nothing is to be decrypted.
	NTHash *chap.NTHash
	// Packet is given each IP packet in the tunnel that came in clear or could
	// be decrypted. ip is valid until it returns. May be nil.
	Packet func(at time.Time, ip []byte)
}

// Bounds on what is kept, so that no capture is too large.
const (
	maxConnections = 10_000
	maxCalls       = 1000 // of a connection
	maxLines       = 2000 // of a connection
	maxFlows       = 4096 // of a call
)

// Analyzer takes the packets of a capture in their order.
type Analyzer struct {
	opts        Options
	packets     int
	start, last time.Time
	reassembly  reassembly
	fragments   int
	truncated   int
	malformed   int
	ignored     int // connections beyond the bound

	connections []*connection
	streams     map[streamKey]*connection
	pairs       map[pairKey][]*connection
}

// streamKey names a control connection, pairKey its two ends.
type (
	streamKey [2]netip.AddrPort
	pairKey   [2]netip.Addr
)

// New returns an Analyzer that has seen nothing.
func New(opts Options) *Analyzer {
	return &Analyzer{
		opts:    opts,
		streams: make(map[streamKey]*connection),
		pairs:   make(map[pairKey][]*connection),
	}
}

// Add takes a packet that the package layers has been registered for.
func (a *Analyzer) Add(p gopacket.Packet) {
	at := p.Metadata().Timestamp
	if a.packets == 0 {
		a.start = at
	}
	a.packets++
	if at.After(a.last) {
		a.last = at
	}
	a.layers(p.Layers(), at, p.Metadata().Truncated)
}

// layers looks for the outer IP and what is in it.
func (a *Analyzer) layers(ls []gopacket.Layer, at time.Time, truncated bool) {
	for i, l := range ls {
		n, ok := l.(gopacket.NetworkLayer)
		if !ok {
			continue
		}
		if ip, ok := l.(*stock.IPv4); ok && (ip.Flags&stock.IPv4MoreFragments != 0 || ip.FragOffset != 0) {
			a.fragment(ip, at)
			return
		}
		src, dst, ok := addresses(n)
		if !ok || i+1 >= len(ls) {
			return
		}
		switch l := ls[i+1].(type) {
		case *stock.TCP:
			a.tcp(src, dst, l, at)
		case *layers.EnhancedGRE:
			if truncated {
				a.truncated++
			}
			a.gre(src, dst, l, at)
		case *stock.ICMPv4:
			a.icmp(src, l, at)
		case *gopacket.DecodeFailure:
			a.malformed++
		}
		return
	}
}

// fragment puts IP packets together again.
func (a *Analyzer) fragment(ip *stock.IPv4, at time.Time) {
	src, dst, ok := addresses(ip)
	if !ok || ip.Protocol != stock.IPProtocolGRE && ip.Protocol != stock.IPProtocolTCP {
		return
	}
	a.fragments++
	payload := a.reassembly.add(src, dst, ip)
	if payload == nil {
		return
	}
	whole := *ip
	whole.Flags, whole.FragOffset = 0, 0
	p := gopacket.NewPacket(payload, whole.NextLayerType(), gopacket.Default)
	a.layers(append([]gopacket.Layer{&whole}, p.Layers()...), at, false)
}

func addresses(n gopacket.NetworkLayer) (src, dst netip.Addr, ok bool) {
	s, d := n.NetworkFlow().Endpoints()
	src, ok1 := netip.AddrFromSlice(s.Raw())
	dst, ok2 := netip.AddrFromSlice(d.Raw())
	return src, dst, ok1 && ok2
}

// tcp finds the connection of a segment.
func (a *Analyzer) tcp(src, dst netip.Addr, t *stock.TCP, at time.Time) {
	from, to := netip.AddrPortFrom(src, uint16(t.SrcPort)), netip.AddrPortFrom(dst, uint16(t.DstPort))
	side := Client
	switch {
	case t.DstPort == pptp.Port:
	case t.SrcPort == pptp.Port:
		side, from, to = Server, to, from
	default:
		return
	}
	key := streamKey{from, to}
	c := a.streams[key]
	if c == nil || t.SYN && !t.ACK && side == Client && c.over() {
		if c = a.connection(from, to, false); c == nil {
			return
		}
		a.streams[key] = c
	}
	c.segment(side, t, at)
}

// connection makes one, unless there are too many.
func (a *Analyzer) connection(client, server netip.AddrPort, orphan bool) *connection {
	if len(a.connections) >= maxConnections {
		a.ignored++
		return nil
	}
	c := &connection{
		a: a, number: len(a.connections) + 1, orphan: orphan,
		ends: [2]netip.AddrPort{client, server},
	}
	a.connections = append(a.connections, c)
	key := pairOf(client.Addr(), server.Addr())
	a.pairs[key] = append(a.pairs[key], c)
	return c
}

// pairOf does not care about the order.
func pairOf(x, y netip.Addr) pairKey {
	if y.Less(x) {
		x, y = y, x
	}
	return pairKey{x, y}
}

// gre finds the call of a packet of the data channel: it bears the call ID that
// its receiver has given out.
func (a *Analyzer) gre(src, dst netip.Addr, g *layers.EnhancedGRE, at time.Time) {
	pair := a.pairs[pairOf(src, dst)]
	// A call ID may be used again, so the last call that had it is meant.
	for i := len(pair) - 1; i >= 0; i-- {
		c := pair[i]
		side := Client
		if c.ends[Server].Addr() == src {
			side = Server
		}
		if k := c.byID(side.other(), g.CallID); k != nil {
			k.gre(side, g, at)
			return
		}
	}
	// With a control connection at hand, this ID was changed on the way, or the
	// call was set up before the capture began.
	var c *connection
	for i := len(pair) - 1; i >= 0 && c == nil; i-- {
		if !pair[i].orphan && pair[i].sawStart {
			pair[i].stray++
		}
		if pair[i].orphan {
			c = pair[i]
		}
	}
	if c == nil {
		if c = a.connection(netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0), true); c == nil {
			return
		}
	}
	side := Client
	if c.ends[Server].Addr() == src {
		side = Server
	}
	k := c.adopt(side.other(), g.CallID, at)
	if k != nil {
		k.gre(side, g, at)
	}
}

// icmp notes what hosts and firewalls complain about.
func (a *Analyzer) icmp(src netip.Addr, m *stock.ICMPv4, at time.Time) {
	if m.TypeCode.Type() != stock.ICMPv4TypeDestinationUnreachable {
		return
	}
	var inner stock.IPv4
	// What is quoted may be cut, but its addresses are there.
	if err := inner.DecodeFromBytes(m.Payload, gopacket.NilDecodeFeedback); err != nil && inner.SrcIP == nil {
		return
	}
	var of string
	switch inner.Protocol {
	case stock.IPProtocolGRE:
		of = "GRE"
	case stock.IPProtocolTCP:
		of = "TCP"
	default:
		return
	}
	from, ok1 := netip.AddrFromSlice(inner.SrcIP)
	to, ok2 := netip.AddrFromSlice(inner.DstIP)
	if !ok1 || !ok2 {
		return
	}
	pair := a.pairs[pairOf(from, to)]
	if len(pair) == 0 {
		return
	}
	c := pair[len(pair)-1]
	text := fmt.Sprintf("%v answers %s of %v with ICMP %v", src, of, from, m.TypeCode)
	if of == "GRE" {
		c.icmpGRE = true
	}
	if c.icmp == "" {
		c.icmp = text
		c.line(Line{At: seconds(a.start, at), From: src.String(), Protocol: "ICMP", Text: fmt.Sprintf("%v, about %s of %v", m.TypeCode, of, from)})
	}
}

// Report says what has been seen. It is called once, at the end.
func (a *Analyzer) Report() *Report {
	r := &Report{Packets: a.packets, Seconds: seconds(a.start, a.last)}
	for _, c := range a.connections {
		r.Connections = append(r.Connections, c.report())
	}
	note := func(n int, format string) {
		if n > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf(format, n))
		}
	}
	note(a.fragments, "%d IP fragments: packets in the tunnel are too large for the path; set a smaller MTU or clamp the MSS")
	note(a.truncated, "%d packets of GRE are not whole in the capture; record with an unlimited snapshot length")
	note(a.malformed, "%d packets could not be decoded")
	note(a.ignored, "%d packets belong to connections beyond the limit and were left out")
	if len(r.Connections) == 0 {
		r.Notes = append(r.Notes, "there is no PPTP in this capture; record tcp port 1723 and ip proto 47")
	}
	return r
}
