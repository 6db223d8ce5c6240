package offload

import "encoding/binary"

const (
	// maxPacket is the length that the host takes, as a field of IPv4 tells it.
	maxPacket = 0xFFFF
	// maxDatagrams is how many datagrams Linux takes at once. It is 128 in newer
	// kernels only.
	maxDatagrams = 64
	// probes is how far from its place in the table a flow is looked for.
	probes = 8
)

// Protocols are those whose packets a Coalescer joins. The kernel takes joined
// datagrams only if it knows TUN_F_USO4 and TUN_F_USO6.
type Protocols struct{ TCP, UDP bool }

// A Coalescer joins packets that follow each other in their flow. It is filled
// with Add and emptied with Next, and waits for nothing in between.
type Coalescer struct {
	protocols Protocols
	packets   [][]byte // in order of Add
	next      []int32  // of each, the one that follows it in its group
	groups    []group  // in order of their first packets
	table     []entry  // of flows, twice as many as packets
	mask      uint32
	round     uint32 // what entries of now have
	drained   int    // groups that Next has returned
	parts     [][]byte
	header    [HeaderLen]byte
}

// group is packets that become one, or one that stays alone.
type group struct {
	segment           // the first
	first, last int32 // indices of packets
	count       int
	length      int    // of the joined packet
	seq         uint32 // of TCP, what the next packet has
	id          uint16 // of IPv4, what the last one had
	step        uint16 // from one to the next
	valid       bool   // the checksums of all are known to be right
	push        bool   // the last one has PSH
	closed      bool   // it takes no more
}

// entry is a flow that had a packet in this round, and the group of the last one.
type entry struct {
	flow  flow
	round uint32
	group int32 // or -1, if the flow is new
}

// NewCoalescer returns one for up to n packets at once.
func NewCoalescer(n int, p Protocols) *Coalescer {
	size := 1
	for size < 2*n {
		size *= 2
	}
	return &Coalescer{
		protocols: p,
		packets:   make([][]byte, 0, n),
		next:      make([]int32, n),
		groups:    make([]group, 0, n),
		table:     make([]entry, size),
		mask:      uint32(size - 1),
		round:     1,
		parts:     make([][]byte, 0, n+1),
	}
}

// Add takes an IP packet. It keeps it, and may change it, until Next has returned
// nil. It reports false, and takes nothing, when there is no room, or Next has begun.
func (c *Coalescer) Add(packet []byte) bool {
	if len(c.packets) == cap(c.packets) || c.drained > 0 {
		return false
	}
	c.packets = append(c.packets, packet)
	c.next[len(c.packets)-1] = -1
	var s segment
	class := s.parse(packet)
	switch {
	case class == part:
		c.closeAll(&s.flow)
		c.open(&s, class)
	case class == lone || s.protocol == protocolTCP && !c.protocols.TCP || s.protocol == protocolUDP && !c.protocols.UDP:
		c.open(&s, lone)
	default:
		e := c.lookup(&s.flow)
		switch {
		case e == nil:
			c.open(&s, lone)
		case class == single || e.group < 0 || !c.join(&c.groups[e.group], &s):
			e.group = c.open(&s, class)
		}
	}
	return true
}

// lookup returns the entry of a flow, which it makes if there is room. Entries stay
// until the end of the round, so that a flow that has found none never gets one.
func (c *Coalescer) lookup(f *flow) *entry {
	h := f.hash()
	for i := range uint32(probes) {
		e := &c.table[(h+i)&c.mask]
		if e.round != c.round {
			*e = entry{flow: *f, round: c.round, group: -1}
			return e
		}
		if e.flow == *f {
			return e
		}
	}
	return nil
}

// closeAll ends the groups of all flows between two addresses. It is for packets
// that are rare.
func (c *Coalescer) closeAll(f *flow) {
	for i := range c.groups {
		g := &c.groups[i]
		if !g.closed && g.flow.addresses == f.addresses {
			g.closed = true
		}
	}
}

