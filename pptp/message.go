package pptp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Port is the TCP port of the control connection (RFC 2637 section 1.4).
const Port = 1723

// MagicCookie is in every message, to see whether the stream is in step.
const MagicCookie = 0x1A2B3C4D

// Sizes of a message in octets, header included.
const (
	// MinMessageLen is the header with the control message type.
	MinMessageLen = 12
	// MaxMessageLen is the longest message accepted. The longest that is
	// defined has 220 octets; the rest is room for extensions.
	MaxMessageLen = 512
)

// pptpControlMessage is the PPTP Message Type of all that is defined.
const pptpControlMessage = 1

// Errors of the codec. They come wrapped in a *FramingError or a *DecodeError.
var (
	// ErrShort: the buffer ends before the message does.
	ErrShort = errors.New("pptp: short message")
	// ErrLength: the Length field is too small for the message or above
	// MaxMessageLen.
	ErrLength = errors.New("pptp: bad message length")
	// ErrCookie: the Magic Cookie is wrong; the stream is out of step or the
	// peer does not speak PPTP.
	ErrCookie = errors.New("pptp: bad magic cookie")
	// ErrPPTPMessageType: the PPTP Message Type is not 1, control message.
	ErrPPTPMessageType = errors.New("pptp: not a control message")
	// ErrMessageType: the message is well framed but of a type that is
	// unknown, or not the one to decode.
	ErrMessageType = errors.New("pptp: unknown or wrong control message type")
)

// FramingError says that the octets do not begin with the header of a PPTP
// control message. There is no way back into step: the connection is to be
// closed at once (RFC 2637 section 1.4).
type FramingError struct {
	Field string // "Length", "PPTP Message Type" or "Magic Cookie"
	Value uint32 // what was there
	Err   error  // ErrLength, ErrPPTPMessageType or ErrCookie
}

func (e *FramingError) Error() string {
	return fmt.Sprintf("%v: %s is %#x", e.Err, e.Field, e.Value)
}

// Unwrap returns e.Err.
func (e *FramingError) Unwrap() error { return e.Err }

// DecodeError says why a framed message could not be decoded.
type DecodeError struct {
	Message MessageType // as the header says
	Field   string      // the RFC's name
	Offset  int         // of the field, from the start of the message
	Err     error       // ErrShort, ErrLength or ErrMessageType
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("%v: %v, %s at offset %d", e.Err, e.Message, e.Field, e.Offset)
}

// Unwrap returns e.Err.
func (e *DecodeError) Unwrap() error { return e.Err }

// MessageType is a Control Message Type (RFC 2637 section 1.4).
type MessageType uint16

// The fifteen control messages.
const (
	TypeStartControlConnectionRequest MessageType = 1
	TypeStartControlConnectionReply   MessageType = 2
	TypeStopControlConnectionRequest  MessageType = 3
	TypeStopControlConnectionReply    MessageType = 4
	TypeEchoRequest                   MessageType = 5
	TypeEchoReply                     MessageType = 6
	TypeOutgoingCallRequest           MessageType = 7
	TypeOutgoingCallReply             MessageType = 8
	TypeIncomingCallRequest           MessageType = 9
	TypeIncomingCallReply             MessageType = 10
	TypeIncomingCallConnected         MessageType = 11
	TypeCallClearRequest              MessageType = 12
	TypeCallDisconnectNotify          MessageType = 13
	TypeWANErrorNotify                MessageType = 14
	TypeSetLinkInfo                   MessageType = 15
)

var messageNames = [...]string{
	TypeStartControlConnectionRequest: "Start-Control-Connection-Request",
	TypeStartControlConnectionReply:   "Start-Control-Connection-Reply",
	TypeStopControlConnectionRequest:  "Stop-Control-Connection-Request",
	TypeStopControlConnectionReply:    "Stop-Control-Connection-Reply",
	TypeEchoRequest:                   "Echo-Request",
	TypeEchoReply:                     "Echo-Reply",
	TypeOutgoingCallRequest:           "Outgoing-Call-Request",
	TypeOutgoingCallReply:             "Outgoing-Call-Reply",
	TypeIncomingCallRequest:           "Incoming-Call-Request",
	TypeIncomingCallReply:             "Incoming-Call-Reply",
	TypeIncomingCallConnected:         "Incoming-Call-Connected",
	TypeCallClearRequest:              "Call-Clear-Request",
	TypeCallDisconnectNotify:          "Call-Disconnect-Notify",
	TypeWANErrorNotify:                "WAN-Error-Notify",
	TypeSetLinkInfo:                   "Set-Link-Info",
}

// String returns the RFC's name of the message.
func (t MessageType) String() string {
	if int(t) < len(messageNames) && messageNames[t] != "" {
		return messageNames[t]
	}
	return "message type " + strconv.Itoa(int(t))
}

// Message is a control message.
//
// Decode takes a whole message, its header included, sets every field and
// returns the message's length. Reserved fields are ignored, as are octets
// after the last field that the Length field counts in. Decoded messages do
// not refer to the input.
//
// Append appends the encoded message to dst. Text that is too long for its
// field is cut; text ends at its first NUL.
type Message interface {
	Type() MessageType
	Decode(b []byte) (n int, err error)
	Append(dst []byte) []byte
}

