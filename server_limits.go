package gopptp

import (
	"cmp"
	"math"
	"time"
)

// Limits of a Server. A peer that meets one waits or is refused, with the right result
// code where it has got far enough to understand one; those who are in are never
// touched, unless they flood.
type Limits struct {
	// MaxSessions bounds the sessions, those being set up included. Default
	// 65,535. A call beyond is refused as busy.
	MaxSessions int
	// MaxHalfOpen bounds the control connections that have no session up.
	// Default 1,024. Others wait in the backlog of the listener for their turn. They are
	// refused once no place has become free for 5 s: then it is not a rush of clients
	// who come up, but someone who only takes places.
	MaxHalfOpen int
	// MaxPerSource bounds the control connections of one source address. Many
	// users may share one behind a NAT. Default 256.
	MaxPerSource int
	// MaxCalls bounds the calls, each with a session, on one control connection.
	// Clients make one. Default 16. One beyond is refused as busy.
	MaxCalls int
	// Connections is how often control connections are taken in. Those that come
	// faster wait in the listener's backlog. The zero Rate does not limit them.
	Connections Rate
	// SourceConnections is how often control connections of one source address are
	// taken in; others are refused at once. The zero Rate is twice MaxPerSource at once,
	// and a quarter of it a second. Of so very many sources that their number by itself
	// is a flood, some are let in more often.
	SourceConnections Rate
	// MaxAuthentications bounds the calls of the Authenticator under way. Others
	// wait. Default 256.
	MaxAuthentications int
	// MaxAuthWaiting bounds those that wait, and AuthWait for how long. Defaults 1,024
	// and 20 s. While so many wait, calls are refused as busy; an authentication that
	// must wait all the same, or has waited too long, fails, and the session with it
	// (CauseLimit). Those who are in and prove themselves anew do not count, and wait
	// behind all others for as long as it takes.
	MaxAuthWaiting int
	AuthWait       time.Duration
	// HandshakeTimeout is the time from the TCP connection to the PPTP
	// control connection. Default 10 s.
	HandshakeTimeout time.Duration
	// SetupTimeout is the time from there to a session that is up. Default
	// 60 s.
	SetupTimeout time.Duration
	// GRETimeout is how long a call waits for its first GRE packet before it
	// is taken for blocked. Default 12 s.
	GRETimeout time.Duration
}

// Rate is how often something may happen. An infinite PerSecond is no limit.
type Rate struct {
	PerSecond float64
	Burst     int // at once; zero: those of one second
}

func (r Rate) validate(bad func(field, format string, args ...any), field string) {
	switch {
	case math.IsNaN(r.PerSecond) || r.PerSecond < 0 || r.Burst < 0:
		bad(field, "must not be negative")
	case r.PerSecond == 0 && r.Burst != 0:
		bad(field, "has a Burst and no PerSecond")
	}
}

func (l *Limits) setDefaults() {
	l.MaxSessions = cmp.Or(l.MaxSessions, DefaultMaxSessions)
	l.MaxHalfOpen = cmp.Or(l.MaxHalfOpen, DefaultMaxHalfOpen)
	l.MaxPerSource = cmp.Or(l.MaxPerSource, DefaultMaxPerSource)
	l.MaxCalls = cmp.Or(l.MaxCalls, DefaultMaxCalls)
	l.SourceConnections = cmp.Or(l.SourceConnections, Rate{float64(l.MaxPerSource) / 4, 2 * l.MaxPerSource})
	l.MaxAuthentications = cmp.Or(l.MaxAuthentications, DefaultMaxAuthentications)
	l.MaxAuthWaiting = cmp.Or(l.MaxAuthWaiting, DefaultMaxAuthWaiting)
	l.AuthWait = cmp.Or(l.AuthWait, DefaultAuthWait)
	l.HandshakeTimeout = cmp.Or(l.HandshakeTimeout, DefaultHandshakeTimeout)
	l.SetupTimeout = cmp.Or(l.SetupTimeout, DefaultSetupTimeout)
	l.GRETimeout = cmp.Or(l.GRETimeout, DefaultGRETimeout)
}

func (l *Limits) validate(bad func(field, format string, args ...any)) {
	validateNotNegative(bad, []number{
		{"Limits.MaxSessions", int64(l.MaxSessions)},
		{"Limits.MaxHalfOpen", int64(l.MaxHalfOpen)},
		{"Limits.MaxPerSource", int64(l.MaxPerSource)},
		{"Limits.MaxCalls", int64(l.MaxCalls)},
		{"Limits.MaxAuthentications", int64(l.MaxAuthentications)},
		{"Limits.MaxAuthWaiting", int64(l.MaxAuthWaiting)},
		{"Limits.AuthWait", int64(l.AuthWait)},
		{"Limits.HandshakeTimeout", int64(l.HandshakeTimeout)},
		{"Limits.SetupTimeout", int64(l.SetupTimeout)},
		{"Limits.GRETimeout", int64(l.GRETimeout)},
	})
	l.Connections.validate(bad, "Limits.Connections")
	l.SourceConnections.validate(bad, "Limits.SourceConnections")
}

// ServerStats are figures of a Server. The counters only grow.
type ServerStats struct {
	Connections            int // control connections now
	HalfOpen               int // of these, without a session that is up
	Sessions               int // sessions now
	Up                     int // of these, up
	Authentications        int // calls of the Authenticator now
	AuthenticationsWaiting int // that wait for one of these to end

	Accepted        uint64 // control connections
	Delayed         uint64 // of these, that waited for their turn, by Connections or MaxHalfOpen
	SessionsStarted uint64
	SessionsUp      uint64 // that came up

	// Control connections refused.
	RefusedHalfOpen   uint64 // over MaxHalfOpen, where nothing moves
	RefusedPerSource  uint64 // over MaxPerSource
	RefusedSourceRate uint64 // over SourceConnections
	// Calls refused.
	RefusedSessions    uint64 // over MaxSessions
	RefusedCalls       uint64 // over MaxCalls, or too often on a connection
	RefusedAuthWaiting uint64 // over MaxAuthWaiting
	RefusedOpen        uint64 // calls that the data plane could not open, as for want of a call ID
	// Both.
	RefusedDraining uint64 // after Drain, and during Shutdown

	FailedAuthentication uint64 // sessions that ended so
	FailedAuthWait       uint64 // sessions that ended since their authentication could not wait, or waited in vain
	FailedFlood          uint64 // sessions and control connections that ended as their peer flooded
	AcceptErrors         uint64 // such as for want of descriptors

	// CCP Reset-Requests, by which the end that has lost packets in stateful mode has
	// encryption begin anew.
	ResetsSent, ResetsReceived uint64
}
