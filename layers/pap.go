package layers

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

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

// ErrPAPLength: a field of a PAP packet passes its end.
var ErrPAPLength = errors.New("layers: length of a PAP field out of range")

// Password is the password in a packet. It prints as "[redacted]".
type Password []byte

const redacted = "[redacted]"

// String implements fmt.Stringer.
func (Password) String() string { return redacted }

// Format implements fmt.Formatter, since the verbs for octets pass String over.
func (Password) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements slog.LogValuer.
func (Password) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps passwords out of encoded logs.
func (Password) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// PAP is a packet of the Password Authentication Protocol (RFC 1334 §2).
type PAP struct {
	layers.BaseLayer
	Code PAPCode
	ID   uint8
	// PeerID and Password are those of an Authenticate-Request.
	PeerID   []byte
	Password Password
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
	ok := true
	switch a.Code {
	case PAPRequest:
		var rest, password []byte
		if a.PeerID, rest, ok = field(p.Data); ok {
			password, _, ok = field(rest)
			a.Password = password
		}
	case PAPAck, PAPNak:
		// RFC 1334 §2.2.2 wants the length; some send nothing at all.
		if len(p.Data) > 0 {
			a.Message, _, ok = field(p.Data)
		}
	default:
		a.Message = p.Data
	}
	if !ok {
		return &DecodeError{Layer: LayerTypePAP, Err: ErrPAPLength}
	}
	a.BaseLayer = base
	return nil
}

// field cuts a field with its length in front from b.
func field(b []byte) (value, rest []byte, ok bool) {
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n:n], b[n:], true
}

// SerializeTo implements gopacket.SerializableLayer. Fields of more than 255
// octets are an error.
func (a *PAP) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	var data []byte
	switch a.Code {
	case PAPRequest:
		data = appendField(appendField(nil, a.PeerID), a.Password)
	case PAPAck, PAPNak:
		data = appendField(nil, a.Message)
	default:
		data = a.Message
	}
	if max(len(a.PeerID), len(a.Password)) > 255 || a.Code <= PAPNak && len(a.Message) > 255 {
		return &DecodeError{Layer: LayerTypePAP, Err: ErrPAPLength}
	}
	p := ppp.Packet{Code: ppp.Code(a.Code), ID: a.ID, Data: data}
	return prepend(b, p.Append(nil))
}

func appendField(dst, value []byte) []byte { return append(append(dst, byte(len(value))), value...) }

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
