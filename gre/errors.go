package gre

import "strconv"

// DecodeError is the type of the errors that [Header.Decode] returns. There is
// one value for each reason, so that they can be compared and counted without
// allocating anything for a malformed packet.
type DecodeError struct {
	Field  string // the field's name in RFC 2637 section 4.1
	Offset int    // where it begins in the packet, in octets
	reason string
}

func (e *DecodeError) Error() string {
	return "gre: " + e.reason + " (" + e.Field + ", offset " + strconv.Itoa(e.Offset) + ")"
}

// The errors of [Header.Decode], in the order in which they are looked for. Each
// is a *[DecodeError].
var (
	// ErrShort reports a packet that ends within its header.
	ErrShort error = &DecodeError{"header", 0, "short packet"}
	// ErrVersion reports plain GRE, or a version yet to come. On a raw socket
	// these are other people's tunnels rather than faults.
	ErrVersion error = &DecodeError{"Ver", 1, "version is not 1"}
	// ErrProtocol reports a payload that is not PPP.
	ErrProtocol error = &DecodeError{"Protocol Type", 2, "protocol type is not 880b"}
	// ErrChecksum reports that the C bit is set.
	ErrChecksum error = &DecodeError{"C", 0, "checksum present"}
	// ErrRouting reports that the R bit is set.
	ErrRouting error = &DecodeError{"R", 0, "routing present"}
	// ErrKey reports that the K bit is not set.
	ErrKey error = &DecodeError{"K", 0, "key missing"}
	// ErrSourceRoute reports that the s bit is set.
	ErrSourceRoute error = &DecodeError{"s", 0, "strict source route present"}
	// ErrRecursion reports a recursion control other than 0.
	ErrRecursion error = &DecodeError{"Recur", 0, "recursion control not zero"}
	// ErrFlags reports that one of the reserved flags is set.
	ErrFlags error = &DecodeError{"Flags", 1, "reserved flags set"}
	// ErrSequence reports a payload without a sequence number.
	ErrSequence error = &DecodeError{"S", 0, "payload without a sequence number"}
	// ErrLength reports a payload length beyond the end of the packet.
	ErrLength error = &DecodeError{"Payload Length", 4, "payload longer than the packet"}
)
