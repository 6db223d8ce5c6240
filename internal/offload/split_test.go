package offload

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

var timestamps = []byte{1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8}

var splitTests = []struct {
	name string
	packet
	size, length int
}{
	{"TCP over IPv4", packet{flags: flagACK | flagPSH | flagFIN, seq: 0xFFFFFF00, ack: 7, id: 0xFFFE, df: true, ttl: 64, options: timestamps}, 1348, 60000},
	{"TCP over IPv6", packet{ipv6: true, flags: flagACK | flagPSH, seq: 77, ack: 7, ttl: 64, label: 9, options: timestamps}, 1348, 60001},
	{"UDP over IPv4", packet{udp: true, id: 1, ttl: 1}, 1200, 7 * 1200},
	{"UDP over IPv6", packet{udp: true, ipv6: true, ttl: 1, tos: 0x2E}, 1201, 7*1201 - 1},
	{"IPv4 options", packet{flags: flagACK, between: []byte{7, 7, 4, 10, 0, 0, 9, 0}}, 500, 1999},
	{"IPv6 extension header", packet{ipv6: true, flags: flagACK, next: protocolDestination, between: []byte{protocolTCP, 0, 1, 4, 0, 0, 0, 0}}, 500, 1999},
	{"CWR and ECE", packet{flags: flagACK | flagCWR | flagECE, tos: 2}, 100, 500},
	{"small segments", packet{flags: flagACK | flagPSH}, 1, 300},
	{"one segment", packet{flags: flagACK | flagPSH | flagCWR | flagFIN}, 1400, 1400},
}

func TestSplit(t *testing.T) {
	for _, tt := range splitTests {
		t.Run(tt.name, func(t *testing.T) {
			whole := tt.packet
			whole.payload = octets(tt.length)
			got := splitAll(t, whole.header(tt.size), whole.build(true))
			var wanted [][]byte
			for i := 0; i*tt.size < tt.length; i++ {
				want := tt.packet
				rest := whole.payload[i*tt.size:]
				want.payload = rest[:min(tt.size, len(rest))]
				want.id += uint16(i)
				want.seq += uint32(i * tt.size)
				if len(rest) > tt.size {
					want.flags &^= flagFIN | flagPSH
				}
				if i > 0 {
					want.flags &^= flagCWR
				}
				wanted = append(wanted, want.build(false))
			}
			requirePackets(t, wanted, got)
		})
	}
}

// Whatever the sum comes to, carries and zeros are right.
func TestSplitChecksums(t *testing.T) {
	for _, p := range []packet{{flags: flagACK}, {ipv6: true, udp: true}} {
		var s Splitter
		var dst [100]byte
		for i := range 0x10000 {
			p.payload = []byte{byte(i >> 8), byte(i), 1}
			if err := s.Reset(p.header(2), p.build(true), len(dst)); err != nil {
				t.Fatal(err)
			}
			got := dst[:s.Next(dst[:])]
			p.payload = p.payload[:2]
			if want := p.build(false); !bytes.Equal(want, got) {
				t.Fatalf("%+v: % x", p, got)
			}
		}
	}
}

func TestSplitSingle(t *testing.T) {
	p := packet{udp: true, payload: octets(100)}
	h := p.header(0)
	h.GSOType = GSONone
	b := p.build(true)
	require.Equal(t, [][]byte{p.build(false)}, splitAll(t, h, b))
	require.Equal(t, p.build(false), b, "finished in place")

	require.Equal(t, [][]byte{{1, 2, 3}}, splitAll(t, Header{}, []byte{1, 2, 3}))
}

