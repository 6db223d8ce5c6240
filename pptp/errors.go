package pptp

import (
	"errors"
	"fmt"
	"net"
)

// Why a control connection or a call ended, or a method of Control refused.
var (
	// ErrHandshakeTimeout: the peer did not start the control connection in
	// time.
	ErrHandshakeTimeout = errors.New("pptp: control connection not started in time")
	// ErrEchoTimeout: the peer did not answer an Echo-Request.
	ErrEchoTimeout = errors.New("pptp: no answer to Echo-Request")
	// ErrStopTimeout: the peer did not answer a
	// Stop-Control-Connection-Request.
	ErrStopTimeout = errors.New("pptp: no answer to Stop-Control-Connection-Request")
	// ErrCallTimeout: a call request was not answered.
	ErrCallTimeout = errors.New("pptp: call request not answered in time")
	// ErrClearTimeout: the peer did not answer a Call-Clear-Request.
	ErrClearTimeout = errors.New("pptp: no answer to Call-Clear-Request")
	// ErrStopped: the control connection was stopped by either peer.
	ErrStopped = errors.New("pptp: control connection stopped")
	// ErrClosed: the control connection has ended. It is net.ErrClosed.
	ErrClosed = fmt.Errorf("pptp: control connection: %w", net.ErrClosed)

	// ErrVersion: no common protocol version. It comes in a *ProtocolError.
	ErrVersion = errors.New("pptp: protocol version not supported")
	// ErrStartRefused: the peer refuses a control connection, or we did. It
	// comes in a *ProtocolError.
	ErrStartRefused = errors.New("pptp: control connection refused")
	// ErrCollision: both peers opened a control connection at the same time,
	// and this is the one that had to go.
	ErrCollision = errors.New("pptp: collision, another control connection with the peer is kept")

	// ErrState: the control connection is not established.
	ErrState = errors.New("pptp: control connection not established")
	// ErrRole: only the other role may do this.
	ErrRole = errors.New("pptp: not possible in this role")
	// ErrCallIDInUse: there is a call with this Call ID.
	ErrCallIDInUse = errors.New("pptp: Call ID in use")
	// ErrUnknownCall: there is no call with this Call ID in a fitting state.
	ErrUnknownCall = errors.New("pptp: no such call")
	// ErrTooManyCalls: MaxCalls calls are there already.
	ErrTooManyCalls = errors.New("pptp: too many calls")
	// ErrConfig: a Config has a value out of range.
	ErrConfig = errors.New("pptp: bad configuration")
)

// ProtocolError says that the control connection could not be started, and
// with which codes either peer said so.
type ProtocolError struct {
	// Remote: the peer found the fault and its message says so. Otherwise we
	// found it and our message says so.
	Remote bool
	// Message carries the codes: a Start-Control-Connection-Reply or a
	// Stop-Control-Connection-Request.
	Message MessageType
	// Result is the message's Result Code, a StartResult or a StopReason.
	Result    uint8
	ErrorCode ErrorCode
	Err       error // ErrVersion or ErrStartRefused
}

func (e *ProtocolError) Error() string {
	result := StartResult(e.Result).String()
	if e.Message == TypeStopControlConnectionRequest {
		result = StopReason(e.Result).String()
	}
	who := "we sent"
	if e.Remote {
		who = "peer sent"
	}
	s := fmt.Sprintf("%v: %s %v: %s", e.Err, who, e.Message, result)
	if e.ErrorCode != ErrorNone {
		s += ", " + e.ErrorCode.String()
	}
	return s
}

// Unwrap returns e.Err.
func (e *ProtocolError) Unwrap() error { return e.Err }
