package engine

import (
	"encoding/binary"
	"time"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// maxControlFrame is the largest control frame that is sent, in octets. Those of
// a negotiation have fewer than a hundred.
const maxControlFrame = 1500

// maxTooBig is how often in a second the host is told that packets are too large
// for a tunnel. Once is enough for each destination beyond it.
const maxTooBig = 50

// outState is the direction from the host to the peer.
type outState struct {
	direction

	closed    bool
	network   *network // nil unless attached
	encryptor *mppe.Encryptor
	users     traffic
	limit     *limit // nil: none

	waiting []waitingPacket // for room in the peer's window

	tooBig limiter // of what the host is told
}

func (s *outState) set(e *mppe.Encryptor) {
	if s.encryptor != nil {
		s.encryptor.Wipe()
	}
	s.encryptor = e
}

func (s *outState) close() {
	s.closed = true
	s.network, s.waiting, s.limit = nil, nil, nil
	s.set(nil)
}

// outBatch is what packets to the wire come from. It belongs to one goroutine.
type outBatch struct {
	wire Wire
	host Deliverer

	clock      clock
	departures [lookahead]departure
	locks      locks // of calls' out
	datagrams  []Datagram
	mppe       mppe.Batch // encrypts what is in them, side by side
	replies    [][]byte   // to the host
	control    [Headroom + maxControlFrame]byte

	warmth byte // see warm.go
}

// departure is a packet from the host whose call is known, with its headroom.
type departure struct {
	call   *call
	family family
	buf    []byte
}

// enter takes the lock of c's direction.
func (b *outBatch) enter(c *call) {
	if !b.locks.try(&c.out.direction) {
		b.flush()
		b.locks.lock(&c.out.direction)
	}
}

// flush sends what there is, and gives all locks back.
func (b *outBatch) flush() {
	b.mppe.Flush()
	if len(b.datagrams) > 0 {
		b.wire.Send(b.datagrams)
		clear(b.datagrams)
		b.datagrams = b.datagrams[:0]
	}
	b.locks.release()
	if len(b.replies) > 0 {
		b.host.Deliver(b.replies)
		clear(b.replies)
		b.replies = b.replies[:0]
	}
	b.clock = clock{}
}

// Outbound is [Port.Outbound] for any goroutine.
func (e *Engine) Outbound(packets [][]byte) {
	b := e.outbound.get()
	e.send(b, packets)
	e.outbound.put(b)
}

func (e *Engine) send(b *outBatch, packets [][]byte) {
	for ; len(packets) > 0; packets = packets[min(len(packets), lookahead):] {
		n := e.depart(b, packets[:min(len(packets), lookahead)])
		for i := range n {
			d := &b.departures[i]
			b.enter(d.call)
			d.call.send(b, d.family, d.buf)
		}
		clear(b.departures[:n])
	}
	b.flush()
}

// depart finds out what calls these are for, puts them into b.departures and
// returns how many there are.
func (e *Engine) depart(b *outBatch, packets [][]byte) (n int) {
	for _, p := range packets {
		f, packet, c := e.route(p)
		switch {
		case packet == nil:
			e.stats.notIP.Add(1)
		case c == nil && f == ipv6 && isOnLink(ipv6Destination(packet)):
			e.stats.link.Add(1)
		case c == nil:
			e.stats.noCall.Add(1)
		default:
			b.departures[n] = departure{c, f, p[:Headroom+len(packet)]}
			n++
		}
	}
	b.warmth += warmOut(b.departures[:n])
	return n
}

// route finds the packet that buf has behind its headroom, and the call that it
// is for. Either may be nil.
func (e *Engine) route(buf []byte) (f family, packet []byte, c *call) {
	if len(buf) < Headroom {
		return 0, nil, nil
	}
	if p := trimIPv4(buf[Headroom:]); p != nil {
		return ipv4, p, e.table.lookup(p[16:20], p[12:16])
	}
	if p := trimIPv6(buf[Headroom:]); p != nil {
		return ipv6, p, e.table.lookup(p[24:40], p[8:24])
	}
	return 0, nil, nil
}

// send takes a packet of the host, with its headroom.
func (c *call) send(b *outBatch, f family, buf []byte) {
	n := c.out.network
	if n == nil || !n.ip[f].there {
		c.rare.network.Add(1)
		return
	}
	packet := buf[Headroom:]
	if len(packet) > n.mtu {
		c.tooBig(b, n, f, packet)
		return
	}
	if !c.engine.cfg.NoMSSClamp {
		if f == ipv4 {
			clampMSS(packet, n.ip[f].mss)
		} else {
			clampMSS6(packet, n.ip[f].mss)
		}
	}
	if l := c.out.limit; l != nil && !l.allow(len(packet), b.clock.now()) {
		c.rare.rate.Add(1)
		return
	}
	if c.engine.cfg.FlowControl && c.wait(f, buf) {
		return
	}
	c.forward(b, n, f, buf)
}

// forward sends a packet of the host, and counts it.
func (c *call) forward(b *outBatch, n *network, f family, buf []byte) {
	octets := len(buf) - Headroom
	if c.carry(b, n, f, buf) {
		c.out.users.add(octets)
	}
}

// carry puts a packet with its headroom into the tunnel, encrypted if it has to
// be. It reports false if it could not.
func (c *call) carry(b *outBatch, n *network, f family, buf []byte) bool {
	header, at := &n.ip[f].header, Headroom
	switch {
	case c.out.encryptor != nil:
		// The inner protocol field always has two octets, which the MTU allows
		// for: not every peer looks for a compressed one here.
		at -= mppe.HeaderLen + 2
		binary.BigEndian.PutUint16(buf[at+mppe.HeaderLen:], uint16(protocols[f]))
		b.mppe.Seal(c.out.encryptor, buf[at:])
		header = &n.encrypted
	case c.noClear:
		c.rare.clear.Add(1)
		return false
	}
	return c.transmit(b, buf, header.prepend(buf, at))
}

var protocols = [families]ppp.Protocol{ipv4: ppp.ProtocolIPv4, ipv6: ppp.ProtocolIPv6}

// control sends a frame that begins with its protocol field, in full: what may
// be left out is not agreed on before LCP is open, and it is never worth it.
func (c *call) control(b *outBatch, frame []byte) error {
	if c.out.closed {
		return errCallClosed
	}
	const at = gre.MaxHeaderLen
	buf := append(append(b.control[:at], 0xff, 0x03), frame...)
	if !c.transmit(b, buf, at) {
		return errNotConnected
	}
	return nil
}

// transmit puts the GRE header in front of the frame in buf that begins at at.
// It reports false if the peer's call ID is not known. The order of numbers is
// that of b, since c.out.mu is held until b has been sent.
func (c *call) transmit(b *outBatch, buf []byte, at int) bool {
	h := gre.Header{PayloadLength: uint16(len(buf) - at), HasSequence: true}
	c.num.mu.Lock()
	if !c.num.connected || c.num.closed {
		c.num.mu.Unlock()
		return false
	}
	h.CallID = c.num.peerID
	h.Sequence = c.num.sender.Next()
	h.Ack, h.HasAck = c.num.receiver.TakeAck()
	if c.engine.cfg.FlowControl && !c.num.flow.Off() {
		c.num.flow.Sent(h.Sequence, time.Now())
		c.arm()
	}
	c.num.mu.Unlock()
	b.datagrams = append(b.datagrams, c.toPeer(buf[h.Prepend(buf, at):]))
	return true
}

// tooBig drops a packet that is larger than the tunnel's MTU, and tells its
// sender. Nothing is fragmented here, whether or not the packet allows it: the
// host does that by the MTU of its device and routes, so that only senders who
// do not heed it get here. Those on Linux then fragment, or lower their segment
// size, by what they are told.
func (c *call) tooBig(b *outBatch, n *network, f family, packet []byte) {
	c.rare.queue.Add(1)
	var reply []byte
	if f == ipv4 {
		reply = tooBig(packet, be32(n.Peer), n.mtu)
	} else if m := tooBig6(packet, n.mtu); m != nil {
		reply = m[Headroom:]
	}
	if reply != nil && c.out.tooBig.allow(maxTooBig, time.Now()) {
		b.replies = append(b.replies, reply)
	}
}
