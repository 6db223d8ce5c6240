package chap

import (
	"crypto/rand"
	"crypto/rc4"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"unicode/utf16"

	"github.com/gopptp/gopptp/ppp"
)

// Sizes of a password change, in octets.
const (
	hashLen          = 16
	maxPasswordLen   = 512                // 256 characters of UTF-16
	passwordBlockLen = maxPasswordLen + 4 // and its length
)

// ErrPasswordLength: a password does not fit the block that is sent.
var ErrPasswordLength = errors.New("chap: a new password has at most 256 characters of UTF-16")

// NewPasswordChange makes the part of a Change-Password packet that tells the
// new password to a server that knows the hash of the old one (RFC 2759 §8.9
// and §8.12).
func NewPasswordChange(newPassword string, old NTHash) (*ppp.PasswordChange, error) {
	return newPasswordChange(newPassword, old, nil)
}

func newPasswordChange(newPassword string, old NTHash, fill func([]byte)) (*ppp.PasswordChange, error) {
	password := encodeUTF16(newPassword)
	defer clear(password)
	if len(password) > maxPasswordLen {
		return nil, ErrPasswordLength
	}
	// EncryptPwBlockWithPasswordHash (§8.10): the password ends where its
	// length begins, and what is before it is random.
	var c ppp.PasswordChange
	if fill == nil {
		rand.Read(c.EncryptedPassword[:]) // never fails
	} else {
		fill(c.EncryptedPassword[:])
	}
	copy(c.EncryptedPassword[maxPasswordLen-len(password):], password)
	binary.LittleEndian.PutUint32(c.EncryptedPassword[maxPasswordLen:], uint32(len(password)))
	xorRC4(c.EncryptedPassword[:], old)

	c.EncryptedHash = encryptHash(old, NTHash(sumMD4(password)))
	return &c, nil
}

// NewPassword is what a Change-Password packet asks for.
type NewPassword struct {
	// Password is for a policy to judge; NTHash is what to store.
	Password ppp.Secret
	NTHash   NTHash
}

// VerifyPasswordChange checks a request that has a PasswordChange against the NT
// hash that the user has had so far, and returns the new password. ok is false
// if the peer does not know the old one, or if the parts do not belong together.
//
// The verdict's AuthenticatorResponse and the keys come from VerifyMSCHAPv2, or
// VerifyMSCHAPv1, of the same request and the new hash.
func VerifyPasswordChange(req *ppp.AuthRequest, old NTHash) (n *NewPassword, ok bool) {
	if req.PasswordChange == nil {
		return nil, false
	}
	clearText := req.PasswordChange.EncryptedPassword
	defer clear(clearText[:])
	xorRC4(clearText[:], old)
	size := binary.LittleEndian.Uint32(clearText[maxPasswordLen:])
	if size > maxPasswordLen || size%2 != 0 {
		return nil, false // the usual outcome with a wrong hash
	}
	password := clearText[maxPasswordLen-size : maxPasswordLen]
	hash := NTHash(sumMD4(password))
	want := encryptHash(old, hash)
	if subtle.ConstantTimeCompare(want[:], req.PasswordChange.EncryptedHash[:]) != 1 {
		return nil, false
	}
	switch req.Method {
	case ppp.AuthMSCHAPv1:
		_, ok = VerifyMSCHAPv1(req, hash)
	case ppp.AuthMSCHAPv2:
		_, ok = VerifyMSCHAPv2(req, hash)
	}
	if !ok {
		return nil, false
	}
	return &NewPassword{Password: decodeUTF16(password), NTHash: hash}, true
}

// Wipe overwrites the password and its hash.
func (n *NewPassword) Wipe() {
	n.Password.Wipe()
	n.NTHash.Wipe()
}

// encryptHash is NtPasswordHashEncryptedWithBlock (RFC 2759 §8.13), as §8.12
// uses it.
func encryptHash(old, block NTHash) (c [hashLen]byte) {
	for i := range 2 {
		desEncrypt(c[8*i:], old[8*i:8*i+8], [7]byte(block[7*i:]))
	}
	return c
}

// xorRC4 is Rc4Encrypt (RFC 2759 §8.11), and its inverse.
func xorRC4(b []byte, key NTHash) {
	c, err := rc4.NewCipher(key[:])
	if err != nil {
		panic(err) // a key of sixteen octets cannot be refused
	}
	c.XORKeyStream(b, b)
}

// encodeUTF16 returns a password as it is hashed: in UTF-16, little-endian.
func encodeUTF16(s string) []byte {
	units := utf16.Encode([]rune(s))
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = append(b, byte(u), byte(u>>8))
	}
	clear(units)
	return b
}

func decodeUTF16(b []byte) ppp.Secret {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return ppp.Secret(string(utf16.Decode(units)))
}
