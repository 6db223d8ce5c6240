package gopptp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/gopptp/gopptp/internal/loop"
	"github.com/gopptp/gopptp/internal/rate"
	"github.com/gopptp/gopptp/pptp"
)

// serverConn is one control connection of a client and the sessions on it. Only
// its worker touches it, but for what Server guards.
type serverConn struct {
	server        *Server
	worker        *worker
	local, remote netip.AddrPort

	conn     *pptp.Conn
	peer     pptp.PeerInfo
	replied  time.Time  // our Start-Control-Connection-Reply
	sessions []*Session // that have a call
	calls    rate.Bucket
	stopping bool
	gone     bool
	idle     *loop.Timer // runs while there is no session

	halfOpen bool // counted as such; guarded by server.mu
}

// idleTimeout is how long a control connection may be without a call.
const idleTimeout = 10 * time.Second

var (
	_ pptp.Handler = (*serverConn)(nil)
	_ callControl  = (*serverConn)(nil)
)

func newServerConn(s *Server, w *worker, local, remote netip.AddrPort) *serverConn {
	c := &serverConn{
		server: s, worker: w, local: local, remote: remote,
		halfOpen: true,
	}
	c.idle = w.loop.NewTimer(c.idleTick)
	return c
}

// log reports on the connection; see Session.log.
func (c *serverConn) log(level slog.Level, msg string, args ...any) {
	if l := c.server.log(); l.Enabled(context.Background(), level) {
		l.Log(context.Background(), level, msg, append([]any{"remote", c.remote}, args...)...)
	}
}

// session finds the one with our call ID. There are few on a connection.
func (c *serverConn) session(id uint16) *Session {
	for _, s := range c.sessions {
		if s.link.call.ID() == id {
			return s
		}
	}
	return nil
}

// run starts the control connection.
func (c *serverConn) run(nc net.Conn) {
	c.worker.post(func(now time.Time) {
		if c.server.Draining() {
			c.conn = c.server.newRefusedConn(nc, c)
		} else {
			c.conn = c.server.settings.Load().newConn[c.worker.index](nc, c)
		}
		c.conn.Start()
		if c.server.isClosing() { // it came between the two
			c.shutdown(now)
		}
	})
}

// controlTrace shows control messages to the TraceFunc of the configuration, which may be
// nil, and to those who look on at sessions of the connection.
func controlTrace(all TraceFunc) func(*pptp.Conn, pptp.Direction, []byte) {
	return func(conn *pptp.Conn, d pptp.Direction, msg []byte) {
		c := conn.Handler().(*serverConn)
		if all != nil {
			all(TraceEvent{Time: time.Now(), Remote: c.remote, Sent: d == pptp.Sent, Kind: TraceControl, Data: msg})
		}
		for _, s := range c.sessions {
			s.traceMessage(d, msg)
		}
	}
}

// HandleEvent implements pptp.Handler.
func (c *serverConn) HandleEvent(_ *pptp.Conn, ev pptp.Event) {
	now := time.Now()
	switch e := ev.(type) {
	case pptp.StartRequested:
		c.startWhileDraining()
	case pptp.Started:
		c.peer, c.replied = e.Peer, now
		c.idle.Set(now.Add(idleTimeout))
	case pptp.CallRequested:
		c.call(&e.Request, now)
	case pptp.CallEstablished:
		if s := c.session(e.CallID); s != nil {
			c.connect(s, &e, now)
		}
	case pptp.CallCleared:
		if s := c.session(e.CallID); s != nil && e.Remote {
			s.drop(CausePeer, ErrPeerClosed, now)
		}
	case pptp.Stopped:
		c.log(slog.LevelDebug, "control connection stopped", "event", e)
	default:
		c.log(slog.LevelDebug, "control connection event", "event", fmt.Sprintf("%T", e))
	}
}

// HandleClose implements pptp.Handler.
func (c *serverConn) HandleClose(_ *pptp.Conn, err error) {
	c.gone = true
	c.idle.Set(time.Time{})
	now := time.Now()
	cause, reason := CauseLostCarrier, ErrLostCarrier
	if err != nil {
		reason = fmt.Errorf("%w: %w", ErrLostCarrier, err)
	}
	if errors.Is(err, pptp.ErrFlood) {
		cause = CauseFlood
		if len(c.sessions) == 0 {
			c.server.count(func(st *ServerStats) { st.FailedFlood++ })
		}
	}
	for _, s := range slices.Clone(c.sessions) {
		s.drop(cause, reason, now)
	}
	c.log(slog.LevelInfo, "control connection closed", "error", err)
	c.server.removeConn(c)
}

