package gre

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// octets reads hexadecimal digits with blanks between them.
func octets(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// vectors are written by hand from the figure in RFC 2637 section 4.1, with
// every octet of a number another, so that fields which are swapped show.
var vectors = []struct {
	name    string
	header  Header
	wire    string
	payload string
}{
	{
		"data",
		Header{PayloadLength: 3, CallID: 0x1234, HasSequence: true, Sequence: 0x05060708},
		"3001 880b 0003 1234 05060708", "21aabb",
	},
	{
		"data with acknowledgement",
		Header{PayloadLength: 2, CallID: 0xfedc, HasSequence: true, HasAck: true, Sequence: 0x05060708, Ack: 0x090a0b0c},
		"3081 880b 0002 fedc 05060708 090a0b0c", "21aa",
	},
	{
		"acknowledgement only",
		Header{CallID: 0x1234, HasAck: true, Ack: 0x090a0b0c},
		"2081 880b 0000 1234 090a0b0c", "",
	},
	{
		"nothing at all",
		Header{CallID: 0x1234},
		"2001 880b 0000 1234", "",
	},
	{
		"first packet of a call",
		Header{PayloadLength: 1, CallID: 1, HasSequence: true},
		"3001 880b 0001 0001 00000000", "ff",
	},
	{
		"call ID 0, number with an empty payload",
		Header{HasSequence: true, Sequence: 1<<32 - 1},
		"3001 880b 0000 0000 ffffffff", "",
	},
}

func TestHeaderVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			wire, payload := octets(v.wire), octets(v.payload)
			require.Equal(t, len(wire), v.header.Len())
			require.Equal(t, wire, v.header.Append(nil))
			require.Equal(t, append([]byte{7, 7}, wire...), v.header.Append([]byte{7, 7}))

			for _, padding := range []int{0, 1, 30} {
				b := append(append(octets(v.wire), payload...), make([]byte, padding)...)
				h := Header{1, 2, true, true, 3, 4} // all is to be set anew
				n, err := h.Decode(b)
				require.NoError(t, err)
				require.Equal(t, len(wire), n)
				require.Equal(t, v.header, h)
				require.Equal(t, payload, b[n:n+int(h.PayloadLength)])
			}

			// In front of a payload that is in its place already.
			b := append(make([]byte, 40), payload...)
			start := v.header.Prepend(b, 40)
			require.Equal(t, 40-len(wire), start)
			require.Equal(t, append(wire, payload...), b[start:])
			require.Equal(t, make([]byte, start), b[:start], "nothing before it is touched")
			require.Panics(t, func() { v.header.Prepend(b, len(wire)-1) })
		})
	}
}

func TestHeaderLen(t *testing.T) {
	require.Equal(t, MinHeaderLen, HeaderLen(false, false))
	require.Equal(t, 12, HeaderLen(true, false))
	require.Equal(t, 12, HeaderLen(false, true))
	require.Equal(t, MaxHeaderLen, HeaderLen(true, true))
}

