package mppe

import (
	"encoding/binary"

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

func decodeBits(o ppp.Option) (b bits, ok bool) {
	if len(o.Data) != 4 {
		return 0, false
	}
	return bits(binary.BigEndian.Uint32(o.Data)), true
}

func (b bits) option() ppp.Option {
	return ppp.Option{Type: optionMPPE, Data: binary.BigEndian.AppendUint32(nil, uint32(b))}
}

// bitsOf returns the bits of a set of key lengths.
func bitsOf(s KeyLengths, stateless bool) (b bits) {
	for _, k := range lengths {
		if s&k.member != 0 {
			b |= k.bit
		}
	}
	if stateless {
		b |= bitStateless
	}
	return b
}

// keyLengths returns the key lengths that are named.
func (b bits) keyLengths() (s KeyLengths) {
	for _, k := range lengths {
		if b&k.bit != 0 {
			s |= k.member
		}
	}
	return s
}

func (b bits) stateless() bool { return b&bitStateless != 0 }

// strongest leaves one key length, of which there must be one.
func (b bits) strongest() Agreed {
	return Agreed{KeyLength: b.keyLengths().Strongest(), Stateful: !b.stateless()}
}

// String says in words what the bits offer.
func (b bits) String() string {
	words := "no key length"
	if s := b.keyLengths(); s != 0 {
		words = s.String()
	}
	if b.stateless() {
		return words + " stateless"
	}
	return words + " stateful"
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

func (a Agreed) bits() bits {
	for _, k := range lengths {
		if k.length == a.KeyLength {
			return bitsOf(k.member, !a.Stateful)
		}
	}
	return 0
}