// call answers an Outgoing-Call-Request.
func (c *serverConn) call(req *pptp.OutgoingCallRequest, now time.Time) {
	refuse := func(counter func(st *ServerStats) *uint64, result pptp.OutgoingCallResult, code pptp.ErrorCode, reason string, args ...any) {
		c.server.count(func(st *ServerStats) { *counter(st)++ })
		c.server.report.refused("call refused", reason, append([]any{"remote", c.remote}, args...)...)
		c.conn.RejectCall(req.CallID, result, code)
	}
	settings := c.server.settings.Load()
	limits := &settings.cfg.Limits
	_, waiting, _ := c.server.auths.figures()
	switch {
	case len(c.sessions) >= limits.MaxCalls, !settings.calls.Allow(&c.calls, now):
		refuse(func(st *ServerStats) *uint64 { return &st.RefusedCalls }, pptp.OutgoingBusy, pptp.ErrorNone,
			"too many calls on the control connection")
		return
	case waiting >= limits.MaxAuthWaiting:
		refuse(func(st *ServerStats) *uint64 { return &st.RefusedAuthWaiting }, pptp.OutgoingBusy, pptp.ErrorNone,
			"too many authentications wait")
		return
	}
	s := newSession(&settings.session, c.worker, c, c.local, c.remote)
	if counter, reason := c.server.addSession(s); counter != nil {
		refuse(counter, pptp.OutgoingBusy, pptp.ErrorNone, reason)
		return
	}
	s.update(func(i *sessionInfo) { i.peerInfo = &c.peer })
	if err := s.open(); err != nil {
		c.server.removeSession(s)
		s.abandon(err)
		refuse(func(st *ServerStats) *uint64 { return &st.RefusedOpen }, pptp.OutgoingGeneralError, pptp.ErrorNoResource,
			"the data plane has no call", "error", err)
		return
	}
	s.link.rtt = now.Sub(c.replied)
	c.sessions = append(c.sessions, s)
	c.idle.Set(time.Time{})
	s.enter(StateCall, now)
	// From here on the data plane keeps what the peer sends early.
	if err := c.conn.AcceptCall(pptp.OutgoingCallReply{CallID: s.link.call.ID(), PeerCallID: req.CallID}); err != nil {
		s.end(CauseControl, err, now)
	}
}

// connect starts PPP, after the reply was written that tells the peer our call
// ID: many peers open their GRE side only then.
func (c *serverConn) connect(s *Session, e *pptp.CallEstablished, now time.Time) {
	if err := s.connect(e, now); err != nil {
		s.end(CauseDataplane, err, now)
	}
}

// linkOver implements callControl: the peer is told by Call-Disconnect-Notify,
// unless it was the peer who cleared the call.
func (c *serverConn) linkOver(s *Session, cause Cause, now time.Time) {
	if !c.gone {
		c.conn.ClearCall(pptp.CallDisconnectNotify{CallID: s.link.call.ID(), ResultCode: disconnectResult(cause)})
	}
	c.sessions = slices.DeleteFunc(c.sessions, func(other *Session) bool { return other == s })
	if !c.gone && len(c.sessions) == 0 {
		c.idle.Set(now.Add(idleTimeout))
		if c.stopping {
			c.conn.Stop(pptp.StopLocalShutdown)
		}
	}
	c.server.removeSession(s)
	s.closed(now)
	c.server.count(func(st *ServerStats) {
		switch cause {
		case CauseAuthentication:
			st.FailedAuthentication++
		case CauseLimit:
			st.FailedAuthWait++
		case CauseFlood:
			st.FailedFlood++
		}
	})
}

// disconnectResult is the result code of RFC 2637 §2.13 for the end of a
// session.
func disconnectResult(cause Cause) pptp.DisconnectResult {
	switch cause {
	case CauseLostCarrier, CauseDeadPeer, CauseGREBlocked:
		return pptp.DisconnectLostCarrier
	case CauseDataplane, CauseNegotiation, CauseAuthBackend, CauseLimit:
		return pptp.DisconnectGeneralError
	}
	return pptp.DisconnectAdminShutdown
}

// idleTick ends a control connection without a call.
func (c *serverConn) idleTick(time.Time) {
	c.log(slog.LevelDebug, "no call on the control connection")
	c.conn.Stop(pptp.StopNone)
}

// shutdown ends the sessions in order, then the control connection.
func (c *serverConn) shutdown(now time.Time) {
	if c.conn == nil || c.gone {
		return // run sees that the server is closing
	}
	c.stopping = true
	for _, s := range slices.Clone(c.sessions) {
		s.end(CauseShutdown, ErrServerClosed, now)
	}
	if len(c.sessions) == 0 && !c.gone {
		c.conn.Stop(pptp.StopLocalShutdown)
	}
}

// abort drops everything at once.
func (c *serverConn) abort(time.Time) {
	if c.conn != nil && !c.gone {
		c.conn.Close()
	}
}

// addSession counts a new session in, or says why not and which counter is for that.
func (s *Server) addSession(session *Session) (refused func(st *ServerStats) *uint64, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	draining := func(st *ServerStats) *uint64 { return &st.RefusedDraining }
	switch {
	case s.closing:
		return draining, reasonClosing
	case s.draining:
		return draining, reasonDraining
	}
	if len(s.sessions) >= s.limits().MaxSessions {
		return func(st *ServerStats) *uint64 { return &st.RefusedSessions }, "too many sessions"
	}
	s.sessions[session.id] = session
	s.stats.SessionsStarted++
	return nil, ""
}

func (s *Server) removeSession(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session.id)
	if session.link.countedUp {
		s.stats.Up--
	}
}

func (s *Server) removeConn(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if c.halfOpen {
		s.halfOpenLess()
	}
	source := c.remote.Addr()
	if s.sources[source]--; s.sources[source] == 0 {
		delete(s.sources, source)
	}
	if s.closing && len(s.conns) == 0 {
		close(s.empty)
	}
}

func (s *Server) count(f func(st *ServerStats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

// up implements callControl.
func (c *serverConn) up(session *Session) {
	session.link.countedUp = true
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.stats.Up++
	c.server.stats.SessionsUp++
	if c.halfOpen {
		c.halfOpen = false
		c.server.halfOpenLess()
	}
}
