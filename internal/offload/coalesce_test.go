package offload

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

var both = Protocols{TCP: true, UDP: true}

// following returns n packets of a flow in order, each with size octets.
func (p packet) following(n, size int) (list []packet) {
	for i := range n {
		q := p
		q.id += uint16(i)
		q.seq += uint32(i * size)
		q.payload = octets(size)
		list = append(list, q)
	}
	return list
}

func addAll(t testing.TB, c *Coalescer, packets []packet) {
	t.Helper()
	for _, p := range packets {
		require.True(t, c.Add(p.build(false)))
	}
}

func TestCoalesce(t *testing.T) {
	for _, tt := range splitTests {
		if tt.between != nil || tt.flags&(flagFIN|flagCWR) != 0 || tt.size == tt.length {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			tt.options = tt.packet.options
			whole := tt.packet
			whole.payload = octets(tt.length)
			h := whole.header(tt.size)
			c := NewCoalescer(300, both)
			for range 2 {
				for _, p := range splitAll(t, h, whole.build(true)) {
					require.True(t, c.Add(p))
				}
				headers, packets := drain(t, c)
				want := h
				want.HdrLen = uint16(len(packets[0]) - tt.length)
				require.Equal(t, []Header{want}, headers)
				requirePackets(t, [][]byte{whole.build(true)}, packets)
			}
		})
	}
}

