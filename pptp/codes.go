package pptp

import "strconv"

// StartResult is the Result Code of a Start-Control-Connection-Reply
// (RFC 2637 section 2.2).
type StartResult uint8

// Start results.
const (
	StartSuccessful          StartResult = 1
	StartGeneralError        StartResult = 2 // see the Error Code
	StartChannelExists       StartResult = 3
	StartNotAuthorized       StartResult = 4
	StartVersionNotSupported StartResult = 5
)

// String returns the code's meaning.
func (r StartResult) String() string {
	return codeName(uint8(r), "", "successful", "general error", "command channel already exists",
		"requester not authorized", "protocol version not supported")
}

// StopReason is the Reason of a Stop-Control-Connection-Request
// (RFC 2637 section 2.3).
type StopReason uint8

// Stop reasons.
const (
	StopNone          StopReason = 1 // general request to clear the connection
	StopProtocol      StopReason = 2 // peer's version not supported
	StopLocalShutdown StopReason = 3 // the requester is being shut down
)

// String returns the code's meaning.
func (r StopReason) String() string {
	return codeName(uint8(r), "", "none", "protocol version not supported", "local shutdown")
}

// StopResult is the Result Code of a Stop-Control-Connection-Reply
// (RFC 2637 section 2.4).
type StopResult uint8

// Stop results.
const (
	StopOK           StopResult = 1
	StopGeneralError StopResult = 2 // see the Error Code
)

// String returns the code's meaning.
func (r StopResult) String() string { return codeName(uint8(r), "", "OK", "general error") }

// EchoResult is the Result Code of an Echo-Reply (RFC 2637 section 2.6).
type EchoResult uint8

// Echo results.
const (
	EchoOK           EchoResult = 1
	EchoGeneralError EchoResult = 2 // see the Error Code
)

// String returns the code's meaning.
func (r EchoResult) String() string { return codeName(uint8(r), "", "OK", "general error") }

// OutgoingCallResult is the Result Code of an Outgoing-Call-Reply
// (RFC 2637 section 2.8).
type OutgoingCallResult uint8

// Outgoing call results.
const (
	OutgoingConnected    OutgoingCallResult = 1
	OutgoingGeneralError OutgoingCallResult = 2 // see the Error Code
	OutgoingNoCarrier    OutgoingCallResult = 3
	OutgoingBusy         OutgoingCallResult = 4
	OutgoingNoDialTone   OutgoingCallResult = 5
	OutgoingTimeOut      OutgoingCallResult = 6
	OutgoingDoNotAccept  OutgoingCallResult = 7 // administratively prohibited
)

// String returns the code's meaning.
func (r OutgoingCallResult) String() string {
	return codeName(uint8(r), "", "connected", "general error", "no carrier", "busy", "no dial tone",
		"time-out", "do not accept")
}

// IncomingCallResult is the Result Code of an Incoming-Call-Reply
// (RFC 2637 section 2.10).
type IncomingCallResult uint8

// Incoming call results.
const (
	IncomingConnect      IncomingCallResult = 1
	IncomingGeneralError IncomingCallResult = 2 // see the Error Code
	IncomingDoNotAccept  IncomingCallResult = 3
)

// String returns the code's meaning.
func (r IncomingCallResult) String() string {
	return codeName(uint8(r), "", "connect", "general error", "do not accept")
}

// DisconnectResult is the Result Code of a Call-Disconnect-Notify
// (RFC 2637 section 2.13).
type DisconnectResult uint8

// Disconnect results.
const (
	DisconnectUnspecified   DisconnectResult = 0 // not in the RFC; Windows sends it
	DisconnectLostCarrier   DisconnectResult = 1
	DisconnectGeneralError  DisconnectResult = 2 // see the Error Code
	DisconnectAdminShutdown DisconnectResult = 3
	DisconnectRequest       DisconnectResult = 4 // a Call-Clear-Request asked for it
)

// String returns the code's meaning.
func (r DisconnectResult) String() string {
	return codeName(uint8(r), "unspecified", "lost carrier", "general error", "admin shutdown", "request")
}

// ErrorCode is a general error code (RFC 2637 section 2.16). It means something
// only beside the result code "general error".
type ErrorCode uint8

// General error codes.
const (
	ErrorNone         ErrorCode = 0
	ErrorNotConnected ErrorCode = 1 // no control connection yet
	ErrorBadFormat    ErrorCode = 2 // wrong length or cookie
	ErrorBadValue     ErrorCode = 3
	ErrorNoResource   ErrorCode = 4
	ErrorBadCallID    ErrorCode = 5
	ErrorPAC          ErrorCode = 6 // vendor-specific error in the PAC
)

// String returns the code's meaning.
func (c ErrorCode) String() string {
	return codeName(uint8(c), "none", "not connected", "bad format", "bad value", "no resource",
		"bad call ID", "PAC error")
}

// Framing is a set of PPP framing types, or one of them.
type Framing uint32

// Framing types.
const (
	FramingAsynchronous Framing = 1
	FramingSynchronous  Framing = 2
	FramingEither       Framing = 3
)

// Bearer is a set of bearer capabilities, or one of them.
type Bearer uint32

// Bearer types.
const (
	BearerAnalog  Bearer = 1
	BearerDigital Bearer = 2
	BearerAny     Bearer = 3
)

func codeName(v uint8, names ...string) string {
	if int(v) < len(names) && names[v] != "" {
		return names[v]
	}
	return "code " + strconv.Itoa(int(v))
}
