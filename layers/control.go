package layers

import (
	"errors"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/gopptp/gopptp/ppp"
)

// Control is what a control packet of LCP and one of a network control protocol
// have in common (RFC 1661 §5). Its contents are the packet without padding, and
// it has no payload.
type Control struct {
	layers.BaseLayer
	Code ppp.Code
	ID   uint8
	// Options are those of Configure-Request, -Ack, -Nak and -Reject.
	Options ppp.Options
	// Data is what any other packet has in it.
	Data []byte
}

// HasOptions reports whether the packet is one of the four that consist of
// options.
func (c *Control) HasOptions() bool {
	return c.Code >= ppp.ConfigureRequest && c.Code <= ppp.ConfigureReject
}

// NextLayerType implements gopacket.DecodingLayer.
func (*Control) NextLayerType() gopacket.LayerType { return gopacket.LayerTypeZero }

// cut decodes the four octets that all control packets begin with.
func cut(data []byte, t gopacket.LayerType, df gopacket.DecodeFeedback) (p ppp.Packet, base layers.BaseLayer, err error) {
	n, err := p.Decode(data)
	if err != nil {
		// The length is wrong, or the capture has not all of the packet.
		if errors.Is(err, ppp.ErrShortPacket) || int(data[2])<<8|int(data[3]) > len(data) {
			df.SetTruncated()
		}
		return p, base, &DecodeError{Layer: t, Err: err}
	}
	return p, layers.BaseLayer{Contents: data[:n:n]}, nil
}

// decodeControl is DecodeFromBytes for a layer of type t.
func (c *Control) decodeControl(data []byte, t gopacket.LayerType, df gopacket.DecodeFeedback) error {
	clear(c.Options) // they must not keep an earlier packet alive
	*c = Control{Options: c.Options[:0]}
	p, base, err := cut(data, t, df)
	if err != nil {
		return err
	}
	c.Code, c.ID = p.Code, p.ID
	if !c.HasOptions() {
		c.Data = p.Data
	} else if _, err := c.Options.Decode(p.Data); err != nil {
		return &DecodeError{Layer: t, Err: err}
	}
	c.BaseLayer = base
	return nil
}

// SerializeTo implements gopacket.SerializableLayer.
func (c *Control) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	return c.serialize(b, c.Data)
}

func (c *Control) serialize(b gopacket.SerializeBuffer, data []byte) error {
	if c.HasOptions() {
		data = c.Options.Append(nil)
	}
	p := ppp.Packet{Code: c.Code, ID: c.ID, Data: data}
	return prepend(b, p.Append(nil))
}

// describe is the String of a layer of the given protocol.
func (c *Control) describe(protocol ppp.Protocol) string {
	s := fmt.Sprintf("%v id %d", c.Code, c.ID)
	switch {
	case c.HasOptions() && len(c.Options) > 0:
		s += ": " + DescribeOptions(protocol, c.Options)
	case len(c.Data) > 0:
		s += fmt.Sprintf(", %d octets", len(c.Data))
	}
	return s
}
