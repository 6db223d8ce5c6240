// Package naive is the PPTP data plane that one writes first: one packet a system
// call, a plain TUN device, and the standard library's RC4 and SHA-1. It has the
// real headers and the real cipher, but no control connection and fixed keys. It is
// what the benchmark compares with.
package naive

import (
	"crypto/rc4"
	"crypto/sha1"
	"encoding/binary"
	"errors"
)

// cipher is one direction of stateless MPPE with 128-bit keys (RFC 3078).
type cipher struct {
	hashed [16 + 40 + 16 + 40]byte // start key, pad1, session key, pad2
	count  uint16
	stream *rc4.Cipher
}

const (
	flushed     = 0x8000
	encrypted   = 0x1000
	countMask   = 0x0fff
	countHeader = 2
)

func newCipher(start [16]byte) *cipher {
	c := new(cipher)
	copy(c.hashed[:], start[:])
	for i := range c.hashed[72:] {
		c.hashed[72+i] = 0xf2
	}
	copy(c.session(), start[:])
	first := sha1.Sum(c.hashed[:])
	copy(c.session(), first[:])
	return c
}

func (c *cipher) session() []byte { return c.hashed[56:72] }

// rekey is RFC 3078 §7.3: a new key for each packet.
func (c *cipher) rekey() {
	interim := sha1.Sum(c.hashed[:])
	r, _ := rc4.NewCipher(interim[:16])
	r.XORKeyStream(c.session(), interim[:16])
	c.stream, _ = rc4.NewCipher(c.session())
}

// seal encrypts p, which has room for the header at its beginning.
func (c *cipher) seal(p []byte) {
	c.rekey()
	binary.BigEndian.PutUint16(p, flushed|encrypted|c.count)
	c.count = (c.count + 1) & countMask
	c.stream.XORKeyStream(p[countHeader:], p[countHeader:])
}

var errClear = errors.New("naive: packet is not encrypted")

// open decrypts p and returns what is behind its header. Lost packets cost a key
// each.
func (c *cipher) open(p []byte) ([]byte, error) {
	if len(p) < countHeader {
		return nil, errClear
	}
	bits := binary.BigEndian.Uint16(p)
	if bits&(flushed|encrypted) != flushed|encrypted {
		return nil, errClear
	}
	for range (bits-c.count)&countMask + 1 {
		c.rekey()
	}
	c.count = (bits + 1) & countMask
	c.stream.XORKeyStream(p[countHeader:], p[countHeader:])
	return p[countHeader:], nil
}
