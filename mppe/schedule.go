package mppe

import "crypto/sha1"

// keySchedule is GetNewKeyFromSHA (RFC 3078 §7.3, RFC 3079 §3.4) for one start
// key. buf holds what is hashed, so that nothing is allocated.
//
// A Key that goes through it and has eight octets is kept twice in a row. RC4
// takes the octets of its key round and round, so that this is the same key to
// it, and one cipher serves all lengths.
type keySchedule struct {
	buf  [16 + len(pad1) + 16 + len(pad2)]byte // start key, pad1, session key, pad2
	n    int                                   // octets of a key
	salt int                                   // octets of it that are no secret
}

// salt takes the place of the first octets of the shorter keys, and reduces them
// to the strength that they are named after.
var salt = [...]byte{0xd1, 0x26, 0x9e}

func newKeySchedule(p *Params) (s keySchedule) {
	s.n = p.KeyLength.octets()
	s.salt = s.n - int(p.KeyLength)/8
	copy(s.buf[:s.n], p.Key[:])
	copy(s.buf[s.n+len(pad1)+s.n:], pad2[:])
	return s
}

// hash leaves the hash of key in it, which is the interim key.
func (s *keySchedule) hash(key *Key) {
	copy(s.buf[s.n+len(pad1):][:s.n], key[:])
	sum := sha1.Sum(s.buf[:2*s.n+len(pad1)+len(pad2)])
	copy(key[:], sum[:s.n])
	copy(key[s.n:], sum[:s.n])
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
