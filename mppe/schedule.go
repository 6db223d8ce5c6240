package mppe

import "crypto/sha1"

// keySchedule is GetNewKeyFromSHA (RFC 3078 §7.3, RFC 3079 §3.4) for one start
// key.
//
// A Key that goes through it and has eight octets is kept twice in a row. RC4
// takes the octets of its key round and round, so that this is the same key to
// it, and one cipher serves all lengths.
type keySchedule struct {
	start Key
	n     uint8 // octets of a key
	salt  uint8 // octets of it that are no secret
}

// salt takes the place of the first octets of the shorter keys, and reduces them
// to the strength that they are named after.
var salt = [...]byte{0xd1, 0x26, 0x9e}

func newKeySchedule(p *Params) keySchedule {
	n := p.KeyLength.octets()
	return keySchedule{start: p.Key, n: uint8(n), salt: uint8(n - int(p.KeyLength)/8)}
}

// hashed is what is hashed with keys of 16 octets, without the keys.
var hashed = func() (b [16 + len(pad1) + 16 + len(pad2)]byte) {
	copy(b[16+len(pad1)+16:], pad2[:])
	return b
}()

// hash leaves the hash of key in it, which is the interim key.
func (s *keySchedule) hash(key *Key) {
	// What is hashed is put together each time: to read all of it from where it
	// could be kept takes longer, where there are so many sessions that the
	// processor has forgotten it.
	buf, n := hashed, int(s.n)
	if n == len(key) { // as below, but by a few moves
		*(*Key)(buf[:]) = s.start
		*(*Key)(buf[n+len(pad1):]) = *key
	} else {
		copy(buf[:], s.start[:n])
		copy(buf[n+len(pad1):], key[:n]) // pad1 is zeros
		copy(buf[n+len(pad1)+n:], pad2[:])
	}
	sum := sha1.Sum(buf[:n+len(pad1)+n+len(pad2)])
	*key = Key(sum[:])
	copy(key[n:], sum[:n])
}

// reduce is the last step to a new session key.
func (s *keySchedule) reduce(key *Key) {
	copy(key[:s.salt], salt[:])
	copy(key[s.n:], key[:s.n])
}

// first turns the start key into the first session key.
func (s *keySchedule) first(key *Key) {
	s.hash(key)
	s.reduce(key)
}

// step turns key into its successor (RFC 3078 §7.3): the interim key, encrypted
// with itself. It uses up c.
func (s *keySchedule) step(key *Key, c *rc4) {
	s.hash(key)
	c.reset((*[16]byte)(key))
	c.xor(key[:s.n], key[:s.n])
	s.reduce(key)
}