// What joins, and what does not, of two packets that follow each other.
func TestCoalesceRules(t *testing.T) {
	tcp4 := packet{flags: flagACK, seq: 0xFFFFFFF0, ack: 5, id: 0xFFFF, df: true, ttl: 60, options: timestamps}
	tcp6 := packet{ipv6: true, flags: flagACK, ttl: 60, label: 3}
	udp4 := packet{udp: true, id: 6, ttl: 60}
	udp6 := packet{udp: true, ipv6: true, ttl: 60}
	tests := []struct {
		name  string
		base  packet
		do    func(first, second *packet)
		raw   func(first, second []byte)
		joins bool
	}{
		{name: "TCP over IPv4", base: tcp4, joins: true},
		{name: "TCP over IPv6", base: tcp6, joins: true},
		{name: "UDP over IPv4", base: udp4, joins: true},
		{name: "UDP over IPv6", base: udp6, joins: true},
		{name: "shorter", base: tcp4, do: func(_, b *packet) { b.payload = b.payload[:1] }, joins: true},
		{name: "longer", base: tcp4, do: func(_, b *packet) { b.payload = octets(101) }},
		{name: "shorter datagram", base: udp6, do: func(_, b *packet) { b.payload = b.payload[:1] }, joins: true},
		{name: "longer datagram", base: udp6, do: func(_, b *packet) { b.payload = octets(101) }},
		{name: "no payload", base: tcp4, do: func(_, b *packet) { b.payload = nil }},
		{name: "no payload first", base: tcp4, do: func(a, b *packet) { a.payload, b.seq = nil, a.seq }},
		{name: "empty datagram", base: udp4, do: func(_, b *packet) { b.payload = nil }},
		{name: "empty datagram first", base: udp4, do: func(a, _ *packet) { a.payload = nil }},
		{name: "other flow", base: tcp4, do: func(_, b *packet) { b.port++ }},
		{name: "gap", base: tcp4, do: func(_, b *packet) { b.seq++ }},
		{name: "overlap", base: tcp4, do: func(_, b *packet) { b.seq-- }},
		{name: "acknowledgement", base: tcp4, do: func(_, b *packet) { b.ack++ }},
		{name: "window", base: tcp4, do: func(_, b *packet) { b.window++ }},
		{name: "urgent pointer", base: tcp4, do: func(_, b *packet) { b.urgent++ }},
		{name: "options", base: tcp4, do: func(_, b *packet) { b.options = []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 9} }},
		{name: "fewer options", base: tcp4, do: func(_, b *packet) { b.options = nil }},
		{name: "PSH", base: tcp4, do: func(_, b *packet) { b.flags |= flagPSH }, joins: true},
		{name: "PSH first", base: tcp4, do: func(a, _ *packet) { a.flags |= flagPSH }},
		{name: "ECE", base: tcp4, do: func(_, b *packet) { b.flags |= flagECE }},
		{name: "ECE in both", base: tcp4, do: func(a, b *packet) { a.flags |= flagECE; b.flags |= flagECE }, joins: true},
		{name: "CWR", base: tcp4, do: func(_, b *packet) { b.flags |= flagCWR }},
		{name: "CWR in both", base: tcp4, do: func(a, b *packet) { a.flags |= flagCWR; b.flags |= flagCWR }},
		{name: "FIN", base: tcp6, do: func(_, b *packet) { b.flags |= flagFIN }},
		{name: "RST", base: tcp6, do: func(_, b *packet) { b.flags |= 4 }},
		{name: "SYN in both", base: tcp6, do: func(a, b *packet) { a.flags |= 2; b.flags |= 2 }},
		{name: "no ACK in both", base: tcp6, do: func(a, b *packet) { a.flags, b.flags = 0, 0 }},
		{name: "reserved bit", base: tcp6, raw: func(_, b []byte) { b[headerLen6+dataOffset]++; fixTCP6(b) }},
		{name: "type of service", base: tcp4, do: func(_, b *packet) { b.tos = 3 }},
		{name: "traffic class", base: tcp6, do: func(_, b *packet) { b.tos = 3 }},
		{name: "flow label", base: tcp6, do: func(_, b *packet) { b.label++ }},
		{name: "time to live", base: tcp4, do: func(_, b *packet) { b.ttl++ }},
		{name: "hop limit", base: tcp6, do: func(_, b *packet) { b.ttl++ }},
		{name: "same Identification with DF", base: tcp4, do: func(a, b *packet) { b.id = a.id }, joins: true},
		{name: "same Identification", base: udp4, do: func(a, b *packet) { b.id = a.id }},
		{name: "other Identification with DF", base: tcp4, do: func(_, b *packet) { b.id++ }},
		{name: "DF", base: tcp4, do: func(_, b *packet) { b.df = false }},
		{name: "IPv4 options", base: tcp4, do: func(a, b *packet) { a.between, b.between = make([]byte, 4), make([]byte, 4) }},
		{name: "fragments", base: udp4, raw: func(a, b []byte) { a[fragment4] |= 0x20; b[fragment4] |= 0x20; fixIPv4(a); fixIPv4(b) }},
		{name: "no checksum", base: udp4, raw: func(_, b []byte) { clear(b[headerLen4+checksumUDP:][:2]) }},
		{name: "no checksums", base: udp4, raw: func(a, b []byte) {
			clear(a[headerLen4+checksumUDP:][:2])
			clear(b[headerLen4+checksumUDP:][:2])
		}},
		{name: "wrong checksum", base: tcp4, raw: func(_, b []byte) { b[90]++ }},
		{name: "wrong checksum first", base: tcp4, raw: func(a, _ []byte) { a[90]++ }},
		{name: "wrong checksum of the header", base: tcp4, raw: func(_, b []byte) { b[checksum4]++ }},
		{name: "wrong checksum of the header first", base: tcp4, raw: func(a, _ []byte) { a[checksum4]++ }},
		{name: "wrong checksum over IPv6", base: udp6, raw: func(_, b []byte) { b[90]++ }},
		{name: "length of UDP", base: udp4, raw: func(_, b []byte) { b[headerLen4+lengthUDP+1]-- }},
		{name: "data offset", base: tcp4, raw: func(_, b []byte) { b[headerLen4+dataOffset] = 4 << 4 }},
		{name: "data offset past the end", base: tcp4, raw: func(a, b []byte) {
			a[headerLen4+dataOffset], b[headerLen4+dataOffset] = 0xF0, 0xF0
		}},
		{name: "extension header", base: udp6, do: func(a, b *packet) {
			a.next, b.next = protocolDestination, protocolDestination
			a.between = []byte{protocolUDP, 0, 1, 4, 0, 0, 0, 0}
			b.between = a.between
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list := tt.base.following(2, 100)
			if tt.do != nil {
				tt.do(&list[0], &list[1])
			}
			a, b := list[0].build(false), list[1].build(false)
			if tt.raw != nil {
				tt.raw(a, b)
			}
			want := [][]byte{bytes.Clone(a), bytes.Clone(b)}
			c := NewCoalescer(8, both)
			c.Add(a)
			c.Add(b)
			headers, packets := drain(t, c)
			if tt.joins {
				require.Len(t, packets, 1)
				require.Len(t, packets[0], len(want[0])+len(list[1].payload))
				return
			}
			require.Equal(t, []Header{{}, {}}, headers)
			require.Equal(t, want, packets, "as they came")
		})
	}
}

