package gopptp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// Authenticator decides whether a user may come in. It is called on a goroutine
// of its own for each attempt, so it may block on a RADIUS server or a database
// without stalling any other session; the context ends when the session does or
// its set-up time is over. At most Limits.MaxAuthentications run at once.
//
// A nil error accepts the user. An *AuthError refuses it. Any other error means
// that no decision could be had; the user is refused too, under
// CauseAuthBackend. One who is in and proves itself anew stays, and the question is
// asked again a little later.
type Authenticator interface {
	Authenticate(ctx context.Context, req *AuthRequest) (*AuthResult, error)
}

// AuthenticatorFunc makes a function an Authenticator.
type AuthenticatorFunc func(ctx context.Context, req *AuthRequest) (*AuthResult, error)

// Authenticate implements Authenticator.
func (f AuthenticatorFunc) Authenticate(ctx context.Context, req *AuthRequest) (*AuthResult, error) {
	return f(ctx, req)
}

// AuthRequest is one attempt of a peer to authenticate itself.
type AuthRequest struct {
	ppp.AuthRequest // method, name, challenge and response
	Session         SessionID
	LocalName       string         // ours: the Name of ServerConfig or ClientConfig
	Local, Remote   netip.AddrPort // of the control connection
	CallID          uint16         // ours
}

// AuthResult is what an Authenticator grants.
type AuthResult struct {
	// User is the name under which the session is known; empty means the
	// name that the peer gave.
	User string
	// AuthenticatorResponse is the text that proves to an MS-CHAPv2 peer that
	// the password is known: "S=" and 40 hexadecimal digits (RFC 2759 §5).
	AuthenticatorResponse string
	// Message is shown to the user by some clients.
	Message string
	// Keys are the MPPE start keys from our side, 128 bits each way: derived
	// from the password (RFC 3079 §3), or MS-MPPE-Send-Key and
	// MS-MPPE-Recv-Key of a RADIUS server. Nil: the session cannot use MPPE.
	Keys *mppe.Keys
	// Address is the peer's address in the tunnel; the zero value takes one
	// from the server's AddressPool.
	Address netip.Addr
	// IPv6Prefix is the /64 for the peer where the server does IPv6; the zero
	// value takes one from the server's PrefixPool.
	IPv6Prefix netip.Prefix
	// Routes are networks behind the peer. Those of IPv6 mean something where
	// the server does IPv6.
	Routes []netip.Prefix
	// DNS and NBNS replace the server's, at most two each.
	DNS, NBNS []netip.Addr
	// SessionTimeout and IdleTimeout end the session; zero means never.
	SessionTimeout, IdleTimeout time.Duration
	// Rates limit the user's packets; the zero value does not. Session.SetRates
	// changes them.
	Rates Rates
	// Attributes are carried to Session.Attributes unread.
	Attributes any

	// Continue says that there is no decision yet: EAP is the next request to
	// the peer, and its answer is another AuthRequest, with State. Nothing is
	// granted.
	Continue bool
	// EAP is the packet for the peer, from its code on, EAP only. With a
	// success it may be nil.
	EAP []byte
	// State comes back in the AuthRequest.State that follows.
	State any
}

// AuthError is a refusal by an Authenticator.
type AuthError struct {
	// Code is sent as E= (RFC 2759 §6): 646 restricted log-on hours, 647
	// account disabled, 648 password expired, 649 no dial-in permission, 691
	// authentication failure. Zero means 691.
	Code    int
	Message string // for the user
	Retry   bool   // the peer may try again with another password
	// ChangePassword lets the peer of an MS-CHAP send a new password, for
	// which Code is 648. That is another AuthRequest.
	ChangePassword bool
	// State comes back in the AuthRequest that follows, if one does.
	State any
	// EAP is the Failure for the peer, EAP only; nil makes one.
	EAP []byte
}

func (e *AuthError) Error() string {
	if e.Message != "" {
		return fmt.Sprintf("gopptp: authentication refused (%d): %s", e.Code, e.Message)
	}
	return fmt.Sprintf("gopptp: authentication refused (%d)", e.Code)
}

// ErrBadCredentials is the refusal of an unknown user or a wrong password. It
// does not say which of the two it was.
var ErrBadCredentials error = &AuthError{Code: 691, Message: "Authentication failure"}

// ErrUserChanged is the refusal of a peer that negotiated its link anew and proved itself
// as another user than before: a session has one, whose limits and records it counts for.
var ErrUserChanged error = &AuthError{Code: 691, Message: "Another user than before"}

// authVerdict turns an Authenticator's error into the verdict that the peer is
// told.
func authVerdict(id uint8, err error) ppp.AuthVerdict {
	var refusal *AuthError
	if errors.As(err, &refusal) {
		return ppp.AuthVerdict{
			ID: id, ErrorCode: refusal.Code, Message: refusal.Message, Retry: refusal.Retry,
			ChangePassword: refusal.ChangePassword, State: refusal.State, EAP: refusal.EAP,
		}
	}
	// 649 is "no dial-in permission". At 691 a client would ask its user for
	// the password again, which was right.
	message := "Authentication is not available"
	switch {
	case errors.Is(err, ErrPoolExhausted):
		message = "No address is available"
	case errors.Is(err, ErrLimit):
		message = "The server is busy"
	}
	return ppp.AuthVerdict{ID: id, ErrorCode: 649, Message: message}
}
