package ppp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors of Packet.Decode.
var (
	ErrShortPacket  = errors.New("ppp: short packet")
	ErrPacketLength = errors.New("ppp: packet length field out of range")
)

// Code is the first octet of a control packet (RFC 1661 §5).
type Code uint8

// The codes that LCP and the NCPs share, and those that are LCP's or CCP's own.
const (
	ConfigureRequest Code = 1
	ConfigureAck     Code = 2
	ConfigureNak     Code = 3
	ConfigureReject  Code = 4
	TerminateRequest Code = 5
	TerminateAck     Code = 6
	CodeReject       Code = 7
	ProtocolReject   Code = 8  // LCP
	EchoRequest      Code = 9  // LCP
	EchoReply        Code = 10 // LCP
	DiscardRequest   Code = 11 // LCP
	Identification   Code = 12 // LCP, RFC 1570 §2.1
	TimeRemaining    Code = 13 // LCP, RFC 1570 §2.2
	ResetRequest     Code = 14 // CCP, RFC 1962 §3
	ResetAck         Code = 15 // CCP
)

var codeNames = [...]string{
	ConfigureRequest: "Configure-Request",
	ConfigureAck:     "Configure-Ack",
	ConfigureNak:     "Configure-Nak",
	ConfigureReject:  "Configure-Reject",
	TerminateRequest: "Terminate-Request",
	TerminateAck:     "Terminate-Ack",
	CodeReject:       "Code-Reject",
	ProtocolReject:   "Protocol-Reject",
	EchoRequest:      "Echo-Request",
	EchoReply:        "Echo-Reply",
	DiscardRequest:   "Discard-Request",
	Identification:   "Identification",
	TimeRemaining:    "Time-Remaining",
	ResetRequest:     "Reset-Request",
	ResetAck:         "Reset-Ack",
}

func (c Code) String() string {
	if int(c) < len(codeNames) && codeNames[c] != "" {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// PacketHeader is the length of code, identifier and length.
const PacketHeader = 4

// Packet is a packet of LCP, of an NCP or of an authentication protocol: all have
// the form of RFC 1661 §5.
type Packet struct {
	Code Code
	ID   uint8
	Data []byte // what follows the length field; aliases the input of Decode
}

// Decode parses one packet and returns the octets it took. Octets beyond the
// length field are padding (RFC 1661 §5) and are not consumed.
func (p *Packet) Decode(b []byte) (n int, err error) {
	*p = Packet{}
	if len(b) < PacketHeader {
		return 0, ErrShortPacket
	}
	n = int(binary.BigEndian.Uint16(b[2:]))
	if n < PacketHeader || n > len(b) {
		return 0, fmt.Errorf("%w: %d of %d octets", ErrPacketLength, n, len(b))
	}
	p.Code, p.ID, p.Data = Code(b[0]), b[1], b[PacketHeader:n:n]
	return n, nil
}

// Append appends the packet. Data longer than the length field can say is cut.
func (p *Packet) Append(dst []byte) []byte {
	data := p.Data
	if len(data) > 0xffff-PacketHeader {
		data = data[:0xffff-PacketHeader]
	}
	n := PacketHeader + len(data)
	dst = append(dst, byte(p.Code), p.ID, byte(n>>8), byte(n))
	return append(dst, data...)
}
