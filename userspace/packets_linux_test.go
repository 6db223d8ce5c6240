package userspace

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/offload"
)

// The builders of packets here share nothing with the code under test, but for the
// Header of package offload.

// onesSum is the sum of RFC 1071, not complemented.
func onesSum(parts ...[]byte) uint16 {
	var sum uint32
	for _, p := range parts { // all but the last have an even length
		for i := 0; i+1 < len(p); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(p[i:]))
		}
		if len(p)%2 == 1 {
			sum += uint32(p[len(p)-1]) << 8
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// builder makes random packets of the flows between two hosts.
type builder struct {
	*rand.Rand
	src, dst   netip.Addr
	src6, dst6 netip.Addr
	port       uint16 // of this builder's flows, the first one
	id         uint16
	seq        [8]uint32 // of TCP flows
}

func (b *builder) bytes(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(b.Uint32())
	}
	return p
}

// ip4 is a packet with options, whose length is a multiple of 4.
func (b *builder) ip4(protocol byte, fragment uint16, options, payload []byte) []byte {
	b.id++
	h := make([]byte, 20, 20+len(options)+len(payload))
	h[0], h[1] = 0x45+byte(len(options)/4), 0
	binary.BigEndian.PutUint16(h[2:], uint16(20+len(options)+len(payload)))
	binary.BigEndian.PutUint16(h[4:], b.id)
	binary.BigEndian.PutUint16(h[6:], fragment)
	h[8], h[9] = 64, protocol
	copy(h[12:], b.src.AsSlice())
	copy(h[16:], b.dst.AsSlice())
	h = append(h, options...)
	binary.BigEndian.PutUint16(h[10:], ^onesSum(h))
	return append(h, payload...)
}

// ip6 is a packet whose payload begins with extension headers or not.
func (b *builder) ip6(next byte, payload []byte) []byte {
	h := make([]byte, 40, 40+len(payload))
	h[0] = 0x60
	binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
	h[6], h[7] = next, 64
	copy(h[8:], b.src6.AsSlice())
	copy(h[24:], b.dst6.AsSlice())
	return append(h, payload...)
}

func (b *builder) addresses(six bool) []byte {
	if six {
		return append(b.src6.AsSlice(), b.dst6.AsSlice()...)
	}
	return append(b.src.AsSlice(), b.dst.AsSlice()...)
}

// pseudo is the sum of the pseudo-header.
func (b *builder) pseudo(six bool, protocol byte, length int) uint16 {
	return onesSum(b.addresses(six), []byte{0, protocol}, binary.BigEndian.AppendUint16(nil, uint16(length)))
}

// tcp is a segment of one of the flows. Its checksum is right.
func (b *builder) tcp(six bool, flow int, flags byte, options, payload []byte) []byte {
	t := make([]byte, 20, 20+len(options)+len(payload))
	binary.BigEndian.PutUint16(t, b.port+uint16(flow))
	binary.BigEndian.PutUint16(t[2:], 80)
	binary.BigEndian.PutUint32(t[4:], b.seq[flow])
	binary.BigEndian.PutUint32(t[8:], 77)
	t[12], t[13] = byte(5+len(options)/4)<<4, flags
	binary.BigEndian.PutUint16(t[14:], 1000)
	t = append(append(t, options...), payload...)
	b.seq[flow] += uint32(len(payload))
	binary.BigEndian.PutUint16(t[16:], ^onesSum(b.addresses(six), []byte{0, unix.IPPROTO_TCP}, binary.BigEndian.AppendUint16(nil, uint16(len(t))), t))
	return t
}

func (b *builder) udp(six bool, flow int, payload []byte) []byte {
	u := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(u, b.port+uint16(flow))
	binary.BigEndian.PutUint16(u[2:], 53)
	binary.BigEndian.PutUint16(u[4:], uint16(8+len(payload)))
	u = append(u, payload...)
	sum := ^onesSum(b.addresses(six), []byte{0, unix.IPPROTO_UDP}, binary.BigEndian.AppendUint16(nil, uint16(len(u))), u)
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(u[6:], sum)
	return u
}

const (
	dontFragment  = 0x4000
	moreFragments = 0x2000

	flagFIN, flagSYN, flagPSH, flagACK, flagURG, flagECE, flagCWR = 1, 2, 8, 16, 32, 64, 128
)

// timestamps are options of TCP.
var timestamps = []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}

// sameID is the flow whose packets all have the same Identification, and DF.
const sameID = 3

// fragmented is the flow of UDP that some fragments are of.
const fragmented = 5

const fragment6 = 44 // the header of IPv6

