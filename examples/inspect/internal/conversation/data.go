package conversation

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"

	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// mppeState follows the encrypted packets of one direction.
type mppeState struct {
	count     MPPE
	started   bool
	expect    uint16 // the coherency count to come
	decryptor *mppe.Decryptor
	tried     bool  // to make the decryptor
	err       error // why there is none
}

// optionMPPE is the type of CCP's option (RFC 3078 §2).
const optionMPPE = 18

// agreedMPPE says what CCP agreed on for what a side sends: what the other asked
// for, since a request names what its sender can decompress.
func (k *call) agreedMPPE(side Side) (words string, ok bool) {
	if k.ccp.opened.IsZero() {
		return "", false
	}
	o, ok := k.ccp.side[side.other()].agreed.Get(optionMPPE)
	if !ok {
		return "", false
	}
	return layers.DescribeOption(ppp.ProtocolCCP, o), true
}

// startMPPE begins with the start keys, whenever CCP opens.
func (k *call) startMPPE() {
	for s := range k.dirs {
		m := &k.dirs[s].mppe
		m.started, m.decryptor, m.tried, m.err = false, nil, false, nil
		k.dirs[s].missing = 0
	}
}

// params are those of what a side sends.
func (k *call) params(side Side) (p mppe.Params, err error) {
	o, ok := k.ccp.side[side.other()].agreed.Get(optionMPPE)
	if !ok || len(o.Data) != 4 {
		return p, errors.New("CCP has not agreed on MPPE")
	}
	bits := binary.BigEndian.Uint32(o.Data)
	agreed := mppe.Agreed{KeyLength: mppe.Key40, Stateful: bits&0x01000000 == 0}
	switch {
	case bits&0x40 != 0:
		agreed.KeyLength = mppe.Key128
	case bits&0x80 != 0:
		agreed.KeyLength = mppe.Key56
	}
	// The keys are those of the one that proved itself.
	if side == k.auth.peer {
		p, ok = k.auth.keys.SendParams(agreed)
	} else {
		p, ok = k.auth.keys.RecvParams(agreed)
	}
	if !ok {
		return p, fmt.Errorf("there are no keys for %v", agreed)
	}
	return p, nil
}

// data takes a packet of a network protocol, or a compressed one, in the order
// of the sender.
func (k *call) data(side Side, protocol ppp.Protocol, payload []byte, at time.Time) {
	d := &k.dirs[side]
	_, agreed := k.agreedMPPE(side)
	if protocol == ppp.ProtocolCompressed {
		if !agreed && !k.conn.orphan {
			k.early++
		}
		k.compressed(side, payload, at)
		return
	}
	if agreed && encrypted(protocol) {
		d.mppe.count.Clear++
	}
	if (protocol == ppp.ProtocolIPv4 && !k.ipcp.open || protocol == ppp.ProtocolIPv6 && !k.ipv6cp.open) && !k.conn.orphan {
		k.early++
	}
	k.network(side, protocol, payload, at)
}

// compressed takes a packet of MPPE.
func (k *call) compressed(side Side, payload []byte, at time.Time) {
	d := &k.dirs[side]
	m := &d.mppe
	var h layers.MPPE
	if h.DecodeFromBytes(payload, gopacket.NilDecodeFeedback) != nil {
		return
	}
	m.count.Packets++
	if gap := (h.CoherencyCount - m.expect) & 0x0fff; m.started && gap != 0 && gap < 0x0800 {
		m.count.Gaps++
		m.count.Missing += int(gap)
		m.count.Unexplained += max(0, int(gap)-int(min(d.missing, 1<<16)))
	}
	m.started, m.expect = true, (h.CoherencyCount+1)&0x0fff
	inner, ok := k.decrypt(side, payload)
	if !ok && m.decryptor != nil {
		d.missing++ // the decryptor counts from the last packet that it took
		return
	}
	d.missing = 0
	if !ok {
		return
	}
	m.count.Decrypted++
	protocol, packet, err := ppp.DecodeProtocol(inner)
	if err != nil || !encrypted(protocol) || !sane(protocol, packet) {
		m.count.Senseless++
		return
	}
	k.network(side, protocol, packet, at)
}

// decrypt returns what is in a packet of MPPE, if that can be told.
func (k *call) decrypt(side Side, payload []byte) (inner []byte, ok bool) {
	d := &k.dirs[side]
	m := &d.mppe
	if k.auth.keys == nil {
		return nil, false
	}
	if !m.tried {
		m.tried = true
		var p mppe.Params
		if p, m.err = k.params(side); m.err == nil {
			m.decryptor, m.err = mppe.NewDecryptor(p)
		}
	}
	if m.decryptor == nil {
		m.count.Undecryptable++
		return nil, false
	}
	inner, err := m.decryptor.Open(bytes.Clone(payload), d.missing)
	if err != nil {
		m.count.Undecryptable++
		if m.err == nil {
			m.err = err
		}
		return nil, false
	}
	return inner, true
}

