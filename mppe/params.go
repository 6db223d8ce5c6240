package mppe

import "strconv"

// KeyLength is the length of a session key in bits, as the bits of the CCP
// option name it.
type KeyLength uint8

// The key lengths of RFC 3078. Only Key128 can be used so far.
const (
	Key40  KeyLength = 40
	Key56  KeyLength = 56
	Key128 KeyLength = 128
)

func (k KeyLength) String() string { return strconv.Itoa(int(k)) + "-bit" }

// Params is what one direction is encrypted with.
type Params struct {
	KeyLength KeyLength
	// Stateful keeps the cipher's state from packet to packet (RFC 3078 §7);
	// stateless mode changes the key before each.
	Stateful bool
	// Key is the start key: Keys.Send or Keys.Recv.
	Key Key
}

// supported reports whether this package can do what p says.
func (p *Params) supported() bool { return p.KeyLength == Key128 && !p.Stateful }