// some returns packets of a random kind.
func (b *builder) some() [][]byte {
	wrong := func(p []byte, at int) []byte {
		p[at] ^= 0x10
		return p
	}
	var list [][]byte
	add := func(p []byte) { list = append(list, p) }
	switch b.IntN(20) {
	case 0, 1, 2, 3: // a train of TCP
		flow, size, n := b.IntN(3), 200+b.IntN(1100), 1+b.IntN(12)
		var options []byte
		if b.IntN(2) == 0 {
			options = timestamps
		}
		for i := range n {
			flags := byte(flagACK)
			if i == n-1 && b.IntN(2) == 0 {
				flags |= flagPSH
			}
			if i == n-1 && b.IntN(3) == 0 {
				size = 1 + b.IntN(size)
			}
			add(b.ip4(unix.IPPROTO_TCP, dontFragment, nil, b.tcp(false, flow, flags, options, b.bytes(size))))
		}
	case 4, 5: // of IPv6
		flow, size, n := b.IntN(3), 200+b.IntN(1100), 1+b.IntN(12)
		for range n {
			add(b.ip6(unix.IPPROTO_TCP, b.tcp(true, flow, flagACK, timestamps, b.bytes(size))))
		}
	case 6: // whose packets have the same Identification
		b.id = 0x1234
		for range 6 {
			b.id--
			add(b.ip4(unix.IPPROTO_TCP, dontFragment, nil, b.tcp(false, sameID, flagACK, nil, b.bytes(700))))
		}
		b.id += uint16(b.IntN(1000))
	case 7, 8: // a train of UDP
		flow, size, n := b.IntN(3), b.IntN(1300), 1+b.IntN(12)
		for range n {
			add(b.ip4(unix.IPPROTO_UDP, 0, nil, b.udp(false, flow, b.bytes(size))))
		}
	case 9:
		flow, size, n := b.IntN(3), b.IntN(1300), 1+b.IntN(12)
		for range n {
			add(b.ip6(unix.IPPROTO_UDP, b.udp(true, flow, b.bytes(size))))
		}
	case 10: // wrong checksums among right ones
		at := []int{16, 17, 100}[b.IntN(3)]
		for i := range 5 {
			t := b.tcp(false, 4, flagACK, nil, b.bytes(500))
			if i == 2 {
				t = wrong(t, at)
			}
			add(b.ip4(unix.IPPROTO_TCP, dontFragment, nil, t))
		}
		for i := range 6 {
			u := b.udp(false, 4, b.bytes(400))
			switch i {
			case 2:
				u = wrong(u, 6)
			case 4:
				u[6], u[7] = 0, 0 // none
			}
			add(b.ip4(unix.IPPROTO_UDP, 0, nil, u))
		}
		for i := range 5 {
			t := b.tcp(true, 4, flagACK, nil, b.bytes(500))
			if i == 2 {
				t = wrong(t, at)
			}
			add(b.ip6(unix.IPPROTO_TCP, t))
		}
	case 11: // fragments among whole packets
		size := 100 + b.IntN(1100)/8*8
		for range 3 {
			add(b.ip4(unix.IPPROTO_UDP, 0, nil, b.udp(false, fragmented, b.bytes(size))))
		}
		u := b.udp(false, fragmented, b.bytes(1200))
		add(b.ip4(unix.IPPROTO_UDP, moreFragments, nil, u[:800]))
		b.id--
		add(b.ip4(unix.IPPROTO_UDP, 100, nil, u[800:]))
		for range 3 {
			add(b.ip4(unix.IPPROTO_UDP, 0, nil, b.udp(false, fragmented, b.bytes(size))))
		}
		for range 3 {
			add(b.ip6(unix.IPPROTO_UDP, b.udp(true, fragmented, b.bytes(size))))
		}
		f := []byte{unix.IPPROTO_UDP, 0, 0, 1, 0, 0, 0, byte(b.id)}
		u = b.udp(true, fragmented, b.bytes(1000))
		add(b.ip6(fragment6, append(f, u[:800]...)))
		f[2], f[3] = 800>>8, 800&0xff
		add(b.ip6(fragment6, append(f, u[800:]...)))
		for range 3 {
			add(b.ip6(unix.IPPROTO_UDP, b.udp(true, fragmented, b.bytes(size))))
		}
	case 12: // options
		add(b.ip4(unix.IPPROTO_TCP, dontFragment, []byte{1, 1, 1, 1}, b.tcp(false, 0, flagACK, nil, b.bytes(300))))
		add(b.ip4(unix.IPPROTO_UDP, 0, []byte{1, 1, 1, 0}, b.udp(false, 0, b.bytes(300))))
	case 13: // extension headers
		u := b.udp(true, 0, b.bytes(300))
		add(b.ip6(0, append([]byte{unix.IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0}, u...)))
		add(b.ip6(60, append([]byte{unix.IPPROTO_UDP, 0, 1, 4, 0, 0, 0, 0}, b.udp(true, 0, b.bytes(b.IntN(900)))...)))
	case 14: // flags
		flow := b.IntN(3)
		for range 6 {
			flags := byte(flagACK)
			for _, f := range []byte{flagFIN, flagSYN, flagURG, flagECE, flagCWR, flagPSH} {
				if b.IntN(6) == 0 {
					flags |= f
				}
			}
			add(b.ip4(unix.IPPROTO_TCP, dontFragment, nil, b.tcp(false, flow, flags, nil, b.bytes(600))))
			add(b.ip4(unix.IPPROTO_TCP, dontFragment, nil, b.tcp(false, flow, flagACK, nil, b.bytes(600))))
		}
	case 15: // a jump, and MSS
		flow := b.IntN(3)
		b.seq[flow] += uint32(b.IntN(5000))
		add(b.ip4(unix.IPPROTO_TCP, dontFragment, nil, b.tcp(false, flow, flagSYN, []byte{2, 4, 4, 0xb0}, nil)))
	case 16: // acknowledgements
		flow := b.IntN(3)
		for range 5 {
			add(b.ip4(unix.IPPROTO_TCP, dontFragment, nil, b.tcp(false, flow, flagACK, timestamps, nil)))
		}
	case 17: // another protocol
		add(b.ip4(unix.IPPROTO_ICMP, 0, nil, b.bytes(8+b.IntN(1000))))
		add(b.ip4(253, 0, nil, b.bytes(b.IntN(1000))))
	case 18: // an octet too few for its header
		add(b.ip4(unix.IPPROTO_TCP, 0, nil, b.bytes(19)))
		add(b.ip4(unix.IPPROTO_UDP, 0, nil, b.bytes(7)))
		add(b.ip6(unix.IPPROTO_TCP, b.bytes(19)))
	default: // of any size
		for range 1 + b.IntN(6) {
			add(b.ip4(unix.IPPROTO_UDP, 0, nil, b.udp(false, 6, b.bytes(b.IntN(1370)))))
		}
	}
	return list
}

