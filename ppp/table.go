package ppp

// State is a state of the option negotiation automaton (RFC 1661 §4.2).
type State uint8

// The ten states, numbered as in RFC 1661 §4.1.
const (
	Initial State = iota
	Starting
	Closed
	Stopped
	Closing
	Stopping
	ReqSent
	AckRcvd
	AckSent
	Opened
)

var stateNames = [...]string{
	"Initial", "Starting", "Closed", "Stopped", "Closing", "Stopping",
	"Req-Sent", "Ack-Rcvd", "Ack-Sent", "Opened",
}

func (s State) String() string { return stateNames[s] }

// negotiating reports whether a Configure-Request of ours is outstanding or
// just answered.
func (s State) negotiating() bool { return s == ReqSent || s == AckRcvd || s == AckSent }

// timed reports whether the Restart timer runs in s (RFC 1661 §4.2).
func (s State) timed() bool { return s == Closing || s == Stopping || s.negotiating() }

// StateEvent is an event of the automaton (RFC 1661 §4.3).
type StateEvent uint8

// The sixteen events, in the order of RFC 1661 §4.1.
const (
	EventUp       StateEvent = iota
	EventDown                // the lower layer is down
	EventOpen                // administrative
	EventClose               // administrative
	EventTOPlus              // timeout with counter above zero
	EventTOMinus             // timeout with counter expired
	EventRCRPlus             // Receive-Configure-Request, good
	EventRCRMinus            // Receive-Configure-Request, bad
	EventRCA                 // Receive-Configure-Ack
	EventRCN                 // Receive-Configure-Nak or -Reject
	EventRTR                 // Receive-Terminate-Request
	EventRTA                 // Receive-Terminate-Ack
	EventRUC                 // Receive-Unknown-Code
	EventRXJPlus             // Receive-Code-Reject or -Protocol-Reject, permitted
	EventRXJMinus            // the same, catastrophic
	EventRXR                 // Receive-Echo-Request, -Echo-Reply or -Discard-Request

	eventCount
)

var eventNames = [...]string{
	"Up", "Down", "Open", "Close", "TO+", "TO-", "RCR+", "RCR-", "RCA", "RCN",
	"RTR", "RTA", "RUC", "RXJ+", "RXJ-", "RXR",
}

func (e StateEvent) String() string { return eventNames[e] }

// Actions is a set of the actions of RFC 1661 §4.4.
type Actions uint16

// The actions, by the abbreviations of RFC 1661 §4.1 written out.
const (
	ThisLayerUp          Actions = 1 << iota // tlu
	ThisLayerDown                            // tld
	ThisLayerStarted                         // tls
	ThisLayerFinished                        // tlf
	InitRestartCount                         // irc
	ZeroRestartCount                         // zrc
	SendConfigureRequest                     // scr
	SendConfigureAck                         // sca
	SendConfigureNak                         // scn: Nak or Reject
	SendTerminateRequest                     // str
	SendTerminateAck                         // sta
	SendCodeReject                           // scj
	SendEchoReply                            // ser
)

// Transition is one cell of the table.
type Transition struct {
	Actions Actions
	Next    State
}

// On returns what the automaton does in state s at event e. An event that the
// table marks as impossible there changes nothing.
func (s State) On(e StateEvent) Transition { return transitions[e][s] }

// The abbreviations of RFC 1661, so that the table below can be read beside
// the one in §4.1.
const (
	tlu = ThisLayerUp
	tld = ThisLayerDown
	tls = ThisLayerStarted
	tlf = ThisLayerFinished
	irc = InitRestartCount
	zrc = ZeroRestartCount
	scr = SendConfigureRequest
	sca = SendConfigureAck
	scn = SendConfigureNak
	str = SendTerminateRequest
	sta = SendTerminateAck
	scj = SendCodeReject
	ser = SendEchoReply
)

// transitions is the table of RFC 1661 §4.1: a row an event, a column a state.
// The cells marked "-" there keep the state and do nothing. Of the options
// behind the table neither the passive nor the restart one is used: a finished
// layer stays down until it is opened anew.
var transitions = [eventCount][10]Transition{
	//            0 Initial  1 Starting      2 Closed        3 Stopped            4 Closing  5 Stopping 6 Req-Sent       7 Ack-Rcvd       8 Ack-Sent       9 Opened
	EventUp:       {{0, 2}, {irc | scr, 6}, {0, 2}, {0, 3}, {0, 4}, {0, 5}, {0, 6}, {0, 7}, {0, 8}, {0, 9}},
	EventDown:     {{0, 0}, {0, 1}, {0, 0}, {tls, 1}, {0, 0}, {0, 1}, {0, 1}, {0, 1}, {0, 1}, {tld, 1}},
	EventOpen:     {{tls, 1}, {0, 1}, {irc | scr, 6}, {0, 3}, {0, 5}, {0, 5}, {0, 6}, {0, 7}, {0, 8}, {0, 9}},
	EventClose:    {{0, 0}, {tlf, 0}, {0, 2}, {0, 2}, {0, 4}, {0, 4}, {irc | str, 4}, {irc | str, 4}, {irc | str, 4}, {tld | irc | str, 4}},
	EventTOPlus:   {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {str, 4}, {str, 5}, {scr, 6}, {scr, 6}, {scr, 8}, {0, 9}},
	EventTOMinus:  {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {tlf, 2}, {tlf, 3}, {tlf, 3}, {tlf, 3}, {tlf, 3}, {0, 9}},
	EventRCRPlus:  {{0, 0}, {0, 1}, {sta, 2}, {irc | scr | sca, 8}, {0, 4}, {0, 5}, {sca, 8}, {sca | tlu, 9}, {sca, 8}, {tld | scr | sca, 8}},
	EventRCRMinus: {{0, 0}, {0, 1}, {sta, 2}, {irc | scr | scn, 6}, {0, 4}, {0, 5}, {scn, 6}, {scn, 7}, {scn, 6}, {tld | scr | scn, 6}},
	EventRCA:      {{0, 0}, {0, 1}, {sta, 2}, {sta, 3}, {0, 4}, {0, 5}, {irc, 7}, {scr, 6}, {irc | tlu, 9}, {tld | scr, 6}},
	EventRCN:      {{0, 0}, {0, 1}, {sta, 2}, {sta, 3}, {0, 4}, {0, 5}, {irc | scr, 6}, {scr, 6}, {irc | scr, 8}, {tld | scr, 6}},
	EventRTR:      {{0, 0}, {0, 1}, {sta, 2}, {sta, 3}, {sta, 4}, {sta, 5}, {sta, 6}, {sta, 6}, {sta, 6}, {tld | zrc | sta, 5}},
	EventRTA:      {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {tlf, 2}, {tlf, 3}, {0, 6}, {0, 6}, {0, 8}, {tld | scr, 6}},
	EventRUC:      {{0, 0}, {0, 1}, {scj, 2}, {scj, 3}, {scj, 4}, {scj, 5}, {scj, 6}, {scj, 7}, {scj, 8}, {scj, 9}},
	EventRXJPlus:  {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {0, 4}, {0, 5}, {0, 6}, {0, 6}, {0, 8}, {0, 9}},
	EventRXJMinus: {{0, 0}, {0, 1}, {tlf, 2}, {tlf, 3}, {tlf, 2}, {tlf, 3}, {tlf, 3}, {tlf, 3}, {tlf, 3}, {tld | irc | str, 5}},
	EventRXR:      {{0, 0}, {0, 1}, {0, 2}, {0, 3}, {0, 4}, {0, 5}, {0, 6}, {0, 7}, {0, 8}, {ser, 9}},
}