func TestSplitMalformed(t *testing.T) {
	const limit = 1000
	change := func(at int, x byte) func(*Header, *[]byte) {
		return func(_ *Header, p *[]byte) { (*p)[at] = x }
	}
	cut := func(n int) func(*Header, *[]byte) {
		return func(_ *Header, p *[]byte) { *p = (*p)[:n] }
	}
	tests := []struct {
		name string
		do   func(h *Header, p *[]byte)
		err  error
	}{
		{"type", func(h *Header, _ *[]byte) { h.GSOType = 3 }, errGSOType},
		{"ECN of UDP", func(h *Header, _ *[]byte) { h.GSOType = GSOUDP | GSOECN }, errGSOType},
		{"other type", func(h *Header, _ *[]byte) { h.GSOType = GSOUDP }, errMismatch},
		{"other version", func(h *Header, _ *[]byte) { h.GSOType = GSOTCPv6 }, errMismatch},
		{"size", func(h *Header, _ *[]byte) { h.GSOSize = 0 }, errGSOSize},
		{"too large", func(h *Header, _ *[]byte) { h.GSOSize = limit - 39 }, ErrTooLarge},
		{"no checksum needed", func(h *Header, _ *[]byte) { h.Flags = 0 }, errMismatch},
		{"checksum at another place", func(h *Header, _ *[]byte) { h.ChecksumOffset-- }, errMismatch},
		{"transport at another place", func(h *Header, _ *[]byte) { h.ChecksumStart += 4 }, errMismatch},
		{"transport at the front", func(h *Header, _ *[]byte) { h.ChecksumStart = 0 }, errMismatch},
		{"transport behind the packet", func(h *Header, _ *[]byte) { h.ChecksumStart = 0xFFFF }, errHeaders},
		{"version", change(0, 5<<4|5), errMismatch},
		{"header length", change(0, 4<<4|6), errMismatch},
		{"total length", change(totalLength4+1, 0), errMismatch},
		{"protocol", change(protocol4, protocolUDP), errMismatch},
		{"short data offset", change(headerLen4+dataOffset, 4<<4), errHeaders},
		{"cut", cut(900), errMismatch},
		{"cut in TCP", cut(39), errHeaders},
		{"cut in IP", cut(19), errHeaders},
		{"empty", cut(0), errHeaders},
		{"checksum outside", func(h *Header, p *[]byte) { h.GSOType, *p = GSONone, (*p)[:37] }, errChecksumRange},
		{"empty without segmentation", func(h *Header, p *[]byte) { *h, *p = Header{}, nil }, errHeaders},
		{"too large without segmentation", func(h *Header, p *[]byte) { *h, *p = Header{}, make([]byte, limit+1) }, ErrTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := packet{flags: flagACK, payload: octets(1265)}
			h, b := p.header(500), p.build(true)
			tt.do(&h, &b)
			s := Splitter{packet: []byte{1}}
			require.Equal(t, tt.err, s.Reset(h, b, limit))
			require.Zero(t, s.Next(make([]byte, limit)))
		})
	}
	p := packet{flags: flagACK, options: octets(40)}
	require.Equal(t, errHeaders, new(Splitter).Reset(p.header(1), p.build(true), limit), "no payload")
}

func TestSplitAllocates(t *testing.T) {
	p := packet{flags: flagACK, payload: octets(60000)}
	h, b := p.header(1360), p.build(true)
	var s Splitter
	slot := make([]byte, 2048)
	require.Zero(t, testing.AllocsPerRun(10, func() {
		if s.Reset(h, b, 2016) != nil {
			t.Fatal("refused")
		}
		for s.Next(slot[32:]) > 0 {
		}
	}))
}

func FuzzSplit(f *testing.F) {
	for _, tt := range splitTests {
		const size = 10 // small inputs are quick to fuzz
		tt.payload = octets(3 * size)
		h := tt.header(size)
		f.Add(h.Append(nil), tt.build(true))
	}
	f.Fuzz(func(t *testing.T, header, p []byte) {
		const limit = 2016
		var h Header
		if _, err := h.Decode(header); err != nil {
			return
		}
		var s Splitter
		if s.Reset(h, p, limit) != nil {
			return
		}
		dst := make([]byte, limit)
		if h.GSOType == GSONone {
			require.Equal(t, len(p), s.Next(dst))
			require.Equal(t, p, dst[:len(p)])
			return
		}
		var payload []byte
		for n := s.Next(dst); n > 0; n = s.Next(dst) {
			if n-s.payload > int(h.GSOSize) {
				t.Fatal(n)
			}
			payload = append(payload, dst[s.payload:n]...)
		}
		if !bytes.Equal(p[s.payload:], payload) {
			t.Fatal("not the same payload")
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	for _, p := range []packet{
		{flags: flagACK, payload: octets(65000), options: timestamps},
		{flags: flagACK, payload: octets(65000), options: timestamps, ipv6: true},
		{udp: true, payload: octets(64 * 1000)},
	} {
		b.Run(fmt.Sprintf("IPv6=%t/UDP=%t", p.ipv6, p.udp), func(b *testing.B) {
			const size = 1348
			h, whole := p.header(size), p.build(true)
			var s Splitter
			slots := make([]byte, 64*2048)
			segments := 0
			b.SetBytes(int64(len(whole)))
			for b.Loop() {
				if err := s.Reset(h, whole, 2016); err != nil {
					b.Fatal(err)
				}
				for i := 0; ; i++ {
					if s.Next(slots[i*2048+32:(i+1)*2048]) == 0 {
						break
					}
					segments++
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(segments), "ns/segment")
		})
	}
}

// The least that splitting costs.
func BenchmarkCopy(b *testing.B) {
	whole, slots := octets(65000), make([]byte, 64*2048)
	segments := 0
	b.SetBytes(int64(len(whole)))
	for b.Loop() {
		for i, at := 0, 0; at < len(whole); i++ {
			at += copy(slots[i*2048+32:i*2048+32+1400], whole[at:])
			segments++
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(segments), "ns/segment")
}
