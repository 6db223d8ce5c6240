package mppe

import (
	"crypto/sha1"
	"log/slog"
)

// Key is a start or session key. It prints as "[redacted]".
type Key [16]byte

const redacted = "[redacted]"

// String implements fmt.Stringer.
func (Key) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Key) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps keys out of encoded logs.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Keys are the start keys of a session, seen from our side. They come from
// DeriveKeys or from elsewhere, such as the MS-MPPE-Send-Key and
// MS-MPPE-Recv-Key of a RADIUS server, which are seen from the server's side
// too.
type Keys struct {
	Send, Recv Key
}

// Wipe overwrites the keys.
func (k *Keys) Wipe() { *k = Keys{} }

// Role is the side of the authentication that the keys are derived for.
type Role uint8

// The roles of RFC 3079 §3: the client is the one that proved itself.
const (
	Client Role = iota
	Server
)

// The constants of RFC 3079 §3.4.
const (
	magic1 = "This is the MPPE Master Key"
	magic2 = "On the client side, this is the send key; on the server side, it is the receive key."
	magic3 = "On the client side, this is the receive key; on the server side, it is the send key."
)

var pad1, pad2 = [40]byte{}, func() (p [40]byte) {
	for i := range p {
		p[i] = 0xf2
	}
	return p
}()

// DeriveKeys derives the 128-bit start keys from an MS-CHAPv2 authentication
// (RFC 3079 §3): hashHash is the MD4 hash of the NT password hash, ntResponse
// the NT-Response that the client sent.
func DeriveKeys(hashHash [16]byte, ntResponse [24]byte, role Role) Keys {
	master := masterKey(hashHash, ntResponse)
	k := Keys{Send: asymmetricStartKey(master, magic2), Recv: asymmetricStartKey(master, magic3)}
	if role == Server {
		k.Send, k.Recv = k.Recv, k.Send
	}
	return k
}

// masterKey is GetMasterKey.
func masterKey(hashHash [16]byte, ntResponse [24]byte) Key {
	return digest(hashHash[:], ntResponse[:], []byte(magic1))
}

// asymmetricStartKey is GetAsymmetricStartKey for 128 bits.
func asymmetricStartKey(master Key, magic string) Key {
	return digest(master[:], pad1[:], []byte(magic), pad2[:])
}

// digest is the first 16 octets of SHA-1 over the parts.
func digest(parts ...[]byte) (k Key) {
	h := sha1.New()
	for _, p := range parts {
		h.Write(p)
	}
	copy(k[:], h.Sum(nil))
	return k
}

// keySchedule is GetNewKeyFromSHA (RFC 3079 §3.4) for one start key. buf holds
// what is hashed, so that nothing is allocated.
type keySchedule struct {
	buf [16 + len(pad1) + 16 + len(pad2)]byte // start key, pad1, session key, pad2
}

func newKeySchedule(start Key) (s keySchedule) {
	copy(s.buf[:], start[:])
	copy(s.buf[16+len(pad1)+16:], pad2[:])
	return s
}

func (s *keySchedule) hash(key *Key) (sum [sha1.Size]byte) {
	copy(s.buf[16+len(pad1):], key[:])
	return sha1.Sum(s.buf[:])
}

// first turns the start key into the first session key.
func (s *keySchedule) first(key *Key) {
	sum := s.hash(key)
	copy(key[:], sum[:])
}

// step turns key into its successor (RFC 3078 §7.3): the interim key, encrypted
// with itself. It uses up c.
func (s *keySchedule) step(key *Key, c *rc4) {
	sum := s.hash(key)
	c.reset((*[16]byte)(sum[:]))
	c.xor(key[:], sum[:16])
}
