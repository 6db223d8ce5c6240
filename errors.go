package gopptp

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

// Sentinel errors of the package.
var (
	// ErrServerClosed is returned by Serve after Shutdown or Close.
	ErrServerClosed = fmt.Errorf("gopptp: server closed: %w", net.ErrClosed)
	// ErrGREBlocked: the control connection works, but no GRE packet of the
	// peer has come. A firewall or NAT on the way, at either end, does not
	// pass IP protocol 47.
	ErrGREBlocked = errors.New("gopptp: no GRE packet from the peer: IP protocol 47 is blocked on the way")
	// ErrSetupTimeout: the session was not up within the time allowed.
	ErrSetupTimeout = errors.New("gopptp: session set-up timed out")
	// ErrLostCarrier: the control connection ended while the session was up.
	ErrLostCarrier = errors.New("gopptp: control connection lost")
	// ErrPeerClosed: the peer ended the call in order.
	ErrPeerClosed = errors.New("gopptp: closed by the peer")
	// ErrSessionTimeout and ErrIdleTimeout: a limit of AuthResult was reached.
	ErrSessionTimeout = errors.New("gopptp: session time limit reached")
	ErrIdleTimeout    = errors.New("gopptp: idle time limit reached")
	// ErrAdmin, ErrReplaced and ErrQuota are what Session.End says for their causes
	// where its caller says nothing else.
	ErrAdmin    = errors.New("gopptp: disconnected by an operator")
	ErrReplaced = errors.New("gopptp: the same user has come in again")
	ErrQuota    = errors.New("gopptp: volume used up")
	// ErrPoolExhausted: no address is free.
	ErrPoolExhausted = errors.New("gopptp: address pool exhausted")
	// ErrLimit: a limit of ServerConfig was reached.
	ErrLimit = errors.New("gopptp: limit reached")
	// ErrFlood: the peer sent far more control frames than a session needs.
	ErrFlood = errors.New("gopptp: peer floods")
	// ErrCallRefused: the server answered our call with a refusal.
	ErrCallRefused = errors.New("gopptp: call refused")
	// ErrNotSupported: this operating system or data plane cannot do it.
	ErrNotSupported = errors.ErrUnsupported
)

// State is how far a session has come. States are entered in this order, some
// are passed over, and StateClosed is the last.
type State uint8

// The states of a session.
const (
	StateConnect      State = iota // client only: TCP connection
	StateControl                   // PPTP control connection (RFC 2637 §3.1)
	StateCall                      // call set-up (RFC 2637 §3.2)
	StateEstablish                 // LCP (RFC 1661 §3.4)
	StateAuthenticate              // RFC 1661 §3.5
	StateNetwork                   // CCP and IPCP (RFC 1661 §3.6)
	StateUp                        // users' packets flow
	StateTerminate                 // RFC 1661 §3.7
	StateClosed
)

var stateNames = [...]string{
	"connect", "control", "call", "establish", "authenticate", "network", "up", "terminate", "closed",
}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "state " + strconv.Itoa(int(s))
}

// Cause sorts the ends of sessions into few kinds, for statistics and
// accounting.
type Cause uint8

// The causes.
const (
	CauseNone           Cause = iota
	CauseLocal                // closed by this side
	CausePeer                 // closed by the peer
	CauseConnect              // no TCP connection, or refused
	CauseControl              // PPTP control connection refused or violated
	CauseCall                 // call refused
	CauseGREBlocked           // no GRE packet came
	CauseNegotiation          // LCP found no agreement
	CauseAuthentication       // wrong name or password, or a server that did not know it
	CauseAuthBackend          // the authenticator could not decide
	CauseEncryption           // MPPE is required and was refused
	CauseNoAddress            // no address to give, or none given
	CauseTimeout              // set-up took too long
	CauseLostCarrier          // control connection lost
	CauseDeadPeer             // LCP echo went unanswered
	CauseSessionTimeout       // time limit of the session
	CauseIdleTimeout          // idle limit of the session
	CauseLimit                // a limit of the server
	CauseShutdown             // the server is going down
	CauseDataplane            // the data plane failed
	CauseFlood                // the peer sent control messages or frames without end
	CauseAdmin                // disconnected by an operator
	CauseReplaced             // the same user has come in again
	CauseQuota                // volume used up
)

var causeNames = [...]string{
	"none", "local", "peer", "connect", "control", "call", "gre-blocked", "negotiation", "authentication",
	"authentication-backend", "encryption", "no-address", "timeout", "lost-carrier", "dead-peer",
	"session-timeout", "idle-timeout", "limit", "shutdown", "dataplane", "flood",
	"admin", "replaced", "quota",
}

func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "cause " + strconv.Itoa(int(c))
}

// SessionError says why a session ended, or did not come up.
type SessionError struct {
	Stage State // the furthest state the session had reached
	Cause Cause
	Err   error // never nil
}

func (e *SessionError) Error() string {
	return fmt.Sprintf("gopptp: session ended at stage %v (%v): %v", e.Stage, e.Cause, e.Err)
}

func (e *SessionError) Unwrap() error { return e.Err }

// ConfigError names a field of a configuration that cannot be used.
type ConfigError struct {
	Field  string
	Reason string
}

func (e *ConfigError) Error() string { return "gopptp: " + e.Field + ": " + e.Reason }
