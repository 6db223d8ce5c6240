package layers_test

import (
	"bytes"
	"testing"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// layer is what all of ours can do.
type layer interface {
	gopacket.Layer
	gopacket.DecodingLayer
	gopacket.SerializableLayer
	String() string
}

var kinds = []func() layer{
	func() layer { return new(layers.PPTP) },
	func() layer { return new(layers.EnhancedGRE) },
	func() layer { return new(layers.PPP) },
	func() layer { return new(layers.LCP) },
	func() layer { return new(layers.PAP) },
	func() layer { return new(layers.CHAP) },
	func() layer { return new(layers.IPCP) },
	func() layer { return new(layers.IPV6CP) },
	func() layer { return new(layers.CCP) },
	func() layer { return new(layers.MPPE) },
}

// FuzzLayers decodes anything as every layer: no panic, contents and payload
// within the input, and what a layer encodes decodes to the same.
func FuzzLayers(f *testing.F) {
	f.Add(uint8(0), (&pptp.StartControlConnectionRequest{HostName: "pc"}).Append(nil))
	f.Add(uint8(0), (&pptp.EchoRequest{}).Append((&pptp.CallClearRequest{CallID: 1}).Append(nil))[:20])
	f.Add(uint8(1), append((&gre.Header{PayloadLength: 1, CallID: 1, HasSequence: true, HasAck: true}).Append(nil), 1))
	f.Add(uint8(2), ppp.AppendHeader(nil, ppp.ProtocolIPCP, ppp.HeaderCompression{}))
	f.Add(uint8(2), ppp.AppendHeader(nil, ppp.ProtocolIPv4, ppp.HeaderCompression{Protocol: true, AddressControl: true}))
	for i := range uint8(3) {
		for _, kind := range []uint8{3, 6, 7, 8} {
			f.Add(kind, (&ppp.Packet{Code: ppp.ConfigureRequest + ppp.Code(4*i), ID: 1, Data: []byte{1, 4, 5, 0, 7, 2}}).Append(nil))
		}
		f.Add(uint8(4), (&ppp.Packet{Code: ppp.Code(1 + i), Data: []byte{1, 'a', 1, 'b'}}).Append(nil))
		f.Add(uint8(5), (&ppp.Packet{Code: ppp.Code(2 + i), Data: []byte{1, 'a', 'b'}}).Append(nil))
	}
	f.Add(uint8(3), (&ppp.Packet{Code: ppp.ProtocolReject, ID: 1, Data: []byte{0x80, 0xfd}}).Append(nil))
	f.Add(uint8(9), []byte{0x90, 1, 2})

	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		l := kinds[int(kind)%len(kinds)]()
		if err := l.DecodeFromBytes(data, gopacket.NilDecodeFeedback); err != nil {
			var malformed *layers.DecodeError
			require.ErrorAs(t, err, &malformed)
			require.Equal(t, l.LayerType(), malformed.Layer)
			return
		}
		_ = l.String()
		contents, payload := l.LayerContents(), l.LayerPayload()
		require.LessOrEqual(t, len(contents)+len(payload), len(data))
		require.Equal(t, data[:len(contents)], contents)

		// Again, from what it encodes.
		b := gopacket.NewSerializeBuffer()
		require.NoError(t, gopacket.Payload(payload).SerializeTo(b, gopacket.SerializeOptions{}))
		require.NoError(t, l.SerializeTo(b, gopacket.SerializeOptions{FixLengths: true}))
		enc := append([]byte(nil), b.Bytes()...)
		again := kinds[int(kind)%len(kinds)]()
		require.NoError(t, again.DecodeFromBytes(enc, gopacket.NilDecodeFeedback))
		require.True(t, bytes.Equal(payload, again.LayerPayload()))
		b = gopacket.NewSerializeBuffer()
		require.NoError(t, gopacket.Payload(payload).SerializeTo(b, gopacket.SerializeOptions{}))
		require.NoError(t, again.SerializeTo(b, gopacket.SerializeOptions{FixLengths: true}))
		require.Equal(t, enc, b.Bytes())
	})
}

// FuzzPacket decodes anything the way a program does, from GRE or TCP on. What
// gopacket itself makes of packets within is not judged.
func FuzzPacket(f *testing.F) {
	f.Add(true, frame(f, ppp.HeaderCompression{}, ppp.ProtocolLCP, (&ppp.Packet{Code: ppp.EchoRequest, Data: make([]byte, 4)}).Append(nil))[34:])
	f.Add(true, frame(f, ppp.HeaderCompression{}, ppp.ProtocolCompressed, []byte{0x90, 0, 1})[34:])
	f.Add(true, frame(f, ppp.HeaderCompression{}, ppp.ProtocolCompressed, []byte{0x80, 0, 0x21, 0x45})[34:])
	f.Add(false, segment(f, (&pptp.EchoRequest{}).Append(nil))[34:])
	f.Fuzz(func(t *testing.T, isGRE bool, data []byte) {
		first := stock.LayerTypeTCP
		if isGRE {
			first = stock.LayerTypeGRE
		}
		p := gopacket.NewPacket(data, first, gopacket.Default)
		next := gopacket.LayerTypeZero
		for _, l := range p.Layers() {
			if d, ok := l.(*gopacket.DecodeFailure); ok && next >= layers.LayerTypePPTP && next <= layers.LayerTypeMPPE {
				require.Empty(t, d.Dump(), "a panic") // has a stack then
			}
			next = gopacket.LayerTypeZero
			if l, ok := l.(layer); ok {
				_ = gopacket.LayerString(l)
				next = l.NextLayerType()
			}
		}
	})
}
