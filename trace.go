package gopptp

import (
	"net/netip"
	"time"
)

// TraceEvent is one control message or PPP control frame, as it passed. Those of
// an authentication hold what a password can be found from, with PAP the password
// itself: treat a trace as a secret.
type TraceEvent struct {
	Time    time.Time
	Session SessionID // empty before the call
	Remote  netip.AddrPort
	Sent    bool // by us
	Kind    TraceKind
	Data    []byte // valid only during the call
}

// TraceKind says what TraceEvent.Data holds.
type TraceKind uint8

// The kinds.
const (
	TraceControl TraceKind = iota // a PPTP control message (RFC 2637 §2)
	TracePPP                      // a PPP frame, from the protocol field on
)

// A TraceFunc sees all control traffic. It runs on the session's event loop: it
// must be quick and must not block.
type TraceFunc func(e TraceEvent)
