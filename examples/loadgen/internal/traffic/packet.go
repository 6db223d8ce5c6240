package traffic

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"time"
)

// Via is what carries the packets, and has them come back.
type Via uint8

// The ways.
const (
	ICMP Via = iota // echo requests, which any host answers
	UDP             // to an echo service (RFC 862)
	Sink            // UDP to a service that answers nothing
)

// A packet is an IPv4 header, one of ICMP or UDP, a mark and a filling. The mark:
//
//	0  magic   4  flow   8  epoch   12  sequence number
//	16 time of sending, in nanoseconds of the run   24 CRC-32C of all but itself
const (
	ipLen      = 20
	innerLen   = 8 // of ICMP and UDP alike
	markLen    = 28
	markAt     = ipLen + innerLen
	MinSize    = markAt + markLen // the smallest packet, in octets
	checksumAt = 24
	magic      = "pLg1"

	protocolICMP, protocolUDP = 1, 17
	echoReply, echoRequest    = 0, 8

	sourcePort = 49500
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mark says which packet this is.
type mark struct {
	flow  uint32 // whose it is
	epoch uint32 // of the session, which is never the same again
	seq   uint32
	sent  time.Duration // since the run began
}

// way is where the packets of a flow go.
type way struct {
	via      Via
	from, to netip.AddrPort // without a port for ICMP
}

// build fills b with a packet.
func build(b []byte, w way, m mark) {
	payload := b[markAt:]
	copy(payload, magic)
	binary.BigEndian.PutUint32(payload[4:], m.flow)
	binary.BigEndian.PutUint32(payload[8:], m.epoch)
	binary.BigEndian.PutUint32(payload[12:], m.seq)
	binary.BigEndian.PutUint64(payload[16:], uint64(m.sent))
	copy(payload[markLen:], filling)
	binary.BigEndian.PutUint32(payload[checksumAt:], checksum(payload))

	clear(b[:markAt])
	inner := b[ipLen:]
	protocol := byte(protocolUDP)
	if w.via == ICMP {
		protocol = protocolICMP
		inner[0] = echoRequest
		binary.BigEndian.PutUint16(inner[4:], uint16(m.flow))
		binary.BigEndian.PutUint16(inner[6:], uint16(m.seq))
		binary.BigEndian.PutUint16(inner[2:], ^ones(inner))
	} else {
		binary.BigEndian.PutUint16(inner[0:], w.from.Port())
		binary.BigEndian.PutUint16(inner[2:], w.to.Port())
		binary.BigEndian.PutUint16(inner[4:], uint16(len(inner)))
		// No checksum, as IPv4 allows: what is damaged shall come back and be seen.
	}
	b[0], b[8], b[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	binary.BigEndian.PutUint16(b[4:], uint16(m.seq))
	from, to := w.from.Addr().As4(), w.to.Addr().As4()
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[10:], ^ones(b[:ipLen]))
}

// filling is what packets have behind the mark.
var filling = func() []byte {
	b := make([]byte, 1500)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}()

func checksum(payload []byte) uint32 {
	sum := crc32.Update(0, castagnoli, payload[:checksumAt])
	return crc32.Update(sum, castagnoli, payload[checksumAt+4:])
}

// ones is the ones' complement sum (RFC 1071).
func ones(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

var (
	errForeign = errors.New("not a packet of ours")
	errDamaged = errors.New("damaged")
)

// parse reads a packet that has come back. to is where it was delivered. errForeign
// is of what others send, such as the host behind the server; errDamaged of what was
// ours, or most likely was.
func parse(b []byte) (m mark, to netip.Addr, err error) {
	if len(b) < ipLen || b[0]>>4 != 4 {
		return m, to, errForeign
	}
	to = netip.AddrFrom4([4]byte(b[16:20]))
	if b[0] != 0x45 || len(b) < MinSize || int(binary.BigEndian.Uint16(b[2:])) > len(b) {
		return m, to, errForeign
	}
	b = b[:max(binary.BigEndian.Uint16(b[2:]), MinSize)]
	inner, payload := b[ipLen:], b[markAt:]
	switch {
	case b[9] == protocolICMP && inner[0] == echoReply && inner[1] == 0:
	case b[9] == protocolUDP && binary.BigEndian.Uint16(inner[2:]) == sourcePort:
	default:
		return m, to, errForeign
	}
	if binary.BigEndian.Uint32(payload[checksumAt:]) != checksum(payload) || string(payload[:4]) != magic {
		return m, to, errDamaged
	}
	return mark{
		flow:  binary.BigEndian.Uint32(payload[4:]),
		epoch: binary.BigEndian.Uint32(payload[8:]),
		seq:   binary.BigEndian.Uint32(payload[12:]),
		sent:  time.Duration(binary.BigEndian.Uint64(payload[16:])),
	}, to, nil
}
