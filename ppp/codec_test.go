package ppp

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecodeFrame(t *testing.T) {
	for _, c := range []struct {
		in      []byte
		proto   Protocol
		payload []byte
		err     error
	}{
		{[]byte{0xff, 0x03, 0xc0, 0x21, 1, 2}, ProtocolLCP, []byte{1, 2}, nil},
		{[]byte{0xc0, 0x21, 1, 2}, ProtocolLCP, []byte{1, 2}, nil},
		{[]byte{0xff, 0x03, 0x21, 0x45}, ProtocolIPv4, []byte{0x45}, nil},
		{[]byte{0xff, 0x03, 0x00, 0x21, 0x45}, ProtocolIPv4, []byte{0x45}, nil},
		{[]byte{0x21, 0x45}, ProtocolIPv4, []byte{0x45}, nil},
		{[]byte{0x00, 0x21, 0x45}, ProtocolIPv4, []byte{0x45}, nil},
		{[]byte{0xfd, 0x90, 0x00}, ProtocolCompressed, []byte{0x90, 0x00}, nil},
		{[]byte{0x21}, ProtocolIPv4, []byte{}, nil},
		{[]byte{0xc0, 0x21}, ProtocolLCP, []byte{}, nil},
		{nil, 0, nil, ErrShortFrame},
		{[]byte{0xff}, 0, nil, ErrShortFrame},
		{[]byte{0xff, 0x03}, 0, nil, ErrShortFrame},
		{[]byte{0xff, 0x03, 0xc0}, 0, nil, ErrShortFrame},
		{[]byte{0xc0}, 0, nil, ErrShortFrame},
		{[]byte{0xff, 0x13, 0xc0, 0x21}, 0, nil, ErrAddress},
		{[]byte{0xc0, 0x20, 1}, 0, nil, ErrProtocol},
		{[]byte{0, 0, 0, 0}, 0, nil, ErrProtocol},
	} {
		p, payload, err := DecodeFrame(c.in)
		require.ErrorIs(t, err, c.err, "%x", c.in)
		require.Equal(t, c.proto, p, "%x", c.in)
		require.Equal(t, c.payload, payload, "%x", c.in)
	}
}

func TestAppendHeader(t *testing.T) {
	for _, c := range []struct {
		p    Protocol
		hc   HeaderCompression
		want []byte
	}{
		{ProtocolIPv4, HeaderCompression{}, []byte{0xff, 3, 0, 0x21}},
		{ProtocolIPv4, HeaderCompression{Protocol: true}, []byte{0xff, 3, 0x21}},
		{ProtocolIPv4, HeaderCompression{AddressControl: true}, []byte{0, 0x21}},
		{ProtocolIPv4, HeaderCompression{true, true}, []byte{0x21}},
		{ProtocolIPCP, HeaderCompression{true, true}, []byte{0x80, 0x21}},
		{ProtocolLCP, HeaderCompression{true, true}, []byte{0xff, 3, 0xc0, 0x21}},
		{ProtocolCompressed, HeaderCompression{true, true}, []byte{0xfd}},
		{0x00ff, HeaderCompression{true, true}, []byte{0, 0xff}}, // or it would be the address
		{0x00ff, HeaderCompression{Protocol: true}, []byte{0xff, 3, 0, 0xff}},
	} {
		got := AppendHeader(nil, c.p, c.hc)
		require.Equal(t, c.want, got)
		require.LessOrEqual(t, len(got), MaxHeader)
		p, rest, err := DecodeFrame(got)
		require.NoError(t, err)
		require.Equal(t, c.p, p)
		require.Empty(t, rest)
	}
}

// Every number that a protocol can have comes back from every form of header.
// Of the others none is compressed.
func TestEveryProtocolComesBack(t *testing.T) {
	for p := range 1 << 16 {
		p := Protocol(p)
		if p&0x0101 != 1 {
			require.Len(t, AppendProtocol(nil, p, true), 2)
			continue
		}
		for _, c := range []HeaderCompression{{}, {Protocol: true}, {AddressControl: true}, {true, true}} {
			got, rest, err := DecodeFrame(AppendHeader(nil, p, c))
			if err != nil || got != p || len(rest) != 0 {
				t.Fatalf("%v with %+v: %v %x %v", p, c, got, rest, err)
			}
		}
	}
}

func TestHeaderAllocs(t *testing.T) {
	buf := make([]byte, 0, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b := AppendHeader(buf, ProtocolIPv4, HeaderCompression{})
		if _, _, err := DecodeFrame(b); err != nil {
			panic(err)
		}
	}))
}

