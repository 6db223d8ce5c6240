package conversation

import (
	"fmt"
	"time"

	"github.com/google/gopacket"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// call is a call with the PPP link in it.
type call struct {
	conn   *connection
	number int

	asker                  Side
	ids                    [2]uint16 // that the sides have given out
	known                  [2]bool
	asked                  time.Time
	replied, established   time.Time
	refused                string
	dirs                   [2]direction // what either side sends
	lcp, ccp, ipcp, ipv6cp negotiation
	auth                   authentication
	early                  int
	rejects                [2][]ppp.Protocol // of a Protocol-Reject
	magics                 [2][4]byte        // of LCP requests, to see a loop
	looped                 bool
	terminated             bool // LCP was
	endings                []ending
	networkAt              time.Time // the first network protocol opened
	wasUp                  bool
	flows                  flows
}

// endKind is how an end is to be judged.
type endKind int

const (
	orderly endKind = iota
	fault
)

// ending is something that ends a call.
type ending struct {
	side Side
	how  string
	at   time.Time
	kind endKind
}

// direction is the data channel as one side sends it.
type direction struct {
	receiver gre.Receiver
	packets  int
	octets   uint64
	acks     int
	last     time.Time
	acked    bool // it has acknowledged something
	echo     echo // of LCP
	replies  int
	missing  uint32 // since the last packet that MPPE could make use of
	mppe     mppeState
	resets   int
}

func newCall(c *connection, number int, at time.Time) *call {
	k := &call{conn: c, number: number, asked: at}
	for s := range k.dirs {
		k.dirs[s].receiver = gre.NewReceiver(gre.ReceiverConfig{})
	}
	k.lcp.protocol, k.ccp.protocol = ppp.ProtocolLCP, ppp.ProtocolCCP
	k.ipcp.protocol, k.ipv6cp.protocol = ppp.ProtocolIPCP, ppp.ProtocolIPV6CP
	return k
}

// end notes an end, the first of which is the one that counts.
func (k *call) end(side Side, how string, at time.Time, kind endKind) {
	for _, e := range k.endings {
		if e.side == side && e.how == how {
			return // said again
		}
	}
	k.endings = append(k.endings, ending{side, how, at, kind})
}

// gre takes a packet of the data channel.
func (k *call) gre(side Side, g *layers.EnhancedGRE, at time.Time) {
	d := &k.dirs[side]
	d.last = at
	if g.HasAck {
		d.acked = true
	}
	if !g.HasSequence {
		d.acks++
		return
	}
	d.packets++
	d.octets += uint64(len(g.Payload))

	// What controls the link is taken as it comes: a receiver may act on it
	// although something before it is missing. Data are put in order first,
	// since MPPE depends on it.
	before := d.receiver.Counters().Duplicates
	packets := d.receiver.Push(nil, g.Sequence, g.Payload, at)
	protocol, payload, err := ppp.DecodeFrame(g.Payload)
	switch {
	case err != nil:
		k.conn.a.malformed++
	case !protocol.IsData() && d.receiver.Counters().Duplicates == before:
		k.control(side, protocol, payload, at)
	}
	k.deliver(side, packets, at)
	// Time passes for the other side as well.
	o := side.other()
	k.deliver(o, k.dirs[o].receiver.Tick(nil, at), at)
}

// deliver takes packets in the order of their numbers.
func (k *call) deliver(side Side, packets []gre.Packet, at time.Time) {
	for _, p := range packets {
		k.dirs[side].missing += p.Missing
		if protocol, payload, err := ppp.DecodeFrame(p.Payload); err == nil && protocol.IsData() {
			k.data(side, protocol, payload, at)
		}
	}
}

// control takes a packet of LCP, of authentication or of a network control
// protocol.
func (k *call) control(side Side, protocol ppp.Protocol, payload []byte, at time.Time) {
	var p ppp.Packet
	if _, err := p.Decode(payload); err != nil {
		k.conn.say(side, k, protocol.String(), "malformed packet: "+err.Error(), at)
		return
	}
	early, again := k.isEarly(protocol), false
	switch protocol {
	case ppp.ProtocolLCP:
		if p.Code == ppp.EchoRequest || p.Code == ppp.EchoReply || p.Code == ppp.DiscardRequest {
			k.echo(side, p.Code)
			return // too many to be listed
		}
		again = k.lcpInput(side, p, at)
	case ppp.ProtocolCHAP, ppp.ProtocolPAP:
		again = k.auth.input(k, side, protocol, payload, at)
	case ppp.ProtocolCCP:
		if p.Code == ppp.ResetRequest {
			k.dirs[side].resets++
		}
		again = k.ccp.input(side, p, at)
		if k.ccp.justOpened {
			k.startMPPE()
		}
	case ppp.ProtocolIPCP:
		again = k.ipcp.input(side, p, at)
		k.networkOpened(&k.ipcp, at)
	case ppp.ProtocolIPV6CP:
		again = k.ipv6cp.input(side, p, at)
		k.networkOpened(&k.ipv6cp, at)
	}
	if early {
		k.early++
	}
	l := k.conn.say(side, k, protocol.String(), describe(protocol, p, payload), at)
	l.Again, l.Early = again, early
}

// describe says in words what a control packet says. A packet of a protocol that
// is not known is named by its code.
func describe(protocol ppp.Protocol, p ppp.Packet, payload []byte) string {
	var l interface {
		gopacket.DecodingLayer
		fmt.Stringer
	}
	switch protocol {
	case ppp.ProtocolLCP:
		l = new(layers.LCP)
	case ppp.ProtocolCCP:
		l = new(layers.CCP)
	case ppp.ProtocolIPCP:
		l = new(layers.IPCP)
	case ppp.ProtocolIPV6CP:
		l = new(layers.IPV6CP)
	case ppp.ProtocolCHAP:
		l = new(layers.CHAP)
	case ppp.ProtocolPAP:
		l = new(layers.PAP)
	default:
		return fmt.Sprintf("%v id %d", p.Code, p.ID)
	}
	if err := l.DecodeFromBytes(payload, gopacket.NilDecodeFeedback); err != nil {
		return "malformed: " + err.Error()
	}
	return l.String()
}

func (k *call) echo(side Side, code ppp.Code) {
	switch d := &k.dirs[side]; code {
	case ppp.EchoRequest:
		d.echo.sent++
		d.echo.unanswered++
	case ppp.EchoReply:
		d.replies++
		k.dirs[side.other()].echo.unanswered = 0
	}
}

// lcpInput is also what ends the link and refuses protocols.
func (k *call) lcpInput(side Side, p ppp.Packet, at time.Time) (again bool) {
	again = k.lcp.input(side, p, at)
	switch p.Code {
	case ppp.ConfigureRequest:
		if o, ok := k.lcp.last[side].options.Get(5); ok && len(o.Data) == 4 {
			k.magics[side] = [4]byte(o.Data)
			if k.magics[side] == k.magics[side.other()] && k.magics[side] != [4]byte{} {
				k.looped = true
			}
		}
	case ppp.ConfigureAck:
		if k.lcp.justOpened {
			k.auth.begin(k)
			// What was agreed on above LCP is void (RFC 1661 §3.4).
			for _, n := range []*negotiation{&k.ccp, &k.ipcp, &k.ipv6cp} {
				n.down()
			}
		}
	case ppp.TerminateRequest:
		k.terminated = true
		how := "ended the link by LCP"
		if len(p.Data) > 0 && printable(p.Data) {
			how += fmt.Sprintf(", saying %q", p.Data)
		}
		k.end(side, how, at, orderly)
	case ppp.ProtocolReject:
		if len(p.Data) >= 2 {
			k.rejects[side] = append(k.rejects[side], ppp.Protocol(p.Data[0])<<8|ppp.Protocol(p.Data[1]))
		}
	}
	return again
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// rejected reports whether a side does not know a protocol.
func (k *call) rejected(side Side, protocol ppp.Protocol) bool {
	for _, p := range k.rejects[side] {
		if p == protocol {
			return true
		}
	}
	return false
}

func (k *call) networkOpened(n *negotiation, at time.Time) {
	if n.justOpened && k.networkAt.IsZero() {
		k.networkAt = at
	}
	k.wasUp = k.wasUp || n.justOpened
}

// isEarly reports whether a protocol's phase has not come yet.
func (k *call) isEarly(protocol ppp.Protocol) bool {
	if protocol == ppp.ProtocolLCP || k.conn.orphan {
		return false
	}
	if !k.lcp.open {
		return true
	}
	switch protocol {
	case ppp.ProtocolCCP:
		return k.auth.pending()
	case ppp.ProtocolIPCP, ppp.ProtocolIPV6CP:
		return k.auth.pending() || k.ccp.begun() && !k.ccp.open && !k.rejected(Client, ppp.ProtocolCCP) && !k.rejected(Server, ppp.ProtocolCCP) &&
			k.ccp.side[Client].rejects+k.ccp.side[Server].rejects == 0
	}
	return false
}

func (k *call) report() *Call {
	// Nothing more will come that packets could wait for.
	for _, s := range []Side{Client, Server} {
		k.deliver(s, k.dirs[s].receiver.Tick(nil, k.conn.a.last.Add(time.Hour)), k.conn.a.last)
	}
	start := k.conn.a.start
	r := &Call{
		Number: k.number, User: k.auth.name, AuthMethod: k.auth.method,
		EarlyPackets: k.early, Decryption: k.decryptionText(), Flows: k.flows.list(),
	}
	if k.known[Client] {
		r.ClientCallID = &k.ids[Client]
	}
	if k.known[Server] {
		r.ServerCallID = &k.ids[Server]
	}
	for _, p := range []struct {
		name string
		at   time.Time
	}{
		{"call", k.established}, {"LCP", k.lcp.opened}, {"authentication", k.auth.succeededAt},
		{"CCP", k.ccp.opened}, {"IPCP", k.ipcp.opened}, {"IPV6CP", k.ipv6cp.opened},
	} {
		if !p.at.IsZero() {
			r.Phases = append(r.Phases, Phase{Name: p.name, At: seconds(start, p.at)})
		}
	}
	for _, n := range []*negotiation{&k.lcp, &k.ccp, &k.ipcp, &k.ipv6cp} {
		if n.begun() {
			r.Negotiations = append(r.Negotiations, n.report())
		}
	}
	r.GRE = both(func(s Side) GRE {
		d := &k.dirs[s]
		n := d.receiver.Counters()
		return GRE{
			Packets: d.packets, Octets: d.octets, Acks: d.acks,
			// A packet that was too late for the receiver was not lost on the
			// way, but overtaken.
			Lost: n.Lost - min(n.Lost, n.Late), Reordered: n.Reordered + n.Late,
			Duplicates: n.Duplicates, OutOfRange: n.OutOfRange, Resyncs: n.Resyncs,
			LastAt: seconds(start, d.last), EchoRequests: d.echo.sent, EchoReplies: d.replies,
		}
	})
	r.MPPE = both(func(s Side) *MPPE {
		d := &k.dirs[s]
		m := d.mppe.count
		m.ResetRequests = d.resets
		if bits, ok := k.agreedMPPE(s); ok {
			m.Agreed = bits
		}
		if m == (MPPE{}) {
			return nil
		}
		return &m
	})
	for _, e := range k.endings {
		r.Ends = append(r.Ends, fmt.Sprintf("%s %s", k.conn.name(e.side), e.how))
	}
	r.Verdict = k.verdict()
	return r
}

// encrypted reports whether MPPE encrypts packets of a protocol.
func encrypted(p ppp.Protocol) bool { return mppe.Encrypts(uint16(p)) }
