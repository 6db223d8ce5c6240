package gopptp

import (
	"slices"
	"time"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/eap"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/pap"
	"github.com/gopptp/gopptp/ppp"
)

// Credentials are how one end proves itself to the other.
type Credentials struct {
	// Name is at most 255 octets, "DOMAIN\user" included.
	Name string
	// Password is given as it is, or by its NT hash where no method needs
	// more: PAP and CHAP-MD5 do.
	Password string
	NTHash   *chap.NTHash
}

func (c *Credentials) hash() chap.NTHash {
	if c.NTHash != nil {
		return *c.NTHash
	}
	return chap.NTPasswordHash(c.Password)
}

// defaultAuthMethods is the only method that is not worse than MS-CHAPv2.
var defaultAuthMethods = []ppp.AuthMethod{ppp.AuthMSCHAPv2}

// knownAuthMethods can be used by either end.
var knownAuthMethods = []ppp.AuthMethod{
	ppp.AuthMSCHAPv2, ppp.AuthMSCHAPv1, ppp.AuthCHAPMD5, ppp.AuthPAP, ppp.AuthEAP,
}

// givesKeys reports whether an authentication by m can yield keys for MPPE.
func givesKeys(m ppp.AuthMethod) bool { return m != ppp.AuthPAP && m != ppp.AuthCHAPMD5 }

func validateMethods(bad func(field, format string, args ...any), field string, methods []ppp.AuthMethod) {
	for i, m := range methods {
		switch {
		case !slices.Contains(knownAuthMethods, m):
			bad(field, "%v is not known", m)
		case slices.Contains(methods[:i], m):
			bad(field, "%v is there twice", m)
		}
	}
}

func validateCredentials(bad func(field, format string, args ...any), prefix, nameField string, c *Credentials, methods []ppp.AuthMethod) {
	if c.Name == "" {
		bad(prefix+nameField, "is required")
	}
	if len(c.Name) > 255 {
		bad(prefix+nameField, "has %d octets, at most 255 fit", len(c.Name))
	}
	if c.NTHash != nil && c.Password != "" {
		bad(prefix+"NTHash", "and Password exclude each other")
	}
	for _, m := range methods {
		if c.NTHash != nil && (m == ppp.AuthPAP || m == ppp.AuthCHAPMD5) {
			bad(prefix+"NTHash", "is not enough for %v, which needs the password", m)
		}
	}
}

// authenticators are our side of having the peer prove itself.
func authenticators(methods []ppp.AuthMethod, name string, again time.Duration) (list []ppp.Authenticator) {
	for _, m := range methods {
		switch m.Protocol {
		case ppp.ProtocolPAP:
			list = append(list, pap.NewAuthenticator(pap.AuthenticatorConfig{}))
		case ppp.ProtocolEAP:
			list = append(list, eap.NewAuthenticator(eap.AuthenticatorConfig{Reauthenticate: again}))
		default:
			list = append(list, chap.NewAuthenticator(chap.AuthenticatorConfig{Method: m, Name: name, Reauthenticate: again}))
		}
	}
	return list
}

// proof is our side of proving ourselves by one method.
type proof struct {
	ppp.Auth
	keys func() *mppe.Keys // of an accepted proof; nil if it gives none
}

// proofs are our side of proving ourselves. With prompt the owner is asked when
// the peer lets us try again.
func proofs(methods []ppp.AuthMethod, c *Credentials, prompt bool) (list []proof) {
	none := func() *mppe.Keys { return nil }
	for _, m := range methods {
		cfg := chap.PeerConfig{Method: m, Name: c.Name, NTHash: c.hash(), Secret: ppp.Secret(c.Password), Prompt: prompt}
		switch m {
		case ppp.AuthPAP:
			list = append(list, proof{pap.NewPeer(pap.PeerConfig{Name: c.Name, Password: cfg.Secret}), none})
		case ppp.AuthEAP:
			mschap := eap.NewMSCHAPv2(cfg)
			methods := []eap.Method{mschap}
			if c.NTHash == nil {
				methods = append(methods, eap.NewMD5(c.Name, cfg.Secret))
			}
			peer := eap.NewPeer(eap.PeerConfig{Name: c.Name, Methods: methods})
			list = append(list, proof{peer, func() *mppe.Keys { return derivedKeys(mschap.KeyMaterial()) }})
		case ppp.AuthMSCHAPv1:
			peer := chap.NewPeer(cfg)
			list = append(list, proof{peer, func() *mppe.Keys { return derivedKeysV1(peer, c) }})
		case ppp.AuthMSCHAPv2:
			peer := chap.NewPeer(cfg)
			list = append(list, proof{peer, func() *mppe.Keys { return derivedKeys(peer.KeyMaterial()) }})
		default:
			list = append(list, proof{chap.NewPeer(cfg), none})
		}
	}
	return list
}

func derivedKeys(hashHash [16]byte, response [24]byte, ok bool) *mppe.Keys {
	if !ok {
		return nil
	}
	keys := mppe.DeriveKeys(hashHash, response, mppe.Client)
	return &keys
}

func derivedKeysV1(peer *chap.Peer, c *Credentials) *mppe.Keys {
	hashHash, challenge, ok := peer.KeyMaterialV1()
	if !ok {
		return nil
	}
	var lm *[8]byte
	if h, ok := chap.LMPasswordHash(c.Password); ok && c.NTHash == nil {
		lm = (*[8]byte)(h[:8])
	}
	keys := mppe.DeriveKeysV1(lm, hashHash, challenge)
	return &keys
}
