package chap

import (
	"errors"
	"fmt"

	"github.com/gopptp/gopptp/ppp"
)

// The codes of CHAP (RFC 1994 §4).
const (
	codeChallenge ppp.Code = 1
	codeResponse  ppp.Code = 2
	codeSuccess   ppp.Code = 3
	codeFailure   ppp.Code = 4
)

// The codes that MS-CHAP adds (RFC 2433 §10, RFC 2759 §7). Version 1 of the
// former (§9), code 5, gives the new hash away to whoever listens, and is left
// unheard.
const (
	codeChangePasswordV1 ppp.Code = 6
	codeChangePasswordV2 ppp.Code = 7
)

// ErrValueSize is returned for a Challenge or Response whose value does not fit.
var ErrValueSize = errors.New("chap: value size out of range")

// maxName bounds the names that are sent and taken, in octets.
const maxName = 255

// Value is the content of a Challenge or a Response (RFC 1994 §4.1).
type Value struct {
	Value []byte // 1 to 255 octets
	Name  []byte // what is left of the packet
}

// Decode parses what follows the packet's length field. The slices alias b.
func (v *Value) Decode(b []byte) (n int, err error) {
	*v = Value{}
	if len(b) == 0 {
		return 0, fmt.Errorf("%w: no octet of it", ErrValueSize)
	}
	size := int(b[0])
	if size == 0 || size > len(b)-1 {
		return 0, fmt.Errorf("%w: %d of %d octets", ErrValueSize, size, len(b)-1)
	}
	v.Value, v.Name = b[1:1+size:1+size], b[1+size:]
	return len(b), nil
}

// Append appends the content. A value beyond 255 octets is cut.
func (v *Value) Append(dst []byte) []byte {
	value := v.Value[:min(len(v.Value), 255)]
	dst = append(dst, byte(len(value)))
	dst = append(dst, value...)
	return append(dst, v.Name...)
}

// response is the Value field of an MS-CHAPv2 Response (RFC 2759 §4).
type response struct {
	peerChallenge [challengeLen]byte
	ntResponse    [responseLen]byte
}

func (r *response) decode(b []byte) error {
	*r = response{}
	if len(b) != valueLen {
		return fmt.Errorf("%w: %d octets, not %d", ErrValueSize, len(b), valueLen)
	}
	copy(r.peerChallenge[:], b)
	copy(r.ntResponse[:], b[challengeLen+8:]) // after eight reserved octets
	return nil                                // the last one is Flags, zero and ignored
}

func (r *response) append(dst []byte) []byte {
	dst = append(dst, r.peerChallenge[:]...)
	dst = append(dst, make([]byte, 8)...)
	dst = append(dst, r.ntResponse[:]...)
	return append(dst, 0)
}
