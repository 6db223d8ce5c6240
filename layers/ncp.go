package layers

import (
	"github.com/google/gopacket"

	"github.com/gopptp/gopptp/ppp"
)

// IPCP is a packet of the Internet Protocol Control Protocol (RFC 1332).
type IPCP struct{ Control }

// IPV6CP is a packet of the IPv6 Control Protocol (RFC 5072).
type IPV6CP struct{ Control }

// CCP is a packet of the Compression Control Protocol (RFC 1962).
type CCP struct{ Control }

var (
	_ gopacket.DecodingLayer     = (*IPCP)(nil)
	_ gopacket.SerializableLayer = (*IPCP)(nil)
	_ gopacket.DecodingLayer     = (*IPV6CP)(nil)
	_ gopacket.SerializableLayer = (*IPV6CP)(nil)
	_ gopacket.DecodingLayer     = (*CCP)(nil)
	_ gopacket.SerializableLayer = (*CCP)(nil)
)

// LayerType implements gopacket.Layer.
func (*IPCP) LayerType() gopacket.LayerType { return LayerTypeIPCP }

// LayerType implements gopacket.Layer.
func (*IPV6CP) LayerType() gopacket.LayerType { return LayerTypeIPV6CP }

// LayerType implements gopacket.Layer.
func (*CCP) LayerType() gopacket.LayerType { return LayerTypeCCP }

// CanDecode implements gopacket.DecodingLayer.
func (*IPCP) CanDecode() gopacket.LayerClass { return LayerTypeIPCP }

// CanDecode implements gopacket.DecodingLayer.
func (*IPV6CP) CanDecode() gopacket.LayerClass { return LayerTypeIPV6CP }

// CanDecode implements gopacket.DecodingLayer.
func (*CCP) CanDecode() gopacket.LayerClass { return LayerTypeCCP }

// DecodeFromBytes implements gopacket.DecodingLayer.
func (c *IPCP) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	return c.decodeControl(data, LayerTypeIPCP, df)
}

// DecodeFromBytes implements gopacket.DecodingLayer.
func (c *IPV6CP) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	return c.decodeControl(data, LayerTypeIPV6CP, df)
}

// DecodeFromBytes implements gopacket.DecodingLayer.
func (c *CCP) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	return c.decodeControl(data, LayerTypeCCP, df)
}

// String says what the packet says.
func (c *IPCP) String() string { return c.describe(ppp.ProtocolIPCP) }

// String says what the packet says.
func (c *IPV6CP) String() string { return c.describe(ppp.ProtocolIPV6CP) }

// String says what the packet says.
func (c *CCP) String() string { return c.describe(ppp.ProtocolCCP) }
