package gre

import "encoding/binary"

const (
	// ProtocolPPP is the protocol type of enhanced GRE.
	ProtocolPPP = 0x880b
	// MinHeaderLen and MaxHeaderLen are the octets of a header with neither
	// and with both of its optional fields.
	MinHeaderLen = 8
	MaxHeaderLen = 16
)

// The first two octets of a header, as one number.
const (
	bitChecksum    = 0x8000
	bitRouting     = 0x4000
	bitKey         = 0x2000
	bitSequence    = 0x1000
	bitSourceRoute = 0x0800
	maskRecursion  = 0x0700
	bitAck         = 0x0080
	maskFlags      = 0x0078
	maskVersion    = 0x0007

	version = 1
)

// Header is the header of enhanced GRE (RFC 2637 section 4.1).
type Header struct {
	// PayloadLength is the size of the payload in octets. A packet that is an
	// acknowledgement only has none.
	PayloadLength uint16
	// CallID is the receiver's call ID.
	CallID uint16
	// HasSequence tells that Sequence is there, as it is with each payload.
	HasSequence bool
	// HasAck tells that Ack is there.
	HasAck bool
	// Sequence numbers the packets with a payload, one by one.
	Sequence uint32
	// Ack is the highest sequence number that the sender of this packet has
	// received.
	Ack uint32
}

// HeaderLen returns the octets that a header takes: 8, 12 or 16.
func HeaderLen(hasSequence, hasAck bool) int {
	n := MinHeaderLen
	if hasSequence {
		n += 4
	}
	if hasAck {
		n += 4
	}
	return n
}

// Len returns the octets that h takes: 8, 12 or 16.
func (h *Header) Len() int { return HeaderLen(h.HasSequence, h.HasAck) }

// Decode reads the header at the beginning of b, a packet without its IP
// header, and returns its length n. The payload is b[n:n+PayloadLength]; what
// follows is padding.
//
// Every field of h is set. The error is one of this package's [DecodeError]
// values; h is then of no use.
func (h *Header) Decode(b []byte) (n int, err error) {
	*h = Header{}
	if len(b) < MinHeaderLen {
		return 0, ErrShort
	}
	bits := binary.BigEndian.Uint16(b)
	if bits&maskVersion != version {
		return 0, ErrVersion
	}
	if binary.BigEndian.Uint16(b[2:]) != ProtocolPPP {
		return 0, ErrProtocol
	}
	if bits&^(bitSequence|bitAck) != bitKey|version {
		return 0, badBits(bits)
	}
	h.PayloadLength = binary.BigEndian.Uint16(b[4:])
	h.CallID = binary.BigEndian.Uint16(b[6:])
	h.HasSequence = bits&bitSequence != 0
	h.HasAck = bits&bitAck != 0

	n = h.Len()
	if len(b) < n {
		return 0, ErrShort
	}
	if h.HasSequence {
		h.Sequence = binary.BigEndian.Uint32(b[8:])
	} else if h.PayloadLength != 0 {
		return 0, ErrSequence
	}
	if h.HasAck {
		h.Ack = binary.BigEndian.Uint32(b[n-4:])
	}
	if len(b)-n < int(h.PayloadLength) {
		return 0, ErrLength
	}
	return n, nil
}

// badBits names the first of the flags that is not what it must be.
func badBits(bits uint16) error {
	switch {
	case bits&bitChecksum != 0:
		return ErrChecksum
	case bits&bitRouting != 0:
		return ErrRouting
	case bits&bitKey == 0:
		return ErrKey
	case bits&bitSourceRoute != 0:
		return ErrSourceRoute
	case bits&maskRecursion != 0:
		return ErrRecursion
	default:
		return ErrFlags
	}
}

// Append appends the header to dst.
func (h *Header) Append(dst []byte) []byte {
	var b [MaxHeaderLen]byte
	n := h.Len()
	h.put(b[:n])
	return append(dst, b[:n]...)
}

// Prepend writes the header into b so that it ends where the payload begins, at
// off, and returns where the packet begins now. There must be h.Len() octets of
// room: a smaller off panics.
func (h *Header) Prepend(b []byte, off int) (start int) {
	start = off - h.Len()
	h.put(b[start:off])
	return start
}

func (h *Header) put(b []byte) {
	bits := uint16(bitKey | version)
	if h.HasSequence {
		bits |= bitSequence
		binary.BigEndian.PutUint32(b[8:], h.Sequence)
	}
	if h.HasAck {
		bits |= bitAck
		binary.BigEndian.PutUint32(b[len(b)-4:], h.Ack)
	}
	binary.BigEndian.PutUint16(b, bits)
	binary.BigEndian.PutUint16(b[2:], ProtocolPPP)
	binary.BigEndian.PutUint16(b[4:], h.PayloadLength)
	binary.BigEndian.PutUint16(b[6:], h.CallID)
}
