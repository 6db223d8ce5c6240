package pptp

// Event is something that happened on a control connection: one of the types
// below that say so.
//
// A call's life is told in order. On a PNS each PlaceCall is followed by
// exactly one of CallEstablished, CallRefused and CallCleared; on a PAC each
// CallRequested is followed by CallEstablished (after AcceptCall), by
// CallCleared, or, after RejectCall, by nothing.
//
// Incoming calls go the other way. On a PAC each PlaceIncomingCall is followed
// by one of IncomingCallAccepted, IncomingCallRefused and CallCleared, and
// IncomingCallAccepted by CallEstablished (after ConnectIncomingCall) or
// CallCleared; on a PNS each IncomingCallRequested is followed by
// CallEstablished (after AcceptIncomingCall, and once the PAC has connected its
// line), by CallCleared, or, after RejectIncomingCall, by nothing.
//
// Each CallEstablished is followed by one CallCleared. Stopped is the last
// event and always comes once.
type Event interface{ isEvent() }

// StartRequested: the peer asks for a control connection. The owner answers
// with AcceptStart, RefuseStart or IgnoreStart within HandshakeTimeout. It comes
// only with ConfirmStart.
type StartRequested struct {
	Peer PeerInfo
}

// Started: the control connection is established.
type Started struct {
	Peer PeerInfo
}

// CallRequested: the PNS asks for a call. The owner answers with AcceptCall or
// RejectCall within CallTimeout; after that the call is refused and
// CallCleared follows.
type CallRequested struct {
	Request OutgoingCallRequest
}

// CallEstablished: data may flow.
type CallEstablished struct {
	CallID     uint16 // ours: in the GRE packets we get
	PeerCallID uint16 // the peer's: in the GRE packets we send
	// PacketRecvWindowSize is how many packets the peer says it buffers, and
	// PacketProcessingDelay its delay in tenths of a second.
	PacketRecvWindowSize  uint16
	PacketProcessingDelay uint16
	ConnectSpeed          uint32 // bits a second, as the PAC says

	Incoming         bool   // announced by the PAC, not asked for by the PNS
	CallSerialNumber uint16 // for logs, the same on both sides
	// OwnRecvWindow and OwnProcessingDelay are what we told about ourselves.
	OwnRecvWindow, OwnProcessingDelay uint16
	Peer                              CallInfo
}

// CallRefused: the PAC does not want the call that PlaceCall asked for, or did
// not answer.
type CallRefused struct {
	CallID     uint16
	ResultCode OutgoingCallResult
	ErrorCode  ErrorCode
	CauseCode  uint16
	Err        error // nil, or ErrCallTimeout where there was no answer
}

// IncomingCallRequested: the PAC has a call for us. The owner answers with
// AcceptIncomingCall or RejectIncomingCall within CallTimeout; after that the
// call is refused and CallCleared follows. It comes only with IncomingCalls.
type IncomingCallRequested struct {
	Request IncomingCallRequest
}

// IncomingCallAccepted: the PNS wants the call that PlaceIncomingCall announced.
// The owner has CallTimeout to connect its line and to say so by
// ConnectIncomingCall, or to give up by ClearCall.
type IncomingCallAccepted struct {
	CallID     uint16
	PeerCallID uint16
}

// IncomingCallRefused: the PNS does not want the call that PlaceIncomingCall
// announced, or did not answer.
type IncomingCallRefused struct {
	CallID     uint16
	ResultCode IncomingCallResult
	ErrorCode  ErrorCode
	Err        error // nil, or ErrCallTimeout where there was no answer
}

// CallCleared: the call is over.
type CallCleared struct {
	CallID     uint16 // ours; 0 if the call had not been accepted yet
	PeerCallID uint16 // the peer's; 0 if it had not been told yet
	Incoming   bool   // announced by the PAC, not asked for by the PNS
	// Remote says that the peer began it.
	Remote bool
	// ResultCode, ErrorCode, CauseCode and CallStatistics are those of the
	// Call-Disconnect-Notify, zero if there was none.
	ResultCode     DisconnectResult
	ErrorCode      ErrorCode
	CauseCode      uint16
	CallStatistics string
	// Err is nil if the call was cleared in an orderly way; ErrCallTimeout
	// if the owner did not answer the request in time, or an incoming call
	// was not connected in time; ErrClearTimeout if
	// the peer did not confirm; ErrStopped if the control connection was
	// stopped, or else the error that ended it.
	Err error
}

// LinkInfo: a Set-Link-Info came for a call.
type LinkInfo struct {
	CallID      uint16 // ours
	SendACCM    uint32
	ReceiveACCM uint32
}

// WANErrors: the PAC reports errors on its line.
type WANErrors struct {
	CallID uint16         // ours
	Report WANErrorNotify // counters since the call began
}

// Unexpected: a message came that is unknown, not implemented, or does not fit
// the state. It has been counted, and answered where the RFC wants that.
type Unexpected struct {
	Type MessageType
}

// Stopped: the control connection is over and the TCP connection is to be
// closed, once what is left in the Output has been written.
type Stopped struct {
	Remote bool       // the peer began it
	Reason StopReason // as it was said; 0 if there was no Stop-Control-Connection-Request
	Err    error      // nil if it was stopped in an orderly way
}

func (StartRequested) isEvent()        {}
func (Started) isEvent()               {}
func (CallRequested) isEvent()         {}
func (CallEstablished) isEvent()       {}
func (CallRefused) isEvent()           {}
func (IncomingCallRequested) isEvent() {}
func (IncomingCallAccepted) isEvent()  {}
func (IncomingCallRefused) isEvent()   {}
func (CallCleared) isEvent()           {}
func (LinkInfo) isEvent()              {}
func (WANErrors) isEvent()             {}
func (Unexpected) isEvent()            {}
func (Stopped) isEvent()               {}
