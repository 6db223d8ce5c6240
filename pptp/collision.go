package pptp

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// AcceptStart accepts the control connection that StartRequested announced.
// Started follows.
func (c *Control) AcceptStart(now time.Time, out *Output) error {
	if c.asked == nil || c.silent {
		return ErrState
	}
	peer := *c.asked
	c.asked = nil
	c.sendStartReply(StartSuccessful, ErrorNone, out)
	c.establish(peer, now, out)
	return nil
}

// RefuseStart refuses the control connection that StartRequested announced. The
// zero result is StartNotAuthorized, code is for the result StartGeneralError.
// Stopped follows.
func (c *Control) RefuseStart(result StartResult, code ErrorCode, out *Output) error {
	if c.asked == nil || c.silent {
		return ErrState
	}
	result = orDefault(result, StartNotAuthorized)
	c.sendStartReply(result, code, out)
	_ = c.fail(&ProtocolError{
		Message:   TypeStartControlConnectionReply,
		Result:    uint8(result),
		ErrorCode: code,
		Err:       ErrStartRefused,
	}, out)
	return nil
}

// IgnoreStart is for the winner of a collision: the connection that StartRequested
// announced gets no answer, nor does anything else that comes on it. It ends
// with ErrCollision, when the peer closes it as it should, or else when
// HandshakeTimeout has passed.
func (c *Control) IgnoreStart() error {
	if c.asked == nil {
		return ErrState
	}
	c.silent = true
	return nil
}

// CollisionWinner says which of two peers keeps the control connection that it
// has opened, if both have sent a Start-Control-Connection-Request on one of
// their own before they got the other's. It is the one with the higher address
// (RFC 2637 section 3.1.3). The winner answers the peer's with IgnoreStart; the
// loser ends its own by Abort with ErrCollision, and answers the peer's.
func CollisionWinner(local, remote netip.Addr) bool {
	return local.Unmap().Compare(remote.Unmap()) > 0
}

// Collisions finds and resolves collisions between the Conns that are given it,
// those that this host has opened and those that it has accepted: of each two,
// only the one survives that both peers expect to. A peer is known by its
// address alone: it is not for a host that dials the very address from behind
// which several peers come. The zero value is ready. It may be used by all
// goroutines.
type Collisions struct {
	mu     sync.Mutex
	opened map[netip.Addr][]openedConn // by us, to each peer
}

type openedConn struct {
	*Conn
	// until is for how long the peer's request may still be on its way that it
	// sent before it answered ours; zero while we wait for the answer.
	until time.Time
}

// add notes that c is about to send its Start-Control-Connection-Request.
func (s *Collisions) add(c *Conn) {
	addr := ipAddr(c.RemoteAddr())
	if s == nil || !addr.IsValid() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened == nil {
		s.opened = make(map[netip.Addr][]openedConn)
	}
	s.opened[addr] = append(s.opened[addr], openedConn{Conn: c})
}

// started notes that c has its answer.
func (s *Collisions) started(c *Conn, now time.Time) {
	if s == nil || !c.cfg.Originator {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := s.opened[ipAddr(c.RemoteAddr())]
	for i := range conns {
		if conns[i].Conn == c {
			conns[i].until = now.Add(c.cfg.HandshakeTimeout)
		}
	}
}

// remove notes that c is over.
func (s *Collisions) remove(c *Conn) {
	if s == nil || !c.cfg.Originator {
		return
	}
	addr := ipAddr(c.RemoteAddr())
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := slices.DeleteFunc(s.opened[addr], func(o openedConn) bool { return o.Conn == c })
	if len(conns) == 0 {
		delete(s.opened, addr)
	} else {
		s.opened[addr] = conns
	}
}

// rivals returns the connections that collide with one that addr has opened.
func (s *Collisions) rivals(addr netip.Addr, now time.Time) (conns []*Conn) {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.opened[addr] {
		if o.until.IsZero() || now.Before(o.until) {
			conns = append(conns, o.Conn)
		}
	}
	return conns
}

// answerStart answers a Start-Control-Connection-Request. It reports false if
// that is for the Handler to do.
func (c *Conn) answerStart(out *Output) bool {
	local, remote := ipAddr(c.LocalAddr()), ipAddr(c.RemoteAddr())
	now := time.Now()
	if local != remote { // between equal addresses there is no winner
		for _, rival := range c.cfg.Collisions.rivals(remote, now) {
			if CollisionWinner(local, remote) {
				_ = c.ctl.IgnoreStart()
				return true
			}
			rival.yield()
		}
	}
	if c.cfg.ConfirmStart {
		return false
	}
	_ = c.ctl.AcceptStart(now, out)
	return true
}

// yield ends a connection that has lost, unless the peer has answered on it. It
// may be called from any goroutine.
func (c *Conn) yield() {
	c.loop.Post(func() {
		if c.ctl.State() != WaitCtlReply {
			return
		}
		out, outer := c.enter()
		c.ctl.Abort(ErrCollision, out)
		c.leave(outer)
	})
}

// ipAddr returns the IP address of a, the zero Addr if it has none.
func ipAddr(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
