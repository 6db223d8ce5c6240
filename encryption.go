package gopptp

import "fmt"

// EncryptionPolicy says what MPPE means to a session. MPPE is broken: it keeps
// out the curious, not an attacker. It is required by default because a clear
// tunnel is worse still and most peers insist on it.
type EncryptionPolicy uint8

// The policies.
const (
	// EncryptionRequire ends a session that does not agree on MPPE. No packet
	// of a user passes in clear, either way.
	EncryptionRequire EncryptionPolicy = iota
	// EncryptionPrefer asks for MPPE and goes on without it where the peer
	// refuses.
	EncryptionPrefer
	// EncryptionAllow uses MPPE when the peer asks for it.
	EncryptionAllow
	// EncryptionDeny refuses MPPE.
	EncryptionDeny
)

var encryptionNames = [...]string{"require", "prefer", "allow", "deny"}

func (p EncryptionPolicy) String() string {
	if int(p) < len(encryptionNames) {
		return encryptionNames[p]
	}
	return fmt.Sprintf("encryption policy %d", uint8(p))
}

// MarshalText implements encoding.TextMarshaler.
func (p EncryptionPolicy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: require, prefer, allow or
// deny.
func (p *EncryptionPolicy) UnmarshalText(text []byte) error {
	for i, name := range encryptionNames {
		if name == string(text) {
			*p = EncryptionPolicy(i)
			return nil
		}
	}
	return fmt.Errorf("gopptp: encryption policy %q is not one of require, prefer, allow, deny", text)
}
