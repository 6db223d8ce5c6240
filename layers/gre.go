package layers

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/gopptp/gopptp/gre"
)

// EnhancedGRE is the header of enhanced GRE. Its payload is a PPP frame, or
// nothing in a packet that only acknowledges.
type EnhancedGRE struct {
	layers.BaseLayer
	gre.Header
}

var (
	_ gopacket.DecodingLayer     = (*EnhancedGRE)(nil)
	_ gopacket.SerializableLayer = (*EnhancedGRE)(nil)
)

// isEnhancedGRE looks at version and protocol type.
func isEnhancedGRE(data []byte) bool {
	return len(data) >= 4 && data[1]&7 == 1 && binary.BigEndian.Uint16(data[2:]) == gre.ProtocolPPP
}

// LayerType implements gopacket.Layer.
func (*EnhancedGRE) LayerType() gopacket.LayerType { return LayerTypeEnhancedGRE }

// greClass has the layer type by which gopacket's IP layers name any GRE.
var greClass = gopacket.NewLayerClass([]gopacket.LayerType{LayerTypeEnhancedGRE, layers.LayerTypeGRE})

// CanDecode implements gopacket.DecodingLayer. gopacket's IP layers name GRE of
// any version by one layer type, so that is in it too.
func (*EnhancedGRE) CanDecode() gopacket.LayerClass { return greClass }

// NextLayerType implements gopacket.DecodingLayer.
func (g *EnhancedGRE) NextLayerType() gopacket.LayerType {
	if len(g.Payload) == 0 {
		return gopacket.LayerTypeZero
	}
	return LayerTypePPP
}

// Decode is DecodeFromBytes without a payload, as gre.Header has it. It is here
// because the method of the embedded header would leave the BaseLayer as it was.
func (g *EnhancedGRE) Decode(b []byte) (n int, err error) {
	g.BaseLayer = layers.BaseLayer{}
	return g.Header.Decode(b)
}

// DecodeFromBytes implements gopacket.DecodingLayer. A payload that ends early,
// as in a capture that keeps the first octets of each packet only, is marked as
// truncated and not an error.
func (g *EnhancedGRE) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	n, err := g.Decode(data)
	size := int(g.PayloadLength)
	if errors.Is(err, gre.ErrLength) {
		df.SetTruncated()
		n, size, err = g.decodeTruncated(data)
	}
	if err != nil {
		return &DecodeError{Layer: LayerTypeEnhancedGRE, Err: err}
	}
	g.BaseLayer = layers.BaseLayer{Contents: data[:n:n], Payload: data[n : n+size : n+size]}
	return nil
}

// decodeTruncated decodes a header whose payload is not all there, which is the
// only thing wrong with it.
func (g *EnhancedGRE) decodeTruncated(data []byte) (n, size int, err error) {
	var header [gre.MaxHeaderLen]byte
	copy(header[:], data)
	length := binary.BigEndian.Uint16(header[4:])
	header[4], header[5] = 0, 0
	n, err = g.Decode(header[:min(len(data), len(header))])
	g.PayloadLength = length
	return n, len(data) - n, err
}

// SerializeTo implements gopacket.SerializableLayer. With FixLengths, the payload
// length written is that of what the buffer holds.
func (g *EnhancedGRE) SerializeTo(b gopacket.SerializeBuffer, opts gopacket.SerializeOptions) error {
	h := g.Header
	if opts.FixLengths {
		size := len(b.Bytes())
		if size > 0xffff {
			return &DecodeError{Layer: LayerTypeEnhancedGRE, Err: gre.ErrLength}
		}
		h.PayloadLength = uint16(size)
	}
	if h.PayloadLength != 0 && !h.HasSequence {
		return &DecodeError{Layer: LayerTypeEnhancedGRE, Err: gre.ErrSequence}
	}
	room, err := b.PrependBytes(h.Len())
	if err != nil {
		return err
	}
	h.Prepend(room, len(room))
	return nil
}

// String says what the header says.
func (g *EnhancedGRE) String() string {
	s := fmt.Sprintf("call ID %d", g.CallID)
	if g.HasSequence {
		s += fmt.Sprintf(", sequence %d", g.Sequence)
	}
	if g.HasAck {
		s += fmt.Sprintf(", acknowledges %d", g.Ack)
	}
	return s + fmt.Sprintf(", %d octets", g.PayloadLength)
}
