package ppp

import (
	"encoding/binary"
	"errors"
)

// Errors of DecodeFrame and DecodeProtocol.
var (
	ErrShortFrame = errors.New("ppp: short frame")
	ErrAddress    = errors.New("ppp: address and control are not ff 03")
	ErrProtocol   = errors.New("ppp: malformed protocol field")
)

const (
	address = 0xff // All-Stations, RFC 1662 §3.1
	control = 0x03 // Unnumbered Information
)

// MaxHeader is the most that AppendHeader writes: address, control and a
// two-octet protocol field.
const MaxHeader = 4

// HeaderCompression says which parts of a header the sender may leave out.
type HeaderCompression struct {
	Protocol       bool // PFC: protocol numbers below 0xff take one octet (RFC 1661 §6.5)
	AddressControl bool // ACFC: no ff 03, except with LCP (RFC 1661 §6.6)
}

// DecodeFrame splits a frame, as it stands in a GRE payload, into protocol and
// payload. The compressed forms are accepted whether or not they were
// negotiated, as RFC 1661 §6.5 advises. payload aliases b.
func DecodeFrame(b []byte) (p Protocol, payload []byte, err error) {
	// The first octet of a protocol field of two is even, and 0x00ff is
	// reserved so that no field of one is ff either (RFC 1662 §3.1): a first
	// octet of ff is the address field.
	if len(b) > 0 && b[0] == address {
		if len(b) < 2 {
			return 0, nil, ErrShortFrame
		}
		if b[1] != control {
			return 0, nil, ErrAddress
		}
		b = b[2:]
	}
	return DecodeProtocol(b)
}

// DecodeProtocol splits b, which begins with a protocol field of one or two
// octets, into protocol and payload. payload aliases b.
func DecodeProtocol(b []byte) (p Protocol, payload []byte, err error) {
	if len(b) == 0 {
		return 0, nil, ErrShortFrame
	}
	// The last octet of a protocol number is odd, all before it are even
	// (RFC 1661 §2), which is what tells the compressed field.
	if b[0]&1 != 0 {
		return Protocol(b[0]), b[1:], nil
	}
	if len(b) < 2 {
		return 0, nil, ErrShortFrame
	}
	if b[1]&1 == 0 {
		return 0, nil, ErrProtocol
	}
	return Protocol(binary.BigEndian.Uint16(b)), b[2:], nil
}

// AppendHeader appends the header that precedes a payload of protocol p.
func AppendHeader(dst []byte, p Protocol, c HeaderCompression) []byte {
	if !c.AddressControl || p == ProtocolLCP {
		dst = append(dst, address, control)
	}
	return AppendProtocol(dst, p, c.Protocol)
}

// AppendProtocol appends the protocol field of p, in one octet if compress is
// set and p fits. The number 0x00ff is reserved and never compressed: as the
// first octet of a frame it would be taken for the address field (RFC 1662
// §3.1). No more is an even number, which no protocol has: its octet would be
// taken for the first of two.
func AppendProtocol(dst []byte, p Protocol, compress bool) []byte {
	if compress && p < address && p&1 != 0 {
		return append(dst, byte(p))
	}
	return append(dst, byte(p>>8), byte(p))
}
