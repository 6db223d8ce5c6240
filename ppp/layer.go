package ppp

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
)

// Signal tells the link what a call did to a layer: the This-Layer actions of
// RFC 1661 §4.4, several at once where a packet had several effects. Down is
// meant to be heeded before Finished.
type Signal uint8

const (
	SignalUp       Signal = 1 << iota // This-Layer-Up
	SignalDown                        // This-Layer-Down
	SignalStarted                     // This-Layer-Started: the layer wants the one below
	SignalFinished                    // This-Layer-Finished: the layer is done with the one below; see Err
)

// Layer is a control protocol as a link drives it: LCP, CCP, IPCP and whatever
// a user registers. Automaton implements it for all that follow RFC 1661 §4.
//
// A Layer does no I/O and keeps no time: what it wants sent goes to out, and
// its owner calls Tick once Deadline has come. It is used by one goroutine.
type Layer interface {
	// Protocol is the number under which the link finds the layer.
	Protocol() Protocol
	// Up and Down say that the layer below is ready, or no longer so.
	Up(now time.Time, out *Output) Signal
	Down(now time.Time, out *Output) Signal
	// Open and Close are the administrator's events.
	Open(now time.Time, out *Output) Signal
	Close(now time.Time, out *Output) Signal
	// Input handles one packet: what follows the protocol field. Octets that
	// make no sense are dropped and counted.
	Input(b []byte, now time.Time, out *Output) Signal
	// Rejected says that the peer answered with a Protocol-Reject.
	Rejected(now time.Time, out *Output) Signal
	// Tick runs what is due.
	Tick(now time.Time, out *Output) Signal
	// Deadline is when Tick has work to do; zero when nothing is pending.
	Deadline() time.Time
	// Opened reports whether the layer is up.
	Opened() bool
	// Err says why the layer finished, nil while it has not.
	Err() error
}

// Auth is one role of an authentication protocol on a link: the authenticator,
// which asks, or the peer, which answers. CHAP is a pair of them under one
// protocol number; a link passes a packet to both roles, and each ignores the
// codes that are the other's.
//
// SignalUp means authenticated, SignalFinished that authentication failed, for
// the reason that Err gives. A role lives on after SignalUp: it answers packets
// that are sent again, and an authenticator may have a Deadline at which it
// begins anew. Until that has an outcome the link goes on; SignalFinished ends
// it, in the Network phase too.
type Auth interface {
	Method() AuthMethod
	// Start begins when the link enters the Authenticate phase. It forgets
	// all of an earlier run.
	Start(now time.Time, out *Output) Signal
	Input(b []byte, now time.Time, out *Output) Signal
	Tick(now time.Time, out *Output) Signal
	Deadline() time.Time
	Err() error
}

// Authenticator is an Auth that needs a verdict: it emits an AuthRequest and
// waits for Verdict to be called. It ignores a verdict that it has not asked for.
type Authenticator interface {
	Auth
	Verdict(v AuthVerdict, now time.Time, out *Output) Signal
}

// Presumer is an Auth in the role of the peer that can do without being told of
// its success: Presume says that the other end has begun a network protocol,
// which it does for an authenticated peer only. EAP needs it, since its Success
// is not repeated (RFC 2284 §2.2.2).
type Presumer interface {
	Presume(now time.Time, out *Output) Signal
}

// AuthMethod is what the Authentication-Protocol option of LCP names (RFC 1661
// §6.2): a protocol, and for CHAP an algorithm.
type AuthMethod struct {
	Protocol  Protocol
	Algorithm uint8 // CHAP only: 5 MD5, 0x80 MS-CHAP, 0x81 MS-CHAPv2
}

// The methods in use with PPTP. The zero AuthMethod is none at all.
var (
	AuthPAP      = AuthMethod{Protocol: ProtocolPAP}
	AuthCHAPMD5  = AuthMethod{Protocol: ProtocolCHAP, Algorithm: 5}
	AuthMSCHAPv1 = AuthMethod{Protocol: ProtocolCHAP, Algorithm: 0x80}
	AuthMSCHAPv2 = AuthMethod{Protocol: ProtocolCHAP, Algorithm: 0x81}
	AuthEAP      = AuthMethod{Protocol: ProtocolEAP}
)

func (m AuthMethod) String() string {
	switch m {
	case AuthMethod{}:
		return "none"
	case AuthCHAPMD5:
		return "CHAP-MD5"
	case AuthMSCHAPv1:
		return "MS-CHAPv1"
	case AuthMSCHAPv2:
		return "MS-CHAPv2"
	}
	return m.Protocol.String()
}