// sane reports whether a packet is one of its protocol, as far as its header
// tells.
func sane(protocol ppp.Protocol, b []byte) bool {
	switch protocol {
	case ppp.ProtocolIPv4:
		if len(b) < 20 || b[0]>>4 != 4 || b[0]&0x0f < 5 {
			return false
		}
		n := int(binary.BigEndian.Uint16(b[2:]))
		return n >= 20 && n <= len(b)
	case ppp.ProtocolIPv6:
		return len(b) >= 40 && b[0]>>4 == 6 && int(binary.BigEndian.Uint16(b[4:])) <= len(b)-40
	}
	return true // nothing is known about it
}

// network takes a packet in clear.
func (k *call) network(side Side, protocol ppp.Protocol, packet []byte, at time.Time) {
	if protocol != ppp.ProtocolIPv4 && protocol != ppp.ProtocolIPv6 || !sane(protocol, packet) {
		return
	}
	k.flows.add(packet)
	if f := k.conn.a.opts.Packet; f != nil {
		f(at, packet)
	}
}

// decryptionText says what became of decryption, if it was asked for.
func (k *call) decryptionText() string {
	if k.conn.a.opts.NTHash == nil {
		return ""
	}
	c, s := &k.dirs[Client].mppe, &k.dirs[Server].mppe
	if c.count.Packets+s.count.Packets == 0 {
		return "there are no encrypted packets"
	}
	switch {
	case k.auth.checked && !k.auth.matches:
		return "the given password is not the one that the user's response was made with; nothing was decrypted"
	case !k.auth.checked:
		return "the authentication by MS-CHAP is not in the capture; nothing was decrypted"
	case k.auth.keys == nil:
		return "the authentication has no success in the capture; nothing was decrypted"
	}
	text := "decrypted"
	if n := c.count.Senseless + s.count.Senseless; n > 0 {
		text = "decrypted, but " + strconv.Itoa(n) + " packets make no sense"
	}
	for _, m := range []*mppeState{c, s} {
		if m.err != nil && m.count.Undecryptable > 0 {
			text += "; " + strconv.Itoa(m.count.Undecryptable) + " packets could not be: " + m.err.Error()
		}
	}
	return text
}

// flows count the packets in the tunnel.
type flows struct {
	byKey map[flowKey]*flow
}

// flowKey has its ends in order.
type flowKey struct {
	protocol stock.IPProtocol
	x, y     netip.AddrPort
}

type flow struct {
	Flow
	order int
}

// add counts a packet.
func (f *flows) add(packet []byte) {
	first := gopacket.LayerType(stock.LayerTypeIPv4)
	if packet[0]>>4 == 6 {
		first = stock.LayerTypeIPv6
	}
	p := gopacket.NewPacket(packet, first, gopacket.DecodeOptions{NoCopy: true, Lazy: true})
	n := p.NetworkLayer()
	if n == nil {
		return
	}
	src, dst, ok := addresses(n)
	if !ok {
		return
	}
	var protocol stock.IPProtocol
	switch ip := n.(type) {
	case *stock.IPv4:
		protocol = ip.Protocol
	case *stock.IPv6:
		protocol = ip.NextHeader
	}
	from, to := netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	switch t := p.TransportLayer().(type) {
	case *stock.TCP:
		from, to = netip.AddrPortFrom(src, uint16(t.SrcPort)), netip.AddrPortFrom(dst, uint16(t.DstPort))
	case *stock.UDP:
		from, to = netip.AddrPortFrom(src, uint16(t.SrcPort)), netip.AddrPortFrom(dst, uint16(t.DstPort))
	}
	key := flowKey{protocol, from, to}
	if to.Compare(from) < 0 {
		key.x, key.y = to, from
	}
	if f.byKey == nil {
		f.byKey = make(map[flowKey]*flow)
	}
	x := f.byKey[key]
	if x == nil {
		if len(f.byKey) >= maxFlows {
			return
		}
		x = &flow{Flow: Flow{Protocol: protocol.String(), A: endText(from), B: endText(to)}, order: len(f.byKey)}
		f.byKey[key] = x
	}
	x.Packets++
	x.Octets += uint64(len(packet))
}

func endText(e netip.AddrPort) string {
	if e.Port() == 0 {
		return e.Addr().String()
	}
	return net.JoinHostPort(e.Addr().String(), strconv.Itoa(int(e.Port())))
}

// list has the largest first.
func (f *flows) list() []Flow {
	all := make([]*flow, 0, len(f.byKey))
	for _, x := range f.byKey {
		all = append(all, x)
	}
	slices.SortFunc(all, func(x, y *flow) int {
		return cmp.Or(cmp.Compare(y.Octets, x.Octets), cmp.Compare(x.order, y.order))
	})
	list := make([]Flow, len(all))
	for i, x := range all {
		list[i] = x.Flow
	}
	return list
}
