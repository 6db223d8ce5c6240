package layers

import (
	"errors"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/gopptp/gopptp/ppp"
)

// PPP is the header of a PPP frame in its full or one of its compressed forms.
type PPP struct {
	layers.BaseLayer
	Protocol ppp.Protocol
	// Compression says which parts of the header are left out.
	Compression ppp.HeaderCompression
}

var (
	_ gopacket.DecodingLayer     = (*PPP)(nil)
	_ gopacket.SerializableLayer = (*PPP)(nil)
	_ gopacket.LinkLayer         = (*PPP)(nil)
)

// LayerType implements gopacket.Layer.
func (*PPP) LayerType() gopacket.LayerType { return LayerTypePPP }

var pppClass = gopacket.NewLayerClass([]gopacket.LayerType{LayerTypePPP, layers.LayerTypePPP})

// CanDecode implements gopacket.DecodingLayer. gopacket's own PPP is none, so
// this one decodes what others announce as that.
func (*PPP) CanDecode() gopacket.LayerClass { return pppClass }

// NextLayerType implements gopacket.DecodingLayer. It is the payload for a
// protocol that has no layer type in gopacket's PPPTypeMetadata.
func (f *PPP) NextLayerType() gopacket.LayerType {
	if len(f.Payload) == 0 {
		return gopacket.LayerTypeZero
	}
	if t := layers.PPPType(f.Protocol).LayerType(); t != gopacket.LayerTypeZero {
		return t
	}
	return gopacket.LayerTypePayload
}

// LinkFlow implements gopacket.LinkLayer. PPP has no addresses.
func (*PPP) LinkFlow() gopacket.Flow { return layers.PPPFlow }

// DecodeFromBytes implements gopacket.DecodingLayer.
func (f *PPP) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	*f = PPP{}
	protocol, payload, err := ppp.DecodeFrame(data)
	if err != nil {
		if errors.Is(err, ppp.ErrShortFrame) {
			df.SetTruncated()
		}
		return &DecodeError{Layer: LayerTypePPP, Err: err}
	}
	n := len(data) - len(payload)
	f.Protocol = protocol
	f.BaseLayer = layers.BaseLayer{Contents: data[:n:n], Payload: payload}
	f.Compression.Protocol = n&1 != 0
	f.Compression.AddressControl = n <= 2
	return nil
}

// SerializeTo implements gopacket.SerializableLayer. What cannot be left out is
// there, whatever Compression says.
func (f *PPP) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	var header [ppp.MaxHeader]byte
	return prepend(b, ppp.AppendHeader(header[:0], f.Protocol, f.Compression))
}

// String says which protocol it is.
func (f *PPP) String() string {
	return fmt.Sprintf("%v, %d octets", f.Protocol, len(f.Payload))
}
