package layers

import (
	"fmt"
	"strconv"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/gopptp/gopptp/pap"
	"github.com/gopptp/gopptp/ppp"
)

// PAPCode is the code of a PAP packet (RFC 1334 §2.2).
type PAPCode uint8

// The codes of PAP.
const (
	PAPRequest PAPCode = 1
	PAPAck     PAPCode = 2
	PAPNak     PAPCode = 3
)

func (c PAPCode) String() string {
	switch c {
	case PAPRequest:
		return "Authenticate-Request"
	case PAPAck:
		return "Authenticate-Ack"
	case PAPNak:
		return "Authenticate-Nak"
	}
	return "code " + strconv.Itoa(int(c))
}

// PAP is a packet of the Password Authentication Protocol (RFC 1334 §2).
type PAP struct {
	layers.BaseLayer
	Code PAPCode
	ID   uint8
	// PeerID and Password are those of an Authenticate-Request. The password
	// prints as "[redacted]".
	pap.Request
	// Message is that of an Authenticate-Ack or -Nak, and what a packet of an
	// unknown code has in it.
	Message []byte
}

var (
	_ gopacket.DecodingLayer     = (*PAP)(nil)
	_ gopacket.SerializableLayer = (*PAP)(nil)
)

// LayerType implements gopacket.Layer.
func (*PAP) LayerType() gopacket.LayerType { return LayerTypePAP }

// CanDecode implements gopacket.DecodingLayer.
func (*PAP) CanDecode() gopacket.LayerClass { return LayerTypePAP }

// NextLayerType implements gopacket.DecodingLayer.
func (*PAP) NextLayerType() gopacket.LayerType { return gopacket.LayerTypeZero }

// DecodeFromBytes implements gopacket.DecodingLayer.
func (a *PAP) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	*a = PAP{}
	p, base, err := cut(data, LayerTypePAP, df)
	if err != nil {
		return err
	}
	a.Code, a.ID = PAPCode(p.Code), p.ID
	switch a.Code {
	case PAPRequest:
		_, err = a.Request.Decode(p.Data)
	case PAPAck, PAPNak:
		var m pap.Message
		_, err = m.Decode(p.Data)
		a.Message = m.Text
	default:
		a.Message = p.Data
	}
	if err != nil {
		return &DecodeError{Layer: LayerTypePAP, Err: err}
	}
	a.BaseLayer = base
	return nil
}

// SerializeTo implements gopacket.SerializableLayer. Fields of more than 255
// octets are cut.
func (a *PAP) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	data := a.Message
	switch a.Code {
	case PAPRequest:
		data = a.Request.Append(nil)
	case PAPAck, PAPNak:
		data = (&pap.Message{Text: a.Message}).Append(nil)
	}
	p := ppp.Packet{Code: ppp.Code(a.Code), ID: a.ID, Data: data}
	return prepend(b, p.Append(nil))
}

// String says what the packet says, without the password.
func (a *PAP) String() string {
	s := fmt.Sprintf("%v id %d", a.Code, a.ID)
	switch a.Code {
	case PAPRequest:
		return s + fmt.Sprintf(": name %q", a.PeerID)
	case PAPAck, PAPNak:
		return s + fmt.Sprintf(": %q", a.Message)
	}
	return s
}
