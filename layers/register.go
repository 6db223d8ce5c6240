package layers

import (
	"encoding/binary"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// firstLayerType is the number of the first of our layer types. gopacket has
// the numbers from 1000 to 1999 for others to choose from.
const firstLayerType = pptp.Port

// The types of the layers.
var (
	LayerTypePPTP        = register(0, "PPTP", func() decodable { return new(PPTP) })
	LayerTypeEnhancedGRE = register(1, "EnhancedGRE", func() decodable { return new(EnhancedGRE) })
	// LayerTypePPP is not gopacket's, since [PPP] is another struct.
	LayerTypePPP    = register(2, "PPPFrame", func() decodable { return new(PPP) })
	LayerTypeLCP    = register(3, "LCP", func() decodable { return new(LCP) })
	LayerTypePAP    = register(4, "PAP", func() decodable { return new(PAP) })
	LayerTypeCHAP   = register(5, "CHAP", func() decodable { return new(CHAP) })
	LayerTypeIPCP   = register(6, "IPCP", func() decodable { return new(IPCP) })
	LayerTypeIPV6CP = register(7, "IPV6CP", func() decodable { return new(IPV6CP) })
	LayerTypeCCP    = register(8, "CCP", func() decodable { return new(CCP) })
	LayerTypeMPPE   = register(9, "MPPE", func() decodable { return new(MPPE) })
)

// decodable is a layer that can decode itself.
type decodable interface {
	gopacket.Layer
	gopacket.DecodingLayer
}

func register(n int, name string, create func() decodable) gopacket.LayerType {
	return gopacket.RegisterLayerType(firstLayerType+n, gopacket.LayerTypeMetadata{
		Name: name,
		Decoder: gopacket.DecodeFunc(func(data []byte, p gopacket.PacketBuilder) error {
			return decode(create(), data, p)
		}),
	})
}

// decode adds a layer to a packet, and has the packet go on with what is in it.
func decode(l decodable, data []byte, p gopacket.PacketBuilder) error {
	if err := l.DecodeFromBytes(data, p); err != nil {
		// Messages in front of the bad one are worth showing.
		if m, ok := l.(*PPTP); ok && len(m.Messages) > 0 {
			p.AddLayer(m)
			p.SetApplicationLayer(m)
		}
		return err
	}
	p.AddLayer(l)
	switch l := l.(type) {
	case *PPP:
		p.SetLinkLayer(l)
	case *PPTP:
		p.SetApplicationLayer(l)
	}
	if next := l.NextLayerType(); next != gopacket.LayerTypeZero {
		return p.NextDecoder(next)
	}
	return nil
}

// DecodeError says which layer is malformed.
type DecodeError struct {
	Layer gopacket.LayerType
	// Err is what the protocol's package says, such as gre.ErrVersion, a
	// *pptp.FramingError or ppp.ErrPacketLength.
	Err error
}

func (e *DecodeError) Error() string { return fmt.Sprintf("layers: %v: %v", e.Layer, e.Err) }

// Unwrap returns e.Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// protocols are the PPP protocols that become a layer of ours.
var protocols = []struct {
	protocol ppp.Protocol
	layer    gopacket.LayerType
}{
	{ppp.ProtocolLCP, LayerTypeLCP},
	{ppp.ProtocolPAP, LayerTypePAP},
	{ppp.ProtocolCHAP, LayerTypeCHAP},
	{ppp.ProtocolIPCP, LayerTypeIPCP},
	{ppp.ProtocolIPV6CP, LayerTypeIPV6CP},
	{ppp.ProtocolCCP, LayerTypeCCP},
	{ppp.ProtocolCompressed, LayerTypeMPPE},
}

// A program that shall decode PPTP without being changed has nobody to call a
// function of ours, so it happens here. gopacket has filled in its own tables
// by now.
func init() {
	for _, x := range protocols {
		layers.PPPTypeMetadata[x.protocol] = layers.EnumMetadata{
			DecodeWith: x.layer, Name: x.layer.String(), LayerType: x.layer,
		}
	}
	for protocol, layer := range map[layers.PPPType]gopacket.LayerType{
		layers.PPPTypeIPv4:          layers.LayerTypeIPv4,
		layers.PPPTypeIPv6:          layers.LayerTypeIPv6,
		layers.PPPTypeMPLSUnicast:   layers.LayerTypeMPLS,
		layers.PPPTypeMPLSMulticast: layers.LayerTypeMPLS,
	} {
		layers.PPPTypeMetadata[protocol].LayerType = layer
	}

	layers.RegisterTCPPortLayerType(pptp.Port, LayerTypePPTP)
	override(layers.LayerTypeTCP, layers.IPProtocolTCP, decodeTCP)
	override(layers.LayerTypeGRE, layers.IPProtocolGRE, decodeGRE)
}

// override puts a decoder in front of the one that gopacket has for a layer. A
// layer is found by its type from IPv4 and by the number of the IP protocol
// behind an extension header of IPv6.
func override(t gopacket.LayerType, protocol layers.IPProtocol,
	f func(data []byte, p gopacket.PacketBuilder, stock gopacket.Decoder) error,
) {
	stock := layers.IPProtocolMetadata[protocol].DecodeWith
	d := gopacket.DecodeFunc(func(data []byte, p gopacket.PacketBuilder) error { return f(data, p, stock) })
	gopacket.OverrideLayerType(int(t), gopacket.LayerTypeMetadata{Name: t.String(), Decoder: d})
	layers.IPProtocolMetadata[protocol].DecodeWith = d
}

// decodeGRE tells enhanced from plain GRE.
func decodeGRE(data []byte, p gopacket.PacketBuilder, stock gopacket.Decoder) error {
	if isEnhancedGRE(data) {
		return decode(new(EnhancedGRE), data, p)
	}
	return stock.Decode(data, p)
}

// decodeTCP has a segment that begins with a control message decoded as such,
// although gopacket does not look into streams unless it is told to.
func decodeTCP(data []byte, p gopacket.PacketBuilder, stock gopacket.Decoder) error {
	if p.DecodeOptions().DecodeStreamsAsDatagrams || !beginsMessage(data) {
		return stock.Decode(data, p)
	}
	tcp := new(layers.TCP)
	if err := tcp.DecodeFromBytes(data, p); err != nil {
		return err
	}
	p.AddLayer(tcp)
	p.SetTransportLayer(tcp)
	return p.NextDecoder(LayerTypePPTP)
}

// beginsMessage reports whether a TCP segment, header included, is of the port
// of PPTP and begins with the header of a control message. Others may have the
// port by chance, or be in the middle of a message.
func beginsMessage(tcp []byte) bool {
	if len(tcp) < 20 || binary.BigEndian.Uint16(tcp) != pptp.Port && binary.BigEndian.Uint16(tcp[2:]) != pptp.Port {
		return false
	}
	header := int(tcp[12]>>4) * 4
	if header < 20 || len(tcp) < header+8 {
		return false
	}
	message := tcp[header:]
	return binary.BigEndian.Uint16(message[2:]) == 1 && binary.BigEndian.Uint32(message[4:]) == pptp.MagicCookie
}