func fixIPv4(p []byte) {
	clear(p[checksum4:addresses4])
	binary.BigEndian.PutUint16(p[checksum4:], ^naive(p[:headerLen4]))
}

func fixTCP6(p []byte) {
	t := p[headerLen6:]
	clear(t[checksumTCP:urgentTCP])
	pseudo := packet{ipv6: true}.pseudo(len(t))
	binary.BigEndian.PutUint16(t[checksumTCP:], ^naive(append(pseudo, t...)))
}

// Each flow is joined, whatever is between its packets. What may not be overtaken
// ends the groups of its own flow only.
func TestCoalesceFlows(t *testing.T) {
	c := NewCoalescer(256, both)
	flows := [][]packet{
		packet{flags: flagACK, port: 1}.following(10, 100),
		packet{flags: flagACK, port: 2, ipv6: true}.following(10, 100),
		packet{udp: true, port: 1}.following(10, 100),
		packet{udp: true, port: 2, ipv6: true}.following(10, 100),
	}
	lengths := func() (list []int) {
		_, packets := drain(t, c)
		for _, p := range packets {
			list = append(list, len(p))
		}
		return list
	}
	interleave := func(at int, other []byte) {
		for i := range 10 {
			if i == at {
				require.True(t, c.Add(other))
			}
			for _, f := range flows {
				require.True(t, c.Add(f[i].build(false)))
			}
		}
	}
	interleave(-1, nil)
	require.Equal(t, []int{1040, 1060, 1028, 1048}, lengths())

	ack := packet{flags: flagACK, port: 1}
	interleave(4, ack.build(false))
	require.Equal(t, []int{440, 1060, 1028, 1048, 40, 640}, lengths())

	fragment := packet{udp: true, payload: octets(20)}.build(false)
	fragment[fragment4+1] = 1
	interleave(4, fragment)
	require.Equal(t, []int{440, 1060, 428, 1048, 48, 640, 628}, lengths(), "both flows of the addresses")

	ping := packet{udp: true, payload: octets(20)}.build(false)
	ping[protocol4] = 1
	interleave(4, ping)
	require.Equal(t, []int{1040, 1060, 1028, 1048, 48}, lengths())

	c = NewCoalescer(256, Protocols{TCP: true})
	interleave(-1, nil)
	require.Len(t, lengths(), 22, "UDP left alone")
	c = NewCoalescer(256, Protocols{UDP: true})
	interleave(-1, nil)
	require.Len(t, lengths(), 22, "TCP left alone")
}

func TestCoalesceBounds(t *testing.T) {
	c := NewCoalescer(256, both)
	addAll(t, c, packet{flags: flagACK}.following(60, 1400))
	_, packets := drain(t, c)
	require.Len(t, packets, 2)
	require.Len(t, packets[0], 40+46*1400)

	addAll(t, c, packet{udp: true}.following(200, 10))
	_, packets = drain(t, c)
	require.Len(t, packets, 4)
	require.Len(t, packets[0], 28+64*10)

	addAll(t, c, packet{flags: flagACK}.following(256, 10))
	require.False(t, c.Add([]byte{1}), "full")
	require.NotNil(t, c.Next())
	require.False(t, c.Add([]byte{1}), "being emptied")
	require.Nil(t, c.Next())
	require.True(t, c.Add([]byte{1}))
	require.True(t, c.Add(nil))
	_, packets = drain(t, c)
	require.Equal(t, [][]byte{{1}, nil}, packets)

	for range 2 {
		for i := range 256 {
			p := packet{flags: flagACK, port: uint16(i), payload: octets(9)}
			require.True(t, c.Add(p.build(false)))
		}
		_, packets = drain(t, c)
		require.Len(t, packets, 256, "a flow each")
	}
	c.round = 1<<32 - 1
	for range 2 {
		addAll(t, c, packet{flags: flagACK}.following(2, 10))
		_, packets = drain(t, c)
		require.Len(t, packets, 1, "rounds start again")
	}
}