// large is a packet that is to be split, with what the host knows of it, and the
// number of packets that it becomes.
func (b *builder) large() (h offload.Header, packet []byte, count int) {
	six, datagrams := b.IntN(2) == 0, b.IntN(3) == 0
	size := 100 + b.IntN(1220)
	count = 2 + b.IntN(min(30, 40000/size))
	payload := b.bytes(size*(count-1) + 1 + b.IntN(size))
	h = offload.Header{Flags: offload.FlagNeedsChecksum, GSOSize: uint16(size)}
	var t []byte
	protocol := byte(unix.IPPROTO_TCP)
	if datagrams {
		protocol = unix.IPPROTO_UDP
		h.GSOType, h.ChecksumOffset = offload.GSOUDP, 6
		t = b.udp(six, b.IntN(3), payload)
		h.HdrLen = 8
	} else {
		flags := byte(flagACK)
		if b.IntN(2) == 0 {
			flags |= flagPSH
		}
		if b.IntN(8) == 0 {
			flags |= flagFIN
		}
		h.GSOType, h.ChecksumOffset = offload.GSOTCPv4, 16
		if six {
			h.GSOType = offload.GSOTCPv6
		}
		if b.IntN(4) == 0 {
			flags |= flagCWR
			h.GSOType |= offload.GSOECN
		}
		var options []byte
		if b.IntN(2) == 0 {
			options = timestamps
		}
		t = b.tcp(six, b.IntN(3), flags, options, payload)
		h.HdrLen = uint16(20 + len(options))
	}
	binary.BigEndian.PutUint16(t[h.ChecksumOffset:], b.pseudo(six, protocol, len(t)))
	if six {
		h.ChecksumStart = 40
		packet = b.ip6(protocol, t)
	} else {
		h.ChecksumStart = 20
		packet = b.ip4(protocol, []uint16{0, dontFragment}[b.IntN(2)], nil, t)
		b.id += uint16(count)
	}
	h.HdrLen += h.ChecksumStart
	return h, packet, count
}

// flowKey is what packets have in common that must keep their order. Fragments have
// no ports, so the flow that they are of is known by its addresses. If fragments are
// apart, they need only be in order among themselves.
func flowKey(p []byte, apart bool) string {
	protocol, addresses, transport := p[9], p[12:20], int(p[0]&15)*4
	whole := binary.BigEndian.Uint16(p[6:])&0x3fff == 0
	if p[0]>>4 == 6 {
		protocol, addresses, transport = p[6], p[8:40], 40
		whole = protocol != fragment6
		if !whole {
			protocol = p[40]
		}
	}
	key := string([]byte{protocol}) + string(addresses)
	if ports := p[transport:]; whole && len(ports) >= 4 {
		if protocol == unix.IPPROTO_TCP || protocol == unix.IPPROTO_UDP && (apart || ports[1] != fragmented) {
			key += string(ports[:4])
		}
	}
	return key
}

// forwarded is the packet with one hop less to go.
func forwarded(p []byte) []byte {
	p = append([]byte(nil), p...)
	if p[0]>>4 == 6 {
		p[7]--
		return p
	}
	p[8]--
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], ^onesSum(p[:int(p[0]&15)*4]))
	return p
}

// withoutID is the packet without an Identification that means nothing, if that is
// all that can differ.
func withoutID(p []byte) []byte {
	if p[0]>>4 == 6 || p[6]&0x40 == 0 || p[9] != unix.IPPROTO_TCP || p[0] != 0x45 || p[21] != sameID {
		return p
	}
	p = append([]byte(nil), p...)
	p[4], p[5], p[10], p[11] = 0, 0, 0, 0
	return p
}
