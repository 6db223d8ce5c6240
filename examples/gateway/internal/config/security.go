package config

import (
	"slices"
	"strings"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// KeyLengths is mppe_key_lengths as a set.
func (c *Config) KeyLengths() (set mppe.KeyLengths) {
	for _, l := range c.MPPEKeyLengths {
		switch l {
		case mppe.Key128:
			set |= mppe.AllowKey128
		case mppe.Key56:
			set |= mppe.AllowKey56
		case mppe.Key40:
			set |= mppe.AllowKey40
		}
	}
	return set
}

// Modes is mppe_modes as a set.
func (c *Config) Modes() (set mppe.Modes) {
	for _, m := range c.MPPEModes {
		switch m {
		case MPPEStateless:
			set |= mppe.AllowStateless
		case MPPEStateful:
			set |= mppe.AllowStateful
		}
	}
	return set
}

// MethodPath is the key of a method in auth_methods; empty if it is not there.
func (c *Config) MethodPath(m ppp.AuthMethod) string {
	if i := slices.Index(c.AuthMethods, m); i >= 0 {
		return index("auth_methods", i)
	}
	return ""
}

// methodName is a method as it is written.
func methodName(m ppp.AuthMethod) string { return strings.ToLower(m.String()) }

// keyless says why a session cannot be encrypted whose user came in by m; empty
// if it can be.
func (c *Config) keyless(m ppp.AuthMethod) string {
	switch {
	case m == ppp.AuthPAP, m == ppp.AuthCHAPMD5:
		return "gives no keys for MPPE"
	case m == ppp.AuthMSCHAPv1 && !c.KeyLengths().Has(mppe.Key128):
		return "gives keys of 128 bits only" // shorter ones come from LAN Manager hashes
	}
	return ""
}

// security looks at what goes together of authentication and encryption.
func (k *checker) security() {
	c := k.cfg
	good := entries(k, "auth_methods", c.AuthMethods, methodName)
	good = entries(k, "mppe_key_lengths", c.MPPEKeyLengths, mppe.KeyLength.String) && good
	good = entries(k, "mppe_modes", c.MPPEModes, func(m MPPEMode) string { return string(m) }) && good
	const least, most = 10 * time.Second, 24 * time.Hour
	if r := c.Reauthenticate; r != 0 && (r < least || r > most) {
		k.bad("reauthenticate", "%v is neither 0s nor from %v to %v", r, least, most)
	} else if path := c.MethodPath(ppp.AuthPAP); r != 0 && path != "" {
		k.warn(path, "has no way to reauthenticate: who comes in by it is never asked again")
	}
	if good && !c.Wrong("encryption") && c.Encryption != gopptp.EncryptionDeny {
		k.keys()
	}
}

// keys looks whether the methods give the keys that encryption needs.
func (k *checker) keys() {
	c := k.cfg
	var without []string
	for _, m := range c.AuthMethods {
		if reason := c.keyless(m); reason != "" {
			without = append(without, methodName(m)+" "+reason)
		}
	}
	none := len(without) == len(c.AuthMethods)
	switch {
	case none && c.Encryption == gopptp.EncryptionRequire:
		k.bad("auth_methods", "nobody can come in, as encryption is required: %s", strings.Join(without, ", "))
	case none:
		k.warn("encryption", "%v comes to nothing: %s", c.Encryption, strings.Join(without, ", "))
	case c.Encryption == gopptp.EncryptionRequire:
		for _, m := range c.AuthMethods {
			if reason := c.keyless(m); reason != "" {
				k.warn(c.MethodPath(m), "%s %s: who comes in by it is turned away, as encryption is required", methodName(m), reason)
			}
		}
	}
}

// entries reports whether a list has entries, each once, and none that has been
// reported already.
func entries[T comparable](k *checker, path string, list []T, name func(T) string) bool {
	if k.cfg.Wrong(path) {
		return false
	}
	if len(list) == 0 {
		k.bad(path, "must have at least one entry")
		return false
	}
	good := true
	for i, v := range list {
		at := index(path, i)
		switch {
		case k.cfg.Wrong(at):
			good = false
		case slices.Contains(list[:i], v):
			k.bad(at, "%s is listed twice", name(v))
			good = false
		}
	}
	return good
}
