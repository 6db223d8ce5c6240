package mppe

import (
	"encoding/binary"
	"strings"

	"github.com/gopptp/gopptp/ppp"
)

// optionMPPE is the type of the configuration option of MPPC and MPPE
// (RFC 3078 §2).
const optionMPPE = 18

// bits are the Supported Bits of the option.
type bits uint32

// The Supported Bits (RFC 3078 §2.1).
const (
	bitStateless  bits = 0x01000000 // H
	bitKey56      bits = 0x00000080 // M
	bitKey128     bits = 0x00000040 // S
	bitKey40      bits = 0x00000020 // L
	bitObsolete   bits = 0x00000010 // D
	bitCompressed bits = 0x00000001 // C: MPPC
)

// offered is all that we ask for and all that we accept.
const offered = bitStateless | bitKey128

func decodeBits(o ppp.Option) (b bits, ok bool) {
	if len(o.Data) != 4 {
		return 0, false
	}
	return bits(binary.BigEndian.Uint32(o.Data)), true
}

func (b bits) option() ppp.Option {
	return ppp.Option{Type: optionMPPE, Data: binary.BigEndian.AppendUint32(nil, uint32(b))}
}

// String says in words what the bits offer.
func (b bits) String() string {
	var words []string
	for _, w := range []struct {
		bit  bits
		word string
	}{{bitKey128, "128-bit"}, {bitKey56, "56-bit"}, {bitKey40, "40-bit"}} {
		if b&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	if len(words) == 0 {
		words = append(words, "no key length")
	}
	mode := "stateful"
	if b&bitStateless != 0 {
		mode = "stateless"
	}
	return strings.Join(append(words, mode), " ")
}

// Agreed is what CCP agreed on for one direction.
type Agreed struct {
	KeyLength KeyLength
	Stateful  bool
}

// String describes it, as in "MPPE 128-bit stateless".
func (a Agreed) String() string {
	if a.Stateful {
		return "MPPE " + a.KeyLength.String() + " stateful"
	}
	return "MPPE " + a.KeyLength.String() + " stateless"
}
