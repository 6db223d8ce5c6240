package engine

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/internal/offload"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

const (
	// maxEarly and maxEarlyFrame bound what is kept of a call before Connect,
	// in frames and in octets of each.
	maxEarly      = 8
	maxEarlyFrame = 2048
	// maxHeld bounds the users' packets of each family kept before Attach.
	maxHeld = 8
)

// heldPacket is a user's packet that was sent before we were ready for it: the
// peer is as soon as IPCP, or IPV6CP, is open on its side, and a first packet that
// is lost costs the user a second.
type heldPacket struct {
	payload []byte
	clear   bool // came in clear
}

// inState is the direction from the peer to the host.
type inState struct {
	direction

	closed    bool
	connected bool
	failed    bool     // the handler has been told
	opened    bool     // the batch that holds the lock has packets of the call to decrypt
	network   *network // nil unless attached, and then what the host is ready for

	decryption decryption
	users      traffic
	limit      *limit // nil: none

	resetAsked time.Time              // when it was last told that a reset is needed
	early      []gre.Packet           // that came before Connect
	held       [families][]heldPacket // users' packets that came before Attach
	replies    limiter                // of answers to packets of the link
}

// traffic counts users' packets.
type traffic struct{ packets, octets uint64 }

func (t *traffic) add(octets int) {
	t.packets++
	t.octets += uint64(octets)
}

func (s *inState) close() {
	s.closed = true
	s.early, s.network, s.limit = nil, nil, nil
	s.held = [families][]heldPacket{}
	s.decryption.wipe()
}

// inBatch is what packets from the wire come to. It belongs to one goroutine.
type inBatch struct {
	wire Wire
	host Deliverer

	clock    clock
	arrivals [lookahead]arrival
	locks    locks          // of calls' in
	ready    []gre.Packet   // in order, and not looked into
	runs     []run          // whose they are
	mppe     mppe.Batch     // decrypts what is in opened, side by side
	opened   []openedPacket // in the order in which they were sent
	packets  [][]byte       // to the host
	control  []byte         // a frame whose protocol field was compressed

	replies []linkReply // to be sent once the locks are given back

	acks    []Datagram
	ackData [maxAcks][gre.MinHeaderLen + 4]byte

	warmth byte // see warm.go
}

// arrival is a packet from the wire whose call is known.
type arrival struct {
	call    *call
	header  gre.Header
	payload []byte
}

// run is packets of one call, up to index end.
type run struct {
	call *call
	end  int
}

// openedPacket is an encrypted packet whose key is known.
type openedPacket struct {
	call  *call
	inner []byte // not decrypted before inBatch.decrypt
}

// maxAcks is how many acknowledgements are sent at once.
const maxAcks = 64

// enter takes the lock of c's direction.
func (b *inBatch) enter(c *call) {
	if !b.locks.try(&c.in.direction) {
		b.flush(c.engine)
		b.locks.lock(&c.in.direction)
	}
}

// flush hands out what there is, and gives all locks back.
func (b *inBatch) flush(e *Engine) {
	b.frames()
	if len(b.opened) > 0 {
		b.decrypt()
	}
	if len(b.packets) > 0 {
		b.host.Deliver(b.packets)
		clear(b.packets)
		b.packets = b.packets[:0]
	}
	b.locks.release()
	b.sendAcks()
	if len(b.replies) > 0 {
		b.sendReplies(e)
	}
	b.clock = clock{}
}

// sendAcks needs no lock: an acknowledgement that a later one overtakes says
// nothing new.
func (b *inBatch) sendAcks() {
	if len(b.acks) > 0 {
		b.wire.Send(b.acks)
		b.acks = b.acks[:0]
	}
}

// Inbound is [Port.Inbound] for any goroutine.
func (e *Engine) Inbound(batch []Datagram) {
	b := e.inbound.get()
	e.receive(b, batch)
	e.inbound.put(b)
}

func (e *Engine) receive(b *inBatch, batch []Datagram) {
	now := time.Now()
	b.clock = clock{now}
	for ; len(batch) > 0; batch = batch[min(len(batch), lookahead):] {
		n := e.arrive(b, batch[:min(len(batch), lookahead)])
		for i := 0; i < n; {
			i += b.arrivals[i].call.receive(b, b.arrivals[i:n], now)
		}
		clear(b.arrivals[:n])
		b.frames()
	}
	b.flush(e)
}

