package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// securityFlags say how to authenticate and encrypt.
type securityFlags struct {
	encryption string
	auth       string
	mppeKeys   string
	mppeModes  string
}

// apply checks the flags and puts them into c.
func (f securityFlags) apply(c *gopptp.ClientConfig) (err error) {
	if c.Encryption.UnmarshalText([]byte(f.encryption)) != nil {
		return fmt.Errorf("--encryption: %q is not one of require, prefer, allow, deny", f.encryption)
	}
	methods := map[string]ppp.AuthMethod{}
	for _, m := range []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthMSCHAPv1, ppp.AuthCHAPMD5, ppp.AuthPAP, ppp.AuthEAP} {
		methods[methodName(m)] = m
	}
	if c.AuthMethods, err = list("--auth", f.auth, methods, "ms-chapv2, ms-chapv1, chap-md5, pap, eap"); err != nil {
		return err
	}
	lengths, err := list("--mppe-keys", f.mppeKeys, map[string]mppe.KeyLengths{
		"128": mppe.AllowKey128, "56": mppe.AllowKey56, "40": mppe.AllowKey40,
	}, "128, 56, 40")
	if err != nil {
		return err
	}
	for _, l := range lengths {
		c.KeyLengths |= l
	}
	modes, err := list("--mppe-modes", f.mppeModes, map[string]mppe.Modes{
		"stateless": mppe.AllowStateless, "stateful": mppe.AllowStateful,
	}, "stateless, stateful")
	if err != nil {
		return err
	}
	for _, m := range modes {
		c.EncryptionModes |= m
	}
	if c.Encryption == gopptp.EncryptionRequire && !slices.ContainsFunc(c.AuthMethods, givesKeys) {
		return fmt.Errorf("--auth: there are no keys from %s for the MPPE that --encryption require demands", strings.ReplaceAll(f.auth, ",", " or "))
	}
	return nil
}

// list reads values with commas between them.
func list[T comparable](flag, text string, known map[string]T, choices string) (values []T, err error) {
	for _, word := range strings.Split(text, ",") {
		v, ok := known[strings.TrimSpace(word)]
		switch {
		case !ok:
			return nil, fmt.Errorf("%s: %q is not one of %s", flag, word, choices)
		case slices.Contains(values, v):
			return nil, fmt.Errorf("%s: %s is there twice", flag, word)
		}
		values = append(values, v)
	}
	return values, nil
}

func methodName(m ppp.AuthMethod) string { return strings.ToLower(m.String()) }

func givesKeys(m ppp.AuthMethod) bool { return m != ppp.AuthPAP && m != ppp.AuthCHAPMD5 }

// use gives c the secret in as weak a form as will do: with no more than the
// hash, EAP has no MD5-Challenge for a server that proves nothing.
func (s *secret) use(c *gopptp.ClientConfig) error {
	clear := false // whether the password itself is of use
	for _, m := range c.AuthMethods {
		needs := ""
		switch {
		case !givesKeys(m):
			needs = methodName(m)
		case m == ppp.AuthMSCHAPv1 && c.KeyLengths != mppe.AllowKey128: // these come from its LAN Manager hash
			clear = true
			if !c.KeyLengths.Has(mppe.Key128) {
				needs = "ms-chapv1 with keys shorter than 128 bits"
			}
		}
		if needs == "" {
			continue
		}
		if clear = true; s.password == nil {
			return fmt.Errorf("--nt-hash-file: %s needs the password itself", needs)
		}
	}
	if clear && s.password != nil {
		c.Password = string(s.password)
	} else {
		c.NTHash = &s.hash
	}
	return nil
}
