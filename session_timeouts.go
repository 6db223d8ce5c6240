package gopptp

import "time"

// SetTimeouts changes the limits of a session, which an Authenticator has set or not:
// how long it may take from UpAt on, and how long no user's packet may pass. Zero is no
// limit. They hold at once, so that a session which is over one of them ends. In a
// session that is not up they hold from then on, but its Authenticator still has the
// last word, if it has not spoken yet.
func (s *Session) SetTimeouts(session, idle time.Duration) {
	s.update(func(i *sessionInfo) { i.sessionTimeout, i.idleTimeout = session, idle })
	s.post(func(now time.Time) {
		l := &s.link
		l.sessionTimeout, l.idleTimeout = session, idle
		if !l.over && l.stage >= StateUp {
			s.startTimeouts(now)
			s.arm()
		}
	})
}

// Timeouts are the limits of a session: the Authenticator's, or those of the last
// SetTimeouts.
func (s *Session) Timeouts() (session, idle time.Duration) {
	i := s.read()
	return i.sessionTimeout, i.idleTimeout
}

// startTimeouts sets the deadlines of a session that is up.
func (s *Session) startTimeouts(now time.Time) {
	l := &s.link
	l.sessionDeadline, l.idleDeadline = time.Time{}, time.Time{}
	up := s.UpAt()
	if l.sessionTimeout > 0 {
		l.sessionDeadline = up.Add(l.sessionTimeout)
	}
	if l.idleTimeout > 0 {
		idle, known := s.idleTime()
		if !known {
			idle, l.idleMark = 0, s.packets()
		}
		l.idleDeadline = now.Add(l.idleTimeout - min(idle, now.Sub(up)))
	}
}

// checkIdle ends the session if no packet has passed for as long as is allowed.
func (s *Session) checkIdle(now time.Time) {
	l := &s.link
	idle, known := s.idleTime()
	if !known {
		// It is all the time since the last check, or none of it.
		if packets := s.packets(); packets != l.idleMark {
			l.idleMark = packets
		} else {
			idle = l.idleTimeout
		}
	}
	if idle >= l.idleTimeout {
		l.idleDeadline = time.Time{}
		s.end(CauseIdleTimeout, ErrIdleTimeout, now)
		return
	}
	l.idleDeadline = now.Add(l.idleTimeout - idle)
}

// idleTime is how long no packet has passed, if the data plane knows better than its
// counters tell.
func (s *Session) idleTime() (idle time.Duration, known bool) {
	if c, ok := s.link.call.(IdleCall); ok {
		if idle, err := c.Idle(); err == nil {
			return idle, true
		}
	}
	return 0, false
}

func (s *Session) packets() uint64 {
	c := s.link.call.Counters()
	return c.ReceivedPackets + c.SentPackets
}
