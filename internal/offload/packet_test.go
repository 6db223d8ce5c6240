package offload

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// packet describes one, for tests. Its checksums are made in another way than those
// of the package.
type packet struct {
	ipv6     bool
	udp      bool
	port     uint16
	seq, ack uint32
	flags    byte
	window   uint16
	urgent   uint16
	options  []byte // of TCP
	id       uint16
	df       bool
	tos, ttl byte
	label    uint16 // of the flow in IPv6
	between  []byte // options of IPv4, extension headers of IPv6
	next     byte   // in IPv6, of the first of between
	payload  []byte
}

// naive is the sum of RFC 1071, word by word.
func naive(b []byte) uint16 {
	var s uint32
	for i := range b {
		if i%2 == 0 {
			s += uint32(b[i]) << 8
		} else {
			s += uint32(b[i])
		}
		s = s&0xFFFF + s>>16
	}
	return uint16(s)
}

func (p packet) protocol() byte {
	if p.udp {
		return protocolUDP
	}
	return protocolTCP
}

func (p packet) pseudo(transport int) []byte {
	b := []byte{10, 0, 0, 1, 10, 0, 0, 2}
	if p.ipv6 {
		b = append(bytes.Repeat([]byte{0xFD}, 16), bytes.Repeat([]byte{0xFC}, 16)...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(transport))
	return append(b, 0, 0, 0, p.protocol())
}

// build returns the packet, with the checksum of the pseudo-header only if partial.
func (p packet) build(partial bool) []byte {
	var t []byte
	at := checksumTCP
	t = binary.BigEndian.AppendUint16(t, p.port)
	t = binary.BigEndian.AppendUint16(t, 443)
	if p.udp {
		at = checksumUDP
		t = binary.BigEndian.AppendUint16(t, uint16(headerLenUDP+len(p.payload)))
		t = append(t, 0, 0)
	} else {
		t = binary.BigEndian.AppendUint32(t, p.seq)
		t = binary.BigEndian.AppendUint32(t, p.ack)
		t = append(t, byte((headerLenTCP+len(p.options))/4)<<4, p.flags)
		t = binary.BigEndian.AppendUint16(t, p.window)
		t = append(t, 0, 0)
		t = binary.BigEndian.AppendUint16(t, p.urgent)
		t = append(t, p.options...)
	}
	t = append(t, p.payload...)
	sum := naive(p.pseudo(len(t)))
	if !partial {
		if sum = ^naive(append(p.pseudo(len(t)), t...)); sum == 0 && p.udp {
			sum = 0xFFFF
		}
	}
	binary.BigEndian.PutUint16(t[at:], sum)

	var b []byte
	if p.ipv6 {
		b = append(b, 6<<4|p.tos>>4, p.tos<<4, byte(p.label>>8), byte(p.label))
		b = binary.BigEndian.AppendUint16(b, uint16(len(p.between)+len(t)))
		next := p.next
		if len(p.between) == 0 {
			next = p.protocol()
		}
		b = append(b, next, p.ttl)
		b = append(b, p.pseudo(0)[:32]...)
		return append(append(b, p.between...), t...)
	}
	b = append(b, 4<<4|byte(headerLen4+len(p.between))/4, p.tos)
	b = binary.BigEndian.AppendUint16(b, uint16(headerLen4+len(p.between)+len(t)))
	b = binary.BigEndian.AppendUint16(b, p.id)
	var fragment uint16
	if p.df {
		fragment = dontFragment
	}
	b = binary.BigEndian.AppendUint16(b, fragment)
	b = append(b, p.ttl, p.protocol(), 0, 0)
	b = append(b, p.pseudo(0)[:8]...)
	b = append(b, p.between...)
	binary.BigEndian.PutUint16(b[checksum4:], ^naive(b))
	return append(b, t...)
}

// header returns the one of a packet to be split.
func (p packet) header(size int) Header {
	h := Header{Flags: FlagNeedsChecksum, GSOType: GSOTCPv4, GSOSize: uint16(size), ChecksumStart: headerLen4, ChecksumOffset: checksumTCP}
	if p.ipv6 {
		h.GSOType, h.ChecksumStart = GSOTCPv6, headerLen6
	}
	if p.udp {
		h.GSOType, h.ChecksumOffset = GSOUDP, checksumUDP
	}
	h.ChecksumStart += uint16(len(p.between))
	return h
}

// octets returns n that differ.
func octets(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// splitAll returns all packets of one.
func splitAll(t testing.TB, h Header, packet []byte) (list [][]byte) {
	t.Helper()
	var s Splitter
	require.NoError(t, s.Reset(h, packet, 0xFFFF+headerLen6))
	buf := make([]byte, 0xFFFF+headerLen6)
	for n := s.Next(buf); n > 0; n = s.Next(buf) {
		list = append(list, bytes.Clone(buf[:n]))
	}
	return list
}

// drain returns what comes out of c: for each write the header and the packet.
func drain(t testing.TB, c *Coalescer) (headers []Header, packets [][]byte) {
	t.Helper()
	for parts := c.Next(); parts != nil; parts = c.Next() {
		var h Header
		n, err := h.Decode(parts[0])
		require.NoError(t, err)
		require.Len(t, parts[0], n)
		headers = append(headers, h)
		packets = append(packets, bytes.Join(parts[1:], nil))
	}
	return headers, packets
}

// requirePackets compares packets, and says no more of large ones than their headers.
func requirePackets(t testing.TB, want, got [][]byte) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		if !bytes.Equal(want[i], got[i]) {
			const n = 100
			t.Fatalf("packet %d: want %d octets\n% x\ngot %d\n% x", i, len(want[i]), want[i][:min(n, len(want[i]))],
				len(got[i]), got[i][:min(n, len(got[i]))])
		}
	}
}
