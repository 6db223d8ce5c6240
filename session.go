package gopptp

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp/pptp"
)

// Session is one user's tunnel: a PPTP call and the PPP link in it. Its methods
// may be called from any goroutine.
type Session struct {
	id            SessionID
	local, remote netip.AddrPort
	started       time.Time

	// link is the working half, which only the session's event loop touches.
	link sessionLink
	// mailbox is where the data plane leaves frames for the loop.
	mailbox mailbox
	// tracers look on; nil if nobody does. mu guards changes.
	tracers atomic.Pointer[[]*tracer]

	mu   sync.Mutex
	info sessionInfo
	done chan struct{} // nil as long as nobody waits for it: a channel is 96 octets
}

// sessionInfo is what a session publishes about itself.
type sessionInfo struct {
	user       string
	attributes any
	peerInfo   *pptp.PeerInfo // never nil, never changed
	callInfo   pptp.CallInfo
	serial     uint16
	state      State
	gone       bool // done is closed, or would be
	local      netip.Addr
	peer       netip.Addr
	dns, nbns  []netip.Addr
	ipv6       *sessionIPv6 // never nil
	mtu        int
	encryption string
	rates      Rates
	upAt       time.Time
	call       Call // for what any goroutine may ask of it; nil before there is one
	err        error

	sessionTimeout, idleTimeout time.Duration
}

// ID names the session.
func (s *Session) ID() SessionID { return s.id }

// LocalAddr is our end of the control connection.
func (s *Session) LocalAddr() netip.AddrPort { return s.local }

// RemoteAddr is the peer's end of the control connection.
func (s *Session) RemoteAddr() netip.AddrPort { return s.remote }

// StartedAt is when the session began.
func (s *Session) StartedAt() time.Time { return s.started }

// Done is closed when the session has ended and nothing of it is left.
func (s *Session) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		s.done = make(chan struct{})
		if s.info.gone {
			close(s.done)
		}
	}
	return s.done
}

// finish tells those who wait for the end.
func (s *Session) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.gone = true
	if s.done != nil {
		close(s.done)
	}
}

func (s *Session) read() sessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info
}

// State says how far the session has come.
func (s *Session) State() State { return s.read().state }

// User is the name of the authenticated user; empty before.
func (s *Session) User() string { return s.read().user }

// Attributes is what the Authenticator attached.
func (s *Session) Attributes() any { return s.read().attributes }

// PeerInfo is what the peer said of itself on the control connection: it
// betrays the implementation.
func (s *Session) PeerInfo() pptp.PeerInfo { return *s.read().peerInfo }

// CallInfo is what the peer said of the call: its receive window, speeds and
// the like. With PeerInfo it makes a fingerprint of the implementation.
func (s *Session) CallInfo() pptp.CallInfo { return s.read().callInfo }

// CallSerialNumber is the number of the call in the logs of both ends (RFC 2637
// §2.7).
func (s *Session) CallSerialNumber() uint16 { return s.read().serial }

// Local is our address in the tunnel; the zero value before it is agreed.
func (s *Session) Local() netip.Addr { return s.read().local }

// Peer is the other end's address in the tunnel. Some peers have none.
func (s *Session) Peer() netip.Addr { return s.read().peer }

// DNS returns the name servers: those given to the peer by a server, those
// obtained by a client.
func (s *Session) DNS() []netip.Addr { return slices.Clone(s.read().dns) }

// NBNS returns the NetBIOS name servers (WINS), as DNS does.
func (s *Session) NBNS() []netip.Addr { return slices.Clone(s.read().nbns) }

// MTU is the largest IP packet, in octets, that the tunnel carries; zero before
// the session is up.
func (s *Session) MTU() int { return s.read().mtu }

// Encryption describes what CCP agreed on, such as "MPPE 128-bit stateless", or
// is "none". MPPE is broken and keeps nothing secret from an attacker.
func (s *Session) Encryption() string { return s.read().encryption }

// UpAt is when users' packets began to flow; zero before.
func (s *Session) UpAt() time.Time { return s.read().upAt }

// Err says why the session ended, as a *SessionError: nil while it lives, and
// after an end in order that this side asked for.
func (s *Session) Err() error { return s.read().err }

// Counters returns the traffic so far, of which nothing is ever taken back; from the
// event StateClosed on, the final figures.
func (s *Session) Counters() Counters {
	if c := s.read().call; c != nil {
		return c.Counters()
	}
	return Counters{}
}

// Close begins an orderly end: the peer is told by LCP and on the control
// connection. It does not wait; Done does.
func (s *Session) Close() error {
	s.post(func(now time.Time) { s.end(CauseLocal, nil, now) })
	return nil
}

// End begins an orderly end as Close does, for the caller's reason: it is what Err
// says, and the SessionError in the event StateClosed. The first reason that a session
// has stands, so that End is harmless once one is under way. CauseNone, and what is no
// Cause, are taken for CauseAdmin. A nil err is the error that goes with the cause,
// such as ErrQuota; with CauseLocal it is that of Close, which is none.
func (s *Session) End(cause Cause, err error) {
	cause, err = endReason(cause, err)
	s.post(func(now time.Time) { s.end(cause, err, now) })
}

// update changes what is published.
func (s *Session) update(f func(i *sessionInfo)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.info)
}
