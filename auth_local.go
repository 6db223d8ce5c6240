package gopptp

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/eap"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// LocalUser is a user of a local store.
type LocalUser struct {
	// NTHash is enough for all methods but CHAP-MD5 and the MD5-Challenge of
	// EAP. Zero is none: nobody gets in by it.
	NTHash chap.NTHash
	// Secret is the password in clear, for those two only, and may be nil. It
	// does not replace NTHash.
	Secret ppp.Secret
	// Expired refuses the password. A peer that uses an MS-CHAP and knows it may
	// set a new one, where ChangePassword is not nil. By EAP it cannot.
	Expired bool
	// Refusal refuses a user whose password was right, as one who is disabled, by
	// every method and whatever else is here; who guesses is told nothing of it.
	// By EAP the peer gets its Code and Message, and those are all it may have
	// there. Nil refuses nobody.
	Refusal *AuthError
	// ChangePassword stores a new password, or says why not. It must not keep
	// new.Password, which is wiped.
	ChangePassword func(ctx context.Context, new *chap.NewPassword) error
	Address        netip.Addr // fixed address in the tunnel; zero: from the pool
	// Result is copied into the AuthResult, for whatever else the user is
	// granted.
	Result AuthResult
}

// NewLocalAuthenticator returns an Authenticator over a store of NT hashes. It
// does PAP, MS-CHAPv1, MS-CHAPv2 and EAP-MSCHAPv2; and for users with a Secret
// CHAP-MD5, and MD5-Challenge if a peer that does EAP will have nothing else.
//
// lookup returns nil and no error for a user it does not know; it is called
// with the name as the peer gave it and, where that has a domain and is not
// known, with the part behind the domain.
func NewLocalAuthenticator(lookup func(ctx context.Context, user string) (*LocalUser, error)) Authenticator {
	return localAuthenticator(lookup)
}

type localAuthenticator func(ctx context.Context, user string) (*LocalUser, error)

// Authenticate implements Authenticator.
func (lookup localAuthenticator) Authenticate(ctx context.Context, req *AuthRequest) (*AuthResult, error) {
	user, err := lookup(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	if domain, name := chap.SplitDomain(req.Name); user == nil && domain != "" {
		if user, err = lookup(ctx, name); err != nil {
			return nil, err
		}
	}
	// An unknown user costs what a known one does, so that the time of the
	// answer tells nothing.
	known := user != nil
	if !known {
		user = new(LocalUser)
	}
	if user.NTHash == (chap.NTHash{}) {
		stranger := *user // the store's own stays as it is
		rand.Read(stranger.NTHash[:])
		user = &stranger
	}
	if req.PasswordChange != nil {
		return changePassword(ctx, req, user, known)
	}
	if req.Method == ppp.AuthEAP {
		return localEAP(req, user, known)
	}
	result := user.Result
	ok, err := verifyLocal(&req.AuthRequest, user.NTHash, user.Secret, &result)
	switch {
	case err != nil:
		return nil, err
	case !ok || !known:
		return nil, ErrBadCredentials
	case user.Refusal != nil:
		return nil, user.Refusal
	case user.Expired:
		return nil, &AuthError{Code: 648, Message: passwordExpired, ChangePassword: user.ChangePassword != nil}
	}
	return user.grant(result), nil
}

// grant returns a result with the user's address in it.
func (u *LocalUser) grant(result AuthResult) *AuthResult {
	if u.Address.IsValid() {
		result.Address = u.Address
	}
	return &result
}

// localEAP is one round of EAP.
func localEAP(req *AuthRequest, user *LocalUser, known bool) (*AuthResult, error) {
	var account *eap.User
	if known {
		account = &eap.User{NTHash: user.NTHash, Secret: user.Secret}
		switch {
		case user.Refusal != nil:
			account.Refusal, account.Message = chap.ErrorCode(user.Refusal.Code), user.Refusal.Message
			if account.Refusal == 0 {
				account.Refusal = chap.AuthenticationFailure
			}
		case user.Expired: // and there is no changing it by EAP
			account.Refusal, account.Message = chap.PasswordExpired, passwordExpired
		}
	}
	methods := eap.Server{Methods: []eap.ServerMethod{ // the one that gives keys first
		&eap.MSCHAPv2Server{Name: req.LocalName}, &eap.MD5Server{Name: req.LocalName},
	}}
	v := methods.Next(&req.AuthRequest, account)
	switch {
	case v.Continue:
		return &AuthResult{Continue: true, EAP: v.EAP, State: v.State}, nil
	case v.Accepted:
		result := user.Result
		if v.Proof != nil {
			keys := mppe.DeriveKeys(v.Proof.HashHash, v.Proof.NTResponse, mppe.Server)
			result.Keys = &keys
		}
		return user.grant(result), nil
	case v.ErrorCode == int(chap.AuthenticationFailure):
		return nil, ErrBadCredentials
	}
	return nil, &AuthError{Code: v.ErrorCode, Message: v.Message}
}

const passwordExpired = "Password expired"

// verifyLocal checks a response, and adds to result what it proves and yields.
func verifyLocal(req *ppp.AuthRequest, hash chap.NTHash, secret ppp.Secret, result *AuthResult) (ok bool, err error) {
	switch req.Method {
	case ppp.AuthPAP:
		return chap.VerifyPassword(req, hash), nil
	case ppp.AuthCHAPMD5:
		return chap.VerifyMD5(req, secret) && secret != nil, nil
	case ppp.AuthMSCHAPv1:
		proof, ok := chap.VerifyMSCHAPv1(req, hash)
		if ok {
			keys := mppe.DeriveKeysV1(nil, proof.HashHash, proof.Challenge)
			result.Keys = &keys
		}
		return ok, nil
	case ppp.AuthMSCHAPv2:
		proof, ok := chap.VerifyMSCHAPv2(req, hash)
		if ok {
			keys := mppe.DeriveKeys(proof.HashHash, proof.NTResponse, mppe.Server)
			result.Keys, result.AuthenticatorResponse = &keys, proof.AuthenticatorResponse
		}
		return ok, nil
	}
	return false, fmt.Errorf("gopptp: the local authenticator does not do %v", req.Method)
}

// changePassword handles a Change-Password packet (RFC 2759 §7): it proves that
// the peer knows the old password, and has a response made with the new one.
func changePassword(ctx context.Context, req *AuthRequest, user *LocalUser, known bool) (*AuthResult, error) {
	change, ok := chap.VerifyPasswordChange(&req.AuthRequest, user.NTHash)
	if !ok || !known || user.ChangePassword == nil {
		return nil, ErrBadCredentials
	}
	defer change.Wipe()
	result := user.Result
	if ok, err := verifyLocal(&req.AuthRequest, change.NTHash, nil, &result); err != nil || !ok {
		return nil, ErrBadCredentials
	}
	if user.Refusal != nil {
		return nil, user.Refusal
	}
	if err := user.ChangePassword(ctx, change); err != nil {
		return nil, fmt.Errorf("gopptp: change of password: %w", err)
	}
	return user.grant(result), nil
}