// ErrAuthMethod is returned for a text that names no method.
var ErrAuthMethod = errors.New("ppp: not one of pap, chap-md5, ms-chapv1, ms-chapv2, eap")

// MarshalText implements encoding.TextMarshaler.
func (m AuthMethod) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler: it takes what String makes
// of the methods in use with PPTP, in upper or lower case.
func (m *AuthMethod) UnmarshalText(text []byte) error {
	for _, known := range []AuthMethod{AuthPAP, AuthCHAPMD5, AuthMSCHAPv1, AuthMSCHAPv2, AuthEAP} {
		if strings.EqualFold(known.String(), string(text)) {
			*m = known
			return nil
		}
	}
	return fmt.Errorf("%w: %q", ErrAuthMethod, text)
}

// AuthRequest is the Event by which an Authenticator asks for a verdict. Every
// field is the event's own copy.
type AuthRequest struct {
	Method AuthMethod
	// ID names the exchange; it returns in AuthVerdict. With CHAP it is the
	// identifier of the response, which CHAP-MD5 hashes.
	ID uint8
	// Name is the name the peer gave, as it came; it may hold a domain. With
	// EAP it is the identity.
	Name string
	// Reauthentication: the peer has been accepted on this link before, under
	// the same name. The link is up and stays so until there is a verdict.
	Reauthentication bool
	// State is that of the last verdict where this request follows from it:
	// another attempt, a new password, the next round of EAP. Otherwise nil.
	State any
	// Challenge is what we sent: 16 octets with MS-CHAPv2 and CHAP-MD5, 8 with
	// MS-CHAPv1.
	Challenge []byte
	// PeerChallenge is the peer's part, MS-CHAPv2 only: 16 octets.
	PeerChallenge []byte
	// Response is the NT-Response (24 octets) of MS-CHAPv2 and MS-CHAPv1, nil
	// where a peer of the latter does not vouch for it; with CHAP-MD5 it is the
	// digest (16 octets).
	Response []byte
	// LMResponse is the LAN Manager response (24 octets) of MS-CHAPv1, nil if
	// there is none.
	LMResponse []byte
	// Password is the user's, PAP only.
	Password Secret
	// PasswordChange is set where the peer asks for a new password, which a
	// verdict with ChangePassword invited it to. Response and PeerChallenge are
	// made with the new one.
	PasswordChange *PasswordChange
	// EAP is the peer's packet, from its code on.
	EAP []byte
}

// PasswordChange is what a Change-Password packet of MS-CHAP carries beside a
// response (RFC 2759 §7, RFC 2433 §10).
type PasswordChange struct {
	// EncryptedPassword is the new password, under the old NT hash.
	EncryptedPassword [516]byte
	// EncryptedHash is the old NT hash, under the new one.
	EncryptedHash [16]byte
}

// AuthVerdict answers an AuthRequest.
type AuthVerdict struct {
	ID       uint8 // of the request; a verdict on an earlier one is ignored
	Accepted bool
	// AuthenticatorResponse is the text "S=" and 40 hexadecimal digits that
	// proves to an MS-CHAPv2 peer that we know its password (RFC 2759 §5).
	AuthenticatorResponse string
	// Message is for the user's eyes, sent with success and failure alike.
	Message string
	// ErrorCode is sent as E= on failure (RFC 2759 §6); zero means 691.
	ErrorCode int
	// Retry lets the peer try once more on a failure.
	Retry bool
	// ChangePassword lets the peer of an MS-CHAP change its password on a
	// failure, for which ErrorCode is 648, password expired. It is another
	// AuthRequest; without it the code is the end of the attempt.
	ChangePassword bool
	// State comes back in the AuthRequest that this verdict leads to, unread.
	State any
	// EAP is the packet for the peer, from its code on. A Request decides
	// nothing yet unless Accepted says so: the peer's answer is another
	// AuthRequest. Without a Success or Failure that fits the verdict, one is
	// made.
	EAP []byte
}

// Secret is a password. It prints as "[redacted]"; string(s) is what it holds.
type Secret []byte

const redacted = "[redacted]"

// Format implements fmt.Formatter, so that no verb shows it.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps secrets out of encoded logs.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Equal compares two secrets in a time that depends on their lengths only.
func (s Secret) Equal(t Secret) bool { return subtle.ConstantTimeCompare(s, t) == 1 }

// Wipe overwrites the secret.
func (s Secret) Wipe() { clear(s) }
