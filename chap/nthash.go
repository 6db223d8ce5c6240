package chap

import (
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	//lint:ignore SA1019 MS-CHAP is made of it
	"golang.org/x/crypto/md4"

	"github.com/gopptp/gopptp/ppp"
)

// NTHash is the MD4 hash of a password in UTF-16. It is worth as much as the
// password. It prints as "[redacted]".
type NTHash [16]byte

const redacted = "[redacted]"

// Format implements fmt.Formatter, so that no verb shows it.
func (NTHash) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String implements fmt.Stringer.
func (NTHash) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (NTHash) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (NTHash) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps hashes out of encoded logs.
func (NTHash) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// ErrNTHash is returned by ParseNTHash.
var ErrNTHash = errors.New("chap: an NT hash has 32 hexadecimal digits")

// ParseNTHash reads the 32 hexadecimal digits of a stored NT hash.
func ParseNTHash(s string) (h NTHash, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return NTHash{}, ErrNTHash // and nothing of s in it
	}
	return NTHash(b), nil
}

// NTPasswordHash is NtPasswordHash (RFC 2759 §8.3).
func NTPasswordHash(password string) NTHash {
	b := encodeUTF16(password)
	defer clear(b)
	return NTHash(sumMD4(b))
}

// VerifyPassword checks the password of a PAP request against an NT hash, in
// constant time, for who stores nothing else.
func VerifyPassword(req *ppp.AuthRequest, hash NTHash) bool {
	if req.Method != ppp.AuthPAP {
		return false
	}
	got := NTPasswordHash(string(req.Password))
	return subtle.ConstantTimeCompare(got[:], hash[:]) == 1
}

// HashHash is HashNtPasswordHash (RFC 2759 §8.4), from which the MPPE keys are
// derived.
func (h NTHash) HashHash() [16]byte { return sumMD4(h[:]) }

// Wipe overwrites the hash.
func (h *NTHash) Wipe() { *h = NTHash{} }

func sumMD4(b []byte) (sum [16]byte) {
	h := md4.New()
	h.Write(b)
	h.Sum(sum[:0])
	return sum
}

// SplitDomain splits `DOMAIN\user`, as Windows sends it; domain is empty if
// there is none. The hash of MS-CHAPv2 covers the user only (RFC 2759 §8.2).
func SplitDomain(name string) (domain, user string) {
	if i := strings.LastIndexByte(name, '\\'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}
