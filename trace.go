package gopptp

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp/pptp"
)

// TraceEvent is one control message or PPP control frame, as it passed. Those of
// an authentication hold what a password can be found from, with PAP the password
// itself: treat a trace as a secret.
//
// Session is empty where ServerConfig.Trace sees a control message: its connection may
// have several sessions, or none yet.
type TraceEvent struct {
	Time    time.Time
	Session SessionID // see below
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

// Trace has f see the control traffic of the session from now on, beside the TraceFunc
// of its configuration and any other: its PPP frames, and the control messages of its
// connection, which are those of all its sessions if there are several. It may be called
// at any time, and costs nothing while nobody does.
//
// stop ends it, and may be called from f too. f is not called any more once stop has
// returned, but for a call that has begun.
func (s *Session) Trace(f TraceFunc) (stop func()) {
	t := &tracer{see: f}
	s.retrace(func(list []*tracer) []*tracer { return append(list, t) })
	return func() {
		t.stopped.Store(true)
		s.retrace(func(list []*tracer) []*tracer {
			return slices.DeleteFunc(list, func(other *tracer) bool { return other == t })
		})
	}
}

// tracer is one who looks on at a session.
type tracer struct {
	see     TraceFunc
	stopped atomic.Bool
}

// retrace replaces the list of tracers. f is given a copy.
func (s *Session) retrace(f func(list []*tracer) []*tracer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*tracer
	if now := s.tracers.Load(); now != nil {
		list = slices.Clone(*now)
	}
	if list = f(list); len(list) == 0 {
		s.tracers.Store(nil)
		return
	}
	s.tracers.Store(&list)
}

// traceOwn shows an event to those who look on at the session.
func (s *Session) traceOwn(e TraceEvent) {
	list := s.tracers.Load()
	if list == nil {
		return
	}
	for _, t := range *list {
		if !t.stopped.Load() {
			t.see(e)
		}
	}
}

// traceFrame shows a PPP frame.
func (s *Session) traceFrame(frame []byte, sent bool, now time.Time) {
	all := s.link.cfg.trace
	if all == nil && s.tracers.Load() == nil {
		return
	}
	e := TraceEvent{Time: now, Session: s.id, Remote: s.remote, Sent: sent, Kind: TracePPP, Data: frame}
	if all != nil {
		all(e)
	}
	s.traceOwn(e)
}

// traceMessage shows a control message of the session's connection.
func (s *Session) traceMessage(d pptp.Direction, msg []byte) {
	if s.tracers.Load() != nil {
		s.traceOwn(TraceEvent{
			Time: time.Now(), Session: s.id, Remote: s.remote, Sent: d == pptp.Sent, Kind: TraceControl, Data: msg,
		})
	}
}
