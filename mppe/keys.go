package mppe

import (
	"crypto/sha1"
	"errors"
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
// DeriveKeys or DeriveKeysV1, or from elsewhere by GivenKeys.
//
// Which of them a direction uses depends on the key length, which CCP agrees on
// when they are there already. Lengths says what it has to choose from, and
// SendParams and RecvParams make use of the outcome.
type Keys struct {
	// Send and Recv are what 128-bit keys start from. Those of 40 and 56 bits
	// start from the first eight octets, unless Short is set.
	Send, Recv Key
	// Short, if not zero, is what 40 and 56 bits start from in both directions:
	// in its first eight octets. After MS-CHAPv1 that is another hash.
	Short Key
	// Only are the key lengths that the keys will do for. Zero means all.
	Only KeyLengths
}

// Lengths returns the key lengths that there are keys for.
func (k *Keys) Lengths() KeyLengths {
	if k.Only == 0 {
		return AllKeyLengths
	}
	return k.Only
}

// SendParams returns what our packets are encrypted with where CCP has come to
// a. It reports false if there is no key of that length.
func (k *Keys) SendParams(a Agreed) (p Params, ok bool) { return k.params(a, k.Send) }

// RecvParams returns the same for the peer's packets.
func (k *Keys) RecvParams(a Agreed) (p Params, ok bool) { return k.params(a, k.Recv) }

func (k *Keys) params(a Agreed, key Key) (Params, bool) {
	if !k.Lengths().Has(a.KeyLength) {
		return Params{}, false
	}
	if a.KeyLength != Key128 && k.Short != (Key{}) {
		key = k.Short
	}
	return Params{KeyLength: a.KeyLength, Stateful: a.Stateful, Key: key}, true
}

// ErrKeySize: keys of that size are of no use to MPPE.
var ErrKeySize = errors.New("mppe: start keys are too short")

// GivenKeys returns the keys that another party has derived: what a RADIUS
// server sends as MS-MPPE-Send-Key and MS-MPPE-Recv-Key (RFC 2548 §2.4.2 and
// §2.4.3), decrypted. Their names are from the side of the network access
// server; a client that is given such keys takes them the other way round.
//
// Keys of 16 octets and more serve every key length, by their first octets (RFC
// 3079 §4); those of 8 octets and more only the short ones. The error is
// ErrKeySize.
func GivenKeys(send, recv []byte) (k Keys, err error) {
	switch n := min(len(send), len(recv)); {
	case n < Key40.octets():
		return Keys{}, ErrKeySize
	case n < Key128.octets():
		k.Only = AllowKey40 | AllowKey56
	}
	copy(k.Send[:], send)
	copy(k.Recv[:], recv)
	return k, nil
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

// DeriveKeys derives the start keys of all lengths from an MS-CHAPv2
// authentication (RFC 3079 §3): hashHash is the MD4 hash of the NT password
// hash, ntResponse the NT-Response that the client sent.
func DeriveKeys(hashHash [16]byte, ntResponse [24]byte, role Role) Keys {
	master := masterKey(hashHash, ntResponse)
	k := Keys{Send: asymmetricStartKey(master, magic2), Recv: asymmetricStartKey(master, magic3)}
	if role == Server {
		k.Send, k.Recv = k.Recv, k.Send
	}
	return k
}

// DeriveKeysV1 derives the start keys from an MS-CHAPv1 authentication (RFC 3079
// §2): hashHash is the MD4 hash of the NT password hash, challenge what the
// server sent, and lm the first eight octets of the LAN Manager password hash,
// on which 40 and 56 bits rest. With nil for lm there are 128-bit keys only.
//
// The NT-Key and the LM-Key of MS-CHAP-MPPE-Keys (RFC 2548 §2.4.1) are hashHash
// and lm; RFC 2548 takes the former for the plain NT hash, but servers send this.
//
// Both directions have the same key and so the same key stream, and the short
// keys are the same in each session. Nothing that is worth a key goes with them.
func DeriveKeysV1(lm *[8]byte, hashHash [16]byte, challenge [8]byte) Keys {
	start := digest(hashHash[:], hashHash[:], challenge[:]) // Get_Start_Key
	k := Keys{Send: start, Recv: start, Only: AllowKey128}
	if lm != nil {
		copy(k.Short[:], lm[:])
		k.Only = AllKeyLengths
	}
	return k
}

// masterKey is GetMasterKey.
func masterKey(hashHash [16]byte, ntResponse [24]byte) Key {
	return digest(hashHash[:], ntResponse[:], []byte(magic1))
}

// asymmetricStartKey is GetAsymmetricStartKey for 128 bits. What it gives for
// fewer is the beginning of that.
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
