package mppe

import (
	"strconv"
	"strings"
)

// KeyLength is the length of a session key in bits, as the bits of the CCP
// option name it.
type KeyLength uint8

// The key lengths of RFC 3078. 40 and 56 bits are what is left secret of keys
// of eight octets.
const (
	Key40  KeyLength = 40
	Key56  KeyLength = 56
	Key128 KeyLength = 128
)

func (k KeyLength) String() string { return strconv.Itoa(int(k)) + "-bit" }

// octets is how long the keys are, zero if there are none of that length.
func (k KeyLength) octets() int {
	switch k {
	case Key40, Key56:
		return 8
	case Key128:
		return 16
	}
	return 0
}

// KeyLengths is a set of key lengths.
type KeyLengths uint8

// The members of KeyLengths.
const (
	AllowKey40 KeyLengths = 1 << iota
	AllowKey56
	AllowKey128

	AllKeyLengths = AllowKey40 | AllowKey56 | AllowKey128
)

// lengths are the key lengths from the strongest to the weakest (RFC 3078 §2.1),
// with the bit that stands for each.
var lengths = [...]struct {
	length KeyLength
	member KeyLengths
	bit    bits
}{
	{Key128, AllowKey128, bitKey128},
	{Key56, AllowKey56, bitKey56},
	{Key40, AllowKey40, bitKey40},
}

// Has reports whether l is in the set.
func (s KeyLengths) Has(l KeyLength) bool {
	for _, k := range lengths {
		if k.length == l {
			return s&k.member != 0
		}
	}
	return false
}

// Strongest returns the longest of them; zero if there is none.
func (s KeyLengths) Strongest() KeyLength {
	for _, k := range lengths {
		if s&k.member != 0 {
			return k.length
		}
	}
	return 0
}

// String names them, as in "128-bit, 40-bit".
func (s KeyLengths) String() string {
	var words []string
	for _, k := range lengths {
		if s&k.member != 0 {
			words = append(words, k.length.String())
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// Modes is a set of the ways to change keys (RFC 3078 §7).
type Modes uint8

// The members of Modes. In stateless mode each packet has a key of its own, and
// a loss costs nothing but what is lost. In stateful mode 256 packets share one
// and the cipher runs on through them: it costs less work, but a loss costs a
// round trip, and RFC 3078 §9 advises against it for tunnels.
const (
	AllowStateless Modes = 1 << iota
	AllowStateful
)

// Params is what one direction is encrypted with. Keys.SendParams and
// Keys.RecvParams make them of what CCP agreed on.
type Params struct {
	KeyLength KeyLength
	// Stateful keeps the cipher's state from packet to packet (RFC 3078 §7);
	// stateless mode changes the key before each.
	Stateful bool
	// Key is the start key, of which 40 and 56 bits use the first eight octets.
	Key Key
}