func TestHeaderErrors(t *testing.T) {
	for _, c := range []struct {
		err  error
		wire string
		text string
	}{
		{ErrShort, "3001 880b 0003 12", "gre: short packet (header, offset 0)"},
		{ErrVersion, "3000 880b 0000 1234 00000000", "gre: version is not 1 (Ver, offset 1)"}, // plain GRE
		{ErrVersion, "3002 880b 0000 1234 00000000", ""},
		{ErrVersion, "0000 0800 4500 0054", ""},
		{ErrProtocol, "3001 0800 0000 1234 00000000", "gre: protocol type is not 880b (Protocol Type, offset 2)"},
		{ErrChecksum, "b001 880b 0000 1234 00000000", "gre: checksum present (C, offset 0)"},
		{ErrRouting, "7001 880b 0000 1234 00000000", "gre: routing present (R, offset 0)"},
		{ErrKey, "1001 880b 0000 1234 00000000", "gre: key missing (K, offset 0)"},
		{ErrSourceRoute, "3801 880b 0000 1234 00000000", "gre: strict source route present (s, offset 0)"},
		{ErrRecursion, "3101 880b 0000 1234 00000000", "gre: recursion control not zero (Recur, offset 0)"},
		{ErrRecursion, "3201 880b 0000 1234 00000000", ""},
		{ErrRecursion, "3401 880b 0000 1234 00000000", ""},
		{ErrFlags, "3041 880b 0000 1234 00000000", "gre: reserved flags set (Flags, offset 1)"},
		{ErrFlags, "3021 880b 0000 1234 00000000", ""},
		{ErrFlags, "3011 880b 0000 1234 00000000", ""},
		{ErrFlags, "3009 880b 0000 1234 00000000", ""},
		{ErrSequence, "2081 880b 0001 1234 00000000 ff", "gre: payload without a sequence number (S, offset 0)"},
		{ErrLength, "3001 880b 0002 1234 00000000 ff", "gre: payload longer than the packet (Payload Length, offset 4)"},
		{ErrLength, "3001 880b ffff 1234 00000000 ff", ""},
	} {
		var h Header
		n, err := h.Decode(octets(c.wire))
		require.Zero(t, n, c.wire)
		require.Equal(t, c.err, err, c.wire)
		var de *DecodeError
		require.ErrorAs(t, err, &de)
		require.NotEmpty(t, de.Field)
		if c.text != "" {
			require.EqualError(t, err, c.text)
		}
	}
}

// Of several faults the one that comes first in the list of errors is told.
func TestHeaderErrorOrder(t *testing.T) {
	var h Header
	for _, c := range []struct {
		wire string
		err  error
	}{
		{"ff7f 0000 ffff 12", ErrShort},
		{"ff7f 0000 ffff 1234", ErrVersion},
		{"ff79 0000 ffff 1234", ErrProtocol},
		{"df79 880b ffff 1234", ErrChecksum},
		{"5f79 880b ffff 1234", ErrRouting},
		{"1f79 880b ffff 1234", ErrKey},
		{"3f79 880b ffff 1234", ErrSourceRoute},
		{"3779 880b ffff 1234", ErrRecursion},
		{"3079 880b ffff 1234", ErrFlags},
		{"3001 880b ffff 1234", ErrShort},
		{"2001 880b ffff 1234", ErrSequence},
	} {
		_, err := h.Decode(octets(c.wire))
		require.Equal(t, c.err, err, c.wire)
	}
}

// A packet that is cut anywhere is refused, and nothing is read past its end.
func TestHeaderTruncated(t *testing.T) {
	for _, v := range vectors {
		whole := append(octets(v.wire), octets(v.payload)...)
		for n := range whole {
			b := whole[:n:n]
			var h Header
			_, err := h.Decode(b)
			want := ErrShort
			if n >= len(octets(v.wire)) {
				want = ErrLength
			}
			require.Equal(t, want, err, fmt.Sprintf("%s, %d octets", v.name, n))
		}
	}
}

func TestHeaderDoesNotAllocate(t *testing.T) {
	good := append(octets(vectors[1].wire), octets(vectors[1].payload)...)
	bad := octets("3000 880b 0000 1234 00000000")
	buf := make([]byte, 64)
	h := vectors[1].header
	require.Zero(t, testing.AllocsPerRun(100, func() {
		var d Header
		if _, err := d.Decode(good); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(bad); err == nil {
			t.Fatal("no error")
		}
		h.Prepend(buf, 16)
		buf = h.Append(buf[:0])[:64]
	}))
}

func BenchmarkHeaderDecode(b *testing.B) {
	wire := append(octets(vectors[1].wire), octets(vectors[1].payload)...)
	var h Header
	b.ReportAllocs()
	for range b.N {
		if _, err := h.Decode(wire); err != nil {
			b.Fatal(err)
		}
	}
}