func TestPacket(t *testing.T) {
	p := Packet{ConfigureNak, 7, []byte{1, 2, 3}}
	b := p.Append([]byte{0xee})
	require.Equal(t, []byte{0xee, 3, 7, 0, 7, 1, 2, 3}, b)
	var got Packet
	n, err := got.Decode(append(b[1:], 9, 9))
	require.NoError(t, err)
	require.Equal(t, 7, n)
	require.Equal(t, p, got)
	require.Equal(t, 3, cap(got.Data), "appending to data must not reach the padding")

	for _, bad := range []struct {
		b   []byte
		err error
	}{
		{nil, ErrShortPacket},
		{[]byte{1, 2, 0}, ErrShortPacket},
		{[]byte{1, 2, 0, 0}, ErrPacketLength},
		{[]byte{1, 2, 0, 3}, ErrPacketLength},
		{[]byte{1, 2, 0, 5}, ErrPacketLength},
	} {
		n, err := got.Decode(bad.b)
		require.ErrorIs(t, err, bad.err)
		require.Zero(t, n)
		require.Equal(t, Packet{}, got, "every field is reset")
	}

	long := Packet{Code: EchoRequest, Data: make([]byte, 70000)}
	b = long.Append(nil)
	require.Len(t, b, 0xffff)
	_, err = got.Decode(b)
	require.NoError(t, err)
}

func TestOptions(t *testing.T) {
	opts := Options{{1, []byte{5, 220}}, {7, []byte{}}, {200, bytes.Repeat([]byte{1}, 253)}}
	b := opts.Append(nil)
	var got Options
	n, err := got.Decode(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
	require.Equal(t, opts, got)

	c := got.Clone()
	b[2] = 99
	require.Equal(t, byte(99), got[0].Data[0], "decoded data alias the input")
	require.Equal(t, byte(5), c[0].Data[0])

	o, ok := c.Get(7)
	require.True(t, ok)
	require.Equal(t, uint8(7), o.Type)
	_, ok = c.Get(8)
	require.False(t, ok)
	require.True(t, Option{1, nil}.Equal(Option{1, []byte{}}))
	require.False(t, Option{1, nil}.Equal(Option{2, nil}))
	require.False(t, Option{1, []byte{1}}.Equal(Option{1, []byte{2}}))

	for _, bad := range []struct {
		b []byte
		n int
	}{{[]byte{1}, 0}, {[]byte{1, 0}, 0}, {[]byte{1, 1}, 0}, {[]byte{1, 3}, 0}, {[]byte{7, 2, 1, 1, 1}, 2}} {
		n, err := got.Decode(bad.b)
		require.ErrorIs(t, err, ErrOptionLength, "%x", bad.b)
		require.Equal(t, bad.n, n)
	}
	require.Len(t, Options{{1, make([]byte, 300)}}.Append(nil), 255)
}

func TestNames(t *testing.T) {
	require.Equal(t, "Configure-Request", ConfigureRequest.String())
	require.Equal(t, "code 99", Code(99).String())
	require.Equal(t, "code 0", Code(0).String())
	require.Equal(t, "IPCP", ProtocolIPCP.String())
	require.Equal(t, "protocol 0x1234", Protocol(0x1234).String())
	require.Equal(t, "MS-CHAPv2", AuthMSCHAPv2.String())
	require.Equal(t, "PAP", AuthPAP.String())
	require.Equal(t, "none", AuthMethod{}.String())
	require.True(t, ProtocolIPCP.IsNCP())
	require.True(t, ProtocolCCP.IsNCP())
	require.False(t, ProtocolLCP.IsNCP())
	require.True(t, ProtocolIPv4.IsData())
	require.False(t, ProtocolIPCP.IsData())
}

func TestOutput(t *testing.T) {
	var out Output
	out.Send(ProtocolLCP, Packet{Code: EchoRequest, ID: 1, Data: []byte{1}})
	first := out.At(0).Frame
	out.Emit(LayerUp{ProtocolIPCP})
	out.Send(ProtocolIPCP, Packet{Code: TerminateAck, ID: 2, Data: make([]byte, 1000)})
	require.Equal(t, 3, out.Len())
	want := []byte{0xc0, 0x21, 9, 1, 0, 5, 1}
	require.Equal(t, want, first, "valid although more was sent")
	require.Equal(t, want, out.At(0).Frame)
	require.Nil(t, out.At(0).Event)
	require.Equal(t, LayerUp{ProtocolIPCP}, out.At(1).Event)
	require.Len(t, out.At(2).Frame, 1006)
	out.Reset()
	require.Zero(t, out.Len())
	require.Zero(t, testing.AllocsPerRun(100, func() {
		out.Send(ProtocolLCP, Packet{Code: EchoReply, ID: 1})
		out.Reset()
	}))
}