// An Identification counts up, or stays: not by turns.
func TestCoalesceIdentification(t *testing.T) {
	for _, tt := range []struct {
		ids  []uint16
		want int
	}{{[]uint16{5, 6, 7, 8}, 1}, {[]uint16{5, 5, 5, 5}, 1}, {[]uint16{5, 6, 6, 6}, 2}, {[]uint16{5, 5, 6, 7}, 2}, {[]uint16{5, 4, 3, 2}, 4}} {
		c := NewCoalescer(8, both)
		list := packet{flags: flagACK, df: true}.following(4, 10)
		for i, id := range tt.ids {
			list[i].id = id
		}
		addAll(t, c, list)
		_, packets := drain(t, c)
		require.Len(t, packets, tt.want, "%v", tt.ids)
	}
}

// Flows that meet in the table are not taken for one, and those that find no room
// in it pass in order.
func TestCoalesceCollisions(t *testing.T) {
	c := NewCoalescer(64, both)
	var ports []uint16
	for port := uint16(1); len(ports) < 2*probes; port++ {
		var s segment
		s.parse(packet{flags: flagACK, port: port, payload: octets(9)}.build(false))
		if s.flow.hash()&c.mask == 3 {
			ports = append(ports, port)
		}
	}
	var in [][]byte
	for i := range 3 {
		for _, port := range ports {
			p := packet{flags: flagACK, port: port}.following(3, 9)[i].build(false)
			in = append(in, p)
			require.True(t, c.Add(bytes.Clone(p)))
		}
	}
	headers, out := drain(t, c)
	require.Equal(t, 3*probes, requireSame(t, in, headers, out))
}

func TestCoalesceAllocates(t *testing.T) {
	c := NewCoalescer(256, both)
	list := packet{flags: flagACK}.following(256, 1000)
	var batch [256][]byte
	buf := make([]byte, 256*2048)
	for i, p := range list {
		if i%7 == 0 {
			p.flags |= flagPSH
		}
		batch[i] = p.build(false)
	}
	require.Zero(t, testing.AllocsPerRun(10, func() {
		for i, p := range batch {
			c.Add(buf[i*2048 : i*2048+copy(buf[i*2048:], p)])
		}
		for c.Next() != nil {
		}
	}))
}

func BenchmarkCoalesce(b *testing.B) {
	for _, flows := range []int{1, 4} {
		for _, p := range []packet{
			{flags: flagACK, options: timestamps},
			{flags: flagACK, options: timestamps, ipv6: true},
			{udp: true},
		} {
			b.Run(fmt.Sprintf("flows=%d/IPv6=%t/UDP=%t", flows, p.ipv6, p.udp), func(b *testing.B) {
				const count, size = 46, 1348
				slots := make([]byte, flows*count*2048)
				var packets [][]byte
				var first [4][]byte
				for i := range count {
					for j := range flows {
						p.port = uint16(j)
						list := p.following(count, size)
						packets = append(packets, append(slots[len(packets)*2048:][:0], list[i].build(false)...))
						if i == 0 {
							first[j] = bytes.Clone(packets[j][:72])
						}
					}
				}
				c := NewCoalescer(256, both)
				b.SetBytes(int64(len(packets) * len(packets[0])))
				groups := 0
				for b.Loop() {
					for j := range flows {
						copy(packets[j], first[j]) // which Next changes
					}
					for _, p := range packets {
						c.Add(p)
					}
					for c.Next() != nil {
						groups++
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(packets)), "ns/segment")
				require.Equal(b, flows*b.N, groups)
			})
		}
	}
}
