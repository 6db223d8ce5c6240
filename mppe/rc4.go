package mppe

// rc4 is the stream cipher of MPPE. The standard library's allocates for each
// key, and stateless mode takes two keys a packet.
//
// The element of the next step is loaded before this one stores. Otherwise a
// processor that runs ahead loads it too early now and then, and has to go back,
// which takes a third of the time and more. What the store would have changed is
// put right in a register.
type rc4 struct {
	s    [256]byte
	i, j uint8
}

// identity is the state before any key.
var identity = func() (s [256]byte) {
	for i := range s {
		s[i] = uint8(i)
	}
	return s
}()

// reset sets a key of 128 bits, the length that every key of MPPE is stored in
// (see keySchedule).
func (c *rc4) reset(key *[16]byte) {
	c.s = identity
	c.i, c.j = 0, 0
	var j uint8
	x := c.s[0]
	for i := range c.s {
		j += x + key[i&15]
		next := c.s[uint8(i+1)]
		if j == uint8(i+1) {
			next = x
		}
		c.s[i] = c.s[j]
		c.s[j] = x
		x = next
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
	x := c.s[i+1]
	for k, v := range src {
		i++
		j += x
		y := c.s[j]
		next := c.s[i+1]
		if j == i+1 {
			next = x
		}
		c.s[i] = y
		c.s[j] = x
		dst[k] = v ^ c.s[x+y]
		x = next
	}
	c.i, c.j = i, j
}