// open begins a group with the packet added last, and returns its index.
func (c *Coalescer) open(s *segment, class class) int32 {
	at := int32(len(c.packets) - 1)
	g := group{segment: *s, first: at, last: at, count: 1, length: len(s.packet), closed: class != joinable}
	if class == joinable && !s.ipv6 {
		g.id = binary.BigEndian.Uint16(s.packet[id4:])
	}
	if class == joinable && s.protocol == protocolTCP {
		h := s.packet[s.transport:]
		g.seq = binary.BigEndian.Uint32(h[seqTCP:]) + uint32(s.size())
		g.closed = h[flagsTCP]&flagPSH != 0
	}
	c.groups = append(c.groups, g)
	return int32(len(c.groups) - 1)
}

// join adds the packet added last to the group of the one before it in its flow. If
// it reports false, the packet begins another.
func (c *Coalescer) join(g *group, s *segment) bool {
	if g.closed {
		return false
	}
	size := s.size()
	if size > g.size() || g.length+size > maxPacket || !g.alike(s) {
		return false
	}
	var id uint16
	if !s.ipv6 {
		id = binary.BigEndian.Uint16(s.packet[id4:])
		step := id - g.id
		if step > 1 || step == 0 && s.packet[fragment4]&(dontFragment>>8) == 0 || g.count > 1 && step != g.step {
			return false
		}
		g.step = step
	}
	push := false
	if s.protocol == protocolTCP {
		h := s.packet[s.transport:]
		if binary.BigEndian.Uint32(h[seqTCP:]) != g.seq {
			return false
		}
		push = h[flagsTCP]&flagPSH != 0
	} else if g.count == maxDatagrams {
		return false
	}
	// The first packet is looked at only now: those that stay alone never are.
	if !g.valid && !g.segment.valid() || !s.valid() {
		return false
	}
	at := int32(len(c.packets) - 1)
	c.next[g.last] = at
	g.last = at
	g.count++
	g.length += size
	g.seq += uint32(size)
	g.id = id
	g.valid, g.push = true, push
	g.closed = push || size < g.size()
	return true
}

// Next returns what to write to the device at once: a Header, and the packet in one
// or more pieces. They are good until the following call. It returns nil when there
// is nothing left, and the Coalescer takes packets again.
func (c *Coalescer) Next() [][]byte {
	if c.drained == len(c.groups) {
		c.reset()
		return nil
	}
	g := &c.groups[c.drained]
	c.drained++
	var h Header
	if g.count > 1 {
		h = g.finish()
	}
	c.parts = append(c.parts[:0], h.Append(c.header[:0]), g.packet)
	for i := c.next[g.first]; i >= 0; i = c.next[i] {
		c.parts = append(c.parts, c.packets[i][g.payload:])
	}
	return c.parts
}

// finish makes the headers of the first packet those of the joined one, and returns
// the one in front.
func (g *group) finish() Header {
	p := g.packet
	h := Header{
		Flags:         FlagNeedsChecksum,
		HdrLen:        uint16(g.payload),
		GSOSize:       uint16(g.size()),
		ChecksumStart: uint16(g.transport),
	}
	if g.ipv6 {
		h.GSOType = GSOTCPv6
		binary.BigEndian.PutUint16(p[payloadLength6:], uint16(g.length-headerLen6))
	} else {
		h.GSOType = GSOTCPv4
		binary.BigEndian.PutUint16(p[totalLength4:], uint16(g.length))
		clear(p[checksum4:addresses4])
		binary.BigEndian.PutUint16(p[checksum4:], ^SumIPv4(p))
	}
	t := p[g.transport:]
	if g.protocol == protocolUDP {
		h.GSOType, h.ChecksumOffset = GSOUDP, checksumUDP
		binary.BigEndian.PutUint16(t[lengthUDP:], uint16(g.length-g.transport))
	} else {
		h.ChecksumOffset = checksumTCP
		if g.push {
			t[flagsTCP] |= flagPSH
		}
	}
	binary.BigEndian.PutUint16(t[h.ChecksumOffset:], g.pseudoHeader(g.length))
	return h
}

// reset forgets everything, so that the packets' memory is free.
func (c *Coalescer) reset() {
	clear(c.packets)
	clear(c.groups)
	c.packets, c.groups, c.drained = c.packets[:0], c.groups[:0], 0
	if c.round++; c.round == 0 {
		clear(c.table)
		c.round = 1
	}
}
