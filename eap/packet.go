package eap

import (
	"errors"
	"fmt"

	"github.com/gopptp/gopptp/ppp"
)

// The codes of EAP (RFC 2284 §2.2). A packet is a ppp.Packet.
const (
	CodeRequest  ppp.Code = 1
	CodeResponse ppp.Code = 2
	CodeSuccess  ppp.Code = 3
	CodeFailure  ppp.Code = 4
)

// Type is what a Request asks for and a Response answers.
type Type uint8

// The types of RFC 2284 §3, and those of methods in use with PPTP.
const (
	TypeIdentity     Type = 1
	TypeNotification Type = 2
	TypeNak          Type = 3 // in a Response only
	TypeMD5          Type = 4
	TypeTLS          Type = 13
	TypeMSCHAPv2     Type = 26
)

func (t Type) String() string {
	switch t {
	case TypeIdentity:
		return "Identity"
	case TypeNotification:
		return "Notification"
	case TypeNak:
		return "Nak"
	case TypeMD5:
		return "MD5-Challenge"
	case TypeTLS:
		return "EAP-TLS"
	case TypeMSCHAPv2:
		return "EAP-MSCHAPv2"
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// ErrNoType is returned for a Request or a Response that has no type.
var ErrNoType = errors.New("eap: packet without a type")

// maxIdentity bounds an identity, in octets.
const maxIdentity = 255

// Message is the content of a Request or a Response (RFC 2284 §2.2.1).
type Message struct {
	Type Type
	Data []byte
}

// Decode parses what follows the packet's length field. Data aliases b.
func (m *Message) Decode(b []byte) (n int, err error) {
	*m = Message{}
	if len(b) == 0 {
		return 0, ErrNoType
	}
	m.Type, m.Data = Type(b[0]), b[1:]
	return len(b), nil
}

// Append appends the content.
func (m *Message) Append(dst []byte) []byte {
	return append(append(dst, byte(m.Type)), m.Data...)
}

// packet returns a Request or a Response.
func packet(code ppp.Code, id uint8, typ Type, data []byte) []byte {
	m := Message{Type: typ, Data: data}
	p := ppp.Packet{Code: code, ID: id, Data: m.Append(nil)}
	return p.Append(nil)
}

// send sends an encoded packet.
func send(b []byte, out *ppp.Output) {
	var p ppp.Packet
	if _, err := p.Decode(b); err == nil { // checked before it got here
		out.Send(ppp.ProtocolEAP, p)
	}
}
