package chap

import (
	"crypto/des"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// LMHash is the LAN Manager hash of a password, which MPPE keys of 40 and 56
// bits are derived from with MS-CHAPv1 (RFC 3079 §2.1, §2.2). It prints as
// "[redacted]".
type LMHash [16]byte

// Format implements fmt.Formatter, so that no verb shows it.
func (LMHash) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String implements fmt.Stringer.
func (LMHash) String() string { return redacted }

// LogValue implements slog.LogValuer.
func (LMHash) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps hashes out of encoded logs.
func (LMHash) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Wipe overwrites the hash.
func (h *LMHash) Wipe() { *h = LMHash{} }

// maxLMPassword is all that a LAN Manager hash covers, in octets.
const maxLMPassword = 14

// LMPasswordHash is LmPasswordHash (RFC 2433 §A.2). ok is false for a password
// that has none: one of more than 14 characters, or with characters beyond
// ASCII, whose form depends on a code page that nobody negotiates.
func LMPasswordHash(password string) (h LMHash, ok bool) {
	if len(password) > maxLMPassword {
		return LMHash{}, false
	}
	for _, c := range []byte(password) {
		if c > 0x7f {
			return LMHash{}, false
		}
	}
	var padded [maxLMPassword]byte
	copy(padded[:], strings.ToUpper(password))
	for i := range 2 {
		desEncrypt(h[8*i:], []byte("KGS!@#$%"), [7]byte(padded[7*i:]))
	}
	return h, true
}

// desEncrypt is DesEncrypt (RFC 2759 §8.6, RFC 2433 §A.4).
func desEncrypt(dst, src []byte, rawKey [7]byte) {
	key := desKey(rawKey)
	block, err := des.NewCipher(key[:])
	if err != nil {
		panic(err) // a key of eight octets cannot be refused
	}
	block.Encrypt(dst, src)
}
