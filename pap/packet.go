package pap

import (
	"errors"
	"fmt"

	"github.com/gopptp/gopptp/ppp"
)

// The codes of PAP (RFC 1334 §2.2).
const (
	codeRequest ppp.Code = 1
	codeAck     ppp.Code = 2
	codeNak     ppp.Code = 3
)

// ErrLength is returned for a packet whose fields do not fit it.
var ErrLength = errors.New("pap: length out of range")

// maxField bounds each field, in octets: its length is one octet.
const maxField = 255

// Request is the content of an Authenticate-Request (RFC 1334 §2.2.1).
type Request struct {
	PeerID   []byte
	Password ppp.Secret
}

// Decode parses what follows the packet's length field and returns the octets it
// took. The slices alias b.
func (r *Request) Decode(b []byte) (n int, err error) {
	*r = Request{}
	id, n, err := decodeField("peer ID", b, 0)
	if err != nil {
		return 0, err
	}
	password, n, err := decodeField("password", b, n)
	if err != nil {
		return 0, err
	}
	r.PeerID, r.Password = id, password
	return n, nil
}

// decodeField reads a length and what it measures, at an offset.
func decodeField(name string, b []byte, at int) (field []byte, end int, err error) {
	if len(b) <= at {
		return nil, 0, fmt.Errorf("%w: %s at octet %d: nothing there", ErrLength, name, at)
	}
	start := at + 1
	end = start + int(b[at])
	if end > len(b) {
		return nil, 0, fmt.Errorf("%w: %s at octet %d: %d of %d octets", ErrLength, name, at, b[at], len(b)-start)
	}
	return b[start:end:end], end, nil
}

// Append appends the content. A field beyond 255 octets is cut.
func (r *Request) Append(dst []byte) []byte {
	return appendField(appendField(dst, r.PeerID), r.Password)
}

func appendField(dst, field []byte) []byte {
	field = field[:min(len(field), maxField)]
	return append(append(dst, byte(len(field))), field...)
}

// Message is the content of an Authenticate-Ack or Authenticate-Nak (RFC 1334
// §2.2.2).
type Message struct {
	Text []byte
}

// Decode parses what follows the packet's length field and returns the octets it
// took. Text aliases b. Some peers leave the field out, length and all.
func (m *Message) Decode(b []byte) (n int, err error) {
	*m = Message{}
	if len(b) == 0 {
		return 0, nil
	}
	text, n, err := decodeField("message", b, 0)
	if err != nil {
		return 0, err
	}
	m.Text = text
	return n, nil
}

// Append appends the content. A text beyond 255 octets is cut.
func (m *Message) Append(dst []byte) []byte { return appendField(dst, m.Text) }
