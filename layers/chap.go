package layers

import (
	"fmt"
	"strconv"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

// CHAPCode is the code of a CHAP packet (RFC 1994 §4).
type CHAPCode uint8

// The codes of CHAP.
const (
	CHAPChallenge CHAPCode = 1
	CHAPResponse  CHAPCode = 2
	CHAPSuccess   CHAPCode = 3
	CHAPFailure   CHAPCode = 4
)

func (c CHAPCode) String() string {
	switch c {
	case CHAPChallenge:
		return "Challenge"
	case CHAPResponse:
		return "Response"
	case CHAPSuccess:
		return "Success"
	case CHAPFailure:
		return "Failure"
	}
	return "code " + strconv.Itoa(int(c))
}

// CHAP is a packet of the Challenge Handshake Authentication Protocol (RFC 1994,
// RFC 2759). Which algorithm it is of, LCP has agreed on.
type CHAP struct {
	layers.BaseLayer
	Code CHAPCode
	ID   uint8
	// Value and Name are those of a Challenge or a Response.
	chap.Value
	// Message is that of a Success or a Failure, and what a packet of an
	// unknown code has in it.
	Message []byte
}

var (
	_ gopacket.DecodingLayer     = (*CHAP)(nil)
	_ gopacket.SerializableLayer = (*CHAP)(nil)
)

// LayerType implements gopacket.Layer.
func (*CHAP) LayerType() gopacket.LayerType { return LayerTypeCHAP }

// CanDecode implements gopacket.DecodingLayer.
func (*CHAP) CanDecode() gopacket.LayerClass { return LayerTypeCHAP }

// NextLayerType implements gopacket.DecodingLayer.
func (*CHAP) NextLayerType() gopacket.LayerType { return gopacket.LayerTypeZero }

// hasValue reports whether the packet is a Challenge or a Response.
func (c *CHAP) hasValue() bool { return c.Code == CHAPChallenge || c.Code == CHAPResponse }

// DecodeFromBytes implements gopacket.DecodingLayer.
func (c *CHAP) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	*c = CHAP{}
	p, base, err := cut(data, LayerTypeCHAP, df)
	if err != nil {
		return err
	}
	c.Code, c.ID = CHAPCode(p.Code), p.ID
	if !c.hasValue() {
		c.Message = p.Data
	} else if _, err := c.Value.Decode(p.Data); err != nil {
		return &DecodeError{Layer: LayerTypeCHAP, Err: err}
	}
	c.BaseLayer = base
	return nil
}

// SerializeTo implements gopacket.SerializableLayer.
func (c *CHAP) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	data := c.Message
	if c.hasValue() {
		data = c.Value.Append(nil)
	}
	p := ppp.Packet{Code: ppp.Code(c.Code), ID: c.ID, Data: data}
	return prepend(b, p.Append(nil))
}

// MSCHAPv2 splits the value of a Response of MS-CHAPv2 (RFC 2759 §4). The slices
// refer to the packet. ok is false if this is none.
func (c *CHAP) MSCHAPv2() (peerChallenge, ntResponse []byte, ok bool) {
	v := c.Value.Value
	if c.Code != CHAPResponse || len(v) != 49 {
		return nil, nil, false
	}
	return v[:16:16], v[24:48:48], true
}

// MSCHAPFailure is what a Failure of MS-CHAP says (RFC 2759 §6), nil if the
// packet is no Failure.
func (c *CHAP) MSCHAPFailure() *chap.FailureError {
	if c.Code != CHAPFailure {
		return nil
	}
	return chap.ParseFailure(c.Message)
}

// String says what the packet says. Challenges and responses are left out.
func (c *CHAP) String() string {
	s := fmt.Sprintf("%v id %d", c.Code, c.ID)
	switch c.Code {
	case CHAPChallenge, CHAPResponse:
		return s + fmt.Sprintf(": name %q, value of %d octets", c.Name, len(c.Value.Value))
	case CHAPSuccess, CHAPFailure:
		return s + fmt.Sprintf(": %q", c.Message)
	}
	return s
}