// arrive finds out whose packets these are, puts them into b.arrivals and returns
// how many there are.
func (e *Engine) arrive(b *inBatch, batch []Datagram) (n int) {
	for i := range batch {
		d, a := &batch[i], &b.arrivals[n]
		size, err := a.header.Decode(d.Data)
		if err != nil {
			e.stats.malformed(err)
			continue
		}
		var ok bool
		if a.call, ok = e.demux.Lookup(d.Local, d.Peer, a.header.CallID); !ok {
			e.stats.unknownCall.Add(1)
			continue
		}
		a.payload = d.Data[size : size+int(a.header.PayloadLength)]
		n++
	}
	b.warmth += warmIn(b.arrivals[:n])
	return n
}

// receive takes the packets that arrivals begins with and that are of c, and
// returns how many these are.
func (c *call) receive(b *inBatch, arrivals []arrival, now time.Time) (n int) {
	b.enter(c)
	c.num.mu.Lock()
	defer c.num.mu.Unlock()
	for ; n < len(arrivals) && arrivals[n].call == c; n++ {
		if c.num.closed {
			c.engine.stats.unknownCall.Add(1)
			continue
		}
		a := &arrivals[n]
		if a.header.HasAck {
			c.num.sender.Ack(a.header.Ack)
			c.num.flow.Ack(a.header.Ack, now)
			c.goOn()
		}
		if a.header.HasSequence {
			b.ready = c.num.receiver.Push(b.ready, a.header.Sequence, a.payload, now)
		}
	}
	if !c.num.closed {
		b.runs = append(b.runs, run{c, len(b.ready)})
		c.acknowledge(b, now)
		c.arm()
	}
	return n
}

// acknowledge puts an acknowledgement into b if one is due. c.num.mu is held.
func (c *call) acknowledge(b *inBatch, now time.Time) {
	if !c.num.connected || !c.num.receiver.AckDue(now) {
		return
	}
	if len(b.acks) == maxAcks {
		b.sendAcks()
	}
	ack, _ := c.num.receiver.TakeAck()
	h := gre.Header{CallID: c.num.peerID, HasAck: true, Ack: ack}
	data := h.Append(b.ackData[len(b.acks)][:0])
	b.acks = append(b.acks, c.toPeer(data))
}

// frames goes on with what receivers have put in order.
func (b *inBatch) frames() {
	i := 0
	for k, r := range b.runs {
		for ; i < r.end; i++ {
			r.call.take(b, b.ready[i])
		}
		b.runs[k] = run{}
	}
	clear(b.ready)
	b.ready, b.runs = b.ready[:0], b.runs[:0]
}

// take takes a packet that is in order.
func (c *call) take(b *inBatch, p gre.Packet) {
	switch {
	case c.in.closed:
	case c.in.connected:
		c.frame(b, p)
	case len(c.in.early) == maxEarly || len(p.Payload) > maxEarlyFrame:
		c.in.decryption.lost(add(p.Missing, 1))
		c.rare.queue.Add(1)
	default:
		p.Payload = slices.Clone(p.Payload)
		c.in.early = append(c.in.early, p)
	}
}

// frame takes the PPP frames in the order in which they were sent.
func (c *call) frame(b *inBatch, p gre.Packet) {
	c.in.decryption.lost(p.Missing)
	if len(p.Payload) == 0 {
		return // some peers keep a NAT open in this way
	}
	protocol, payload, err := ppp.DecodeFrame(p.Payload)
	if err == ppp.ErrProtocol { // to be rejected, as one that is not known
		frame := p.Payload
		if frame[0] == 0xff {
			frame = frame[2:]
		}
		c.handler.ControlFrame(frame)
		return
	}
	if err != nil {
		c.rare.malformed.Add(1)
		return
	}
	if protocol != ppp.ProtocolCompressed && c.in.opened {
		b.decrypt() // what was sent before comes before
	}
	switch protocol {
	case ppp.ProtocolCompressed:
		c.encrypted(b, payload)
	case ppp.ProtocolIPv4, ppp.ProtocolIPv6:
		if c.in.decryption.required || c.noClear {
			c.rare.clear.Add(1)
			return
		}
		c.datagram(b, familyOf(protocol), payload, true)
	default:
		c.controlFrame(b, protocol, p.Payload, payload)
	}
}

// encrypted takes the payload of an encrypted frame.
func (c *call) encrypted(b *inBatch, packet []byte) {
	offload.Prefetch(packet) // while its key is set up
	inner, err := c.in.decryption.open(&b.mppe, packet)
	if err != nil {
		c.rare.encrypted.Add(1)
		if err == mppe.ErrReset {
			c.resetNeeded()
		}
		if err == mppe.ErrGap && !c.in.failed {
			c.in.failed = true
			// No later packet can be decrypted either. The session ends with a
			// word about why, instead of living on deaf.
			c.handler.Failed(err)
		}
		return
	}
	if !c.in.resetAsked.IsZero() {
		c.in.resetAsked = time.Time{} // the peer has begun anew: another loss is news
	}
	c.in.opened = true
	b.opened = append(b.opened, openedPacket{c, inner})
}

