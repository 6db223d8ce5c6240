package mppe

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/ppp"
)

// RFC 1962 §2: the protocol number, and the codes there are: the seven that all
// control protocols share, Reset-Request and Reset-Ack.
func TestCCPProtocolAndCodes(t *testing.T) {
	p := newPeer(t, CCPConfig{Required: true})
	last := p.Out.At(p.Out.Len() - 1).Frame
	require.EqualValues(t, 0x80fd, binary.BigEndian.Uint16(last))
	p.Said()
	for code := range 256 {
		if code >= 1 && code <= 7 || code == 14 || code == 15 {
			continue
		}
		got := p.SayOptions(ppp.Code(code), 9)
		require.Len(t, got, 1, code)
		require.Equal(t, ppp.CodeReject, got[0].Code)
		require.Equal(t, []byte{byte(code), 9, 0, 4}, got[0].Data)
	}
}

// RFC 1962 §4: every algorithm but MPPE is unknown here, and rejected as it came,
// proprietary ones by their OUI among them.
func TestCCPRejectsEveryCompression(t *testing.T) {
	for typ := range 256 {
		if typ == optionMPPE {
			continue
		}
		p := newPeer(t, CCPConfig{Required: true})
		p.Said()
		o := ppp.Option{Type: uint8(typ), Data: []byte{0, 1, 2, 3}}
		got := p.SayOptions(ppp.ConfigureRequest, 1, o, offered.option())
		require.Equal(t, ppp.ConfigureReject, got[0].Code, typ)
		require.Equal(t, ppp.Options{o}.Append(nil), got[0].Data)
	}
}

// RFC 3078 §3 and §3.1: nothing is padded or made longer but by the header, of
// which the bits B and C are zero, and the count goes round after 4095.
func TestPacketFormat(t *testing.T) {
	e, d := newPair(t)
	for i := range 4096 + 10 {
		size := i % 1500
		b := make([]byte, HeaderLen+size)
		e.Seal(b)
		require.EqualValues(t, 0x9000|i&0xfff, binary.BigEndian.Uint16(b))
		if size > 0 {
			got, err := d.Open(b, 0)
			require.NoError(t, err)
			require.Equal(t, make([]byte, size), got)
		} else {
			_, err := d.Open(b, 0)
			require.ErrorIs(t, err, ErrShort)
		}
	}
}

// RFC 3078 §3.1: bits B and C mean nothing.
func TestBitsWithoutMeaning(t *testing.T) {
	e, d := newPair(t)
	for i := range 100 {
		b := seal(e, "text")
		b[0] |= byte(i%4) << 5
		got, err := d.Open(b, 0)
		require.NoError(t, err)
		require.Equal(t, "text", string(got))
	}
}

// RFC 3078 §2: the option as it is on the wire.
func TestOptionOnTheWire(t *testing.T) {
	for _, c := range []struct {
		agreed Agreed
		wire   []byte
	}{
		{Agreed{KeyLength: Key40}, []byte{18, 6, 1, 0, 0, 0x20}},
		{Agreed{KeyLength: Key56}, []byte{18, 6, 1, 0, 0, 0x80}},
		{Agreed{KeyLength: Key128}, []byte{18, 6, 1, 0, 0, 0x40}},
		{Agreed{KeyLength: Key128, Stateful: true}, []byte{18, 6, 0, 0, 0, 0x40}},
	} {
		require.Equal(t, c.wire, ppp.Options{c.agreed.bits().option()}.Append(nil))
	}
	require.EqualValues(t, 0x10, bitObsolete)
	require.EqualValues(t, 0x01, bitCompressed)
}
