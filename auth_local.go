package gopptp

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// LocalUser is a user of a local store.
type LocalUser struct {
	// NTHash is enough for all methods but CHAP-MD5.
	NTHash chap.NTHash
	// Secret is the password in clear, for CHAP-MD5 only, and may be nil. It
	// does not replace NTHash.
	Secret ppp.Secret
	// Expired refuses the password. A peer that uses MS-CHAPv2 and knows it may
	// set a new one, where ChangePassword is not nil.
	Expired bool
	// ChangePassword stores a new password, or says why not. It must not keep
	// new.Password, which is wiped.
	ChangePassword func(ctx context.Context, new *chap.NewPassword) error
	Address        netip.Addr // fixed address in the tunnel; zero: from the pool
	// Result is copied into the AuthResult, for whatever else the user is
	// granted.
	Result AuthResult
}

// NewLocalAuthenticator returns an Authenticator over a store of NT hashes. It
// does PAP, MS-CHAPv1 and MS-CHAPv2, and CHAP-MD5 for users with a Secret.
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
	if req.PasswordChange != nil {
		return changePassword(ctx, req, user, known)
	}
	result := user.Result
	ok, err := verifyLocal(&req.AuthRequest, user.NTHash, user.Secret, &result)
	switch {
	case err != nil:
		return nil, err
	case !ok || !known:
		return nil, ErrBadCredentials
	case user.Expired:
		return nil, &AuthError{Code: 648, Message: "Password expired", ChangePassword: user.ChangePassword != nil}
	}
	if user.Address.IsValid() {
		result.Address = user.Address
	}
	return &result, nil
}

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
	if err := user.ChangePassword(ctx, change); err != nil {
		return nil, fmt.Errorf("gopptp: change of password: %w", err)
	}
	if user.Address.IsValid() {
		result.Address = user.Address
	}
	return &result, nil
}