var (
	_ Message = (*StartControlConnectionRequest)(nil)
	_ Message = (*StartControlConnectionReply)(nil)
	_ Message = (*StopControlConnectionRequest)(nil)
	_ Message = (*StopControlConnectionReply)(nil)
	_ Message = (*EchoRequest)(nil)
	_ Message = (*EchoReply)(nil)
	_ Message = (*OutgoingCallRequest)(nil)
	_ Message = (*OutgoingCallReply)(nil)
	_ Message = (*IncomingCallRequest)(nil)
	_ Message = (*IncomingCallReply)(nil)
	_ Message = (*IncomingCallConnected)(nil)
	_ Message = (*CallClearRequest)(nil)
	_ Message = (*CallDisconnectNotify)(nil)
	_ Message = (*WANErrorNotify)(nil)
	_ Message = (*SetLinkInfo)(nil)
)

// newMessage returns an empty message of type t, nil if there is none.
func newMessage(t MessageType) Message {
	switch t {
	case TypeStartControlConnectionRequest:
		return new(StartControlConnectionRequest)
	case TypeStartControlConnectionReply:
		return new(StartControlConnectionReply)
	case TypeStopControlConnectionRequest:
		return new(StopControlConnectionRequest)
	case TypeStopControlConnectionReply:
		return new(StopControlConnectionReply)
	case TypeEchoRequest:
		return new(EchoRequest)
	case TypeEchoReply:
		return new(EchoReply)
	case TypeOutgoingCallRequest:
		return new(OutgoingCallRequest)
	case TypeOutgoingCallReply:
		return new(OutgoingCallReply)
	case TypeIncomingCallRequest:
		return new(IncomingCallRequest)
	case TypeIncomingCallReply:
		return new(IncomingCallReply)
	case TypeIncomingCallConnected:
		return new(IncomingCallConnected)
	case TypeCallClearRequest:
		return new(CallClearRequest)
	case TypeCallDisconnectNotify:
		return new(CallDisconnectNotify)
	case TypeWANErrorNotify:
		return new(WANErrorNotify)
	case TypeSetLinkInfo:
		return new(SetLinkInfo)
	}
	return nil
}

// DecodeMessage decodes the message at the start of b and returns how many
// octets it takes. A well-framed message of a type that is not known gives an
// error that is ErrMessageType, with n set, so that it can be skipped.
func DecodeMessage(b []byte) (m Message, n int, err error) {
	msg, err := cutMessage(b)
	if err != nil {
		return nil, 0, err
	}
	t := messageType(msg)
	m = newMessage(t)
	if m == nil {
		return nil, len(msg), &DecodeError{Message: t, Field: "Control Message Type", Offset: 8, Err: ErrMessageType}
	}
	if n, err = m.Decode(msg); err != nil {
		return nil, 0, err
	}
	return m, n, nil
}

// messageType returns the type of a framed message.
func messageType(msg []byte) MessageType { return MessageType(be16(msg[8:])) }

// checkHeader checks as much of the common header as b holds.
func checkHeader(b []byte) error {
	if len(b) >= 2 {
		if n := be16(b); n < MinMessageLen || n > MaxMessageLen {
			return &FramingError{Field: "Length", Value: uint32(n), Err: ErrLength}
		}
	}
	if len(b) >= 4 {
		if t := be16(b[2:]); t != pptpControlMessage {
			return &FramingError{Field: "PPTP Message Type", Value: uint32(t), Err: ErrPPTPMessageType}
		}
	}
	if len(b) >= 8 {
		if c := be32(b[4:]); c != MagicCookie {
			return &FramingError{Field: "Magic Cookie", Value: c, Err: ErrCookie}
		}
	}
	return nil
}

// cutMessage checks the header and cuts b to the message it announces.
func cutMessage(b []byte) ([]byte, error) {
	if err := checkHeader(b); err != nil {
		return nil, err
	}
	if len(b) < MinMessageLen {
		return nil, &DecodeError{Field: "header", Offset: len(b), Err: ErrShort}
	}
	n := int(be16(b))
	if len(b) < n {
		return nil, &DecodeError{Message: messageType(b), Field: "Length", Err: ErrShort}
	}
	return b[:n], nil
}

// cutMessageType is cutMessage for a message of type t and at least size octets.
func cutMessageType(b []byte, t MessageType, size int) ([]byte, error) {
	b, err := cutMessage(b)
	if err != nil {
		return nil, err
	}
	if messageType(b) != t {
		return nil, &DecodeError{Message: messageType(b), Field: "Control Message Type", Offset: 8, Err: ErrMessageType}
	}
	if len(b) < size {
		return nil, &DecodeError{Message: t, Field: "Length", Err: ErrLength}
	}
	return b, nil
}

// appendHeader appends the common header and Reserved0.
func appendHeader(dst []byte, t MessageType, size int) []byte {
	dst = append16(dst, uint16(size))
	dst = append16(dst, pptpControlMessage)
	dst = append32(dst, MagicCookie)
	dst = append16(dst, uint16(t))
	return append16(dst, 0)
}

// text returns what a text field holds: all before its first NUL.
func text(field []byte) string {
	for i, c := range field {
		if c == 0 {
			field = field[:i]
			break
		}
	}
	return string(field)
}

// number returns what a text field with a length field of its own holds.
func number(field []byte, n uint16) string {
	return text(field[:min(int(n), len(field))])
}

// cutText returns as much of s as fits into a field of size octets.
func cutText(s string, size int) string {
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	return s[:min(len(s), size)]
}

var zeroes [statisticsLen]byte

// appendText appends a text field of size octets, at most len(zeroes).
func appendText(dst []byte, s string, size int) []byte {
	s = cutText(s, size)
	dst = append(dst, s...)
	return append(dst, zeroes[:size-len(s)]...)
}

func be16(b []byte) uint16                 { return binary.BigEndian.Uint16(b) }
func be32(b []byte) uint32                 { return binary.BigEndian.Uint32(b) }
func append16(dst []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(dst, v) }
func append32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }
