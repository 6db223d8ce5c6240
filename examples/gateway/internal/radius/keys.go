package radius

import (
	"crypto/md5"
	"errors"
	"fmt"

	"layeh.com/radius"
	"layeh.com/radius/vendors/microsoft"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// keys returns the MPPE keys of an Access-Accept; nil if there are none.
func keys(req *gopptp.AuthRequest, reply *Reply) (*mppe.Keys, error) {
	send, noSend := microsoft.MSMPPESendKey_Lookup(reply.Packet, reply.Request)
	recv, noRecv := microsoft.MSMPPERecvKey_Lookup(reply.Packet, reply.Request)
	if errors.Is(noSend, radius.ErrNoAttribute) && errors.Is(noRecv, radius.ErrNoAttribute) {
		if req.Method == ppp.AuthMSCHAPv1 {
			return keysV1(req, reply)
		}
		return nil, nil
	}
	if err := errors.Join(noSend, noRecv); err != nil {
		return nil, fmt.Errorf("radius: MS-MPPE-Send-Key and MS-MPPE-Recv-Key: %w", err)
	}
	k, err := mppe.GivenKeys(send, recv)
	clear(send)
	clear(recv)
	if err != nil {
		return nil, fmt.Errorf("radius: MS-MPPE-Send-Key and MS-MPPE-Recv-Key: %w", err)
	}
	return &k, nil
}

// keysV1 returns those that MS-CHAP-MPPE-Keys stands for (RFC 2548 §2.4.1): eight octets
// of the LM hash, sixteen that the NT key is made of, and eight of padding. They are hidden
// as a password is.
func keysV1(req *gopptp.AuthRequest, reply *Reply) (*mppe.Keys, error) {
	// The dictionary's own function decrypts it, and ends it at the first zero, which may
	// be anywhere.
	hidden := vendorAttribute(reply.Packet, microsoftVendor, msCHAPMPPEKeys)
	if hidden == nil {
		return nil, nil
	}
	if len(hidden) != 32 || len(req.Challenge) != 8 {
		return nil, fmt.Errorf("radius: MS-CHAP-MPPE-Keys has %d octets", len(hidden))
	}
	var plain [32]byte
	defer clear(plain[:])
	before := reply.Request.Authenticator[:]
	for block := range 2 {
		sum := md5.New()
		sum.Write(reply.Request.Secret)
		sum.Write(before)
		sum.Sum(plain[block*16 : block*16])
		before = hidden[block*16:][:16]
		for i, octet := range before {
			plain[block*16+i] ^= octet
		}
	}
	lm := (*[8]byte)(plain[:8])
	if *lm == ([8]byte{}) { // the server knows none
		lm = nil
	}
	k := mppe.DeriveKeysV1(lm, [16]byte(plain[8:24]), [8]byte(req.Challenge))
	return &k, nil
}

const (
	microsoftVendor = 311
	msCHAPMPPEKeys  = 12
)

// vendorAttribute is the first one of a type of a vendor; nil if there is none.
func vendorAttribute(p *radius.Packet, vendor uint32, typ byte) []byte {
	const vendorSpecific = 26
	for _, avp := range p.Attributes {
		if avp.Type != vendorSpecific {
			continue
		}
		id, list, err := radius.VendorSpecific(avp.Attribute)
		if err != nil || id != vendor {
			continue
		}
		for len(list) >= 2 && list[1] >= 2 && int(list[1]) <= len(list) {
			if list[0] == typ {
				return list[2:list[1]]
			}
			list = list[list[1]:]
		}
	}
	return nil
}

// The bits of MS-MPPE-Encryption-Types (RFC 2548 §2.4.5), and that of 56 bits, which came
// later.
const (
	typeKey40  = 0x2
	typeKey128 = 0x4
	typeKey56  = 0x8
)

// encrypt judges the policy of a server for a user (RFC 2548 §2.4.4 and §2.4.5), where
// that of the gateway is for all. It returns the keys that may be used.
func encrypt(gateway gopptp.EncryptionPolicy, method ppp.AuthMethod, p *radius.Packet, k *mppe.Keys) (*mppe.Keys, error) {
	types, noTypes := microsoft.MSMPPEEncryptionTypes_Lookup(p)
	if noTypes == nil && k != nil {
		var allowed mppe.KeyLengths
		for bit, length := range map[microsoft.MSMPPEEncryptionTypes]mppe.KeyLengths{
			typeKey40: mppe.AllowKey40, typeKey56: mppe.AllowKey56, typeKey128: mppe.AllowKey128,
		} {
			if types&bit != 0 {
				allowed |= length
			}
		}
		k.Only = allowed & k.Lengths()
		if k.Only == 0 { // which would mean all
			k.Wipe()
			k = nil
		}
	}
	required := microsoft.MSMPPEEncryptionPolicy_Get(p) == microsoft.MSMPPEEncryptionPolicy_Value_EncryptionRequired
	switch {
	case required && gateway != gopptp.EncryptionRequire:
		return nil, fmt.Errorf("radius: MS-MPPE-Encryption-Policy requires encryption of this user, and encryption: %v of the gateway does not", gateway)
	case gateway != gopptp.EncryptionRequire || k != nil:
		return k, nil
	case noTypes == nil && types == 0:
		return nil, errors.New("radius: MS-MPPE-Encryption-Types allows this user no encryption, and the gateway requires it")
	case method == ppp.AuthPAP || method == ppp.AuthCHAPMD5:
		return nil, fmt.Errorf("radius: %v gives no keys for MPPE, and the gateway requires encryption", method)
	}
	return nil, errors.New("radius: the server sends no keys for MPPE, and the gateway requires encryption (with FreeRADIUS, see use_mppe of the module mschap)")
}
