package mppe

// rc4 is the stream cipher of MPPE. The standard library's allocates for each
// key, and stateless mode takes two keys a packet.
//
// State elements are 32 bits wide: narrower ones cost a merge of registers for
// each octet on common processors.
type rc4 struct {
	s    [256]uint32
	i, j uint8
}

// identity is the state before any key.
var identity = func() (s [256]uint32) {
	for i := range s {
		s[i] = uint32(i)
	}
	return s
}()

// reset sets a key of 128 bits, the length that every key of MPPE is stored in
// (see keySchedule).
func (c *rc4) reset(key *[16]byte) {
	c.s = identity
	c.i, c.j = 0, 0
	var j uint8
	for i := range c.s {
		x := c.s[i]
		j += uint8(x) + key[i&15]
		c.s[i], c.s[j] = c.s[j], x
	}
}

// xor en- or decrypts src to dst, which may be the same and must not overlap
// otherwise.
func (c *rc4) xor(dst, src []byte) {
	if len(src) == 0 {
		return
	}
	i, j := c.i, c.j
	_ = dst[len(src)-1]
	dst = dst[:len(src)]
	for k, v := range src {
		i++
		x := c.s[i]
		j += uint8(x)
		y := c.s[j]
		c.s[i], c.s[j] = y, x
		dst[k] = v ^ uint8(c.s[uint8(x+y)])
	}
	c.i, c.j = i, j
}
