package offload

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireSame holds what came out of a Coalescer against what went in: split again,
// each flow has the same packets in the same order. It returns how many packets
// were joined to others.
func requireSame(t testing.TB, in [][]byte, headers []Header, out [][]byte) (joined int) {
	t.Helper()
	type arrived struct {
		packet []byte
		joined bool
	}
	var split []arrived
	for i, h := range headers {
		if h.GSOType == GSONone {
			require.Equal(t, Header{}, h)
			split = append(split, arrived{out[i], false})
			continue
		}
		list := splitAll(t, h, out[i])
		require.Greater(t, len(list), 1)
		joined += len(list)
		for _, p := range list {
			split = append(split, arrived{p, true})
		}
	}
	require.Len(t, split, len(in))

	// A packet that may be of any flow between two addresses is in the way of all.
	type key struct {
		class class
		flow  flow
	}
	keyOf := func(p []byte) key {
		var s segment
		switch c := s.parse(p); c {
		case lone:
			return key{}
		case part:
			return key{part, flow{addresses: s.flow.addresses}}
		default:
			return key{single, s.flow}
		}
	}
	keys := map[key]bool{}
	for _, p := range in {
		keys[keyOf(p)] = true
	}
	for k := range keys {
		concerns := func(p []byte) bool {
			other := keyOf(p)
			return other == k || other.class == part && other.flow.addresses == k.flow.addresses
		}
		at := 0
		for _, p := range in {
			if !concerns(p) {
				continue
			}
			for !concerns(split[at].packet) {
				at++
			}
			got := split[at]
			at++
			if got.joined && p[0]>>4 == 4 && p[fragment4] == dontFragment>>8 && !bytes.Equal(p, got.packet) {
				// The Identification alone may differ.
				p = bytes.Clone(p)
				copy(p[id4:fragment4], got.packet[id4:])
				fixIPv4(p)
			}
			if !bytes.Equal(p, got.packet) {
				require.Equal(t, p, got.packet)
			}
		}
	}
	return joined
}

// stream is a flow that meets everything that a network does to one.
type stream struct {
	packet
	size    int
	fixedID bool
	held    []byte
}

func (s *stream) send(rnd *rand.Rand, to func([]byte)) {
	p := s.packet
	n := s.size
	event := rnd.IntN(40)
	switch event {
	case 0:
		p.flags |= flagPSH
	case 1:
		n = 1 + rnd.IntN(n)
	case 2:
		n += rnd.IntN(3)
	case 3:
		n = 0
	case 4:
		p.flags |= flagFIN
	case 5:
		s.ack++
		p.ack++
	case 6:
		p.flags |= flagCWR
	case 7:
		s.flags ^= flagECE
		p.flags ^= flagECE
	case 8:
		p.tos ^= 1
	case 9:
		p.between, p.next = []byte{protocolTCP, 0, 1, 4, 0, 0, 0, 0}, protocolDestination
	case 10:
		if p.udp {
			break
		}
		p.options = timestamps
	}
	p.payload = make([]byte, n)
	for i := range p.payload {
		p.payload[i] = byte(rnd.Uint32())
	}
	s.seq += uint32(n)
	if !s.fixedID {
		s.id++
	}
	b := p.build(false)
	switch event {
	case 11, 12: // lost
		return
	case 13: // corrupted
		b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
	case 14: // duplicated
		to(bytes.Clone(b))
	case 15: // late
		if s.held == nil {
			s.held = b
			return
		}
	case 16:
		if !p.ipv6 {
			b[fragment4] |= 0x20
		}
	}
	to(b)
	if s.held != nil && rnd.IntN(2) == 0 {
		to(s.held)
		s.held = nil
	}
}

func TestCoalesceStreams(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		streams := []*stream{
			{packet: packet{flags: flagACK, port: 1, df: true, id: 0xFFF0, seq: 0xFFFFFF00, options: timestamps}, size: 700},
			{packet: packet{flags: flagACK, port: 2, df: true}, size: 33, fixedID: true},
			{packet: packet{flags: flagACK, port: 3, ipv6: true}, size: 1400},
			{packet: packet{udp: true, port: 4}, size: 1},
			{packet: packet{udp: true, port: 5, ipv6: true}, size: 1201},
			{packet: packet{udp: true, port: 6, df: true}, size: 512, fixedID: true},
		}
		streams = streams[:1+rnd.IntN(len(streams))]
		c := NewCoalescer(64, both)
		joined := 0
		for range 10 {
			var in [][]byte
			add := func(p []byte) {
				// Private to the Coalescer, which changes it.
				if c.Add(bytes.Clone(p)) {
					in = append(in, p)
				}
			}
			for range rnd.IntN(80) {
				s := streams[rnd.IntN(len(streams))]
				for range 1 + rnd.IntN(6) {
					s.send(rnd, add)
				}
			}
			headers, out := drain(t, c)
			joined += requireSame(t, in, headers, out)
		}
		require.Greater(t, joined, 10, "seed %d", seed)
	}
}

// FuzzCoalesce takes packets with a length in front of each, whose upper bit asks
// for right checksums.
func FuzzCoalesce(f *testing.F) {
	encode := func(fix uint16, packets ...packet) (b []byte) {
		for _, p := range packets {
			raw := p.build(false)
			b = binary.BigEndian.AppendUint16(b, uint16(len(raw))|fix)
			b = append(b, raw...)
		}
		return b
	}
	const fix = 0x8000
	for _, p := range []packet{
		{flags: flagACK, df: true, options: timestamps}, {flags: flagACK, ipv6: true}, {udp: true}, {udp: true, ipv6: true},
	} {
		list := p.following(3, 20)
		list[2].payload = list[2].payload[:5]
		f.Add(encode(fix, list...))
		f.Add(encode(0, list...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := NewCoalescer(32, both)
		var in [][]byte
		for len(b) >= 2 {
			n := binary.BigEndian.Uint16(b)
			b = b[2:]
			p := bytes.Clone(b[:min(int(n&^fix), len(b))])
			b = b[len(p):]
			if n&fix != 0 {
				fixChecksums(p)
			}
			if c.Add(bytes.Clone(p)) {
				in = append(in, p)
			}
		}
		headers, out := drain(t, c)
		requireSame(t, in, headers, out)
	})
}

// fixChecksums makes those right that a Coalescer looks at.
func fixChecksums(p []byte) {
	var s segment
	if s.parse(p) != joinable {
		return
	}
	if !s.ipv6 {
		fixIPv4(p)
	}
	t := p[s.transport:]
	at := checksumTCP
	if s.protocol == protocolUDP {
		at = checksumUDP
	}
	clear(t[at : at+2])
	putChecksum(t[at:], Sum(t, s.pseudoHeader(len(p))))
}