// decrypt does the work on the octets of encrypted packets, side by side, and
// goes on with what comes out.
func (b *inBatch) decrypt() {
	b.mppe.Flush()
	for i, o := range b.opened {
		b.opened[i] = openedPacket{}
		o.call.in.opened = false
		o.call.decrypted(b, o.inner)
	}
	b.opened = b.opened[:0]
}

// decrypted takes what was in an encrypted frame.
func (c *call) decrypted(b *inBatch, inner []byte) {
	protocol, payload, err := ppp.DecodeProtocol(inner)
	switch {
	case err != nil, !mppe.Encrypts(uint16(protocol)):
		// Nothing else is encrypted: this was, with another key.
		c.rare.encrypted.Add(1)
	case protocol == ppp.ProtocolIPv4, protocol == ppp.ProtocolIPv6:
		c.datagram(b, familyOf(protocol), payload, false)
	default:
		c.controlFrame(b, protocol, inner, payload)
	}
}

// resetInterval is how often the session is told that a reset is needed.
const resetInterval = 100 * time.Millisecond

// resetNeeded tells the session that nothing can be decrypted until the peer
// begins anew. in.mu is held.
func (c *call) resetNeeded() {
	if now := time.Now(); now.Sub(c.in.resetAsked) >= resetInterval {
		c.in.resetAsked = now
		c.handler.ResetNeeded()
	}
}

func familyOf(p ppp.Protocol) family {
	if p == ppp.ProtocolIPv6 {
		return ipv6
	}
	return ipv4
}

// datagram takes a packet for the host, which came in clear or encrypted.
func (c *call) datagram(b *inBatch, f family, payload []byte, clear bool) {
	n := c.in.network
	switch {
	case n == nil || !n.ip[f].there:
		c.hold(f, payload, clear)
	case f == ipv4:
		c.datagram4(b, n, payload)
	default:
		c.datagram6(b, n, payload)
	}
}

func (c *call) hold(f family, payload []byte, clear bool) {
	if len(c.in.held[f]) == maxHeld || len(payload) > maxEarlyFrame {
		c.rare.network.Add(1)
		return
	}
	c.in.held[f] = append(c.in.held[f], heldPacket{slices.Clone(payload), clear})
}

func (c *call) datagram4(b *inBatch, n *network, payload []byte) {
	packet := trimIPv4(payload)
	if packet == nil {
		c.rare.malformed.Add(1)
		return
	}
	if !n.ip[ipv4].allows(address4(ipv4Source(packet))) {
		c.rare.source.Add(1)
		return
	}
	if !c.engine.cfg.NoMSSClamp {
		clampMSS(packet, n.ip[ipv4].mss)
	}
	c.deliver(b, packet)
}

func (c *call) deliver(b *inBatch, packet []byte) {
	if l := c.in.limit; l != nil && !l.allow(len(packet), b.clock.now()) {
		c.rare.rate.Add(1)
		return
	}
	c.in.users.add(len(packet))
	b.packets = append(b.packets, packet)
}

// attach lets packets to the host, those first that have waited for it. It
// stops them where n is nil, and those of a family that n is without.
func (c *call) attach(b *inBatch, n *network) {
	c.in.network = n
	if n == nil {
		return
	}
	for f := range families {
		if !n.ip[f].there {
			continue
		}
		held := c.in.held[f]
		c.in.held[f] = nil
		for _, h := range held {
			if h.clear && c.in.decryption.required {
				c.rare.clear.Add(1) // CCP has opened in the meantime
				continue
			}
			c.datagram(b, f, h.payload, h.clear)
		}
	}
}

// controlFrame hands up a frame, which ends with payload. It is to begin with a
// protocol field of two octets.
func (c *call) controlFrame(b *inBatch, protocol ppp.Protocol, frame, payload []byte) {
	start := len(frame) - len(payload) - 2
	if start >= 0 && binary.BigEndian.Uint16(frame[start:]) == uint16(protocol) {
		c.handler.ControlFrame(frame[start:])
		return
	}
	b.control = append(b.control[:0], byte(protocol>>8), byte(protocol))
	b.control = append(b.control, payload...)
	c.handler.ControlFrame(b.control)
}
