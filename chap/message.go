package chap

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// ErrorCode is the E= of a Failure (RFC 2759 §6).
type ErrorCode uint32

// The codes of RFC 2759.
const (
	RestrictedLogonHours  ErrorCode = 646
	AccountDisabled       ErrorCode = 647
	PasswordExpired       ErrorCode = 648
	NoDialinPermission    ErrorCode = 649
	AuthenticationFailure ErrorCode = 691
	ChangingPassword      ErrorCode = 709
)

func (c ErrorCode) String() string {
	switch c {
	case RestrictedLogonHours:
		return "restricted log-on hours"
	case AccountDisabled:
		return "account disabled"
	case PasswordExpired:
		return "password expired"
	case NoDialinPermission:
		return "no dial-in permission"
	case AuthenticationFailure:
		return "authentication failure"
	case ChangingPassword:
		return "error changing password"
	}
	return "error " + strconv.FormatUint(uint64(c), 10)
}

// FailureError is a Failure as it came from the authenticator.
type FailureError struct {
	Code    ErrorCode // zero if the peer named none
	Retry   bool      // another response may be tried
	Message string    // for the user; from the network, so quote it
}

func (e *FailureError) Error() string {
	s := fmt.Sprintf("chap: refused by the server: %v (%d)", e.Code, uint32(e.Code))
	if e.Message != "" {
		s += fmt.Sprintf(": %q", e.Message)
	}
	return s
}

// ParseFailure parses what follows the length field in a Failure of an MS-CHAP.
// Peers write it in many ways, and none is an error.
func ParseFailure(b []byte) *FailureError {
	var f failure
	f.parse(b)
	return &f.FailureError
}

// failure is the Message field of a Failure.
type failure struct {
	FailureError
	challenge []byte // the next challenge, 8 or 16 octets, or nil
	version   int    // of the password change; zero if the peer named none
}

// parse reads "E=691 R=1 C=<32 digits> V=3 M=<text>". Parts may be missing, come
// in any order and be separated by any number of spaces; M is the rest. What is
// no such thing is taken for a message.
func (f *failure) parse(b []byte) {
	*f = failure{}
	rest := string(b)
	for rest = strings.TrimLeft(rest, " "); rest != ""; rest = strings.TrimLeft(rest, " ") {
		if len(rest) < 2 || rest[1] != '=' || rest[0] == 'M' {
			f.Message = strings.TrimPrefix(rest, "M=")
			return
		}
		word := rest
		if i := strings.IndexByte(rest, ' '); i >= 0 {
			word = rest[:i]
		}
		rest = rest[len(word):]
		value := word[2:]
		switch word[0] {
		case 'E':
			n, _ := strconv.ParseUint(value, 10, 32)
			f.Code = ErrorCode(n)
		case 'R':
			f.Retry = value == "1"
		case 'C':
			c, err := hex.DecodeString(value)
			if err == nil && (len(c) == mschapv1.challengeLen || len(c) == mschapv2.challengeLen) {
				f.challenge = c
			}
		case 'V':
			n, _ := strconv.ParseUint(value, 10, 31)
			f.version = int(n)
		}
	}
}

// append is the other way round.
func (f *failure) append(dst []byte) []byte {
	retry := 0
	if f.Retry {
		retry = 1
	}
	dst = fmt.Appendf(dst, "E=%d R=%d", f.Code, retry)
	if f.challenge != nil {
		dst = fmt.Appendf(dst, " C=%X", f.challenge)
	}
	if f.version != 0 {
		dst = fmt.Appendf(dst, " V=%d", f.version)
	}
	if f.Message != "" {
		dst = append(append(dst, " M="...), f.Message...)
	}
	return dst
}

// parseSuccess reads "S=<40 digits> M=<text>" and returns "S=" and the digits.
// Some servers put other parts in front.
func parseSuccess(b []byte) (authResponse string, ok bool) {
	s := string(b)
	i := strings.Index(s, "S=")
	if i < 0 || len(s)-i < 2+digitsLen {
		return "", false
	}
	digest, err := hex.DecodeString(s[i+2 : i+2+digitsLen])
	if err != nil {
		return "", false
	}
	return fmt.Sprintf("S=%X", digest), true
}
